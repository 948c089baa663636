#!/usr/bin/env bash
# Gives every fuzz target of the repository FUZZTIME (a duration or, as 1000x, a number of executions), one after
# the other. What makes a target fail is written below testdata/fuzz of its package, where `go test` tries it
# for ever after. The last line counts.
set -uo pipefail
cd "$(dirname "$0")/.."

time=${FUZZTIME:-5s}
targets=0 execs=0 failed=0

fuzz() {
	local package=$1 target=$2 out status
	for _ in 1 2 3; do
		out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$package" 2>&1)
		status=$?
		ended_late "$out" || break
	done
	# The last report of progress has the sum.
	local n
	n=$(grep -o 'execs: [0-9]*' <<<"$out" | tail -1 | tr -dc 0-9)
	targets=$((targets + 1)) execs=$((execs + ${n:-0}))
	if [ "$status" = 0 ]; then
		echo "$package $target: ${n:-0} executions"
	else
		failed=$((failed + 1))
		echo "$package $target: FAILED"
		sed 's/^/    /' <<<"$out"
	fi
}

# ended_late succeeds where the fuzzing engine failed, and no input did: when the time is over while a worker is
# busy, it may call that a failure ("context deadline exceeded", go.dev/issue/75804, mended in Go 1.27).
ended_late() {
	grep -q 'context deadline exceeded' <<<"$1" && ! grep -q 'Failing input written' <<<"$1"
}

for package in $(go list ./...); do
	list=$(go test -list '^Fuzz' "$package") || { echo "$list"; exit 1; }
	for target in $(grep '^Fuzz' <<<"$list"); do
		fuzz "$package" "$target"
	done
done
echo "fuzz: $targets targets, $execs executions, $failed failures"
[ "$failed" = 0 ] && [ "$targets" -gt 0 ]
