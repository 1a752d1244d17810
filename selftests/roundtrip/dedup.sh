#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=x86_64
#
# crkhelper dedup: of a chain of dumps only what the last one needs stays on the disk.  That one can be restored at every moment,
# and the others are refused once they are not whole.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/orders.sh
. "$here/payload/orders.sh"

# KiB on the disk
used() { du -sk "$1" | cut -f1; }

dedup() { crkhelper dedup -D "$1" --json >log 2>&1 </dev/null || { sed 's/^/# /' log; return 1; }; }

echo "TAP version 13"
if [ ! "$tracked" ]; then
	echo "1..0 # SKIP this kernel does not track writes to memory"
	exit 4
fi
echo "1..7"

# a: all; b: many pages anew; c: a few more; d: another one on top of b
changes_start
crk pre-dump a && order w 700 && increment b ../a && order W 400 && order d 100 && crk dump d -R --prev-images-dir ../b &&
	order w 60 && increment c ../b || exit 1
changes_stop
before=$(used a)

ret=1
expect 1 "cannot open checkpoint 'none'" crkhelper dedup -D none && expect 2 'needs -D DIR' crkhelper dedup &&
	expect 0 "'a' builds on no other checkpoint: there is nothing to give up" crkhelper dedup -D a && [ "$(used a)" = "$before" ] && ret=0
result $ret "nothing there, nothing to give up"

ret=1
cp -a a kept && printf 'crk' | dd of=a/pages-1.img bs=1 seek=8192 conv=notrunc status=none && sum=$(md5sum a/* b/*.img c/*.img | md5sum) &&
	expect 1 "image .*a/pages-1.img is damaged" crkhelper dedup -D c && [ "$(md5sum a/* b/*.img c/*.img | md5sum)" = "$sum" ] && ret=0
rm -rf a && mv kept a
result $ret "damage is found before anything is given up"

# killed at any moment: in the check, between the lists, while room is given back
mkdir all && cp -a a b c d all/
ret=0 cut=0
begin=${EPOCHREALTIME/[.,]/}
dedup c || ret=1
whole=$((${EPOCHREALTIME/[.,]/} - begin))
for part in $(seq 4 4 100); do
	rm -rf a b c d && cp -a all/. . || ret=1
	timeout -s KILL "$(printf '%d.%06d' $((whole * part / 100 / 1000000)) $((whole * part / 100 % 1000000)))" \
		crkhelper dedup -D c >/dev/null 2>&1 </dev/null
	[ $? != 137 ] || cut=$((cut + 1))
	crkhelper restore -D c -g $group --check >log 2>&1 </dev/null || { sed "s/^/# at $part of 100: /" log; ret=1; }
done
[ $cut != 0 ] || { echo "# none was killed"; ret=1; }
echo "# $cut of 25 killed in time"
dedup c && restored c || ret=1
changes_stop
result $ret "killed at any moment, the last one is whole"

ret=1
rm -rf a b c d && cp -a all/. . && dedup c && [ "$(json parents)" = 2 ] && [ "$(json freed_bytes)" -gt 2000000 ] &&
	[ $((before - $(used a))) -ge 1500 ] && restored c && ret=0
changes_stop
result $ret "room is given back, and the last one is restored"

ret=1
dedup c && [ "$(json freed_bytes)" = 0 ] && crkhelper show b >log 2>&1 && said 'given up +[0-9.]+ [KM]iB of pages' &&
	crkhelper show --json b >log 2>&1 && [ "$(json given_up_bytes)" -gt 0 ] && ret=0
result $ret "a second time there is nothing; show tells what was given up"

ret=1
refused "'b' has only those pages left that a checkpoint on top of it needs" b &&
	refused "pid $pid: pages at [0-9a-f]+ were in '.*[ab]', and were given up for another checkpoint on top of that" d &&
	expect 1 "'.*b' has only those pages left that a checkpoint on top of it needs" crkhelper dedup -D b && ret=0
result $ret "checkpoints that are not whole any more are refused by name"

ret=1
restored c && expect 1 "b' has only those pages left" crkhelper dump -g $group -D e -R --prev-images-dir ../b && [ ! -e e ] &&
	crk dump e -R --prev-images-dir ../c && restored e && ret=0
changes_stop
result $ret "the last one is a parent as before, those before it are none"
exit "$failed"
