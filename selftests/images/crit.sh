#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=host timeout=300 abi=x86_64
#
# CRIU's crit reads one of each image that crk shares with CRIU, every field filled in.  CRIT= is another crit.

here=$(cd "${0%/*}" && pwd)
crit=${CRIT:-crit}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

echo "TAP version 13"
if ! command -v "${crit%% *}" >/dev/null; then
	echo "1..0 # SKIP no crit (Debian's package criu)"
	exit 0
fi
if ! CRK_SAMPLES="$work/dir" "$here/format" >"$work/log" 2>&1; then
	sed 's/^/# /' "$work/log"
	echo "Bail out! images/format did not write its samples"
	exit 1
fi

# entries IMAGE: how many entries format.c puts into it
entries()
{
	case $1 in
	inventory.img)	echo 1 ;;
	*)		echo 4 ;;
	esac
}

n=0 failed=0
for image in "$work"/dir/*; do
	name=${image##*/}
	case $name in
	crk-*|pages-*)	continue ;;	# ours alone; no messages
	esac
	n=$((n + 1)) ok=ok
	if ! $crit decode -i "$image" -o "$work/json" 2>"$work/log" ||
	   ! $crit decode -i "$image" --pretty >/dev/null 2>>"$work/log"; then
		ok="not ok"
	else
		have=$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["entries"]))' "$work/json")
		[ "$have" = "$(entries "$name")" ] || { ok="not ok"; echo "# $have entries"; }
	fi
	[ "$ok" = ok ] || failed=1
	sed 's/^/# /' "$work/log"
	echo "$ok $n $name"
done
echo "1..$n"
exit $failed
