# make setup   a .venv in the checkout with everything, pinned
# make test    the checks and tests that CI runs
# make docs    the documentation as a site, into site/
# make demo    tune ResNet-18 for this machine and print the result
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: setup test check docs demo clean

setup: $(VENV)/.complete

$(VENV)/.complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

check: setup
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/.docs: $(VENV)/.complete
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

demo: setup
	mkdir -p $(DEMO)
	$(BIN)/chameleon zoo resnet18 --out $(DEMO)/resnet18.onnx
	$(BIN)/chameleon tune $(DEMO)/resnet18.onnx --out $(DEMO)/tuned --effort quick
	$(BIN)/chameleon run $(DEMO)/tuned --bench

clean:
	rm -rf $(VENV) $(DEMO) site
