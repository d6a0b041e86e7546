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

.PHONY: help demo test lint parity bench torture torture-short schema clean

help:
	@echo "make demo     run the main job on real data and say where the pictures are"
	@echo "make test     linters, types, layers and the fast test suite"
	@echo "make parity   compare with Gammapy 2.1, in an environment of its own"
	@echo "make bench    time against Gammapy 2.1; writes benchmarks/RESULTS.md"
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
	@if [ -d "$$SURVEY_DATA/hess-dl3-dr1" ]; then \
	  $(BIN)/survey run configs/hess-msh1552.yaml --set general.outdir=$(CURDIR)/demo; status=$$?; \
	  [ $$status -eq 0 ] || [ $$status -eq 3 ] || exit $$status; \
	  echo "Pictures and FITS images: $(CURDIR)/demo/maps; begin with ts_sqrt_ts.png"; \
	else \
	  echo "The demo needs the public H.E.S.S. data (50 MB), and SURVEY_DATA does not lead to them. Download them with"; \
	  echo "    $(BIN)/survey data fetch hess-dl3-dr1 --to data"; \
	  echo "    SURVEY_DATA=$(CURDIR)/data make demo"; \
	  exit 1; \
	fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not parity and not torture"

parity: $(STAMP) $(PEER_STAMP)
	SURVEY_PEER_PYTHON=$(abspath $(PEER_VENV)/bin/python) $(BIN)/python -m pytest tests/parity -m parity

bench: $(STAMP) $(PEER_STAMP)
	SURVEY_PEER_PYTHON=$(abspath $(PEER_VENV)/bin/python) $(BIN)/python -m benchmarks

torture: $(STAMP)
	$(BIN)/python -m benchmarks.torture --minutes 20 --observations 200 --write docs/reliability.md

torture-short: $(STAMP)
	$(BIN)/python -m benchmarks.torture --minutes 3 --observations 24

schema: $(STAMP)
	$(BIN)/python -m survey.config_schema configs/schema.json docs/configuration.md

clean:
	rm -rf $(VENV) $(PEER_VENV) demo .parity
