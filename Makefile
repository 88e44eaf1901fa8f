# Three commands matter: `make run`, `make serve` and `make test`. They work in a fresh clone with only
# Python 3.11 (or later) and make; everything goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    := out
STUDIO := .venv-label-studio

.PHONY: run serve test lint check system docs bench chaos soak label-studio figures checkpoint clean

run: $(VENV)/.base
	@mkdir -p $(OUT)
	@$(BIN)/rupture score examples/session.vtt
	@$(BIN)/rupture score examples/session.vtt --format html --out $(OUT) >/dev/null
	@echo
	@echo "The report to read: $(OUT)/session.html"

# The HTTP API and a worker, on an embedded database in rupture-data/; prints a key and a curl line.
serve: $(VENV)/.service
	$(BIN)/rupture serve

test: $(VENV)/.dev system
	$(MAKE) --no-print-directory lint check

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: $(VENV)/.dev
	$(BIN)/pytest -n 2 -ra

# What the tests need from the system: a browser, PostgreSQL, and R, which agreement is held against.
# Installed where we may, else said. Of R only what is needed: 37 MB to fetch.
system:
	@needed=; slim=; \
	command -v chromium >/dev/null 2>&1 || needed="$$needed chromium"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || needed="$$needed postgresql"; \
	Rscript -e 'library(psych)' >/dev/null 2>&1 || slim=" r-base-core r-cran-psych"; \
	if [ -z "$$needed$$slim" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; \
		{ [ -z "$$needed" ] || apt-get install -y -qq $$needed >/dev/null; } \
		&& { [ -z "$$slim" ] || apt-get install -y -qq --no-install-recommends $$slim >/dev/null; } \
		|| echo "did not install:$$needed$$slim; the tests that need them will be skipped"; \
	else echo "Install$$needed$$slim (Debian: apt-get install) for the tests that need them; the rest runs."; fi

# The documentation as a site that fetches nothing; a warning fails. Search needs a server:
# `.venv/bin/python -m http.server --directory out/site --bind 127.0.0.1`.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir $(OUT)/site
	@echo "The site: $(OUT)/site/index.html"

# Speed, memory, cold start and load on this machine; nothing asserts a time. With RUPTURE_BASE, the
# base encoder's folder, beside the usual way of using the same encoder.
bench: $(VENV)/.dev
	$(BIN)/python -m training.bench $(if $(RUPTURE_BASE),--base $(RUPTURE_BASE))
	$(BIN)/python -m training.corpus_bench
	deploy/with-postgres.sh $(BIN)/python -m service.bench
	$(BIN)/python -m service.page_bench

# 200 workers killed with signal 9 at random points under load, on both databases: about half an hour.
chaos: $(VENV)/.dev system
	RUPTURE_KILLS=200 $(BIN)/pytest -q -n 0 -m slow tests/service/test_recovery.py

# An hour of load on one service: rate, memory and open files at its beginning and at its end.
soak: $(VENV)/.dev system
	deploy/with-postgres.sh $(BIN)/python -m service.bench --soak 60

# A real Label Studio, in an environment of its own (1 GB), takes our tasks in and gives an export that
# we read. Installing takes five to ten minutes, once; the test two, most of it the server's start.
# Where it does not install, that is said and the rest goes on; where a test fails, this fails.
label-studio: $(VENV)/.dev
	@if [ ! -x $(STUDIO)/bin/label-studio ]; then \
		$(PYTHON) -m venv $(STUDIO) \
		&& timeout 1500 $(STUDIO)/bin/python -m pip install -q --disable-pip-version-check label-studio \
		|| { rm -rf $(STUDIO); echo; \
			echo "LABEL STUDIO DID NOT INSTALL: ITS TESTS DID NOT RUN"; echo; }; \
	fi
	@if [ -x $(STUDIO)/bin/label-studio ]; then \
		RUPTURE_LABEL_STUDIO="$(abspath $(STUDIO))/bin/label-studio" \
		$(BIN)/pytest -n 0 -ra -m slow tests/training/labels/test_label_studio_server.py; \
	fi

# The weights and every figure in docs/; needs the AnnoMI text (see README).
figures: $(VENV)/.dev
	$(BIN)/rupture fit
	$(BIN)/rupture patterns --out docs/patterns.md
	$(BIN)/rupture evaluate --out docs/evaluation.md
	$(BIN)/rupture label agree --annomi --out docs/agreement.md
	$(BIN)/rupture label simulate --seeds 10 --out docs/active-learning.md --plot docs/active-learning.svg
	$(BIN)/rupture fit-roles --weights detector/weights/roles.toml --out docs/roles.md

# Trains, measures and publishes the default checkpoint; needs the AnnoMI text and the base
# encoder's folder (RUPTURE_ANNOMI, RUPTURE_BASE: see README). Goes on where it was stopped.
checkpoint: $(VENV)/.dev
	$(BIN)/rupture train training/configs/default.toml --out $(OUT)/run --resume
	$(BIN)/rupture evaluate --run $(OUT)/run --out docs/evaluation.md \
		--json $(OUT)/run/evaluation.json --html $(OUT)/run/evaluation.html
	$(BIN)/rupture publish $(OUT)/run --name default --replace --use

clean:
	rm -rf $(VENV) $(STUDIO) $(OUT) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.service: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[service]'
	@touch $@ $(VENV)/.base

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.base
