"""The only folder that knows Redis: the connection, one module a noun, and the scripts in `lua/`."""
