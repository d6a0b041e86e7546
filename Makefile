# `make demo` and `make test` are all that a newcomer needs; both make their own virtual environment.
PYTHON ?= python3
VENV ?= .venv
PEER_VENV ?= .venv-peer
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEER_STAMP := $(PEER_VENV)/.installed

# Real data: SURVEY_DATA, then GAMMAPY_DATA, then a folder beside this one.
SURVEY_DATA ?= $(or $(GAMMAPY_DATA),$(abspath $(wildcard ../shared/data)))
ifneq ($(strip $(SURVEY_DATA)),)
export SURVEY_DATA
else
unexport SURVEY_DATA
endif

.PHONY: help demo test lint parity bench scaling torture torture-short test-s3 test-slurm schema clean

help:
	@echo "make demo     simulate a small survey, map it, and say where the pictures are"
	@echo "make test     linters, types, layers and the fast test suite"
	@echo "make parity   compare with Gammapy 2.1, in an environment of its own"
	@echo "make bench    time against Gammapy 2.1; writes benchmarks/RESULTS.md and MODELS.md"
	@echo "make test-s3  surveys on an object store: moto's server, on this machine"
	@echo "make test-slurm  install and start a SLURM on this machine (as root), and run surveys in its jobs"
	@echo "make scaling  growth up to 6,000 observations, forecasts to 10^5 (hours); writes docs/scaling.md"
	@echo "make torture  kill processes at random; writes docs/reliability.md"

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	@touch $@

$(PEER_STAMP): tests/parity/requirements.txt
	$(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PEER_VENV)/bin/python -m pip install --quiet --requirement tests/parity/requirements.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/survey simulate configs/demo.yaml demo/data
	$(BIN)/survey run configs/demo.yaml
	@echo
	@echo "What stands out:"
	@$(BIN)/survey peaks demo/out --models configs/demo-models.yaml --separation 0.5
	@echo
	@echo "Pictures and FITS images: $(CURDIR)/demo/out/maps; begin with ts_sqrt_ts.png"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not parity and not torture and not slurm and not s3"

test-s3: $(STAMP)
	$(BIN)/python -m pytest tests/run/test_run_on_object_store.py -m s3

test-slurm: $(STAMP)
	tests/slurm/start_slurm.sh
	$(BIN)/python -m pytest tests/slurm -m slurm

parity: $(STAMP) $(PEER_STAMP)
	SURVEY_PEER_PYTHON=$(abspath $(PEER_VENV)/bin/python) $(BIN)/python -m pytest tests/parity -m parity

bench: $(STAMP) $(PEER_STAMP)
	SURVEY_PEER_PYTHON=$(abspath $(PEER_VENV)/bin/python) $(BIN)/python -m benchmarks
	SURVEY_PEER_PYTHON=$(abspath $(PEER_VENV)/bin/python) $(BIN)/python -m benchmarks.models

# What is in benchmarks/scaling.json already is not measured again by the first one, unless with
# `make scaling SCALING_AGAIN=--again`; the others take minutes.
SCALING ?= scaling
scaling: $(STAMP)
	$(BIN)/python -m benchmarks.growth --observations 100 1000 6000 --workers 1 2 --folder $(SCALING) $(SCALING_AGAIN)
	$(BIN)/python -m benchmarks.crowd --workers 50 100 300
	$(BIN)/python -m benchmarks.forecasts --folder $(SCALING)
	$(BIN)/python -m benchmarks.incremental --observations 1000 --added 10

torture: $(STAMP)
	$(BIN)/python -m benchmarks.torture --minutes 20 --observations 200 --write docs/reliability.md

torture-short: $(STAMP)
	$(BIN)/python -m benchmarks.torture --minutes 3 --observations 24

schema: $(STAMP)
	$(BIN)/python -m survey.config_schema configs/schema.json docs/configuration.md

clean:
	rm -rf $(VENV) $(PEER_VENV) demo .parity
