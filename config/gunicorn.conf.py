"""`authsvc serve` as gunicorn settings, for those who run gunicorn themselves:

    gunicorn -c config/gunicorn.conf.py 'authsvc.wsgi:app()'

The values are those of `serve` (a test compares them). What `serve` does besides: it checks the settings and finds the
addresses free before anything starts, opens the admin address, and keeps the workers' figures together. Here, name the
admin address in `bind` too if you want /metrics, and point PROMETHEUS_MULTIPROC_DIR at an empty folder.
"""

import os

from authsvc.server.gunicorn import gone, started, starting, stopped

bind = [os.environ.get("AUTHSVC_BIND", "127.0.0.1:8000")]
workers = int(os.environ.get("AUTHSVC_WORKERS", "2"))  # about one a core
threads = int(os.environ.get("AUTHSVC_THREADS", "8"))

worker_class = "authsvc.server.http_worker.Worker"  # threads get whole requests only; when all are busy: 503 at once
logger_class = (
    "authsvc.server.gunicorn.Log"  # gunicorn's lines through our log's gates; no access log, it would hold tokens
)
reuse_port = True  # every worker has a listener of its own, unless it is a unix socket or one of systemd's
preload_app = True  # loaded once, then forked: memory is shared, the start is quick

keepalive = 75  # seconds; longer than the 60 s that proxies keep idle upstream connections
graceful_timeout = 10  # seconds; requests under way may take this long after SIGTERM
timeout = 30  # seconds; a worker that doesn't report for this long is replaced

limit_request_line = 8_190  # bytes
limit_request_fields = 64
limit_request_field_size = 16_380  # bytes; an overlong token shall meet a 401: gateways take a 431 for a fault of ours

# Schemes and paths are never taken from headers: AUTHSVC_PUBLIC_URL says where the service is.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers = {}

control_socket_disable = True
proc_name = "authsvc"

# Threads start after the fork; figures of dead workers are cleared away.
on_starting = starting
on_reload = starting
post_worker_init = started
worker_exit = stopped
child_exit = gone
