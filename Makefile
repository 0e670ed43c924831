# Needs git, make and Python >= 3.11; everything else is taken into .tools and .venv, inside this folder.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# A process without bytecode spends half of its start compiling, and tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
UV := scripts/uv
IN := .venv/bin
SCALE ?= 0.1
SECONDS := 60
EXPORTS ?= 1000000
LEDGER ?= sqlite
# program:Debian package
PROGRAMS := chromium:chromium node:nodejs
HEAVY_PROGRAMS := soffice:libreoffice-calc-nogui
CLIENTS := tests/clients
NPM = .clients/bin/npm --loglevel=error --ignore-scripts --no-audit --no-fund
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade
# Two more than there are cores: many tests wait for leases, slow lines and what starts.
PYTEST = $(IN)/python -m pytest --numprocesses $$(( $$(nproc 2>/dev/null || sysctl -n hw.ncpu) + 2 )) --maxprocesses 8 --dist worksteal

.PHONY: help setup check format test test-all wheel demo bench load lock docs reference clean programs

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.ready ## the environment only; ends with a working .venv/bin/outhaul

check: setup ## lint, format, types, direction of imports, rules of the house
	$(IN)/ruff check --quiet .
	$(IN)/ruff format --quiet --check .
	$(IN)/mypy --no-error-summary
	$(IN)/vulture
	$(IN)/lint-imports --no-logo >.tools/imports.txt || { cat .tools/imports.txt; exit 1; }
	$(IN)/python -m pytest -q -p no:xdist tests/test_house.py

format: setup ## let ruff repair what it can
	$(IN)/ruff check --quiet --fix .
	$(IN)/ruff format --quiet .

test: setup programs .clients/.ready ## everything but the heavy tests, in ten minutes or less
	$(PYTEST) -m "not heavy"

test-all: PROGRAMS += $(HEAVY_PROGRAMS)
test-all: setup programs .clients/.ready .docs/.ready ## every test
	$(PYTEST)

wheel: setup ## dist/outhaul-VERSION-py3-none-any.whl
	$(UV) build --quiet --wheel --no-build-isolation --python $(IN)/python --out-dir dist

demo: setup $(if $(SOURCE),,.venv/.demo) ## a shop's data, served, exported and proven; SOURCE=URL: your own database
	@$(IN)/outhaul demo $(if $(SOURCE),'$(SOURCE)')

bench: setup .peers/.ready ## speed beside other ways; SCALE=0.1, ROWS=flat-csv,parquet for some
	$(IN)/python -m bench --scale $(SCALE) --rows '$(ROWS)'

load: setup ## many callers at once, ledgers of a million exports; SECONDS=60, EXPORTS=1000000, LEDGER=postgresql
	$(IN)/python -m bench.load --seconds $(SECONDS) --large $(EXPORTS) --ledger $(LEDGER)

docs: setup .docs/.ready ## the documentation, as pages to browse in build/docs
	@$(IN)/python -m docs.calls docs/reference/calls
	@rm -rf build/docs && .docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --doctree-dir .docs/pages docs build/docs
	@echo build/docs/index.html

reference: setup ## put what the code says of commands, settings and errors into docs/reference
	$(IN)/python -m cogapp -r --verbosity=1 docs/reference/*.md

lock: .clients/.ready ## pin the newest versions that pyproject.toml allows, with hashes
	$(COMPILE) --group tools --no-deps -o requirements-tools.lock
	$(COMPILE) --group clients -o requirements-clients.lock
	$(COMPILE) --group demo --no-deps -o requirements-demo.lock
	$(COMPILE) --group bench -o requirements-bench.lock
	$(COMPILE) --group docs -o requirements-docs.lock
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --group dev --constraint requirements.lock -o requirements-dev.lock
	$(NPM) update --package-lock-only --omit-lockfile-registry-resolved --prefix $(CLIENTS)

clean: ## remove all that make has made
	rm -rf .venv .tools .demo .peers .clients .docs docs/reference/calls .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist build

.tools/.ready: requirements-tools.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@rm -rf .tools
	@$(PYTHON) -m venv .tools || { echo "This Python cannot make environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	@touch $@

.venv/.ready: .tools/.ready requirements-dev.lock pyproject.toml
	@test -x $(IN)/python || $(UV) venv --quiet --python .tools/bin/python .venv
	@rm -f .venv/.demo
	@$(UV) pip sync --quiet --compile-bytecode --python $(IN)/python --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python $(IN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.demo: .venv/.ready requirements-demo.lock
	@$(UV) pip install --quiet --compile-bytecode --python $(IN)/python --no-deps --require-hashes -r requirements-demo.lock
	@touch $@

# Other people's clients as they are, with a Node that all of them run on, whatever the machine has.
.clients/.ready: .tools/.ready requirements-clients.lock $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	@rm -rf .clients && $(UV) venv --quiet --python .tools/bin/python .clients
	@$(UV) pip install --quiet --python .clients/bin/python --no-deps --require-hashes -r requirements-clients.lock
	@cp $(CLIENTS)/package.json $(CLIENTS)/package-lock.json .clients
	@$(NPM) ci --prefix .clients >/dev/null
	@touch $@

# What the documentation is built with, which nothing else needs.
.docs/.ready: .tools/.ready requirements-docs.lock
	@rm -rf .docs && $(UV) venv --quiet --python .tools/bin/python .docs
	@$(UV) pip install --quiet --compile-bytecode --python .docs/bin/python --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

# A peer that cannot be had here is a row of the results; the others are installed all the same.
.peers/.ready: .tools/.ready requirements-bench.lock
	@rm -rf .peers && $(UV) venv --quiet --python .tools/bin/python .peers
	@awk '/^[^ #]/ { n++ } { print > sprintf(".peers/%03d.lock", n) }' requirements-bench.lock
	@install() { $(UV) pip install --quiet --compile-bytecode --python .peers/bin/python --no-deps --require-hashes -r $$1; }; \
	install requirements-bench.lock || for lock in .peers/*.lock; do install $$lock || true; done
	@touch $@

programs: # what the tests run and no Python package carries
	@missing=; for pair in $(PROGRAMS); do command -v $${pair%%:*} >/dev/null || missing+=" $${pair##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	install="apt-get update -qq && apt-get install -y -qq --no-install-recommends$$missing"; \
	if [ "$$CI" = true ] && [ "$$(id -u)" = 0 ]; then export DEBIAN_FRONTEND=noninteractive; eval "$$install"; \
	else echo "Programs that the tests run are missing. This line installs them:" >&2; \
	echo "  sudo sh -c '$$install'" >&2; exit 1; fi
