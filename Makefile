# make demo and make test do everything on an empty machine; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CORPUS ?= ../shared/corpus
PYTEST = $(BIN)/python -m pytest

.PHONY: synth-check synth-baselines help demo install features test fast check lint types golden bench calibrate corpus pruning fuzz fuzz-archives size wheel clean compiler

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.stamp-run compiler ## install, build the shipped digits model for xcvu9p, print the report
	$(BIN)/qapflow build examples/digits/digits.h5 --board xcvu9p \
	    --inputs examples/digits/digits_inputs.npy \
	    --labels examples/digits/digits_labels.npy -o build/digits_xcvu9p

install: $(VENV)/.stamp-run ## install qapflow into .venv, without TensorFlow

test: $(VENV)/.stamp-dev compiler ## install everything, check style and types, run all tests
	$(MAKE) check-installed
	$(PYTEST) -n 2 --dist worksteal

fast: $(VENV)/.stamp-dev ## the tests that need no Keras, no hls4ml, no Yosys and no compiler
	$(PYTEST) -q -m "not needs_keras and not needs_hls4ml and not needs_gxx and not needs_yosys and not needs_shared and not slow"

check: $(VENV)/.stamp-dev check-installed fast ## style, types, fast tests

.PHONY: check-installed
check-installed:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --explicit-package-bases qapflow bench/corpus

JOBS ?= 2
fuzz: N ?= 1000
fuzz-archives: N ?= 10000
fuzz: $(VENV)/.stamp-dev compiler ## N random networks (N=1000): Keras = interpreter = C simulation
	$(BIN)/python -m tests.fuzz.run_networks -n $(N) --jobs $(JOBS) -o build/fuzz

fuzz-archives: $(VENV)/.stamp-dev ## N damaged model files (N=10000): a message or a sound network
	$(BIN)/python -m tests.fuzz.run_archives -n $(N) --jobs $(JOBS) -o build/fuzz

golden: $(VENV)/.stamp-dev ## renew golden text; review the difference before you commit it
	$(PYTEST) -q --update-golden

bench: $(VENV)/.stamp-dev ## speed against hls4ml, measured side by side
	$(BIN)/python bench/interpreter.py
	$(BIN)/python bench/build_time.py

GROUNDTRUTH ?= ../shared/groundtruth
calibrate: $(VENV)/.stamp-dev ## fit the estimates to tables of reports: GROUNDTRUTH=folder
	$(BIN)/python -m bench.estimate.calibrate "$(GROUNDTRUTH)" qapflow/estimate/calibration.json

corpus: $(VENV)/.stamp-dev compiler ## build every model of a folder: CORPUS=folder [CORPUS_OPTIONS="--fresh ..."]
	$(BIN)/python -m bench.corpus "$(CORPUS)" $(CORPUS_OPTIONS)

pruning: $(VENV)/.stamp-dev ## bits x sparsity x method on one data set: DATA=file.npz [PRUNING_OPTIONS="..."]
	$(BIN)/python -m bench.pruning "$(DATA)" -o build/pruning/$(basename $(notdir $(DATA))) $(PRUNING_OPTIONS)

features: $(VENV)/.stamp-dev compiler ## measure every feature against Keras and renew docs/features.md
	$(BIN)/python bench/features.py

synth-check: $(VENV)/.stamp-dev ## cells of the project's own models against baselines/; fails on a regression
	$(BIN)/python -m bench.synthesis check

synth-baselines: $(VENV)/.stamp-dev ## renew baselines/; review the difference before you commit it
	$(BIN)/python -m bench.synthesis renew

size: ## lines of Python by package
	@find qapflow -name '*.py' | xargs wc -l | awk '{split($$2, p, "/"); k = (p[3] == "" ? "qapflow" : p[2]); n[k] += $$1} END {for (k in n) if (k != "qapflow" || n[k]) print n[k], k}' | sort -rn

wheel: $(VENV)/.stamp-dev ## build the wheel
	$(BIN)/python -m build --wheel

clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The C simulation needs a compiler; install one where we may.
compiler:
	@command -v $${CXX:-g++} >/dev/null 2>&1 || { \
	    echo "no C++ compiler found: installing g++"; \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq g++; } \
	    || echo "could not install g++; the C simulation will be skipped (see qapflow doctor)"; }

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { \
	    { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; } && $(PYTHON) -m venv $(VENV); }

$(VENV)/.stamp-run: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.stamp-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[train,dev]'
	touch $@ $(VENV)/.stamp-run
