# The verbs of this project; each is a line or two, the work is in the libraries. `make help` lists them.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1
export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins
VENV := .venv
PY := $(VENV)/bin/python
KUBERNETES_BINARIES ?= ../shared/tools/kubernetes
RESOLVE = $(VENV)/bin/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url -q
PLATFORM := $(PY) -m ops_platform.embedded

.DEFAULT_GOAL := all
include pythonexpr.mk docker.mk

.PHONY: help run up stop status trigger repeat test test-long test-kubernetes check fast lock benchmarks screenshots protos clean doctor docs reference

help:  ## this list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  make %-26s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready  ## train, evaluate and upload a model, through Airflow, on the sample blocks (REQUEST=my.toml: on yours)
	@$(PLATFORM) run $(REQUEST)

up: $(VENV)/ready  ## start Airflow and the local S3 server, nothing else
	@$(PLATFORM) up

stop: $(VENV)/ready  ## end exactly what `make run` or `make up` started
	@$(PLATFORM) stop

status: $(VENV)/ready  ## what is running, and where
	@$(PLATFORM) status

trigger: $(VENV)/ready  ## start a run of the platform that is up (DAG=..., REQUEST=my.toml, FIELDS="steps=20")
	@$(PY) -m ops_platform.conf '$(DAG)' $(if $(REQUEST),--file '$(REQUEST)') $(FIELDS) --trigger

repeat: $(VENV)/ready  ## repeat a run from its record: is the result identical? (RUN=id or folder; FORCE=1: on other data)
	@$(PY) -m ops_platform.repeat '$(RUN)' $(if $(filter 1,$(FORCE)),--force)

doctor: $(VENV)/ready  ## look at ports, disk, memory, versions, S3, hosts (TRAINDATA_HOSTS), cluster; say what to do
	@$(PY) -m ops_platform.doctor $(HOSTS)

test: check $(VENV)/browser $(VENV)/hosts  ## every gate and every test
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/architecture

test-long: $(VENV)/browser $(VENV)/hosts  ## workflows of many minutes: seven nights, sweeps, pods, roll back, repetitions
	$(PY) -m pytest -m long tests/e2e

check: $(VENV)/ready  ## format, lint, types, layers, light imports, sizes
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/architecture

test-kubernetes: $(VENV)/ready  ## trainings in pods of a real cluster: KUBECONFIG's, or one made here of KUBERNETES_BINARIES
	KUBERNETES_BINARIES='$(KUBERNETES_BINARIES)' $(PY) -m pytest -q -m kubernetes tests/kubernetes

fast: $(VENV)/ready  ## the tests without TensorFlow, Airflow and servers: the inner loop
	$(PY) -m pytest -q -m "not tf and not airflow and not slow and not docker and not kubernetes and not long"

benchmarks: $(VENV)/ready  ## measure speed and size against plain reference loops, write JSON
	$(PY) -m benchmarks

screenshots: $(VENV)/browser  ## redo docs/screenshots from a run through the page
	$(PY) -m pytest -q tests/e2e tests/fastnode/viewer tests/plugins/test_run_pages.py -k 'page or browser' \
	  --save-screenshots

docs: $(VENV)/ready  ## the documentation as a site, in site/
	$(VENV)/bin/mkdocs build --strict --quiet

reference: $(VENV)/ready  ## write the pages and the shell completion that are generated from the code
	$(PY) -m ops_platform.reference
	$(PY) -m gematria_ops.flags_table > docs/flags.md

protos: $(VENV)/ready  ## regenerate the protocol buffer code
	$(PY) -m gematria_ops.formats.protos

lock: $(VENV)/ready  ## resolve each list of requirements into its locked one, all versions pinned and hashed
	$(RESOLVE) requirements.in -o requirements.txt
	for name in requirements-datagen requirements-cluster docker/requirements/graph-data-server \
	  docker/requirements/trainer-cpu docker/requirements/trainer-gpu; do \
	  $(RESOLVE) $$name.in -c requirements.txt -o $$name.txt || exit 1; done

clean:  ## remove the completion model's files and what the tools cached (not .venv, .ops, the corpus)
	rm -rf out bin tmp tensorboard/$(MODEL_NAME) bundle bundle.tar.gz record.json .record.lock
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/ready: requirements.txt .ci/setup
	@.ci/setup environment $(VENV)

$(VENV)/browser: $(VENV)/ready
	@.ci/setup browser $(VENV)

$(VENV)/hosts: $(VENV)/ready
	@.ci/setup hosts $(VENV)
