#!/bin/sh
# Installs what the tests run on and pip cannot bring: Debian's Redis, Postgres, HAProxy, Prometheus with promtool,
# and wrk, which is the one that they can do without. As root, or through sudo without a password.
# Where it may not, it says so; the tests then say for themselves what they could not run.
set -eu

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v promtool >/dev/null || missing="$missing prometheus"
command -v amtool >/dev/null || missing="$missing prometheus-alertmanager"
command -v haproxy >/dev/null || missing="$missing haproxy"
command -v wrk >/dev/null || missing="$missing wrk"
command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "NOT INSTALLED:$missing (no apt-get here); the tests that need them will not run" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "NOT INSTALLED:$missing (neither root nor sudo); the tests that need them will not run" >&2
    exit 0
fi

echo "installing$missing ..." >&2
# RUNLEVEL=1: the packages start no server of their own.
# shellcheck disable=SC2086 # Words to split.
$as_root apt-get -qq update &&
    $as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends --yes $missing >/dev/null ||
    echo "NOT INSTALLED:$missing (apt-get failed); the tests that need them will not run" >&2
