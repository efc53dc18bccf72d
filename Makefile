# Two commands do all set-up: `make demo` (the main job) and `make test` (everything that is checked).
# Both share .venv and work again from any half-done state.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
NATIVE := $(wildcard csrc/*) CMakeLists.txt

.PHONY: demo test lint bench sanitize clean

demo: $(INSTALLED)
	$(BIN)/rmeeto rebuild --recipe recipes/fashion_mnist_vim_micro_r50.toml --minutes 5 \
	  --r 50 --sites 1, --metric b --curve 20 35 50 65 80 --audit --ood near:demo-shirt far:demo-bag \
	  --out runs/demo

test: $(INSTALLED)
	$(BIN)/python tools/run_tests.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# About 17 minutes on two quiet cores; BENCH=--quick takes one, BENCH="--base REF" compares versions.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH)

# The kernels' tests on a build that stops at any invalid access or undefined operation; some minutes.
sanitize: $(INSTALLED)
	$(BIN)/python tools/sanitize.py

$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) tools/install.py .venv
	@touch $@

clean:
	rm -rf .venv build runs
