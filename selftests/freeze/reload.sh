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
echo "1..6"

if ! modprobe -n crk 2>/dev/null; then
	for _ in 1 2 3 4 5 6; do skip "modprobe does not find crk"; done
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
	# each time restored by another module than the one that has dumped it
	if [ $((i % 5)) = 0 ] && ! { rm -rf images; crkhelper dump -g reload -D images >log 2>&1 </dev/null && rmmod crk && modprobe crk &&
	     crkhelper restore -D images -d >log 2>&1 </dev/null && job_runs reload; }; then
		echo "# no restore in round $i"
		bad=1
		break
	fi
	rm -rf images
done
job_runs reload || bad=1
result $bad "$rounds times rmmod, insmod and a dump, some restored"

rmmod crk
crkhelper dump -g reload -D images -R >log 2>&1 </dev/null && grep -q '^crk ' /proc/modules
result $? "crkhelper loads the module by itself"
rm -rf images

# the guard's probes stay for a minute when there is nothing to guard any more
probes=/sys/kernel/debug/kprobes/list
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
seen=$(grep -c 'cgroup_freeze\|cgroup_leave_frozen' $probes)
start=$SECONDS
rmmod crk
took=$((SECONDS - start))
[ "$seen" -ge 1 ] && [ $took -lt 30 ] && ! grep 'cgroup_freeze\|cgroup_leave_frozen' $probes
result $? "the guard's probes go with the module, which does not wait for them"
modprobe crk

exec 3<>/dev/crk
rmmod crk 2>log && bad=1 || bad=0
exec 3>&-
# what the clock of an emulated machine says is none of ours
said=$(dmesg | tail -n +$((lines + 1)) | grep -v 'crk-test:\|hrtimer: interrupt took\|clocksource: ')
[ -z "$said" ] || { echo "# the kernel said: $said"; bad=1; }
result $bad "rmmod is refused while the device is open; no kernel message"
job_stop reload

# without FUNCTION: sets $other, a name that no kernel has; the module looks for that instead
without()
{
	other=${1%?}7
	python3 - "$(modinfo -n crk)" "$1" "$other" <<-'END'
	import lzma, sys
	path, name, other = sys.argv[1:]
	code = (lzma.open if path.endswith(".xz") else open)(path, "rb").read()
	at = b"\0" + name.encode() + b"\0"
	assert code.count(at) >= 1
	# its own name for it stays; only strings are changed
	open("crk.ko", "wb").write(code.replace(at, b"\0" + other.encode() + b"\0"))
	END
}

rmmod crk
without walk_page_range && ! insmod ./crk.ko 2>log && ! grep -q '^crk ' /proc/modules && [ ! -e /dev/crk ] &&
	dmesg | tail -n 5 | grep -q "crk: the kernel has no $other, needed for: dump: .*(CONFIG_"
result $? "a kernel without a function that is needed: no module, and its name"
without kernel_clone && insmod ./crk.ko && crkhelper check >log 2>&1 && grep -q "missing *memory snapshots" log
result $? "a kernel without one that is not: check says what is off"
rmmod crk
modprobe crk
exit "$failed"
