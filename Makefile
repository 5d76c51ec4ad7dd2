# Everything that a target lacks it installs itself: Debian's packages by apt-get (as root), Python's into .venv.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Containers like to set it; every start of Python would then compile anew whatever it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON   := .venv/bin/python
# FRR=trixie or FRR=forky: the kernel tests on that Debian's FRR and BIRD
LAB      := tests/lab/run $(if $(FRR),--frr $(FRR))
PACKAGES := python3-venv frr frr-pythontools bird2 user-mode-linux kmod iproute2 nftables ethtool \
            iputils-ping iperf3 fping tcpdump procps e2fsprogs ca-certificates curl \
            $(if $(shell grep -m1 -wo amx_tile /proc/cpuinfo),gcc libc6-dev)
# promtool and Prometheus itself, a browser for the status page, what judges the Vagrantfile and the shell scripts
JUDGES   := prometheus chromium vagrant vagrant-libvirt shellcheck
PYTEST   := $(PYTHON) -m pytest
# What computes all the time gives way to the lab kernels, which mostly wait, and whose sessions must not.
BESIDE   := nice -n 10
# Which kernel tests share a boot of the lab kernel; `others` is whatever stands in none of these lists.
# The longest come first.
BOOTS     := providers job faults others traffic without_ipv6 rates hitless
faults    := faults two_routers
hitless   := hitless frr_descriptors
providers := providers
job       := main_job http change_one frr_faults control_packets secrets
traffic   := probe ingress shaping histories state_folder prometheus
without_ipv6 := without_ipv6
rates     := shared_rate measure
# They count packets and sessions, which a machine that stands still loses too: with no other boot beside them.
ALONE     := rates hitless
# Those of them, and of the native ones, that talk to FRR.
WITH_FRR  := providers job faults hitless without_ipv6
NATIVE_WITH_FRR := bgp_frr bfd_joins failover accept_lists clouds
# Unit tests of what a browser, Prometheus, Vagrant, a hook or the lab kernel makes of our files; and hostile input, at
# length.
JUDGED    := $(addprefix tests/unit/,config expose/test_page.py test_forge.py test_vagrant.py test_lab_run.py fuzz)
# The unit tests that need nothing but Python, in parts that keep two processors busy: what users and what programs meet,
# which starts daemons and waits for them; what an order says and what FRR is given; passes and probes; and `rest`, all
# others.
QUICK     := rest typed orders passes served
typed     := $(addprefix tests/unit/,test_cli.py test_latin1_terminal.py)
served    := $(addprefix tests/unit/,expose test_alone.py test_hanging_disk.py test_hostile_clients.py test_overload.py)
orders    := $(addprefix tests/unit/,order bgp)
passes    := $(addprefix tests/unit/,passes reconcile probe test_intent.py test_transaction.py)
# Those that mostly wait go on as soon as they can; what computes has the processors in between.
WAITING   := typed served
in_boot    = $(foreach test,$($(1)),tests/kernel/test_$(test).py)
others     = $(patsubst tests/kernel/test_%.py,%,$(filter-out $(foreach boot,$(filter-out others,$(BOOTS)),$(call in_boot,$(boot))),$(wildcard tests/kernel/test_*.py)))
DEBIANS   := bookworm trixie
system_test = echo "system tests: $(1)" && $(LAB) --systemd --timeout $(or $(2),900) $(PYTEST) -qx tests/system/test_$(1).py
KERNEL_TESTS = $(LAB) $(BOOT_WORDS) --timeout 2700 $(PYTEST) -q -m "not alone"

.PHONY: help demo shell test check matrix frr-tests native-frr $(addprefix quick-,$(QUICK)) lint types unit coverage native kernel $(addprefix boot-,$(BOOTS)) thorough system system-service system-vagrant_lab system-dist_upgrade $(addprefix system-on-,$(DEBIANS)) fresh soak fuzz mutants deb repo release wheel bench bench-page venv deps judges lock format clean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

demo: deps venv ## an edge and its clouds on this machine: real daemon, FRR, BIRD; ordered against measured (KEEP=1: a shell after)
	@$(LAB) $(PYTHON) -m tests.lab.demo

shell: deps venv ## the same, unmeasured, with a shell inside it and dcedge at hand, until you leave
	@$(LAB) $(PYTHON) -m tests.lab.demo --shell

