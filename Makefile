# Everything a fresh machine needs: Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUNDLE := $(BIN)/python -m monai.bundle run
# MONAI Label holds NumPy and pydicom below the versions in requirements.lock, hence an environment of its own.
LABEL ?= .venv-label

.DELETE_ON_ERROR:
.PHONY: help demo adapt test lint format benchmark release label-server test-label clean

help:
	@echo "make demo                     segment sample photographs and show where the report is"
	@echo "make adapt TARGET=dir OUT=dir adapt the model to the photographs in TARGET, without labels, and segment them"
	@echo "make test                     lint and all tests"
	@echo "make label-server STUDIES=dir MONAI Label with the model in it, on loopback (PORT=n, MODELS='adapted/model.pt ...')"
	@echo "make test-label               that server, asked over REST and with its client"
	@echo "make benchmark DATA=dir       the tables and figures of docs/benchmark.md (QUICK=1: a small version, in output)"
	@echo "make release                  the bundle as a versioned zip in dist/, from the last commit"

$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c requirements.lock -e .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[test,dicom,export,tracking]'
	@touch $@

$(VENV)/ready-benchmark: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[benchmark]'
	@touch $@

$(LABEL)/ready: pyproject.toml requirements-label.lock
	$(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --quiet -c requirements-label.lock -e '.[label,test]'
	@touch $@

demo: $(VENV)/ready
	$(BIN)/python scripts/demo_input.py demo/input
	$(BUNDLE) inference --config_file configs/inference.json --dataset_dir demo/input --output_dir demo/output
	@echo "The report: $(CURDIR)/demo/output/report.html"

# Status 1 of a stage means that some photographs were unreadable; all others are done, so go on with them.
adapt: $(VENV)/ready
	@test -n "$(TARGET)" -a -n "$(OUT)" || { echo "error: say make adapt TARGET=dir OUT=dir" >&2; exit 2; }
	$(BUNDLE) adaptation --config_file configs/adapt.json --dataset_dir "$(TARGET)" --output_dir "$(OUT)" || test $$? -eq 1
	$(BUNDLE) inference --config_file configs/inference.json --dataset_dir "$(TARGET)" --output_dir "$(OUT)" \
		--checkpoint "$(OUT)/model.pt" || test $$? -eq 1
	@echo "The report: $(OUT)/report.html, the adapted model: $(OUT)/model.pt"

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

format: $(VENV)/ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# QUICK=1 makes a small version in minutes, which leaves the documentation alone; WORKERS=n sets the processes; BESIDE=dir
# shows the runs of another source model (docs/plus.md) too.
benchmark: $(VENV)/ready-benchmark
	@test -n "$(DATA)" || { echo "error: say make benchmark DATA=dir" >&2; exit 2; }
	$(BIN)/python -m bundle.benchmark.runs --data "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(if $(BESIDE),--beside "$(BESIDE)") $(if $(QUICK), \
		--quick --output output/benchmark-quick, --output output/benchmark --page docs/benchmark.md \
		--figures docs/images --summary README.md docs/README.md --metadata configs/metadata.json --record docs/benchmark_runs.tar.xz)

release: $(VENV)/ready
	$(BIN)/python scripts/release.py --output dist

label-server: $(LABEL)/ready
	@test -n "$(STUDIES)" || { echo "error: say make label-server STUDIES=dir" >&2; exit 2; }
	$(LABEL)/bin/python -m bundle.annotation.label_server --studies "$(STUDIES)" --port $(or $(PORT),8000) \
		$(foreach model,$(MODELS),--model "$(model)")

# The readers of photographs run here with other versions of NumPy and pydicom, so their tests do too.
test-label: $(LABEL)/ready
	$(LABEL)/bin/python -m pytest tests/integration/test_label_server.py tests/robustness/test_label_load.py tests/data

clean:
	rm -rf demo dist output .pytest_cache .mypy_cache .ruff_cache
