# make demo and make test need nothing but Debian or Ubuntu with Python 3.11.
# Package indexes are pip's own configuration; none is named here.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
SOURCES = lbcompanion tests twisted setup.py $(wildcard bench fuzz docs examples)
ARGS ?=
# Many tests wait for programs, so three processes for two cores. A file's tests stay together, and files come in their
# order, the long ones early.
PROCESSES ?= -n 3 --dist loadfile --no-loadscope-reorder
# Tests start hundreds of processes. Without bytecode on disk each compiles the package again, 0.35 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test quick quick-tests test-one lint format types docs pictures bench bench-crawler bench-growth soak simulate fuzz sanitize chaos changes clean

help:
	@echo "make demo    a whole farm on this machine (ARGS='--once --json' and so on are handed on)"
	@echo "make test    lint, types, arrows and all tests"
	@echo "make quick   lint, types and the tests that need no program, no network and no browser: for every change"
	@echo "make test-one T=tests/protocol/test_notices.py::test_NAME   one test, file or folder, with all that it needs"
	@echo "make lint    lint and format only"
	@echo "make docs    the manual, into docs/_build/html"
	@echo "make pictures   the README's pictures, from the running demo"
	@echo "make bench   figures: CPU, waits and memory beside other proxies (ARGS='--quick': under a minute)"
	@echo "make bench-crawler   the cost of an archived page beside Scrapy (also at the end of make bench)"
	@echo "make bench-growth   memory and CPU with many idle connections, stored copies and rules (ARGS=--quick: a minute)"
	@echo "make soak    a million mixed requests: do memory or descriptors grow?"
	@echo "make simulate  routing at 1,000 nodes and a million visits, without a socket"
	@echo "make fuzz    at random and for long (ARGS='html --seconds 3600': that target alone, for an hour)"
	@echo "make sanitize   the compiled readers under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make chaos   crawlers of one queue, all faults and erasures at random (LBC_CHAOS_SECONDS=3600: for an hour)"
	@echo "make clean   takes away what the others made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 2))' || \
	    { echo "lbcompanion needs Python 3.11.2 or later; name it with make PYTHON=..." >&2; exit 1; }
	@sh .ci/programs venv
	$(PYTHON) -m venv $(VENV)

# The old way of an editable install: the modern one hides the twistd plugins.
$(VENV)/.ready: pyproject.toml setup.py | $(BIN)/python
	$(PIP) install -q --config-settings editable_mode=compat -e .
	@touch $@