# Boots of the lab kernel side by side, which mostly wait; the demo holds rates against the order and wants the machine
# to itself.
test: deps judges venv $(if $(FRR),root-$(FRR)) ## lint, types, unit and kernel tests (FRR=trixie: the kernel tests on that Debian's FRR)
	@echo "lint, types, unit and kernel tests, side by side"
	@$(MAKE) -j6 --output-sync=target lint types native $(addprefix boot-,$(filter-out $(ALONE),$(BOOTS))) unit
	@$(MAKE) $(addprefix boot-,$(ALONE))
	@echo "the demo" && $(LAB) $(PYTEST) -q tests/kernel/test_demo.py

check: venv ## the everyday command: lint, types, and the unit tests that need nothing but Python, in under a minute
	@$(MAKE) -j7 --output-sync=target lint types $(addprefix quick-,$(QUICK))

matrix: deps judges venv ## every platform that is supported, one after the other; a table at the end (some 40 minutes)
	@$(PYTHON) -m tests.lab.matrix

frr-tests: deps venv $(if $(FRR),root-$(FRR)) ## the tests that talk to FRR (FRR=trixie: with that Debian's)
	@$(MAKE) -j4 --output-sync=target $(addprefix boot-,$(filter-out $(ALONE),$(WITH_FRR))) native-frr
	@$(MAKE) $(addprefix boot-,$(filter $(ALONE),$(WITH_FRR)))

boot-without_ipv6: BOOT_WORDS := --append ipv6.disable=1
$(addprefix boot-,$(BOOTS)): boot-%: deps judges venv
	@echo "kernel tests: $($*)" && $(KERNEL_TESTS) $(call in_boot,$*)

lint: venv ## ruff: rules and format; yamllint
	@.venv/bin/ruff check -q . && .venv/bin/ruff format --check -q . && echo "ruff: clean"
	@.venv/bin/yamllint -s . && echo "yamllint: clean"

types: venv ## mypy --strict
	@$(BESIDE) .venv/bin/mypy

unit: deps judges venv ## the tests that need no kernel of their own
	@echo "unit tests" && $(BESIDE) $(PYTEST) -q tests/unit/fuzz && $(BESIDE) .venv/bin/coverage run -m pytest -q --ignore=tests/unit/fuzz tests/unit
	@echo "the unit tests run $$(.venv/bin/coverage report --format=total) % of the lines in this process (make coverage: which not)"

coverage: venv ## the lines that the last run of the unit tests left out
	@.venv/bin/coverage report --show-missing --skip-covered

native-frr: deps venv
	@echo "kernel tests on this machine's own kernel that talk to FRR"
	@$(if $(FRR),LAB_KERNEL=here $(LAB)) $(PYTEST) -q $(foreach test,$(NATIVE_WITH_FRR),tests/kernel/test_$(test).py)

$(addprefix quick-,$(QUICK)): quick-%: venv
	@echo "unit tests: $*" && $(if $(filter $*,$(WAITING)),,$(BESIDE)) $(PYTEST) -q --hypothesis-profile=check \
	    $(addprefix --ignore=,$(JUDGED) $(if $(filter rest,$*),$(foreach part,$(QUICK),$($(part))))) $(or $($*),tests/unit)

root-%:
	@tests/lab/make-root $*

native: deps judges venv ## the kernel tests that this machine's own kernel can run
	@echo "kernel tests on this machine's own kernel" && $(if $(FRR),LAB_KERNEL=here $(LAB)) $(PYTEST) -q tests/kernel

# One boot of the lab kernel for all of them; what they print and their exit status pass through.
kernel: deps judges venv ## the tests on a kernel with 802.1Q, VRF, HTB and fq_codel
	@echo "kernel tests" && $(KERNEL_TESTS) tests/kernel

thorough: deps judges venv ## the scenarios that `make test` runs small, at their full size
	@echo "histories in miniature at full size" && $(PYTEST) -q -m sized --thorough tests/unit
	@echo "scenarios at full size" && $(LAB) --timeout 5400 $(PYTEST) -q -m sized --thorough tests/kernel

# Boots of the lab kernel with systemd as process 1, a story each: the package is installed, used, upgraded and removed,
# on each Debian; Debian itself is upgraded under it; the machines of vagrant/ are provisioned, and what their README says
# is tried.
system: deps judges venv repo ## the package as a service under systemd on Debian 12 and 13; the Vagrant lab's scripts
	@$(PYTHON) -m package.deb
	@$(MAKE) -j2 --output-sync=target system-vagrant_lab $(addprefix system-on-,$(DEBIANS))
	@$(MAKE) system-dist_upgrade

