PYTHON ?= python3
VENV := .venv
# Threads that wait by spinning steal the cores from each other wherever more than one process runs.
export OMP_WAIT_POLICY ?= PASSIVE
STAMP := $(VENV)/.installed
# What the demo needs is a part of what the tests need: who has these has that.
DEMO := $(VENV)/.installed-demo

.PHONY: demo test lint docs bench picture dist clean
$(STAMP): pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP) $(DEMO)

$(DEMO): pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[demo]'
	touch $(DEMO)

demo: $(DEMO)
	$(VENV)/bin/python -m equipoise.samples equipoise-out/photos
	$(VENV)/bin/equipoise explain equipoise-out/photos --output equipoise-out

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Into site/: open site/index.html. It asks nothing of the network, neither built nor read.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: $(STAMP)
	for script in ae_cost authors_loop whole_runs method_cost start_up rows attribute_runs map_formats precision gpu; do \
	  $(VENV)/bin/python benchmarks/$$script.py || exit 1; done
	$(VENV)/bin/python benchmarks/render.py

picture: $(STAMP)
	$(VENV)/bin/python tools/picture.py

# twine and check-wheel-contents look at the files where they can be installed; the clean environment always does.
dist: $(STAMP)
	rm -rf dist
	$(VENV)/bin/python -m pip install --quiet build
	$(VENV)/bin/python -m build --outdir dist
	-$(VENV)/bin/python -m pip install --quiet twine check-wheel-contents
	if test -x $(VENV)/bin/twine; then $(VENV)/bin/twine check --strict dist/*; fi
	if test -x $(VENV)/bin/check-wheel-contents; then $(VENV)/bin/check-wheel-contents dist/*.whl; fi
	$(VENV)/bin/python tools/check_wheel.py dist/*.whl

clean:
	rm -rf $(VENV) equipoise-out dist site
