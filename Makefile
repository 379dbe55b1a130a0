# Every command a newcomer or CI needs. `make demo` and `make test` set up what they need themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.PHONY: help setup setup-demo demo test crash buckets clients sim fuzz-write fuzz-sql lint bench docs docs-check format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# A stamp per lock file: a changed lock installs again, an unchanged one costs nothing.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements/demo.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

# awswrangler asks for an older pyarrow than it runs on: it lives beside the environment, where only pytest sees it.
$(VENV)/.wrangler: requirements/wrangler.lock $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/wrangler -r requirements/wrangler.lock
	@touch $@

setup: $(VENV)/.dev $(VENV)/.wrangler ## make the virtual environment at .venv, with everything

setup-demo: $(VENV)/.demo

demo: setup-demo ## start a server, load real data with stock boto3, query it, kill it, prove nothing is lost
	$(BIN)/headwater demo

test: setup ## run the tests
	$(BIN)/python -m pytest

crash: setup ## kill the server again and again, and servers broken on purpose (about five minutes)
	$(BIN)/python -m pytest -m slow tests/crash tests/unit/storage --timeout 600

# The seed of hashing is part of a history: sets are walked in its order.
SEEDS ?= 1000
sim: setup ## live through SEEDS=1000 simulated histories of the store (a third of a second each), or SEED=17 again
	PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

buckets: setup ## the store on a bucket of an S3-compatible server, which is built from its Go module (about two minutes)
	$(BIN)/python -m pytest -m slow tests/behaviours tests/clients/test_block_store.py --timeout 900

clients: setup ## clients that take their time: Telegraf, built from its Go module, and Java, which waits (about five minutes)
	$(BIN)/python -m pytest -m slow tests/clients/test_programs.py tests/clients/test_telegraf_and_grafana.py --timeout 1800

fuzz-write: setup ## twenty thousand broken WriteRecords requests against a server (about two minutes)
	$(BIN)/python -m pytest -m slow tests/fuzz --timeout 1800

fuzz-sql: setup ## random queries, answered as a second engine answers them (N=20000, SEED=1000; about 40 minutes)
	FUZZ_SQL_N=$(or $(N),20000) FUZZ_SQL_SEED=$(or $(SEED),1000) $(BIN)/python -m pytest -m slow tests/fuzz_sql --timeout 14400

lint: setup ## ruff, mypy in strict mode, the import contract
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure ingest, HTTP servers and queries; print the figures
	$(BIN)/python -m benchmarks

docs: setup ## make the pages anew that are made from the code
	$(BIN)/python tests/docs/test_settings.py
	$(BIN)/python tests/docs/test_metrics_page.py
	PYTHONPATH=tests $(BIN)/python -m support.conformance_page
	PYTHONPATH=tests $(BIN)/python -m support.sql_page

docs-check: setup ## the documents agree with the code, their examples run
	$(BIN)/python -m pytest tests/docs

format: setup ## rewrite the sources in the house format
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

lock: setup ## resolve the requirements anew, with hashes and without index addresses
	$(BIN)/uv pip compile $(UV_FLAGS) requirements/dev.in --output-file requirements/dev.lock
	$(BIN)/uv pip compile $(UV_FLAGS) --constraint requirements/dev.lock requirements/demo.in --output-file requirements/demo.lock
	$(BIN)/uv pip compile $(UV_FLAGS) --constraint requirements/dev.lock requirements/runtime.in --output-file requirements/runtime.lock
	$(BIN)/uv pip compile $(UV_FLAGS) --no-deps --constraint requirements/dev.lock requirements/wrangler.in --output-file requirements/wrangler.lock

clean: ## remove everything that setup and tests made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
