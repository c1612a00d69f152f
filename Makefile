# Every target does its own set-up: it needs Node >= 20, npm, make and git, and says what else it fetches.
MAKEFLAGS += --no-print-directory
NODE := .cache/runtime/bin/node
PACKAGES := node_modules/.gwe-lock

.PHONY: help build check test fuzz demo sandbox dist test-targets test-faults test-fleet test-signals test-console console-shots bench bench-check bench-delta bench-fleet clean executables runtime supervisor compiler faketime readers loads database objects peers agents browser alerts

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

build: runtime ## dist/gwe for this machine's CPU
	@$(NODE) build.mjs

check: runtime ## types (also against the oldest runtime that ships), lint, format, architecture, sizes
	@node_modules/.bin/tsc -p .
	@node_modules/.bin/tsc -p src/packaging/tsconfig.node20.json
	@node_modules/.bin/tsc -p src/console
	@node_modules/.bin/biome check .
	@$(NODE) --test --test-reporter=dot test/unit/architecture.test.ts
	@$(NODE) test/measure-code.mjs

test: check supervisor compiler faketime readers database objects browser alerts build ## everything: check, then the unit, integration, conformance, console, fleet, e2e and fault tests
	@$(NODE) test/run.mjs unit integration conformance console fleet e2e fault

test-faults: supervisor compiler build ## the fault tests in full: every kill point, crash state and random round (an hour)
	@$(NODE) test/faults.mjs

test-fleet: database objects alerts runtime supervisor build ## a platform killed 35 times under load on each storage; one of three, their PostgreSQL and their Swift 10 times each (13 minutes); 20 real agents (4 minutes)
	@GWE_FLEET=full $(NODE) test/run.mjs fleet outages conformance/platform

test-signals: supervisor build ## 1,000 signals at random moments while gwe goes to sleep and gets up (half an hour)
	@GWE_FAULTS=full $(NODE) --test test/e2e/handover.test.ts

test-console: runtime browser ## the web console in a real browser, all of its tests (`make test` has the first)
	@$(NODE) test/run.mjs console console-all

console-shots: runtime browser ## pictures of the pages of the web console, into dist/console-shots
	@$(NODE) --no-warnings test/console-shots.ts

fuzz: runtime ## every decoder of outside bytes, GWE_FUZZ_SECONDS (600) for each; prints the inputs tried
	@$(NODE) --no-warnings test/fuzz/run.ts $(TARGETS)

demo: supervisor $(if $(FLEET),database objects) build ## an update from upload to rollback, on this machine, in half a minute; FLEET=1: on two platforms, PostgreSQL and Swift
	@FLEET=$(FLEET) $(NODE) --no-warnings test/demo/run.ts

sandbox: supervisor build ## a platform, three gateways and a rollout that fails: the console with a login, and a shell to play with them
	@$(NODE) test/demo/sandbox.ts

dist: executables ## executables, checksums and artifacts for every target, into dist/, and their sizes
	@$(NODE) src/packaging/dist.mjs
	@$(NODE) src/packaging/measure.mjs

test-targets: executables ## run each target's executable, foreign ones under qemu-user
	@$(NODE) test/run.mjs targets

bench: supervisor peers agents compiler build ## time, memory, wire and flash against other tools on this machine: the table of the README
	@$(NODE) --no-warnings test/bench/run.ts

bench-check: supervisor peers agents compiler build ## the same, and fails where a figure is worse than test/bench/committed.json by more than noise
	@$(NODE) --no-warnings test/bench/run.ts --check

bench-delta: peers build ## updates between real pairs of versions: bytes on the wire and time, beside other tools
	@$(NODE) --no-warnings test/bench/delta/run.ts $(if $(ONLY),--only '$(ONLY)')
	@$(NODE) --no-warnings test/bench/delta/patches.ts $(if $(ONLY),--only '$(ONLY)')

bench-fleet: database loads build ## check-ins of 100,000 gateways on one platform, beside nginx, a minimal server and pgbench
	@$(NODE) --no-warnings test/bench/fleet/run.ts $(if $(ONLY),--only '$(ONLY)')

clean: ## remove what the build made (the runtimes stay in .cache/runtimes)
	rm -rf dist .cache/build .cache/test

executables: runtime
	@$(NODE) build.mjs --target all

runtime: $(PACKAGES)
	@node src/packaging/setup.mjs runtime

supervisor: $(PACKAGES)
	@node src/packaging/setup.mjs supervisor

compiler: $(PACKAGES)
	@node src/packaging/setup.mjs compiler

peers: $(PACKAGES)
	@node src/packaging/setup.mjs peers

agents: $(PACKAGES)
	@node src/packaging/setup.mjs agents

faketime: $(PACKAGES)
	@node src/packaging/setup.mjs faketime

loads: $(PACKAGES)
	@node src/packaging/setup.mjs loads

database: $(PACKAGES)
	@node src/packaging/setup.mjs database

objects: $(PACKAGES)
	@node src/packaging/setup.mjs objects

browser: $(PACKAGES)
	@node src/packaging/setup.mjs browser

alerts: $(PACKAGES)
	@node src/packaging/setup.mjs alerts

readers: $(PACKAGES)
	@node src/packaging/setup.mjs readers

# The lock file decides, not its date: a fresh checkout of the same lock installs nothing.
$(PACKAGES): package-lock.json
	@cmp -s $< $@ || { echo 'installing the npm packages of package-lock.json'; npm ci --ignore-scripts --loglevel=error; }
	@cp $< $@
