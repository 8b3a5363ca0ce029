# `make demo` and `make test` start from nothing: both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready

.PHONY: setup demo test coverage torture check docs bench release-check clean

setup: $(READY)

# torch comes first and pinned: a looser range would fetch a CUDA build of gigabytes.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[auto-opt,dev]'
	touch $(READY)

demo: setup
	$(BIN)/graft demo --overwrite

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lint-imports --no-logo
	$(MAKE) docs

# A broken link or anchor fails the build.
docs: setup
	$(BIN)/python scripts/generate_reference.py
	$(BIN)/zensical build --strict

# A thread a worker: the models are tiny, and two workers of two threads each wait for one another. A file's tests
# stay with one worker, which makes its models once.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
test: setup
	$(TEST)

# A third slower.
coverage: setup
	$(TEST) --cov --cov-report=term

# The fuzzers and kill tests of `make test` with many more rounds; TORTURE=1000 takes hours.
TORTURE ?= 30
torture: setup
	GRAFT_TORTURE=$(TORTURE) GRAFT_TORTURE_REPORT=$(CURDIR)/torture.jsonl $(TEST) tests/robustness

# A software bill of materials (CycloneDX), and an audit of the pins. The audit needs PyPI's advisories.
release-check: setup
	$(BIN)/python scripts/release_check.py

bench: setup
	$(BIN)/python benchmarks/train.py

clean:
	rm -rf $(VENV) build dist site docs/reference demo-run runs .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
