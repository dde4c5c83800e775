# Everything a person types. Each target sets up what it needs; nothing has to be prepared by hand.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo serve test check test-all setup clean

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	touch $@

$(VENV)/.browser: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --group browser --group measuring
	touch $@

$(VENV)/.neural: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --group neural
	touch $@

setup: $(VENV)/.dev

demo: $(VENV)/.ready  ## render hello.mp4 from text
	$(BIN)/vivavoce speak "Hello! I am Anna. Type a sentence, and I will say it." --language en -o hello.mp4

serve: $(VENV)/.ready  ## start the server on http://127.0.0.1:3000
	$(BIN)/vivavoce serve

test: $(VENV)/.dev  ## the tests that need nothing but the package index
	$(BIN)/pytest

check: $(VENV)/.dev  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-all: $(VENV)/.browser $(VENV)/.neural  ## adds slow, browser, torch and cluster tests (needs a C++ compiler, and Debian's chromium, ffmpeg, postgresql, libportaudio2)
	$(BIN)/pytest -m ""

clean:
	rm -rf $(VENV) hello.mp4 out
