# One entry point; CI calls the same targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NPM_DIR := .cache/npm
BUF := $(NPM_DIR)/node_modules/.bin/buf
BUF_VERSION := 1.75.0
IMAGE := .cache/contract.binpb
DATA ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run chat test check eval bench-race bench-routing bench-chaos bench-replay protos lock clean

help: ## Explain the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(VENV)/.ready ## Install everything into .venv, from the hashed lock.

run: setup ## Serve on 127.0.0.1:50051; ARGS="--log-format json" passes flags on.
	$(BIN)/repartee serve $(ARGS)

chat: setup ## Talk to the server that `make run` has started.
	@$(BIN)/repartee chat $(ARGS)

test: setup ## Run all tests; ARGS="-k guard" chooses.
	$(BIN)/pytest $(ARGS)

check: setup $(BUF) ## Format, lint, types, import contracts, the contract and its stubs, the domain packs.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python protos/generate.py --check --image $(IMAGE)
	$(BUF) lint $(IMAGE) --config protos/buf.yaml
	cd protos && $(CURDIR)/$(BUF) format --diff --exit-code --path repartee
	$(BIN)/repartee lint sales
	$(BIN)/repartee lint support

eval: setup ## Measure the agent; DATA=DIR adds real conversations, see the README.
	$(BIN)/repartee eval $(if $(DATA),--data $(DATA)) $(ARGS)

bench-race: setup ## Race over our HTTP/2, beside stock httpx2, against Node's server.
	$(BIN)/python -m benchmarks.race $(ARGS)

bench-routing: setup ## What routing buys and costs: single, failover, hedge, race, on simulated providers.
	$(BIN)/python -m benchmarks.routing $(ARGS)

bench-chaos: setup ## Providers that are killed, frozen and go away under load.
	$(BIN)/python -m benchmarks.chaos $(ARGS)

bench-replay: setup ## DATA=DIR: real negotiations on models that fail in every way.
	$(BIN)/python -m benchmarks.replay --data $(DATA) $(ARGS)

protos: setup $(BUF) ## Format the contract and generate its stubs.
	cd protos && $(CURDIR)/$(BUF) format --write --path repartee
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python protos/generate.py

lock: setup ## Resolve the dependencies anew into requirements.lock.
	$(BIN)/pip install --quiet uv
	printf 'torch\nsentence-transformers\ntransformers\n' > .cache/excluded.txt
	$(BIN)/uv pip compile pyproject.toml --extra otel --group dev --group weights --excludes .cache/excluded.txt --universal \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --upgrade \
		--quiet --output-file requirements.lock

clean: ## Remove all that was made: the environment, caches, reports. Conversations in data/ stay.
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "Python cannot make environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@mkdir -p .cache
	@touch $@

$(BUF):
	@command -v npm > /dev/null || { echo "buf comes from npm; on Debian: apt-get install npm"; exit 1; }
	npm install --prefix $(NPM_DIR) --no-save --no-audit --no-fund --ignore-scripts --loglevel error \
		@bufbuild/buf@$(BUF_VERSION)
