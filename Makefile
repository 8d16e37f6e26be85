# Every command of the project. `make` alone lists them; each installs what it needs into .venv the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BUILD := _build
# One folder of doctrees for all builders: a page is read once.
SPHINX = $(BIN)/sphinx-build -c . -d $(BUILD)/doctrees -W --keep-going -D suppress_warnings=trace.law_not_run
ARGS ?=
# What pages are made of. A folder's time tells of files that came or went.
SOURCES := $(shell find conf.py docs source_specs examples extensions -name __pycache__ -prune -o -name '*.egg-info' -prune -o -print)

.DEFAULT_GOAL := help
.PHONY: help html test doctest laws check record bundle pdf emulate serve conform bench judges clean chromium
.DELETE_ON_ERROR:

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z.]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1 | cut -d' ' -f2), and this needs 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) with $$($(PYTHON) -V)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs,dev]'
	@touch $@

.venv: $(STAMP) ## Install into .venv; again when pyproject.toml changes

html: $(BUILD)/html/.whole ## Build the reference, after running the examples that changed
	@echo "Open file://$(CURDIR)/$(BUILD)/html/index.html, or run make serve"

# Laws take longer than everything else, and `make test` runs them: where they weren't run, the build says so and goes on.
# The mark has the time at which its build began: what is written meanwhile is newer.
$(BUILD)/html/.whole: $(STAMP) Makefile $(SOURCES)
	@mkdir -p $(@D) && touch $(BUILD)/.began
	@$(MAKE) --no-print-directory doctest
	@echo "Building the pages"
	@$(SPHINX) -b html docs $(BUILD)/html || { $(forget); exit 1; }
	@mv $(BUILD)/.began $@

doctest: $(STAMP) ## Run every example whose text, contract or code changed
	@echo "Running the examples that changed"
	@$(SPHINX) -b doctest docs $(BUILD)/doctest || { $(forget); exit 1; }

# Other goals lead here with arguments that are theirs.
laws: $(STAMP) ## Run the laws on the emulator, where contract or code changed
	@echo "Running the laws whose results don't stand any more"
	@$(BIN)/crm-reference laws $(if $(filter laws,$(MAKECMDGOALS)),$(ARGS))

# Sphinx warns of a page only while it reads it. Where a warning and not an example failed the build, the next one has to read the
# pages again, or it would pass.
forget = grep -qs '"outcome": "failed"' $(BUILD)/doctest/results.json || rm -f $(BUILD)/doctrees/environment.pickle

test: $(STAMP) chromium doctest laws ## Run examples, laws, linter, type checker and all tests
	$(BIN)/ruff check extensions tests conf.py
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile $(ARGS)

# The tests of built pages drive a real browser.
chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing chromium for the browser tests"; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else \
	    echo "There is no chromium, and this user can't install it: the browser tests will be skipped"; \
	  fi; }

check: $(STAMP) ## Check style, vectors, exchanges, laws and the requirement trace
	@$(BIN)/crm-reference check $(ARGS)

record: $(STAMP) ## Run the exchanges and record their answers (ARGS="--only contacts")
	@$(BIN)/crm-reference record $(ARGS)

bundle: $(STAMP) ## Write the OpenAPI, AsyncAPI and Postman files that readers download
	@$(BIN)/crm-reference bundle $(ARGS)

pdf: $(STAMP) doctest ## Build the PDF volumes
	@command -v xelatex >/dev/null && command -v latexmk >/dev/null || { \
	  echo "PDF needs xelatex and latexmk: apt-get install texlive-xetex texlive-fonts-recommended latexmk"; exit 1; }
	@$(SPHINX) -b latex docs $(BUILD)/latex || { $(forget); exit 1; }
	@for volume in $(BUILD)/latex/*.tex; do \
	  echo "Typesetting $$(basename $$volume .tex)"; \
	  (cd $(BUILD)/latex && latexmk -xelatex -silent -interaction=nonstopmode "$$(basename $$volume)" >/dev/null 2>&1) || { \
	    echo "$$volume can't be typeset; see $${volume%.tex}.log"; exit 1; }; \
	done
	@ls -1 $(BUILD)/latex/*.pdf

emulate: $(STAMP) ## Serve the API on this machine (ARGS="--port 9000 --db crm.db")
	@$(BIN)/crm-reference emulate $(ARGS)

serve: html ## Serve the built pages and the API on one origin
	@$(BIN)/crm-reference emulate --site $(BUILD)/html $(ARGS)

conform: $(STAMP) ## Test an implementation (BASE=https://...)
	@$(BIN)/crm-reference conform $(if $(BASE),--base $(BASE)) $(ARGS)

bench: $(STAMP) ## Measure the emulator and the build
	@ls tests/bench/*.py >/dev/null 2>&1 || { echo "tests/bench has no measurements"; exit 1; }
	@for file in tests/bench/*.py; do echo "$$file"; $(BIN)/python "$$file" $(ARGS) || exit 1; done

judges: $(STAMP) bundle ## Let other people's tools judge the bundle
	@ls tests/judges/*.py >/dev/null 2>&1 || { echo "tests/judges has no judges"; exit 1; }
	@for file in tests/judges/*.py; do echo "$$file"; $(BIN)/python "$$file" $(ARGS) || exit 1; done

clean: ## Remove everything that was built; .venv stays
	rm -rf $(BUILD) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
