"""Running the service: gunicorn, its sockets and metrics directory, and the checks before the first request."""
