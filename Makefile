# `make demo` shows what ckptfs does, `make test` proves it, `make help` lists the rest.
# Needed: go, git, make; FUSE for everything that mounts. Go fetches the modules.

export CGO_ENABLED := 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# The version is given, so Go need not ask git, which refuses in a tree of another user.
BUILD := go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# Flags for `go test`, as in: make test FLAGS='-run Views -v'.
FLAGS ?=
# Power cuts of `make powercut`, for each file system and model; the long run is CUTS=100.
CUTS ?= 5
# Rounds of `make killtest`: some 0.7 s each on a machine that does nothing else.
ROUNDS ?= 200
# How long `make modeltest` looks.
TIME ?= 1m
# What `make fuzz` gives each target: a duration, or a number of executions as 1000x.
FUZZTIME ?= 5s
# Where `make bench` measures.
DIR ?= .
# Debian's Python: python3-torch belongs to it, whatever python3 comes first in PATH.
PYTHON ?= /usr/bin/python3

# Runs tests, and prints what they have counted on the last line.
counted = @figures=$$(mktemp); export FIGURES=$$figures; $(1); status=$$?; \
	LC_ALL=C sort $$figures | paste -s -d ';' | sed 's/;/; /g'; rm -f $$figures; exit $$status

.DEFAULT_GOAL := help

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## Build bin/ckptfs, one static binary
	$(BUILD) -o bin/ckptfs ./cmd/ckptfs

.PHONY: cross
cross: ## Build bin/ckptfs-linux-amd64 and bin/ckptfs-linux-arm64
	GOOS=linux GOARCH=amd64 $(BUILD) -o bin/ckptfs-linux-amd64 ./cmd/ckptfs
	GOOS=linux GOARCH=arm64 $(BUILD) -o bin/ckptfs-linux-arm64 ./cmd/ckptfs

.PHONY: demo
demo: fuse build ## Build and take the tour: a real run, a save that dies, a save that succeeds
	bin/ckptfs demo

.PHONY: test
test: fuse ## Check the format, vet, and run all tests, mounted ones included
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .) && test -z "$$unformatted" || \
		{ echo "not formatted, run gofmt -w on: $$unformatted"; exit 1; }
	go vet ./...
	$(call counted,go test $(FLAGS) ./...)

.PHONY: e2e
e2e: fuse torch build ## Train with PyTorch over a mount as many trainers do, with kills in the middle of saves
	$(PYTHON) -B testdata/trainers/e2e.py
	$(PYTHON) -B testdata/trainers/others.py

.PHONY: crashtest
crashtest: ## Try every disk that a power cut may leave of a save, in memory
	$(call counted,go test -count=1 -timeout 0 -run 'EveryPowerCut|EverySync|EveryStep' $(FLAGS) ./fs/store -allcuts)

.PHONY: powercut
powercut: fuse disks ## Cut the power CUTS times under ext4, XFS and btrfs (root)
	$(call counted,CUTS=$(CUTS) go test -count=1 -timeout 0 $(FLAGS) ./fs/powercut)

.PHONY: killtest
killtest: fuse ## Kill ckptfs and its writers at random moments, ROUNDS times
	$(call counted,ROUNDS=$(ROUNDS) go test -count=1 -timeout 0 -run Kill $(FLAGS) ./fs)

.PHONY: modeltest
modeltest: fuse ## Do random operations to a mount and to a model of it, for TIME
	$(call counted,MODEL_TIME=$(TIME) go test -count=1 -timeout 0 -run Model $(FLAGS) ./fs)

.PHONY: fuzz
fuzz: ## Look for input that breaks a reader, for FUZZTIME each
	@FUZZTIME=$(FUZZTIME) testdata/fuzz.sh

.PHONY: bench
bench: fuse build ## Measure a mount against the disk at DIR, into docs/PERFORMANCE.md
	bin/ckptfs bench --no-passthrough --into docs/PERFORMANCE.md $(FLAGS) $(DIR)

.PHONY: bench-peers
bench-peers: fuse build peers ## The same, beside bindfs, mergerfs and a plain go-fuse loopback
	go build -o bin/loopback ./testdata/loopback
	bin/ckptfs bench --no-passthrough --into docs/PERFORMANCE.md $(FLAGS) --peer bindfs=bindfs \
		--peer 'mergerfs=mergerfs -o cache.files=partial,minfreespace=0' --peer loopback=bin/loopback $(DIR)

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin

# Root mounts by itself; everybody else goes through fusermount3 and opens the device.
.PHONY: fuse
fuse:
	@test -c /dev/fuse || { echo "FUSE is missing: run 'modprobe fuse', or start the container with --device /dev/fuse --cap-add SYS_ADMIN"; exit 1; }
	@test "$$(id -u)" = 0 || command -v fusermount3 >/dev/null || { echo "FUSE is missing: sudo apt-get install fuse3"; exit 1; }
	@test -r /dev/fuse -a -w /dev/fuse || { echo "FUSE is not open to $$(id -un): sudo chmod 0666 /dev/fuse"; exit 1; }

.PHONY: torch
torch:
	@$(PYTHON) -c 'import torch' 2>/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get update -q && apt-get install -qy python3-torch; } || \
		{ echo "PyTorch is missing: sudo apt-get install python3-torch"; exit 1; }

.PHONY: disks
disks:
	@test "$$(id -u)" = 0 || { echo "only root can attach and mount disk images: sudo make powercut"; exit 1; }
	@missing=; for tool in mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs; do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
	test -z "$$missing" || { apt-get update -q && apt-get install -qy --no-install-recommends $$missing; } || \
		{ echo "missing:$$missing"; exit 1; }

# What cannot be installed is left out, and the table says so.
.PHONY: peers
peers:
	@missing=; for tool in bindfs mergerfs; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -z "$$missing" || { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -qy --no-install-recommends $$missing; } || \
		echo "left out: sudo apt-get install$$missing"
