# The two commands that set everything up:
#   make demo              recognise the bundled clips (core only, no torch); AUDIO=path for your own
#   make test              the whole test suite
# and what CI runs beside them:
#   make check             formatter, linter, type checker
#   make results           every number in the documents, from results/
#   make web               the browser page, from web/ into src/feltone/doors/page/ (needs Node 20)
#   make bench             this machine's speed beside the alternatives (10 minutes); ARGS="--only recognition"
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check format results web bench clean

demo: $(VENV)/.core
	@$(BIN)/feltone demo $(if $(AUDIO),"$(AUDIO)")

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

results: $(VENV)/.dev
	$(BIN)/python results/render.py $(if $(CHECK),--check)

web:
	npm ci --prefix web --no-audit --no-fund --loglevel=error
	npm run build --prefix web --silent

bench: $(VENV)/.bench
	$(BIN)/feltone bench $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

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

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[bench]'
	@touch $@ $(VENV)/.core
