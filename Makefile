# The front door. A bare Debian 12 with make and git is enough: missing packages are installed first.
# Everything else is CMake: `cmake --workflow --preset dev` does what `make test` does after its first step.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SEEDS ?= 1000
SECONDS ?= 20
CYCLES ?= 100
MINUTES ?= 10
SOAK_FLAGS ?=
DEMO_FLAGS ?=
EXPLORE ?=
CRASH_FLAGS ?=

.PHONY: help deps configure build demo demo-postgres test check tidy-all contract sim sabotage corrupt images kill soak crash exhaustive fuzz sanitize sanitize-core release clean format

help: ## this list
	@echo "Twofold: make <what>"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo "Variables: JOBS=$(JOBS) (parallel compilers and tests), SEEDS=$(SEEDS) (make sim), SECONDS=$(SECONDS) (make fuzz), CYCLES=$(CYCLES) (make kill), MINUTES=$(MINUTES) (make soak), TWOFOLD_SKIP_DEPS=1"

deps: ## install the Debian packages that are missing (tools/packages.txt)
	@tools/install-packages.sh

configure: deps
	@tools/configure.sh dev

build: configure ## build everything into build/dev
	@echo "build: compiling with $(JOBS) jobs (the first time takes minutes; ccache remembers)"
	@cmake --build --preset dev -j $(JOBS)

demo: configure ## show a transaction over several databases surviving crashes
	@echo "demo: building the two programs that it needs (the first time takes minutes)"
	@cmake --build --preset dev -j $(JOBS) --target twofold-demo
	@build/dev/bin/twofold-demo $(DEMO_FLAGS)

demo-postgres: DEMO_FLAGS += --postgres
demo-postgres: demo ## the same on PostgreSQL servers that it starts for itself

test: build ## build and run every test
	@echo "test: running all tests, $(JOBS) at a time"
	@ctest --preset dev -j $(JOBS)

check: configure ## format, house rules, contract, header self-check, clang-tidy of what has changed
	@tools/check.sh

tidy-all: configure ## clang-tidy over every file, changed or not (half an hour); make check looks at what has changed
	@python3 tools/run_tidy.py --all -j $(JOBS)
	@python3 tools/run_tidy.py --record

contract: configure ## lint the OpenAPI documents and test the running servers against them; SEED=n repeats a run
	@echo "contract: building the program"
	@cmake --build --preset dev -j $(JOBS) --target twofold
	@tools/contract.sh $(if $(SEED),--seed $(SEED))

sim: configure ## run the simulator over SEEDS=n seeds; says which situations were reached
	@echo "sim: building the simulator"
	@cmake --build --preset dev -j $(JOBS) --target twofold-sim
	@echo "sim: $(SEEDS) seeds"
	@build/dev/bin/twofold-sim --situations --seeds 1..$(SEEDS)

# Their names without the filters: what tools/sabotage.txt runs.
SABOTAGE_TARGETS = twofold-sim twofold_sim_explore_test twofold_coordinator_core_test twofold_participant_core_test \
	twofold_protocol_test twofold_participant_sqlite_test twofold_participant_postgres_test twofold_participant_postgres_unit_test twofold_coordinator_test \
	twofold_http_test twofold_damage_test twofold-corrupt-without-crc

sabotage: configure ## plant every deliberate bug, one by one: each must be noticed; BUGS='sqlite.*' for some
	@echo "sabotage: building the tests that must notice"
	@cmake --build --preset dev -j $(JOBS) --target $(SABOTAGE_TARGETS)
	@python3 tools/sabotage.py build/dev/bin $(if $(BUGS),'$(BUGS)')

exhaustive: configure ## every history of one transaction within bounds; EXPLORE="--duplicates 1 …" for others
	@echo "exhaustive: building the search"
	@cmake --build --preset dev -j $(JOBS) --target twofold-explore
	@build/dev/bin/twofold-explore $(EXPLORE)

crash: configure ## the crash matrix: every point × fault × database × path on real processes; CELLS=n, EVERY=k: less
	@echo "crash: building"
	@cmake --build --preset dev -j $(JOBS) --target twofold-crash
	@build/dev/bin/twofold-crash $(if $(CELLS),--cells $(CELLS)) $(if $(EVERY),--every $(EVERY)) $(CRASH_FLAGS)

fuzz: deps ## libFuzzer for SECONDS=n on each parser and decoder; FUZZ="target …" for some of them only
	@tools/configure.sh fuzz
	@echo "fuzz: building the targets with sanitizers (slow the first time)"
	@cmake --build --preset fuzz -j $(JOBS) --target twofold-fuzz twofold-fuzz-seeds
	@tools/fuzz.sh $(FUZZ_FLAGS) $(SECONDS) $(JOBS) $(FUZZ)

corrupt: configure ## damage a stored log of 1 MiB at every bit and byte (15 min of CPU); CASES=n, STRIDE=n: less
	@echo "corrupt: building"
	@cmake --build --preset dev -j $(JOBS) --target twofold-corrupt
	@build/dev/bin/twofold-corrupt --threads $(JOBS) $(if $(CASES),--cases $(CASES)) $(if $(STRIDE),--stride $(STRIDE))

images: configure ## cut the power after every call of the log and of SQLite, and recover each disk; SEED=n
	@echo "images: building"
	@cmake --build --preset dev -j $(JOBS) --target twofold-images
	@build/dev/bin/twofold-images $(if $(SEED),--seed $(SEED)) $(if $(EVERY),--every $(EVERY))

kill: configure ## kill processes under load, CYCLES=n times, and audit the books; SEED=n
	@echo "kill: building"
	@cmake --build --preset dev -j $(JOBS) --target twofold-kill
	@build/dev/bin/twofold-kill --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

soak: configure ## load and faults every 5 to 60 s for MINUTES=n, then an audit; SEED=n, SOAK_FLAGS="--pause-max-ms 2000"
	@echo "soak: building"
	@cmake --build --preset dev -j $(JOBS) --target twofold-soak
	@build/dev/bin/twofold-soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(SOAK_FLAGS)

sanitize: deps ## unit tests and simulator under ASan+UBSan, then under TSan
	@for lane in asan tsan; do \
	    tools/configure.sh $$lane; \
	    echo "sanitize: building lane $$lane (slow the first time)"; \
	    cmake --build --preset $$lane -j $(JOBS); \
	    ctest --preset $$lane -j $(JOBS); \
	done

SANITIZED := base protocol coordinator_core participant_core recovery wal participant_sqlite \
    participant_postgres_unit participant_postgres
empty :=
space := $(empty) $(empty)

sanitize-core: deps ## what sanitize finds in a quarter of its time: machines, log, both adapters, SEEDS=n seeds, ASan+UBSan
	@tools/configure.sh asan
	@echo "sanitize: building (slow the first time)"
	@cmake --build --preset asan -j $(JOBS) --target twofold-sim $(SANITIZED:%=twofold_%_test)
	@ctest --test-dir build/asan --output-on-failure --no-tests=error -j $(JOBS) \
	    -R '^($(subst $(space),|,$(strip $(SANITIZED))))[.]'
	@build/asan/bin/twofold-sim --seeds $(SEEDS)

release: deps ## hardened build without crash points into build/release
	@tools/configure.sh release
	@echo "release: compiling with $(JOBS) jobs"
	@cmake --build --preset release -j $(JOBS)

format: deps ## rewrite our C++ files with clang-format
	@git ls-files -co --exclude-standard -- '*.cc' '*.h' | xargs -r clang-format-16 -i
	@echo "format: done"

clean: ## remove build/
	@rm -rf build
	@echo "clean: build/ removed"
