# authsvc in a container: no compiler, no pip, no secret in the image; runs as a user of its own on a read-only file
# system (only /tmp must be writable). `serve` by default; `docker run … worker` for the worker, or any other command.

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/server.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt \
    && python -m venv /opt/authsvc \
    && /opt/authsvc/bin/pip install --require-hashes --only-binary :all: -r requirements/server.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/authsvc/bin/pip install --no-deps --no-index /dist/*.whl \
    && /opt/authsvc/bin/pip uninstall --yes pip

FROM python:3.13-slim-bookworm
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 authsvc
COPY --from=build /opt/authsvc /opt/authsvc
ENV PATH=/opt/authsvc/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 AUTHSVC_BIND=0.0.0.0:8000
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
# /livez asks for nothing but a process that answers: a container is not restarted because Redis is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["authsvc"]
CMD ["serve"]
