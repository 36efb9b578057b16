# Everything a fresh machine needs: Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FUNDUS := $(BIN)/fundus
# MONAI Label holds NumPy and pydicom below the versions in requirements.lock, hence an environment of its own.
LABEL ?= .venv-label
# MONAI Deploy's SDK brings 1 GB of libraries for GPUs, and holds gRPC and ml-dtypes below those versions.
DEPLOY ?= .venv-deploy
FEDERATED ?= .venv-federated
# Debian's Orthanc and the validators, unpacked and not installed.
ARCHIVE ?= .archive

.DELETE_ON_ERROR:
.PHONY: help demo adapt test lint docs format benchmark release label-server test-label test-deploy test-zoo test-archive federated-demo test-federated clean

help:
	@echo "make demo                     segment sample photographs and show where the report is"
	@echo "make adapt TARGET=dir OUT=dir adapt the model to the photographs in TARGET, without labels, and segment them"
	@echo "make test                     lint and all tests"
	@echo "make docs                     the documentation as a site, in site/"
	@echo "make label-server STUDIES=dir MONAI Label with the model in it, on loopback (PORT=n, MODELS='adapted/model.pt ...')"
	@echo "make test-label               that server, asked over REST and with its client"
	@echo "make test-deploy              the example application of MONAI Deploy"
	@echo "make federated-demo           two made-up hospitals train one model with NVFlare, on loopback"
	@echo "make test-federated           the same in small, and a hospital without photographs"
	@echo "make test-zoo                 the release's style by the tools of MONAI's model zoo"
	@echo "make test-archive             masks and reports to a real archive and back, on loopback (Debian: unpacks Orthanc)"
	@echo "make benchmark DATA=dir       the tables and figures of the benchmark (QUICK=1: a small version, in output)"
	@echo "make release                  the bundle as a versioned zip in dist/, from the last commit"

$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c requirements.lock -e .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[test,formats,dicom,export,tracking]'
	@touch $@

$(VENV)/ready-docs: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[docs]'
	@touch $@

$(VENV)/ready-benchmark: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[benchmark]'
	@touch $@

$(VENV)/ready-zoo: $(VENV)/ready-test
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[zoo]'
	@touch $@

$(LABEL)/ready: pyproject.toml requirements-label.lock
	$(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --quiet -c requirements-label.lock -e '.[label,test]'
	@touch $@

$(DEPLOY)/ready: pyproject.toml requirements-deploy.lock
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip install --quiet -c requirements-deploy.lock -e '.[deploy]' pytest pytest-timeout
	@touch $@

$(FEDERATED)/ready: pyproject.toml requirements-federated.lock
	$(PYTHON) -m venv $(FEDERATED)
	$(FEDERATED)/bin/python -m pip install --quiet -c requirements-federated.lock -e '.[federated]' pytest pytest-timeout
	@touch $@

demo: $(VENV)/ready
	$(BIN)/python scripts/demo_input.py demo/input
	$(FUNDUS) segment demo/input demo/output
	@echo "The report: $(CURDIR)/demo/output/report.html"

# Make hands TARGET and OUT to the shell, which takes them as they are. Status 1 means that some photographs were
# unreadable and all others are done.
adapt: $(VENV)/ready
	@test -n "$(TARGET)" -a -n "$(OUT)" || { echo "error: say make adapt TARGET=dir OUT=dir" >&2; exit 2; }
	@$(FUNDUS) adapt "$$TARGET" "$$OUT"; status=$$?; test $$status -le 1 || exit $$status
	@echo "The report: $$OUT/report.html, the adapted model: $$OUT/model.pt"

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/format_configs.py --check

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

docs: $(VENV)/ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The site: $(CURDIR)/site/index.html"

format: $(VENV)/ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/format_configs.py

# QUICK=1 makes a small version in minutes, which leaves the documentation alone; WORKERS=n sets the processes; BESIDE=dir
# shows the runs of another source model (docs/development/history_of_plus.md) too.
benchmark: $(VENV)/ready-benchmark
	@test -n "$(DATA)" || { echo "error: say make benchmark DATA=dir" >&2; exit 2; }
	$(BIN)/python -m bundle.benchmark --data "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(if $(BESIDE),--beside "$(BESIDE)") $(if $(QUICK), \
		--quick --output output/benchmark-quick, --output output/benchmark --page docs/development/benchmark.md \
		--figures docs/images --summary README.md docs/README.md --metadata configs/metadata.json --record docs/development/benchmark_runs.tar.xz)

release: $(VENV)/ready
	$(BIN)/python scripts/release.py --output dist

label-server: $(LABEL)/ready
	@test -n "$(STUDIES)" || { echo "error: say make label-server STUDIES=dir" >&2; exit 2; }
	$(LABEL)/bin/python -m bundle.annotation.label_server --studies "$(STUDIES)" --port $(or $(PORT),8000) \
		$(foreach model,$(MODELS),--model "$(model)")

# The readers of photographs run here with other versions of NumPy and pydicom, so their tests do too.
test-label: $(LABEL)/ready
	$(LABEL)/bin/python -m pytest tests/integration/test_label_server.py tests/robustness/test_label_load.py tests/data

# Import order, layout and lint of the release by the tools and settings of MONAI's model zoo.
test-zoo: $(VENV)/ready-zoo
	$(BIN)/python -m pytest tests/integration/test_zoo.py

# Two made-up hospitals on loopback.
federated-demo: $(FEDERATED)/ready
	$(FEDERATED)/bin/python docs/how-to/federated_job.py

test-federated: $(FEDERATED)/ready
	$(FEDERATED)/bin/python -m pytest tests/integration/test_federated_job.py

test-deploy: $(DEPLOY)/ready
	$(DEPLOY)/bin/python -m pytest tests/integration/test_deploy.py

$(VENV)/ready-archive: $(VENV)/ready-test
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[archive,readers]'
	@touch $@

# pydicom-seg holds pydicom and NumPy below the versions in requirements.lock.
$(ARCHIVE)/ready: $(VENV)/ready-archive scripts/archive_tools.py
	$(BIN)/python scripts/archive_tools.py $(ARCHIVE)
	$(PYTHON) -m venv $(ARCHIVE)/pydicom-seg
	$(ARCHIVE)/pydicom-seg/bin/python -m pip install --quiet 'pydicom-seg==0.4.1' 'pydicom<3' 'setuptools<80'
	@touch $@

# The validators run in the tests of masks and reports too, where they are skipped otherwise.
test-archive: $(ARCHIVE)/ready
	FUNDUS_ARCHIVE_TOOLS="$(abspath $(ARCHIVE))/root" FUNDUS_PYDICOM_SEG="$(abspath $(ARCHIVE))/pydicom-seg/bin/python" \
		$(BIN)/python -m pytest tests/archive tests/integration/test_archive_server.py \
		tests/integration/test_readers.py tests/report/test_mask_files.py tests/report/test_dicom_sr.py

# Results and photographs (demo, output) stay.
clean:
	rm -rf dist site build .hypothesis .pytest_cache .mypy_cache .ruff_cache
