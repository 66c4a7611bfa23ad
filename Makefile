FUZZTIME ?= 10s
BENCHFLAGS ?=
FAULTS ?= .
SOAK ?= 15m
INJECT ?= all
SEEDS ?= 100000
MUTANTSEEDS ?= 5000
VERSION ?=

.PHONY: help build binary release test race vet lint verify reproducible gosec sbom vuln supply \
	fuzz sim mutants e2e screenshots alerts-check deploy-check faults inject compare soak bench restarts ci

help: ## this list of targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary, ./holdfast
	go build -o holdfast .

binary: ## dist/holdfast, static, with VERSION in it; the same source gives the same bytes
	tools/release dist/holdfast $(VERSION)

release: binary sbom ## dist/ whole: the binary, an archive, a Debian package, their SBOM and checksums
	deploy/package/build dist $(VERSION)

test: ## the tests that need nothing but Go
	go test ./...

race: ## the same tests with the race detector, in random order; those of proxy over TLS too
	go test -race -shuffle=on ./...
	go test -race -shuffle=on -short ./proxy -tls

vet: ## go vet, the tests behind build tags included
	go vet ./...
	go vet -tags e2e ./e2e ./deploy/...
	go vet -tags faults ./faults/...
	go -C deploy/check vet ./...

lint: ## gofmt, tidy modules, staticcheck, errcheck, exhaustive, misspell
	tools/lint

verify: ## whether the modules on disk are those that go.sum names
	go mod verify
	go -C tools mod verify
	go -C tools/supply mod verify
	go -C deploy/check mod verify

reproducible: ## the release built twice, in two folders with two caches: are the bytes the same?
	tools/supply/reproducible

gosec: ## gosec on the packages that the binary is made of
	tools/supply/gosec

sbom: binary ## dist/holdfast.cdx.json: what the release was built from, as CycloneDX
	tools/supply/sbom dist/holdfast

vuln: binary ## known vulnerabilities in the source and in the release; asks vuln.go.dev, or GOVULNDB
	tools/supply/vuln dist/holdfast

supply: verify reproducible gosec sbom vuln ## all of the five

fuzz: ## every fuzz target for FUZZTIME
	tools/fuzz $(FUZZTIME)

sim: ## SEEDS seeds of the simulation, its exhaustive part, and whether all was seen
	go run ./internal/sim -seeds $(SEEDS) -gates
	go run ./internal/sim -splits

mutants: ## the proxy broken in one place at a time: the simulation must notice within MUTANTSEEDS seeds
	go run ./internal/sim/mutate -seeds $(MUTANTSEEDS)

e2e: ## the binary between Python, Node, Ruby, many libraries, curl, openssl, nginx, HAProxy and a browser; installs them
	e2e/install
	go test -tags e2e -count=1 -parallel=4 -timeout=5m ./e2e

alerts-check: ## the alerts, their cases and the dashboard's expressions, by promtool; installs it
	e2e/install prometheus
	PATH="$(CURDIR)/e2e/bin:$$PATH" go test -tags e2e -count=1 ./deploy/prometheus ./deploy/grafana

deploy-check: ## deploy/ held to what reads it: Kubernetes, compose, systemd, dpkg, and the Dockerfile by hand; needs root
	deploy/check/install
	go -C deploy/check test -count=1 -timeout=10m ./...

screenshots: ## pictures of the status page and the demo in dist/screenshots; writes docs/status-page.png
	e2e/install
	mkdir -p dist/screenshots
	SCREENSHOTS=$(CURDIR)/dist/screenshots go test -tags e2e -count=1 -run '^Test(StatusPageLooks|DemoInABrowser)$$' ./e2e
	cp dist/screenshots/status-page.png docs/status-page.png

faults: ## the binary in networks that slow down, lose packets and fail, between peers that freeze and flood; needs root
	faults/install
	go test -tags faults -count=1 -parallel=8 -timeout=10m -run '$(FAULTS)' -skip '^Test(Compare|Soak)' ./faults

inject: ## each system call of the running binary fails with each of its errors; INJECT=quick takes about a minute
	INJECT=$(INJECT) go test -tags faults -count=1 -parallel=4 -timeout=60m -v ./faults/inject

compare: ## how long Holdfast and other proxies take to end dead sessions; writes the table of docs/reliability.md; needs root
	faults/install nginx haproxy caddy
	go test -tags faults -count=1 -parallel=16 -timeout=10m -v -run '^TestCompare$$' ./faults

soak: ## the binary for SOAK among sessions of all kinds, thousands of them, squeezed and killed; needs root
	faults/install
	SOAK=$(SOAK) go test -tags faults -count=1 -timeout=0 -v -run '^TestSoak' ./faults

bench: ## Holdfast compared with other proxies; BENCHFLAGS=-quick takes about a minute
	go run ./bench $(BENCHFLAGS)

restarts: ## what a restart of Holdfast and of other proxies does to sessions; writes the table of docs/restarts.md
	go run ./bench restarts -write docs/restarts.md

ci: ## all steps that a change must pass
	.ci/run
