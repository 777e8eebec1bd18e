#!/usr/bin/env bash
# Unpacks Debian's redis-server below .tools, for tests, unless there is one on PATH
# already. Needs apt-get but no root; run by `make tools`.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/.tools
program=$tools/bin/redis-server

if command -v redis-server >/dev/null || "$program" --version >/dev/null 2>&1; then
	exit 0
fi
command -v apt-get >/dev/null || {
	echo "make tools: neither redis-server nor apt-get found; install Redis 7 or newer" >&2
	exit 1
}

mkdir -p "$tools/bin" "$tools/redis"
download() { (cd "$tools/redis" && apt-get download redis-tools libjemalloc2 liblzf1); }
# Where package lists were cleaned away, root can fetch them again.
download >"$tools/redis/log" 2>&1 || { apt-get update && download; } >>"$tools/redis/log" 2>&1 || {
	cat "$tools/redis/log" >&2
	echo "make tools: apt-get can't download redis-tools; install redis-server (Debian: apt install redis-server)" >&2
	exit 1
}
for deb in "$tools"/redis/*.deb; do
	dpkg-deb --extract "$deb" "$tools/redis"
done
rm "$tools"/redis/*.deb

# The server is what redis-check-rdb is too, by the name it is called by.
server=$tools/redis/usr/bin/redis-server
ln -sf redis-check-rdb "$server"
libraries=$(dirname "$(find "$tools/redis/usr/lib" -name 'liblzf.so*' -print -quit)")
cat >"$program" <<END
#!/bin/sh
LD_LIBRARY_PATH=$libraries exec "$server" "\$@"
END
chmod +x "$program"
"$program" --version
