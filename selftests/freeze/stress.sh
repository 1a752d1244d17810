#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 abi=x86_64,arm busy
#
# Dumps of a busy tree that makes and loses processes all the time, while somebody thaws it and freezes and thaws its
# parent, moves some of its processes out and in, stops and continues all and kills some (requirement 2.19).  Each dump
# either fails with the reason and the tree goes on, or its images give back a tree in which nothing is lost.
# CRK_STRESS is the number of dumps.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

rounds=${CRK_STRESS:-25}	# 500 for a long one

echo "TAP version 13"
echo "1..4"

# asks all for their counters; 0: all answer, and nothing is lost
consistent()
{
	local tries
	rm -f counts forked
	# they come back stopped if they were
	pkill -CONT -x 'percpu|forker|sh'
	pkill -USR1 -x percpu
	pkill -USR1 -x forker
	for tries in $(seq 500); do
		: "$tries"
		if [ -s counts ] && [ -s forked ]; then break; fi
		sleep 0.02
	done
	if ! { read -r sum added _ <counts && read -r word reaped killed <forked; }; then
		echo "# no answer"
		return 1
	fi
	[ "$sum" = "$added" ] || { echo "# $sum in the counters of the sequences, $added added"; return 1; }
	[ "$word" = ok ] || { echo "# the forker: $word $reaped $killed"; return 1; }
}

calm()
{
	rm -f go
	until [ -e idle ]; do sleep 0.005; done
}

cp "$(type -P sleep)" bystander
mkdir /sys/fs/cgroup/stress
setsid crkhelper run -g stress/job -- sh -c "$here/payload/percpu $PWD/counts & $here/payload/forker $PWD/forked &
	./bystander 100000 & ./bystander 100000 & ./bystander 100000 & wait" >/dev/null 2>&1 </dev/null &
until [ -s counts ] && [ -s forked ]; do sleep 0.02; done
mkdir /sys/fs/cgroup/elsewhere
"$here/payload/disturb" /sys/fs/cgroup/stress/job /sys/fs/cgroup/elsewhere >/dev/null 2>&1 </dev/null &
disturb=$!

bad=0 dumps=0 refused=0 thaws=0
: >reasons
for i in $(seq "$rounds"); do
	rm -rf img
	: >go
	# some by one attempt, some by as many as it takes
	crkhelper dump -g stress/job -D img --json --retry $((i % 2 * 3)) >out 2>log </dev/null
	status=$?
	calm
	case $status in
	0)
		dumps=$((dumps + 1))
		n=$(sed -n 's/.*"thaws_held_off": \([0-9]*\).*/\1/p' out)
		thaws=$((thaws + n))
		# what was outside when it ended is there still, and in the way
		pkill -KILL -x bystander
		if ! crkhelper restore -D img -d >log 2>&1 </dev/null; then
			echo "# round $i: cannot be restored"
			bad=1
			break
		fi ;;
	1)
		refused=$((refused + 1))
		grep -v warning log >>reasons
		# one sentence, or one for each process that was disturbed
		if [ "$(sed '1,/trying again, 3 of/{/trying again/,$!d}' log | grep -vc 'warning\|hint:\|^crkhelper: dump: task ')" -gt 1 ] || [ ! -s log ]; then
			echo "# round $i: not one sentence"
			bad=1
			break
		fi ;;
	*)
		bad=1
		break ;;
	esac
	[ $((i % 10)) != 0 ] || consistent || { echo "# after round $i"; bad=1; break; }
done
kill $disturb
consistent || bad=1
result $bad "$rounds dumps under disturbance: $dumps were restored, $refused refused"
sed -E 's/[0-9]+/N/g' reasons | sort | uniq -c | sort -rn | head -n 20 | sed 's/^/# /'

[ "$dumps" -ge $((rounds / 10)) ] && [ "$thaws" -gt 0 ]
result $? "enough of them were restored, and $thaws thaws were held off"

# nothing of the guard is left: a thaw works, and the module can go
echo 1 >/sys/fs/cgroup/stress/job/cgroup.freeze
until grep -q '^frozen 1' /sys/fs/cgroup/stress/job/cgroup.events; do sleep 0.01; done
echo 0 >/sys/fs/cgroup/stress/job/cgroup.freeze
until grep -q '^frozen 0' /sys/fs/cgroup/stress/job/cgroup.events; do sleep 0.01; done
consistent
result $? "others can freeze and thaw again"
job_stop stress/job
rmdir /sys/fs/cgroup/elsewhere /sys/fs/cgroup/stress
if modprobe -n crk 2>/dev/null; then
	rmmod crk && modprobe crk
	result $? "the module can go and come"
else
	skip "modprobe does not find crk"
fi
exit "$failed"
