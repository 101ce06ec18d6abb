# Everything runs in .venv, with the versions of constraints.txt, from the package index that pip is set up for.
# An install that fails tells more with `make test PIP_VERBOSITY=-v`.
PYTHON ?= python3
ARGS ?=
CASES ?= 100000
KILLS ?= 40
SEED ?= 0
VENV := .venv
PIP_VERBOSITY := -qq
PIP_INSTALL := $(VENV)/bin/python -m pip install $(PIP_VERBOSITY) --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test soak lint docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16
	@echo "ARGS=... goes to the command behind demo and test; PYTHON=... is what makes $(VENV) (now: $(PYTHON))"

demo: $(VENV)/.installed-demo ## turn sample photos into RAW and show the result
	$(VENV)/bin/rawsynth demo $(ARGS)

test: $(VENV)/.installed-test ## run the tests and the examples in docstrings, e.g. ARGS="-m 'not slow'"
	$(VENV)/bin/python -m pytest -n auto $(ARGS)

soak: $(VENV)/.installed-test ## CASES=100000 damaged inputs, KILLS=40 processes killed on each engine; SEED=1 tries others
	RAWSYNTH_CASES=$(CASES) RAWSYNTH_KILLS=$(KILLS) RAWSYNTH_SEED=$(SEED) \
	  $(VENV)/bin/python -m pytest -n auto tests/faults tests/engine -m soak $(ARGS)

lint: $(VENV)/.installed-test $(VENV)/.installed-lint ## check style, types and the direction of imports
	$(VENV)/bin/python -m flake8
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports --no-logo

docs: $(VENV)/.installed-docs ## build the site strictly into build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

clean: ## remove caches, build products and the demo's output (not .venv)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .import_linter_cache .hypothesis rawsynth-demo
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# One stamp per extra. setuptools comes first, so that the build uses the pinned one instead of fetching the newest.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing rawsynth[$*] into $(VENV) (the first time takes a few minutes)"
	@$(PIP_INSTALL) setuptools
	@$(PIP_INSTALL) --no-build-isolation -e ".[$*]"
	@touch $@

$(VENV)/bin/pip:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "rawsynth: no '$(PYTHON)' here; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("rawsynth: needs Python 3.11 or newer, \
	$(PYTHON) is %d.%d; name a newer one: make PYTHON=/path/to/python" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "rawsynth: $(PYTHON) cannot make environments; install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
