"""The HTTP edge: what comes in is judged here, what goes out is shaped here, and nothing is decided here.

The table of operations (`operations`) is the one source of routes, guards and the OpenAPI description; `guards` holds
the check order; `problems` the one table from errors to answers; `edge` is what every request passes first and last.
"""
