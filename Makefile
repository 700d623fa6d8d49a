# make demo | make test | make check | make bench | make setup [PROFILE=cpu|gpu]
PROFILE ?= cpu
PYTHON  ?= python3.11
BIN     := .venv/bin
STAMP   := .venv/.setup-$(PROFILE)

.PHONY: setup demo test test-cluster test-faults check bench format lock
.DEFAULT_GOAL := demo

setup: $(STAMP)

# Runs again only when what it installs has changed.
$(STAMP): requirements/$(PROFILE).txt requirements/models.txt pyproject.toml requirements/setup.sh
	PROFILE=$(PROFILE) PYTHON=$(PYTHON) bash requirements/setup.sh
	touch $(STAMP)

demo: setup
	$(BIN)/syneg run configs/demo.yaml

test: setup
	$(BIN)/pytest

# A real Ray head with a token, a job stopped half-way and submitted again, nodes that come and go.
test-cluster: setup
	$(BIN)/pytest -m cluster tests/cluster

# Deaths at every point of every stage, and what they cost (36 minutes on two cores that had other work too).
test-faults: setup
	$(BIN)/pytest -s tests/faults/matrix.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	bash requirements/audit.sh

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# All of them, whatever one says; fails at the end if one missed its target.
bench: demo
	missed=; for script in benchmarks/[a-z]*.py; do echo $$script; $(BIN)/python $$script || missed="$$missed $$script"; done; \
	test -z "$$missed" || { echo "Missed their targets:$$missed"; exit 1; }

lock: setup
	bash requirements/lock.sh
