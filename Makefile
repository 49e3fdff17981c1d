# siltstone: the front door. `make` prints this help; CI calls the same targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow soak bench check lint types format docs lock java archive clean

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .bench/venv
SLOW = $(BIN)/python tests/slow.py --workers $(WORKERS) $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) \
	$(if $(ROUNDS),--rounds $(ROUNDS))
WORKERS ?= 2
ROUNDS ?=
# The cluster has its own Spark, and runs no tests.
NOT_SHIPPED := pyspark py4j delta-spark chispa duckdb duckdb-extension-delta fastavro flask flask-cors hypothesis moto mypy pytest \
	pytest-xdist execnet ruff venv-pack matplotlib contourpy cycler fonttools kiwisolver pillow

help:  ## this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: java $(READY)  ## .venv with everything, from locked versions

$(READY): .requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "siltstone needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

java:
	@.ci/java

demo: setup  ## the main job on real input, then a query; ends with a short report
	$(BIN)/python tests/demo/run.py

# Without compiled files each of many processes compiles all of siltstone and the tests. One thread of polars in each of the
# processes that share the machine; what tests start has as many as it will.
test test-slow soak: export PYTHONDONTWRITEBYTECODE =
test: export POLARS_MAX_THREADS = 1

test: setup  ## the tests, by WORKERS=2 processes; ROUNDS=5 repeats races and laws five times as often
	SILTSTONE_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

test-slow: setup  ## the long tests, part by part, within an hour; ONLY=races,laws SEED=7 ROUNDS=3 as the last lines say
	$(SLOW)

soak: setup  ## all of all: every case of every list, more rounds; takes hours
	$(SLOW) --soak

bench: setup $(BENCH)/.ready  ## siltstone beside DuckDB, polars and plain Spark: tables, JSON, picture. ARGS="fleet --rounds 1"
	$(BENCH)/bin/python tests/bench/run.py --python $(BIN)/python $(ARGS)

$(BENCH)/.ready: tests/bench/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
	touch $(BENCH)/.ready

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## lint, types and tests: what CI runs

format: setup  ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## docs/cli.md from --help, docs/configuration.md from conf/base.yaml; a test compares
	$(BIN)/python tests/docs/generate.py

archive: setup  ## dist/siltstone-env.tar.gz, the environment that spark-submit.sh ships to a cluster
	mkdir -p dist
	rm -rf dist/env && $(PYTHON) -m venv --copies dist/env
	dist/env/bin/python -m pip install --quiet --require-hashes -r .requirements.lock
	dist/env/bin/python -m pip install --quiet --no-deps .
	dist/env/bin/python -m pip uninstall --quiet --yes $(NOT_SHIPPED)
	$(BIN)/venv-pack --quiet --prefix dist/env --force --output dist/siltstone-env.tar.gz

lock: setup  ## resolve the versions again
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --allow-unsafe --extra spark --extra dev --output-file .requirements.lock pyproject.toml

clean:  ## remove what was made here
	rm -rf $(VENV) .bench .demo build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
