# The two commands that set everything up:
#   make demo              recognise the bundled clips (core only, no torch); AUDIO=path for your own
#   make test              the whole test suite
# and what CI runs beside them:
#   make check             formatter, linter, type checker
#   make results           every number in the documents, from results/
#   make docs              the documentation as a site, into site/
#   make web               the browser page, from web/ into src/feltone/doors/page/ (needs Node 20)
#   make fuzz              what strangers send, guided by coverage (50 minutes); ARGS="audio --seconds 60"
#   make pins              constraints.txt, constraints-hashed.txt, supply/core.txt, from this environment and the index
#   make sbom              build/feltone.cdx.json: what the core is built from (CycloneDX)
#   make audit             known vulnerabilities of what is served, where their data can be reached
#   make bench             this machine's speed beside the alternatives (10 minutes); ARGS="--only recognition"
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Of the test suite: each worker takes whole files and one thread. 0 for none, as for a debugger.
WORKERS ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check format results docs web bench fuzz pins sbom audit clean

demo: $(VENV)/.core
	@$(BIN)/feltone demo $(if $(AUDIO),"$(AUDIO)")

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

results: $(VENV)/.dev
	$(BIN)/python results/render.py $(if $(CHECK),--check)

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

web:
	npm ci --prefix web --no-audit --no-fund --loglevel=error
	npm run build --prefix web --silent

bench: $(VENV)/.bench
	$(BIN)/feltone bench $(ARGS)

fuzz: $(VENV)/.fuzz
	$(BIN)/python fuzz/run.py $(or $(ARGS),all --out results/fuzz.json)

pins: $(VENV)/.supply
	$(BIN)/python supply/pins.py

# Of an environment that holds the core and nothing else, pip included.
sbom: $(VENV)/.supply
	rm -rf build/core && $(PYTHON) -m venv --without-pip build/core
	$(BIN)/python -m pip --disable-pip-version-check --python build/core/bin/python install --quiet --constraint constraints.txt .
	$(BIN)/cyclonedx-py environment build/core/bin/python --pyproject pyproject.toml --output-reproducible \
	  --output-file build/feltone.cdx.json
	@echo "build/feltone.cdx.json: written"

# Strict: a package whose vulnerabilities cannot be looked up is a failure, not a clean bill.
audit: $(VENV)/.supply
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement constraints-hashed.txt

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Feltone needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# The stamps make a second run immediate; a changed pyproject.toml installs again.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[train,media,hub,serve,live,tensorboard,ray,s3,dev]'
	@touch $@ $(VENV)/.core

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) --editable '.[fuzz]'
	@touch $@

$(VENV)/.supply: $(VENV)/.dev
	$(PIP) --editable '.[supply]'
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[bench]'
	@touch $@ $(VENV)/.core
