# Everything runs in a virtual environment of its own, .venv, made from constraints.txt (names, versions and hashes).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test compiled check bench format clean programs

demo: $(STAMP)  ## the whole way on the sample services, under a minute
	$(BIN)/understudy demo --keep demo-run

test: $(STAMP) programs  ## all tests
	$(BIN)/python -m pytest -n auto -q

COMPILED := build/compiled
# Those of the modules that are compiled, and of what pickles, forks and reports them.
COMPILED_TESTS := $(patsubst %,tests/test_replay_%.py,ahead alarm bind bind_answers bind_rules bind_streams carried carry clients_answer clients_sockets \
  clients_wire commands compiled histogram hook inside jar json_leaves json_splice learn link manifest multipart pace passwords payload perform plan \
  rewrite row run said schedule script_leaves sessions set_cookie stage stay streams supply waiting workers xml_leaves)

compiled: $(STAMP) programs  ## the engine compiled, in a tree of its own, and its tests there; needs a C compiler
	rm -rf $(COMPILED)
	UNDERSTUDY_COMPILE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir $(COMPILED) .
	$(BIN)/python -m zipfile -e $(COMPILED)/*.whl $(COMPILED)/tree
	ls $(COMPILED)/tree/understudy__mypyc.* >/dev/null
	cp -r pyproject.toml bench docs tests $(COMPILED)/tree
	cd $(COMPILED)/tree && PYTHONPATH=$(CURDIR)/$(COMPILED)/tree $(CURDIR)/$(BIN)/python -m pytest -n auto -q $(COMPILED_TESTS)

programs:  ## Debian packages that some tests need: nginx, curl, chromium ...; installed where that can be done
	@.ci/programs

check: $(STAMP)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/modules.py --check

bench: $(STAMP)  ## every question in bench/, one after the other
	@for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

format: $(STAMP)
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "understudy needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist demo-run .mypy_cache .pytest_cache .ruff_cache
