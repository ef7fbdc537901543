# Everything starts here: `make simulate` and `make test` need python3 (3.11 or later), python3-venv and make.
PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?=
# Half of the time tests wait, for processes, browsers and engines.
WORKERS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup
SEEDS ?= 20
SEED0 ?= 1
KILLS ?= 200
DRAINS ?= 60
MINUTES ?= 60
N ?= 100000
# What `make compiled` makes comes before the checkout.
COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR)
# The tests of what is compiled, and of the program as a whole.
TOUCHED := tests/contract tests/simulation tests/integration/fleet tests/integration/loadtest \
  $(addprefix tests/acceptance/,test_simulate.py test_loadtest.py test_node.py) \
  $(addprefix tests/unit/,executors gateway manager monitors observability outbox protocol runtime sources worker)
# More than `make test` needs: engine-tests for a real engine, deploy-tests for what lints deploy/, browser-tests for the
# live page, ray for load over several machines. Without them those tests are skipped.
EXTRAS ?= dev

# Without it each worker would compile all tests, and each start of the program all of that.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-dev simulate test check format coverage lock clean
.PHONY: fast simulation crashtest draintest failpoints fuzz soak stampede mutation compiled test-compiled bench

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed ## make .venv and install what the program needs

install-dev: $(VENV)/.installed-$(EXTRAS) ## the same, with what the tests and checks need

simulate: install ## run a fleet of simulated nodes; ARGS="--duration 30s" passes flags on
	$(BIN)/python main.py simulate $(ARGS)

test: install-dev ## run all tests; PYTEST_ARGS="tests/unit -k outbox" narrows them
	$(PYTEST) $(PYTEST_ARGS)

fast: install-dev ## run all but those that try hard to break what is promised; three to four minutes
	$(PYTEST) -m "not proof" $(PYTEST_ARGS)

coverage: install-dev ## run all tests and hold the branch coverage
	$(PYTEST) -m "not proof" --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

check: install-dev ## ruff, mypy --strict, import-linter and the house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/architecture

simulation: install-dev ## the fleet in virtual time with every fault; SEEDS=1000 SEED0=1
	$(BIN)/python -m tests.simulation run --seeds $(SEEDS) --seed0 $(SEED0) $(ARGS)

crashtest: install-dev ## kill -9 the real program again and again, and audit; KILLS=200
	$(BIN)/python -m tests.crash kills --kills $(KILLS) $(ARGS)

draintest: install-dev ## drain and abort the real program in every phase; DRAINS=60
	$(BIN)/python -m tests.crash drains --drains $(DRAINS) $(ARGS)

failpoints: install-dev ## end the outbox at every write, by kills, losses of power and bad disks; SEEDS=100 SEED0=1
	$(BIN)/python -m tests.failpoints --seeds $(SEEDS) --seed0 $(SEED0) $(ARGS)

fuzz: install-dev ## feed the client replies that no gateway gives; N=100000
	$(BIN)/python -m tests.evil fuzz --replies $(N) $(ARGS)

soak: install-dev ## run a fleet for long and hold memory and file descriptors flat; MINUTES=60
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

stampede: install-dev ## let a fleet come back from outages, in virtual time, and count what arrives each second
	$(BIN)/python -m tests.integration.fleet.stampede $(ARGS)

mutation: install-dev ## change the code a little, again and again, and see the tests go red
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,mutation]'
	$(BIN)/python -m tests.mutation $(ARGS)

compiled: install ## compile the modules that each request goes through, into build/compiled; takes a C compiler
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[compiled]'
	rm -rf build/compiled
	COMPILED=1 $(BIN)/python setup.py --quiet build --build-temp build/temp --build-lib build/compiled

test-compiled: install-dev compiled ## run the tests of what a request goes through on the compiled program
	@$(COMPILED) $(BIN)/llm-node --version | grep compiled
	$(COMPILED) $(PYTEST) --import-mode=append -m "not proof and not interpreted" $(or $(PYTEST_ARGS),$(TOUCHED))

bench: install $(BENCH)/.installed $(if $(shell command -v gcc),compiled) ## measure the program beside its peers on two cores, some 25 minutes; QUICK=1 for less than 5
	$(if $(filter compiled,$^),$(COMPILED)) $(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

$(BENCH)/.installed: | $(VENV)/bin/python
	@$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check 'locust>=2.40,<3'
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(BENCH) autocannon@9.0.0; fi
	@touch $@

format: install-dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## pin the versions of all dependencies anew
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --upgrade pip
	$(VENV)-lock/bin/pip install --quiet '.[dev,ray,mutation,engine-tests,deploy-tests,browser-tests]'
	$(VENV)-lock/bin/pip freeze --exclude llm-worker-node > constraints.txt
	rm -rf $(VENV)-lock build *.egg-info

clean: ## remove what the targets made
	rm -rf $(VENV) $(BENCH) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "The venv module is missing: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-$(EXTRAS): setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.installed
