# SPDX-License-Identifier: BSD-2-Clause
# Makefile - a thin wrapper around meson and ninja; see "make help".

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
SUITE ?=
BENCH ?=
TIME ?= 60
PYTHON := /usr/bin/python3
# In CI warnings are errors.
MESON_FLAGS ?= $(if $(filter true,$(CI)),--werror)
RUN := BUILD=$(BUILD) CI=$(CI)

.PHONY: all deps demo check bench fuzz format install uninstall clean help
.PHONY: build-deps check-deps demo-deps bench-deps
# Targets depend on each other through ninja; one at a time is right.
.NOTPARALLEL:

all: build-deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(MESON_FLAGS) $(BUILD)

deps:
	@scripts/deps

build-deps check-deps demo-deps bench-deps:
	@scripts/deps $(@:-deps=)

# Only what the demo runs: half the time of a whole build.
DEMO := glend tools/glenctl tools/glen-gen bench/tap_blast

demo: demo-deps $(BUILD)/build.ninja
	@ninja -C $(BUILD) $(DEMO)
	@$(RUN) scripts/demo

check: check-deps
	@$(RUN) $(PYTHON) scripts/check $(SUITE)

bench: bench-deps all
	@$(RUN) bench/run $(BENCH)

fuzz: check-deps
	@$(RUN) $(PYTHON) scripts/check --fuzz "$(FUZZ)" --time $(TIME)

format: check-deps
	@git ls-files '*.[ch]' | xargs clang-format -i

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild \
		$(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))
	@test -n "$(DESTDIR)" || test "$$(id -u)" -ne 0 || ldconfig

uninstall:
	@ninja -C $(BUILD) uninstall

clean:
	@rm -rf build build-*

help:
	@echo "make            build everything in $(BUILD)/"
	@echo "make deps       install the missing Debian packages (sudo if not root)"
	@echo "make demo       one minute of real traffic through a private glend"
	@echo "make check      all test suites; the last line is the result"
	@echo "make check SUITE=unit"
	@echo "                some of them: style unit clang cross install fuzz netns nic module peer fault vhost httpd vm soak asan tsan"
	@echo "make bench      all benchmarks; results also in $(BUILD)/bench.json"
	@echo "make bench BENCH='glend-60 rtt'"
	@echo "                some of them"
	@echo "make fuzz FUZZ=NAME TIME=60"
	@echo "                one libFuzzer target for TIME seconds"
	@echo "make format     clang-format over all C files"
	@echo "make install    to PREFIX=$(PREFIX), below DESTDIR if set"
	@echo "make uninstall  remove what the last install put there"
	@echo "make clean      remove build directories"
	@echo "variables: BUILD (build directory), CI=true (warnings are errors),"
	@echo "           GLEN_DEPS=skip (never install packages)"
