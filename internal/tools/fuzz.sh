#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh [TIME].
set -euo pipefail
cd "$(dirname "$0")/../.."

time=${1:-20s}
count=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# fuzz PACKAGE TARGET. A failing input that is still being made smaller when time is
# up would be lost, hence little time for that. When time is up, go test now and then reports a target that
# found nothing as failed, by "context deadline exceeded" and no failing input.
fuzz() {
	go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 5s </dev/null 2>&1 | tee "$out" && return
	grep -q 'context deadline exceeded' "$out" && ! grep -qE 'Failing input|panic|hung or terminated' "$out"
}

# Their names are read, as go test -list would link each package's tests once more.
while IFS=: read -r file target; do
	package=./$(dirname "$file")
	echo "fuzz: $package $target for $time"
	fuzz "$package" "$target"
	count=$((count + 1))
done < <(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
[ "$count" -gt 0 ]
echo "fuzz: $count targets"
