# Everything runs from .venv, which is made here and nowhere else: Python and make are enough.
PYTHON ?= python3

export PORT_IN_USE = import os, socket; \
  socket.create_connection(("localhost", int(os.environ.get("FLASK_RUN_PORT", 3000))))

.PHONY: run test check bench picture

run: .venv/run .env
	@.venv/bin/flask run || { code=$$?; .venv/bin/python -c "$$PORT_IN_USE" 2> /dev/null && \
	  echo "The port is in use. Try: FLASK_RUN_PORT=3001 make run" >&2; exit $$code; }

# make test ARGS=tests/test_x.py runs that file alone, without measuring coverage.
test: .venv/test
	.venv/bin/pytest $(or $(ARGS),--cov)

check: .venv/test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/test
	.venv/bin/python -m tools.bench

picture: .venv/run
	.venv/bin/python -m tools.draw_message

.env:
	cp .env.example .env

# A .venv that works is kept: it is of use where pip finds no network. One that was made by
# halves is made anew.
.venv/run: requirements.txt
	@command -v $(PYTHON) > /dev/null || \
	  { echo "$(PYTHON) is not found: try make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: try make PYTHON=python3.13" >&2; exit 1; }
	@.venv/bin/pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --requirement requirements.txt
	touch $@

.venv/test: .venv/run requirements-test.txt
	.venv/bin/pip install --quiet --requirement requirements-test.txt
	touch $@
