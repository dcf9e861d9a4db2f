# mixedfx: every check by one command. `make help` lists them.
#
# Stamp files in .venv remember what is installed, so that a second call starts at once and `make test` after
# `make demo` adds only the test extras. A change of pyproject.toml or constraints.txt installs again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
EXE := $(if $(filter Windows_NT,$(OS)),.exe,)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2
PYTEST_ARGS ?=

# One BLAS thread per process: the blocks of a mixed model are small, and threads that compete for the cores of
# parallel tests make a Cholesky several times slower.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow peers test-peers test-browser test-spark lint format types contract vignettes docs docs-quick bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 18

$(BIN)/python$(EXE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mixedfx needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python$(EXE)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL) --editable '.[$*]'
	@touch $@

install: $(VENV)/.installed ## the package and what it needs, in .venv

demo: $(VENV)/.installed-plots ## fit Project STAR: summary, effects by race, gender and lunch, forest plot
	@$(BIN)/mixedfx demo

test: $(VENV)/.installed-test ## the whole suite, doctests included, but for the tests marked slow
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-test ## the tests marked slow: long simulations
	$(BIN)/python -m pytest -n $(WORKERS) -m slow $(PYTEST_ARGS)

# Learners of other packages live in environments of their own: metalearners needs an older scikit-learn than ours.
PEERS := .benchmarks/learners
PEER_NAMES := metalearners econml causalml

$(PEERS)/%/.installed: tests/peers/requirements-%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable . -r $<
	@touch $@

peers: $(PEER_NAMES:%=$(PEERS)/%/.installed) ## environments with metalearners, econml and causalml, for test-peers

test-peers: peers ## mixed models inside the learners of other packages, tuning by optuna
	set -e; for name in $(PEER_NAMES); do \
	  $(PEERS)/$$name/bin/python -m pytest -m peers tests/peers/test_$$name.py $(PYTEST_ARGS); done
	$(PEERS)/metalearners/bin/python -m pytest -m peers tests/peers/test_optuna.py $(PYTEST_ARGS)

test-browser: $(VENV)/.installed-browser ## the page to explore in headless Chromium (the variable CHROMIUM names another)
	$(BIN)/python -m pytest -m browser tests/explorer/test_browser.py $(PYTEST_ARGS)

test-spark: $(VENV)/.installed-test $(VENV)/.installed-spark ## fits whose rows Spark sums up, in a local session; needs Java
	@command -v java >/dev/null || { echo "Spark needs Java: apt-get install default-jre-headless, say" >&2; exit 1; }
	$(BIN)/python -m pytest -m spark tests/spark $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint ## ruff: style, docstrings, import order, format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-lint ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-lint ## pyright over mixedfx/
	$(BIN)/pyright

contract: $(VENV)/.installed-lint ## import-linter: imports go down only
	$(BIN)/lint-imports

vignettes: $(VENV)/.installed-docs ## execute the vignettes and write them as HTML
	$(BIN)/python vignettes/build.py

docs: $(VENV)/.installed-docs ## the documentation site, in docs/_build/html: every example executed, links followed
	$(BIN)/python docs/build.py

docs-quick: $(VENV)/.installed-docs ## the same, the vignettes unexecuted
	$(BIN)/python docs/build.py --quick

bench: $(VENV)/.installed-test ## timings against other packages (make bench BENCH_ARGS=--help)
	$(BIN)/python benchmarks/run.py --install $(BENCH_ARGS)

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) build dist docs/_made docs/_build .pytest_cache .hypothesis .ruff_cache .import_linter_cache demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
