#!/usr/bin/env bash
# Compares the Go benchmarks of the working tree with those of another revision:
# bench-compare.sh [REVISION]. COUNT is how often each runs, BENCH a regexp of names,
# PACKAGES what is benchmarked.
set -euo pipefail
cd "$(dirname "$0")/../.."

benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
base=${1:-origin/main}
read -ra packages <<<"${PACKAGES:-./server/... ./abi/... ./plugin/... ./cmd/extproc}"

commit=$(git rev-parse --verify --quiet "$base^{commit}") || {
	echo "bench-compare: $base is no revision here: fetch it, or name another with BASE=..." >&2
	exit 1
}
tree=.tools/bench-base
out=$(mktemp -d)
remove() { [ ! -e "$tree" ] || git worktree remove --force "$tree"; }
trap 'remove; rm -rf "$out"' EXIT
remove
git worktree prune
git worktree add --quiet --detach "$tree" "$commit"
ln -s "$PWD/.tools" "$tree/.tools" # benchmarks of stores look for redis-server there

# Both take turns, so that what else the machine does hits both.
turn() {
	(cd "$1" && go test -run '^$' -bench "${BENCH:-.}" -benchmem "${packages[@]}") >>"$out/$2" || {
		cat "$out/$2"
		exit 1
	}
}
for i in $(seq "${COUNT:-6}"); do
	echo "bench-compare: turn $i of ${COUNT:-6}" >&2
	turn "$tree" base
	turn . tree
done
grep -q ^Benchmark "$out/tree" || {
	echo "bench-compare: no benchmark of ${packages[*]} fits ${BENCH:-.}" >&2
	exit 1
}
GOFLAGS= go run "$benchstat" "base=$out/base" "tree=$out/tree"
