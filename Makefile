# Everything runs from .venv, which is made here and nowhere else: python3 and make are enough.
.PHONY: run test check bench picture

run: .venv/run .env
	.venv/bin/flask run

test: .venv/test
	.venv/bin/pytest --cov

check: .venv/test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/test
	.venv/bin/python -m tests.bench

picture: .venv/run
	.venv/bin/python -m tests.draw_message

.env:
	cp .env.example .env

.venv/run: requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement requirements.txt
	touch $@

.venv/test: .venv/run requirements-test.txt
	.venv/bin/pip install --quiet --requirement requirements-test.txt
	touch $@
