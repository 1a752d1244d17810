#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=x86_64,arm busy
#
# The module comes and goes 100 times with jobs in between; it can't go while it is in use; the kernel says nothing.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

rounds=100

echo "TAP version 13"
echo "1..3"

if ! modprobe -n crk 2>/dev/null; then
	skip "modprobe does not find crk"
	skip "modprobe does not find crk"
	skip "modprobe does not find crk"
	exit
fi

job_start reload
lines=$(dmesg | wc -l)
bad=0
for i in $(seq $rounds); do
	if ! { rmmod crk && modprobe crk && crkhelper dump -g reload -D images -R >log 2>&1 </dev/null; }; then
		echo "# failed in round $i"
		bad=1
		break
	fi
	rm -rf images
done
job_runs reload || bad=1
result $bad "$rounds times rmmod, insmod and a dump"

rmmod crk
crkhelper dump -g reload -D images -R >log 2>&1 </dev/null && grep -q '^crk ' /proc/modules
result $? "crkhelper loads the module by itself"
rm -rf images

exec 3<>/dev/crk
rmmod crk 2>log && bad=1 || bad=0
exec 3>&-
# what the clock of an emulated machine says is none of ours
said=$(dmesg | tail -n +$((lines + 1)) | grep -v 'crk-test:\|hrtimer: interrupt took\|clocksource: ')
[ -z "$said" ] || { echo "# the kernel said: $said"; bad=1; }
result $bad "rmmod is refused while the device is open; no kernel message"
job_stop reload
exit "$failed"
