# demo, test and lint do all their set-up themselves; they need Python 3.11 or later, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench docs clean

demo: $(VENV)/demo.done  ## Shows the gate on five changes to a small shop, on a real embedded Valkey.
	@$(BIN)/python examples/checkout/demo.py

test: $(VENV)/demo.done $(VENV)/test.done  ## Runs every test.
	$(BIN)/python -m pytest

lint: $(VENV)/demo.done $(VENV)/test.done $(VENV)/lint.done  ## Formatting, rules, types, floors, generated files, and interlock on itself.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/document_hazards.py --check
	$(BIN)/interlock check

bench: $(VENV)/demo.done  ## Measures what a check costs.
	$(BIN)/python benchmarks/check.py

docs: $(VENV)/demo.done  ## Writes the generated pages.
	$(BIN)/python scripts/document_hazards.py

clean:
	rm -rf $(VENV)

$(VENV)/python.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "interlock needs Python 3.11 or later, found " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo.done: $(VENV)/python.done examples/checkout/requirements.txt pyproject.toml
	@echo "setting up $(VENV) ..." >&2
	@$(BIN)/python -m pip install --quiet --requirement examples/checkout/requirements.txt --editable .
	@touch $@

$(VENV)/%.done: $(VENV)/python.done requirements/%.txt
	@$(BIN)/python -m pip install --quiet --requirement requirements/$*.txt
	@touch $@
