#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, that what the README shows first works.  Prints TAP.

top=$(cd "${0%/*}/../.." && pwd)
echo "TAP version 13"
echo "1..1"
out=$(make -C "$top" demo 2>&1)
status=$?
while IFS= read -r line; do
	echo "# $line"
done <<<"$out"
if [ $status = 0 ] && grep -q "the same processes as before" <<<"$out" && grep -q "the file is the same" <<<"$out"; then
	echo "ok 1 make demo"
else
	echo "not ok 1 make demo"
	exit 1
fi
