#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=host timeout=300 abi=x86_64
#
# crkhelper show survives images that make no sense together, and its JSON is valid.

here=$(cd "${0%/*}" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0 failed=0

# result STATUS TEXT
result()
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		failed=1
		sed 's/^/# /' "$work/log"
		echo "not ok $n $2"
	fi
}

echo "TAP version 13"
echo "1..4"
if ! CRK_SAMPLES="$work/dir" "$here/format" >"$work/log" 2>&1; then
	sed 's/^/# /' "$work/log"
	echo "Bail out! images/format did not write its samples"
	exit 1
fi

crkhelper show "$work/dir" >"$work/text" 2>"$work/log" && grep -q "4 processes" "$work/text"
result $? "text"
crkhelper show "$work/dir" --json >"$work/json" 2>"$work/log" &&
	python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))["files"]) == 4' "$work/json" 2>>"$work/log"
result $? "JSON"
printf 'x' | dd of="$work/dir/files.img" bs=1 seek=40 conv=notrunc status=none
crkhelper show "$work/dir" >"$work/text" 2>"$work/log"
[ $? = 1 ] && [ ! -s "$work/text" ] && grep -q "image files.img is damaged" "$work/log"
result $? "a damaged image is named"
rm "$work/dir/inventory.img"
crkhelper show "$work/dir" >"$work/text" 2>"$work/log"
[ $? = 1 ] && grep -q "not a complete checkpoint" "$work/log"
result $? "an incomplete checkpoint is none"
exit $failed
