PYTHON ?= python3
PROFILE ?= tutorial
VENV := .venv
STAMP := $(VENV)/installed
UNSEP := $(VENV)/bin/unsep
# The package's `__all__` names its front door; the reference has a page for every module.
MODULES := $(subst /,.,$(patsubst %.py,%,$(filter-out %/__main__.py %/__init__.py,$(wildcard unsep_lib/*.py))) \
	$(patsubst %/__init__.py,%,$(wildcard unsep_lib/*/__init__.py)))
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: book reproduce test types test-full hardening docs lab clean

reproduce: $(STAMP)
	$(UNSEP) reproduce --profile $(PROFILE) --out out/$(PROFILE) --open

# One run of the notebooks serves nbval and the check of their numbers. The reference is of float32 products without
# AVX-512, which every x86 processor repeats.
test: $(STAMP)
	$(VENV)/bin/ruff check
	$(MAKE) --jobs 2 docs types
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal --durations 20
	rm -rf out/nbval
	ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1 UNSEP_PROFILE=smoke UNSEP_OUT="$(CURDIR)/out/nbval" \
		$(VENV)/bin/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks
	$(UNSEP) reproduce --profile smoke --out out/nbval --check-only

types: $(STAMP)
	$(VENV)/bin/mypy

test-full: $(STAMP)
	$(VENV)/bin/python -m pytest -m ''

hardening: $(STAMP)
	UNSEP_HARDENING_TABLE=1 OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 tests/hardening -m ''

# pdoc cannot read pydantic's and NamedTuple's own annotations; every other warning is an error.
docs: $(STAMP)
	$(VENV)/bin/python -W error -W "ignore:Failed to run TYPE_CHECKING code" -W "ignore:Error parsing type annotation" \
		-m pdoc -o out/api unsep_lib $(MODULES)

book: $(STAMP)
	$(UNSEP) course --book out/book

lab: $(STAMP)
	$(VENV)/bin/jupyter lab notebooks/00_start.ipynb

clean:
	rm -rf out $(VENV)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "unsep needs Python 3.11, 3.12 or 3.13; say which with make PYTHON=python3.12" >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) uv && $(VENV)/bin/uv pip install --quiet --system-certs --python $(VENV)/bin/python --editable '.[all]' || \
		{ echo "uv could not install; pip does, which takes longer" >&2; $(PIP) --editable '.[all]'; }
	touch $(STAMP)