# With a compiler, heads are read by the compiled reader; without, all the same by the one in Python.
$(VENV)/.ready-%: pyproject.toml setup.py $(wildcard lbcompanion/http1/*.[ch]) | $(BIN)/python
	@sh .ci/programs compiler
	$(PIP) install -q --config-settings editable_mode=compat -e '.[$*]'
	$(if $(filter test,$*),@$(COMPILE_TESTS))
	@touch $(VENV)/.ready $@

# pip compiles the libraries, but neither an editable package nor tests. So that no test run pays for it, compile both as
# pytest does, which rewrites assertions, and let Hypothesis make its table of Unicode: 6 s of CPU.
COMPILE_TESTS = $(BIN)/python -c 'from hypothesis.internal.charmap import charmap; charmap()'; \
    $(QUICK_TESTS) --collect-only >/dev/null || true

demo: $(VENV)/.ready
	@sh .ci/programs haproxy
	$(BIN)/lbcompanion demo $(ARGS)

# Documents of html5lib's tests, by which insertion is judged. Its wheel leaves them out; to unpack its source, pip asks
# its old setup.py, which needs an old setuptools.
$(VENV)/html5lib/.ready: | $(VENV)/.ready-test
	@mkdir -p $(@D) && echo 'setuptools<81' >$(@D)/constraints
	PIP_CONSTRAINT=$(@D)/constraints PIP_BUILD_CONSTRAINT=$(@D)/constraints $(PIP) download -q --no-deps --use-pep517 \
	    --no-binary :all: -d $(@D) html5lib==1.1 && touch $@ || echo "html5lib's documents could not be had" >&2

# Players and indexers of web archives, which read what the crawler wrote. They need old versions of libraries.
$(VENV)/replay/.ready: | $(VENV)/.ready-test
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install -q 'pywb>=2.9' 'cdxj-indexer>=1.4.6' 'wacz>=0.5' \
	    && touch $@ || echo "pywb, cdxj-indexer and wacz could not be had" >&2

# ReplayWeb.page, which shows a WACZ file in a browser.
$(VENV)/replaywebpage/.ready: | $(VENV)/.ready-test
	@sh .ci/programs npm
	@mkdir -p $(@D) && cd $(@D) && npm pack --silent replaywebpage@2 >/dev/null && tar -xzf replaywebpage-*.tgz && \
	    touch .ready || echo "ReplayWeb.page could not be had" >&2

# Manuals that are one page of several megabytes, as their makers wrote them.
$(VENV)/pages/.ready: | $(VENV)/.ready-test
	@sh .ci/pages $(@D) && touch $@ || echo "tests of large real pages are left out" >&2

# React for browsers, which the wheel of Dash carries.
$(VENV)/react/.ready: | $(VENV)/.ready-test
	$(PIP) download -q --no-deps -d $(@D) dash==3.0.4 && touch $@ || echo "React could not be had" >&2

test: $(VENV)/.ready-test $(VENV)/html5lib/.ready $(VENV)/pages/.ready $(VENV)/react/.ready $(VENV)/replay/.ready $(VENV)/replaywebpage/.ready lint types
	@sh .ci/programs haproxy nginx nginx-lua apache2 caddy chromium varnishtest redis-server postgres mariadbd \
	    varnishd varnish-header pen tomcat systemd-analyze dokuwiki php-fpm rails fastcgi-mono-server4 express curl distribution-python
	TMPDIR=$$(sh .ci/scratch) $(BIN)/python -m pytest $(PROCESSES) -o tmp_path_retention_policy=failed $(ARGS)

# What is marked is left out (pyproject.toml says what each mark means), and few examples of each property are tried.
# A test is worth more than its log here: nothing reads what was logged. Each plugin that is left out costs CPU at every
# test; `make test` has all of them.
QUICK = -p no:logging --capture=sys $(foreach plugin,warnings unraisableexception threadexception xdist xdist.looponfail \
    cacheprovider stepwise junitxml faulthandler doctest,-p no:$(plugin))

# Two jobs: mypy takes about as long as the tests.
quick: $(VENV)/.ready-test
	@$(MAKE) --no-print-directory -j 2 quick-tests lint types

QUICK_TESTS = LBC_HYPOTHESIS=fast $(BIN)/python -m pytest -q $(QUICK) \
    -m "not slow and not programs and not browser and not network"

quick-tests: $(VENV)/.ready-test
	$(QUICK_TESTS) $(ARGS)

test-one: $(VENV)/.ready-test
	@test -n "$(T)" || { echo "name a test: make test-one T=tests/protocol/test_notices.py::test_NAME" >&2; exit 2; }
	$(BIN)/python -m pytest $(T) $(ARGS)

lint: $(VENV)/.ready-test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(VENV)/.ready-test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(VENV)/.ready-test
	$(BIN)/mypy lbcompanion

# -E reads all pages: the search of a build that reads the changed ones only lacks the index entries of the others.
docs: $(VENV)/.ready-docs
	$(BIN)/python -m sphinx -q -W --keep-going -E -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The README's pictures, from the running demo: about two minutes.
pictures: $(VENV)/.ready-test
	@sh .ci/programs haproxy chromium
	$(BIN)/python docs/pictures.py

# mitmproxy's pins are its own: it gets an environment of its own, and is left out where it cannot be had.
.venv-mitmproxy/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install -q 'mitmproxy>=11' && touch $@ || \
	    echo "mitmproxy could not be had" >&2

# Scrapy has environments of its own: scrapy-webarchive needs a Scrapy of 2024, which needs old w3lib and Twisted.
.venv-scrapy/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install -q 'scrapy>=2.13' && touch $@ || \
	    echo "Scrapy could not be had" >&2

.venv-scrapy-warc/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install -q 'scrapy-webarchive>=0.5' 'w3lib<2.2' 'twisted<24' && \
	    touch $@ || echo "scrapy-webarchive could not be had" >&2

bench: $(VENV)/.ready-bench $(if $(findstring --quick,$(ARGS)),,.venv-mitmproxy/.ready)
	@sh .ci/programs nginx nginx-lua haproxy apache2 apache2-php puma
	$(BIN)/python -m bench $(ARGS)
	$(if $(ARGS),,$(MAKE) bench-crawler)

bench-crawler: $(VENV)/.ready-bench .venv-scrapy/.ready .venv-scrapy-warc/.ready
	@sh .ci/programs haproxy postgres
	$(BIN)/python -m bench.crawler $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m bench.crawler --files)
	$(if $(ARGS),,$(BIN)/python -m bench.crawler --crawlers 4)
	$(if $(ARGS),,$(BIN)/python -m bench.crawler --pending 1000000)

bench-growth: $(VENV)/.ready-bench
	$(BIN)/python -m bench.growth $(ARGS)

soak: $(VENV)/.ready-bench
	$(BIN)/python -m bench.soak $(ARGS)

simulate: $(VENV)/.ready-bench
	$(BIN)/python -m bench.simulate $(ARGS)

fuzz: $(VENV)/.ready-test $(VENV)/html5lib/.ready
	$(BIN)/python -m fuzz $(ARGS)
	$(if $(ARGS),,LBC_HYPOTHESIS=big $(BIN)/python -m pytest)

# The compiled readers under AddressSanitizer and UndefinedBehaviorSanitizer: their tests, and random messages.
SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize: $(VENV)/.ready-test
	rm -rf build/sanitize && mkdir -p build/sanitize
	cp -r lbcompanion tests twisted fuzz setup.py pyproject.toml README.md LICENSE build/sanitize/
	cd build/sanitize && rm -f lbcompanion/http1/*.so lbcompanion/node/transports/*.so && CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" \
	    $(abspath $(BIN))/python setup.py -q build_ext --inplace --force
	cd build/sanitize && export LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 && \
	    $(abspath $(BIN))/python -m pytest -q -p no:cacheprovider tests/http1/test_usual_heads.py tests/http1/test_field_lines.py \
	    tests/http1/test_kept_head.py tests/node/proxy/test_usual_exchange.py tests/node/transports/test_socket_io.py \
	    tests/node/transports/test_socket_transport.py tests/node/transports/test_selector.py && \
	    $(abspath $(BIN))/python -m fuzz $(or $(ARGS),usual heads --seconds 120)

chaos: $(VENV)/.ready-test $(VENV)/replay/.ready
	@sh .ci/programs postgres mariadbd
	LBC_CHAOS_SECONDS=$${LBC_CHAOS_SECONDS:-600} LBC_CHAOS_SEED=$${LBC_CHAOS_SEED:-$$$$} \
	    $(BIN)/python -m pytest -s tests/e2e/test_several_crawlers.py -k chaos $(ARGS)

changes: $(VENV)/.ready-docs
	$(BIN)/towncrier build --draft

clean:
	rm -rf $(VENV) .venv-mitmproxy .venv-scrapy .venv-scrapy-warc build dist docs/_build lbcompanion.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf _trial_temp* tests.* twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
