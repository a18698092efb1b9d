# `make repro` and `make test` are all that a newcomer needs; everything is installed into .venv from hashed pins.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro repro-ray install serve test test-cluster test-image image bench lint format docs pins clean-cache clean

repro: .git .venv/.runtime ## run every stage whose inputs changed
	python src/check.py
	dvc repro
	@printf '%s\n' '' \
	  'Done. Where to look next (after `source .venv/bin/activate`):' \
	  '  metrics/report.html      figures, curves, queries, findings and the map, on one page' \
	  '  make serve               a page to search, browse, and see the map of all images' \
	  '  metrics/*.json           losses, accuracy, retrieval, recall, and the baselines to beat' \
	  '  dvc plots show --open    curves, confusion, recall against search_k' \
	  '  dvc exp run -S train.lr=0.02 && dvc metrics diff'

repro-ray: .git .venv/.cluster ## the same, but scan and featurize on a local Ray cluster
	python src/check.py
	RAY_ADDRESS=local dvc repro

install: .venv/.runtime ## make .venv and nothing else, as before `dvc pull`

serve: .venv/.runtime ## the search page and the REST API, on http://127.0.0.1:8000
	python src/serve.py

test: .venv/.development ## all tests: about four minutes on two cores
	python -m pytest

test-cluster: .venv/.cluster ## two Ray nodes in network namespaces; as root, two minutes
	python -m pytest -n0 tests/cluster

bench: .venv/.development ## benchmark against alternative tools on the current data set
	for script in photographs query_start neighbors_peers lancedb_peers; do python benchmarks/$$script.py || exit 1; done

image: ## the container image of the service; needs docker
	docker build --tag image-similarity .

test-image: .venv/.development ## build that image and try it; minutes
	BUILD_IMAGE=1 python -m pytest -n0 --timeout=0 tests/service/test_image.py

lint: .venv/.development ## style, formatting, types, wording
	ruff check .
	ruff format --check .
	mypy
	python scripts/lint_words.py

format: .venv/.development ## rewrite the code in the common style
	ruff check --fix .
	ruff format .

.git:
	@echo 'This folder is no git repository, which DVC needs. Run: git init && git add . && git commit --message "Start"'; exit 1

.venv/.runtime: requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 14) or sys.exit(f"Python 3.10 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	@echo 'Installing into .venv: 3 GB, a few minutes'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.development: .venv/.runtime requirements-dev.txt
	python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

.venv/.cluster: .venv/.development requirements-cluster.txt
	python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-cluster.txt
	@touch $@

PIN = uv pip compile --quiet $(UPGRADE) --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
  --no-emit-find-links

docs: .venv/.runtime ## write the pages that are generated
	python scripts/write_parameters.py

pins: ## add what pyproject.toml needs to the pins; `make pins UPGRADE=--upgrade` renews all; needs uv
	$(PIN) --extra pipeline pyproject.toml --output-file requirements.txt
	$(PIN) --group dev --constraints requirements.txt --output-file requirements-dev.txt
	$(PIN) --group cluster --constraints requirements.txt --constraints requirements-dev.txt --output-file requirements-cluster.txt
	$(PIN) pyproject.toml --constraints requirements.txt --output-file docker/requirements.txt
	python scripts/record_versions.py

clean-cache: ## forget what was computed of all images, in all clones; downloads stay
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/image-similarity/features" "$${XDG_CACHE_HOME:-$$HOME/.cache}/image-similarity/scan"

clean: ## remove the virtual environment; data and results stay
	rm -rf .venv
