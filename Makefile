# Everything runs in .venv in the repository root; `make run` and `make test` install it when needed.
#   make install PYTHON=python3.12    name the Python to use
#   make run RUN_DIR=DIR              name the run folder
#   make test ARGS="-k graph"         pass arguments on to pytest

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install run run-atari test test-slow lint docs notebooks dist bench bench-gpu clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_DIR ?=
QUICKSTART_DIR = $(or $(RUN_DIR),runs/quickstart-mini)
ATARI_DIR := $(or $(RUN_DIR),runs/quickstart-atari-$(shell date +%Y%m%d-%H%M%S))
ARGS ?=
TEST_WORKERS ?= 2

# The first Python on this machine that the package supports; setup.py states the same range.
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)

help:
	@echo "make install    make $(VENV) with everything the project needs (2 to 3 minutes, 4 GB)"
	@echo "make run        a classifier without and with ReDo, five seeds each, and their report"
	@echo "make run-atari  train DQN + ReDo on an Atari game for a few minutes, and its report"
	@echo "make test       run the tests"
	@echo "make test-slow  run the tests that take over ten seconds each"
	@echo "make lint       check the code's style, format and types"
	@echo "make docs       build the site into docs/_build/html, run its notebooks (5 minutes)"
	@echo "make notebooks  write the .ipynb files of docs/notebooks, for Colab"
	@echo "make dist       build the wheel and the sdist, and check them"
	@echo "make bench      measure recycling and training against the released implementation"
	@echo "make bench-gpu  measure updates, recycling and runs on a GPU, and check them (5 minutes)"
	@echo "make clean      remove $(VENV), caches and build outputs; runs/ stays"

install: $(STAMP)

$(STAMP): setup.py constraints.txt
	@python='$(PYTHON)'; \
	if [ -z "$$python" ] || ! "$$python" -c '$(SUITABLE)' 2>/dev/null; then \
		found=$$("$${python:-python3}" --version 2>&1 || true); \
		echo "make: dormant needs Python 3.11, 3.12 or 3.13 with its venv module; found $$found" >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) and, if it is not" \
			"python3, name it: make install PYTHON=python3.12" >&2; \
		exit 1; \
	fi; \
	echo "Installing into $(VENV); this takes 2 to 3 minutes."; \
	"$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[all]'
	@$(BIN)/python -c 'import cv2' || { \
		echo "make: OpenCV does not load. On a bare Debian or Ubuntu it needs:" \
			"apt install libgl1 libglib2.0-0" >&2; exit 1; }
	@touch $@

run: $(STAMP)
	@PYTHON=$(BIN)/python launchers/quickstart.sh '$(QUICKSTART_DIR)' $(ARGS)

run-atari: $(STAMP)
	@PYTHON=$(BIN)/python launchers/quickstart_atari.sh '$(ATARI_DIR)' $(ARGS)

# A file's tests stay on one worker: they share what its fixtures trained and compiled.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow -n $(TEST_WORKERS) --dist loadfile $(ARGS)

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# NOTEBOOKS=off leaves the notebooks' outputs out; ONLINE=1 links names of other packages.
docs: $(STAMP)
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q $(ARGS) docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

notebooks: $(STAMP)
	$(BIN)/python docs/_site/notebooks.py

dist: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py $(ARGS)

bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/gpu.py --json benchmarks/results/gpu-gpu.json $(ARGS)

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
