# Two commands do everything: `make demo` (a crawl becomes a trained model) and `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := infimm_data filters model pipelines
# Threads that wait must sleep, not spin: measured 3x on small matrices when another process wants the cores too.
export GOMP_SPINCOUNT ?= 0

.PHONY: demo test check docs format clean

demo: $(READY)
	$(BIN)/infimm demo --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(addprefix -p ,$(PACKAGES))

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# constraints.txt pins what was seen to work together, torch's CPU build among it; for a GPU build of torch
# install it into $(VENV) first, then `touch $(READY)`.
$(READY): pyproject.toml constraints.txt
	@echo "installing into $(VENV): a few minutes, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# Without what it declares: it would take webdataset, pandas and opencv back, and works beside the newer ones.
	$(BIN)/python -m pip install --quiet --no-deps img2dataset==1.47.0
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
