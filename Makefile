# deepen: needs Python 3.11 or later and make, nothing else.
#   make demo      environment, install, train on the built-in digits, evaluate, predict
#   make test      environment, install, lint, types and the whole test suite
#   make lint      format, lint and types alone
#   make torture   kills, full disks and floods, for minutes
#   make results   trains the models of the results table and writes it
#   make bench     speed against peers, in an environment of its own
#   make clean     removes the environments and what was built; runs stay

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .bench-venv
RUN ?= runs/demo
TORCH := $(shell grep '^torch==' constraints.txt)
PIP = bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint torture results bench clean

demo: $(VENV)/demo.stamp
	rm -rf $(RUN)
	$(VENV)/bin/deepen train image-classification digits --threads 1 --out $(RUN)
	$(VENV)/bin/deepen evaluate $(RUN)
	$(VENV)/bin/deepen predict $(RUN) examples/digits
	@echo "The run, with its report, is in $(RUN)"

# The compiled modules are kept, also where the environment says otherwise: the tests start many processes.
test: lint
	PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

torture: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest -m torture

results: $(VENV)/test.stamp
	$(VENV)/bin/python -m bench.results

bench: $(BENCH_VENV)/bench.stamp
	$(BENCH_VENV)/bin/python -m bench

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Each stamp is an environment that is as its name says. Torch comes first, by its exact version, so that nothing else
# chooses another one.
%/torch.stamp: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deepen needs Python 3.11 or later, but $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	test -x $*/bin/python || $(PYTHON) -m venv $*
	$*/$(PIP) $(TORCH)
	touch $@

%/demo.stamp: %/torch.stamp pyproject.toml
	$*/$(PIP) --editable .
	touch $@

%/test.stamp: %/torch.stamp pyproject.toml
	$*/$(PIP) --editable '.[test]'
	touch $@ $*/demo.stamp

%/bench.stamp: %/torch.stamp pyproject.toml
	$*/$(PIP) --editable '.[all,bench]'
	touch $@

.PRECIOUS: %/torch.stamp %/demo.stamp %/test.stamp %/bench.stamp
