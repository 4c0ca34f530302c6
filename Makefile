# Two commands to begin with: `make demo` and `make test`. Each makes the environment it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
DEMO := .venv-demo
PIP := -m pip install --quiet --disable-pip-version-check
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help demo test check bench train clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(DEMO)/installed  ## Install the light core and score examples/posts.csv
	$(DEMO)/bin/python examples/demo.py

test: $(VENV)/installed  ## Install everything and run every test
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile -m "not alone"
	$(VENV)/bin/python -m pytest -q -m alone

check: $(VENV)/installed  ## Lint, format, types, architecture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python examples/make_posts.py --check
	$(VENV)/bin/python training/card.py --check
	$(VENV)/bin/python -m pytest -q tests/test_architecture.py

bench: $(VENV)/installed  ## Speed of this install (BENCH=--full)
	$(VENV)/bin/textdetect bench $(BENCH)

train: $(VENV)/installed  ## Train the embedded model again (needs TEXTDETECT_DATA)
	$(VENV)/bin/textdetect train configs/default.yaml --out runs/default

$(DEMO)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --constraint constraints.txt torch
	$(VENV)/bin/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:  ## Remove the environments and caches
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
