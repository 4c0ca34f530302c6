# Three commands to begin with: `make demo`, `make quick`, `make test`. Each makes the environment it
# needs. ARGS goes to pytest: make quick ARGS="-k accounts".
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
DEMO := .venv-demo
LIGHT := .venv-quick
OLDEST := .venv-oldest
QUICK := not slow and not alone and not corpus and not model and not process and not browser
PARTS ?= tests textdetect notebooks
PIP := -m pip install --quiet --disable-pip-version-check
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help demo quick test notebooks oldest coverage check map bench train clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(DEMO)/installed  ## Install the light core and score examples/posts.csv
	$(DEMO)/bin/python examples/demo.py

quick: $(LIGHT)/installed  ## Run the quick tests: no torch, no browser, no corpus
	$(LIGHT)/bin/python -m pytest -q -n 2 --dist loadfile -m "$(QUICK)" $(ARGS)

test: $(VENV)/installed  ## Install everything and run every test, notebooks and doctests too
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile -m "not alone" --doctest-modules --nbmake $(PARTS) $(ARGS)
	$(VENV)/bin/python -m pytest -q -m alone $(ARGS)

notebooks: $(VENV)/installed  ## Run the notebooks
	$(VENV)/bin/python -m pytest -q --nbmake notebooks $(ARGS)

oldest: $(OLDEST)/installed  ## Run the quick tests on the oldest supported dependencies
	$(OLDEST)/bin/python -m pytest -q -n 2 --dist loadfile -m "$(QUICK)" $(ARGS)

coverage: $(LIGHT)/installed  ## Run the quick tests, and hold how much of the package they reach
	$(LIGHT)/bin/python -m pytest -q -n 2 --dist loadfile -m "$(QUICK)" --cov --cov-report=term $(ARGS)

check: $(VENV)/installed  ## Lint, format, types, architecture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python examples/make_posts.py --check
	$(VENV)/bin/python training/card.py --check
	$(VENV)/bin/python -m pytest -q tests/test_architecture.py

map: $(LIGHT)/installed  ## Draw the map in CONTRIBUTING.md again, and list the oldest versions
	$(LIGHT)/bin/python tests/test_architecture.py

bench: $(VENV)/installed  ## Speed of this install (BENCH=--full)
	$(VENV)/bin/textdetect bench $(BENCH)

train: $(VENV)/installed  ## Train the embedded model again (needs TEXTDETECT_DATA)
	$(VENV)/bin/textdetect train configs/default.yaml --out runs/default

$(DEMO)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) --constraint constraints.txt --editable .
	touch $@

$(LIGHT)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python $(PIP) --constraint constraints.txt --editable '.[test]'
	touch $@

$(OLDEST)/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) --constraint constraints-oldest.txt --editable '.[test]'
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --constraint constraints.txt torch
	$(VENV)/bin/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:  ## Remove the environments and caches
	rm -rf $(VENV) $(DEMO) $(LIGHT) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