system-vagrant_lab:
	@$(call system_test,vagrant_lab)

$(addprefix system-on-,$(DEBIANS)): system-on-%:
	@tests/lab/in-root $* make system-service

system-service: deps venv
	@tests/lab/install-packages systemd && $(PYTHON) -m package.deb --and-next && $(call system_test,service)

# The repository is at hand as the folder into which nothing is written. What takes the network comes before the boot.
system-dist_upgrade:
	@tests/lab/in-root --out build/repo bookworm make dist_upgrade

dist_upgrade: deps venv
	@tests/system/fetch-dist-upgrade "$$LAB_OUT" && export LAB_MEM=4G && $(call system_test,dist_upgrade,2700)

# In namespaces of its own, so that nothing stays mounted or running however it ends.
fresh: venv ## what README.md and config/operations.md say to type, typed on a Debian 12 with nothing on it
	@tests/lab/install-packages debootstrap git
	@setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc \
	    $(PYTEST) -q --fresh tests/fresh

soak: deps venv ## MINUTES=20 of all that can happen to a router, at random; afterwards nothing may be left (SEED=n: again)
	@$(LAB) $(PYTHON) -m tests.soak $(or $(MINUTES),20)

fuzz: venv ## MINUTES=5 of hostile input: orders, FRR's configuration, netlink events, control socket, HTTP, state files
	@end=$$((SECONDS + 60 * $(or $(MINUTES),5))); while ((SECONDS < end)); do \
	    $(PYTEST) -q --hypothesis-profile=long tests/unit/fuzz tests/unit/order/test_hostile.py || exit 1; done

mutants: venv ## faults put into the sources on purpose, each of which the unit tests have to notice
	@$(PYTHON) -m tests.mutants

deb: $(if $(DIST),,venv) ## the Debian package for this release, in build/deb (DIST=bookworm or trixie: for that)
	@$(if $(DIST),tests/lab/in-root --out build/deb $(DIST) sh -c 'make deb && cp build/deb/* $$LAB_OUT',$(PYTHON) -m package.deb)

repo: $(addprefix deb-for-,$(DEBIANS)) ## an apt repository in build/repo, with the package for Debian 12 and the one for 13
	@tests/lab/install-packages apt-utils && package/repository $(DEBIANS)

# Twice, byte for byte the same, or it fails.
release: venv ## wheel, both packages and their checksums, built twice and compared, in build/release
	@package/release $(DEBIANS)

deb-for-%:
	@$(MAKE) deb DIST=$*

wheel: venv ## the Python wheel, in build/wheel
	@umask 022 && export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && rm -rf build/lib build/bdist* && .venv/bin/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel . && ls build/wheel/*.whl

bench: deps venv $(if $(FRR),root-$(FRR)) ## the benchmarks, or one: B=shaping (B=bgp FRR=trixie); COMPARE=1: what changed; KEEP=1: keep this run
	@[[ -n '$(filter-out kernel,$(B))' ]] || tests/lab/unpack-package ifupdown2 build/ifupdown2
	@$(if $(FRR),LAB_KERNEL=here $(LAB) --out build/bench) $(PYTHON) -m tests.bench $(B) $(if $(COMPARE),--compare) $(if $(KEEP),--keep)

bench-page: venv ## write docs/performance.md anew from the kept run of the benchmarks
	@$(PYTHON) -m tests.bench.report

format: venv ## put the sources into ruff's format
	@.venv/bin/ruff check -q --fix-only . ; .venv/bin/ruff format -q .

deps: ## Debian's packages
	@tests/lab/install-packages $(PACKAGES)

judges: ## Debian's packages that only the tests need
	@tests/lab/install-packages $(JUDGES)

venv: .venv/installed ## Python's packages, in .venv
	@:

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	@tests/lab/install-packages python3-venv
	@mkdir -p build && flock build/venv.lock $(SHELL) -ec '\
	    [ -x $(PYTHON) ] || { echo "making .venv" && /usr/bin/python3 -m venv .venv; }; \
	    .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt; \
	    .venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	    touch $@'

lock: ## resolve pyproject.toml's dependencies anew into requirements*.txt
	@tests/lab/lock-requirements

clean: ## remove what was built, .venv too
	@rm -rf build dist .venv .ruff_cache .hypothesis agent/*.egg-info && find agent tests -name __pycache__ -prune -exec rm -rf {} +
