PYTHON ?= python3
VENV := .venv
# Threads that wait by spinning steal the cores from each other wherever more than one process runs.
export OMP_WAIT_POLICY ?= PASSIVE
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench picture clean
$(STAMP): pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(VENV)/bin/python -m equipoise.samples equipoise-out/photos
	$(VENV)/bin/equipoise explain equipoise-out/photos --output equipoise-out

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(STAMP)
	for script in ae_cost authors_loop whole_runs method_cost start_up rows attribute_runs map_formats precision gpu; do \
	  $(VENV)/bin/python benchmarks/$$script.py || exit 1; done
	$(VENV)/bin/python benchmarks/render.py

picture: $(STAMP)
	$(VENV)/bin/python tools/picture.py

clean:
	rm -rf $(VENV) equipoise-out
