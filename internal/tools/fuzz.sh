#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh [TIME].
set -euo pipefail
cd "$(dirname "$0")/../.."

time=${1:-20s}
count=0
while read -r package; do
	while read -r target; do
		echo "fuzz: $package $target for $time"
		go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" </dev/null
		count=$((count + 1))
	done < <(go test -list '^Fuzz' "$package" </dev/null | grep '^Fuzz' || true)
done < <(go list -f '{{.ImportPath}} {{.TestGoFiles}} {{.XTestGoFiles}}' ./... | grep '_test.go' | cut -d' ' -f1)
echo "fuzz: $count targets"
