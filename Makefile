# Every target is also a `crnnkit` command or one line: the README lists them for Windows.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env run test lint lab serve notebooks clean

# Override on the command line, for example: make env PYTHON=/usr/bin/python3.12
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name $(FITS) 2>/dev/null && echo $$name && break; done)
FITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
# Options for the installation of torch alone, such as the index of its CPU builds.
TORCH_PIP_ARGS ?=
# Options handed on: make run ARGS="--help"
ARGS ?=

# Threads that wait by spinning bring a busy machine to a halt: with two cores and one other
# program, 2 training lines a second instead of 80 (benchmarks/LOG.md).
export OMP_WAIT_POLICY ?= PASSIVE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Seconds that one notebook cell may take; the longest one trains on the demo set.
CELL_TIMEOUT := 1200

# Prints how long a step took: $(call timed,name,command)
timed = printf '\n== %s\n' '$(1)' && begin=$$SECONDS && ($(2)) && printf '   %s: %s s\n' '$(1)' $$((SECONDS - begin))

help:  ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

env: $(STAMP)  ## Make the environment .venv (Python 3.11 to 3.13); nothing happens if it is up to date

$(STAMP): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] && $(PYTHON) $(FITS) || { \
		echo "make env: Python 3.11, 3.12 or 3.13 is needed," \
			"$(or $(PYTHON),python3) is: $$($(or $(PYTHON),python3) --version 2>&1)." \
			"Install one, or name it: make env PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make env: $(PYTHON) cannot make environments." \
			"On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(call timed,environment,[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV))
# torch first and on its own: what comes later finds it in place and leaves it alone.
	@$(call timed,torch,$(BIN)/python -m pip install $(TORCH_PIP_ARGS) torch -c constraints.txt)
	@$(call timed,everything else,$(BIN)/python -m pip install -e ".[dev]" -c constraints.txt)
	@touch $(STAMP)

run: env  ## Run the six notebooks on the demo set and print the table; ARGS="..." are handed on
	@$(BIN)/crnnkit pipeline $(ARGS)

lint: env  ## Check style and types
	@$(call timed,ruff check,$(BIN)/ruff check .)
	@$(call timed,ruff format,$(BIN)/ruff format --check .)
	@$(call timed,mypy,$(BIN)/mypy)

test: lint  ## Check style and types, then run every test: quick ones, notebooks, slow ones
	@printf '\n== tests, notebooks and slow tests\n'
	@$(BIN)/python -m pytest -m "" -n auto --maxprocesses 4 --no-loadscope-reorder \
		--nbval-lax --nbval-current-env --nbval-cell-timeout $(CELL_TIMEOUT) \
		--durations=10 tests notebooks

lab: env  ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks/01_preprocessing.ipynb

serve: env  ## Serve checkpoints/serving.onnx: web page and POST /api/ocr; ARGS="..." are handed on
	@$(BIN)/crnnkit serve $(ARGS)

notebooks: env  ## Execute the committed notebooks on the demo set and clean them (about 6 minutes)
	@$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=1200 notebooks/0*.ipynb
	@$(BIN)/nbstripout --keep-count --extra-keys "metadata.papermill metadata.widgets \
		cell.metadata.papermill cell.metadata.execution" notebooks/0*.ipynb

clean:  ## Remove caches (not the environment, data or checkpoints)
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
