# Every command of the project. `make` alone lists them. Each target makes what it needs first:
# system packages where they are missing (it says so), and .venv with everything in it.

PYTHON ?= python3
# Debian keeps cryptsetup where a user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin
VENV := .venv/bin
# Whole tests go to whichever process is free.
ALL_CORES := --numprocesses=auto --dist=worksteal
# A file of the tests in a virtual machine shares one; two at a time keep two cores busy.
TWO_MACHINES := --numprocesses=2 --dist=loadfile

heading = @printf '\n=== %s ===\n' '$(1)'

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-kernel check bench bench-kernel docs constraints clean
.PHONY: system venv bed style types floors wheel coverage

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: venv ## an encrypted volume from nothing, in a local directory: no cloud, no root
	$(VENV)/cloudcrypt demo

test: system venv ## all tests but the benchmarks
	$(VENV)/python -m pytest $(ALL_CORES)

test-kernel: system venv bed ## the tests that need a kernel of their own, in a virtual machine
	$(call heading,tests in a virtual machine: pytest)
	$(VENV)/python -m pytest -m kernel $(TWO_MACHINES) tests/kernel

check: system bed style types floors wheel docs coverage ## everything that a change must pass, tests included
	$(call heading,check: all passed)

bench: system venv ## the benchmarks; prints what it measured
	$(VENV)/python -m pytest -m benchmark -s tests/benchmarks

bench-kernel: system venv bed ## the benchmarks that need a kernel of their own; prints ratios
	CLOUDCRYPT_KERNEL=required $(VENV)/python -m pytest -m benchmark -s tests/kernel/bench

docs: venv ## the documentation, into docs/_build/html; a warning is an error
	$(call heading,documentation: sphinx-build)
	$(VENV)/sphinx-build -q -W --keep-going -n -b html docs docs/_build/html

constraints: ## resolve every dependency anew into constraints.txt; needs Python 3.11
	@PYTHON='$(PYTHON)' tools/system-packages.sh venv
	$(PYTHON) tools/constraints.py

clean: ## remove .venv and everything else that was made
	rm -rf .venv build dist docs/_build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the targets above are made of ----------------------------------------------------

system:
	@tools/system-packages.sh cryptsetup filesystems

venv:
	@PYTHON='$(PYTHON)' tools/system-packages.sh venv
	@$(PYTHON) tools/environment.py

style: venv
	$(call heading,style: ruff)
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

types: venv
	$(call heading,types: mypy)
	$(VENV)/mypy
	$(call heading,types: pyright)
	$(VENV)/pyright

floors: venv
	$(call heading,floors: import-linter)
	$(VENV)/lint-imports

wheel: venv
	$(call heading,wheel: build and check-wheel-contents)
	rm -rf build/dist
	$(VENV)/python -m build --no-isolation --outdir build/dist
	$(VENV)/check-wheel-contents build/dist/*.whl

bed: system venv
	$(call heading,virtual machine: kernel and tools)
	$(VENV)/python tools/vm_bed.py

coverage: system venv bed
	$(call heading,tests: pytest with branch coverage)
	$(VENV)/python -m pytest $(ALL_CORES) --cov --cov-report= --cov-fail-under=0
	$(call heading,tests in a virtual machine: pytest with branch coverage)
	$(VENV)/python -m pytest -m kernel $(TWO_MACHINES) tests/kernel --cov --cov-append --cov-report=term
