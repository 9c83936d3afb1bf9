# demo, test and lint do all their set-up themselves; they need Python 3.11 or later, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test servers lint bench docs clean

demo: $(VENV)/demo.done  ## Shows the gate on five changes to a small shop, on a real embedded Valkey.
	@$(BIN)/python examples/checkout/demo.py

test: $(VENV)/demo.done $(VENV)/test.done servers  ## Runs every test.
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	cd retryqueue && ../$(BIN)/python -m pytest --numprocesses auto --dist worksteal

servers:  ## Installs the servers that the tests run on, where it may.
	@sh scripts/install_servers.sh

lint: $(VENV)/demo.done $(VENV)/test.done $(VENV)/lint.done  ## Formatting, rules, types, floors, generated files, and interlock on itself.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd retryqueue && ../$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/document_hazards.py --check
	$(BIN)/interlock check

bench: $(VENV)/demo.done $(VENV)/test.done servers  ## Measures what a check costs, how fast a rollout is stopped, and the queue against its peers.
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/judge.py
	$(BIN)/python benchmarks/roll.py
	$(BIN)/python benchmarks/prove.py
	cd retryqueue && ../$(BIN)/python benchmarks/queue.py

docs: $(VENV)/demo.done  ## Writes the generated pages.
	$(BIN)/python scripts/document_hazards.py

clean:
	rm -rf $(VENV)

$(VENV)/python.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "interlock needs Python 3.11 or later, found " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo.done: $(VENV)/python.done examples/checkout/requirements.txt pyproject.toml retryqueue/pyproject.toml
	@echo "setting up $(VENV) ..." >&2
	@$(BIN)/python -m pip install --quiet --requirement examples/checkout/requirements.txt --editable . --editable retryqueue
	@touch $@

$(VENV)/%.done: $(VENV)/python.done requirements/%.txt
	@$(BIN)/python -m pip install --quiet --requirement requirements/$*.txt
	@touch $@
