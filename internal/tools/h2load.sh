#!/usr/bin/env bash
# Installs h2load, which `make soak` and `make bench` make load with, where Debian's
# packages can be had.
set -euo pipefail
command -v h2load >/dev/null && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if command -v apt-get >/dev/null && { [ -z "$sudo" ] || command -v sudo >/dev/null; }; then
	$sudo apt-get update -qq
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nghttp2-client >/dev/null
fi
command -v h2load >/dev/null || {
	echo "h2load.sh: h2load not found; install it (Debian: apt-get install nghttp2-client)" >&2
	exit 1
}
