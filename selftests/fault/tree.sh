#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=x86_64,arm busy
#
# dump -t of a tree that is not alone in its cgroup: whatever becomes of crkhelper, the tree goes on and ends up where it
# was.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/kills.sh
. "$here/payload/kills.sh"

points=30
group_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

# until the tree is back, its own group is gone and so is every process of crk's
at_home()
{
	local tries
	for tries in $(seq 200); do
		: "$tries"
		[ "$(group_of "$pid")" != /job ] || [ -d "/sys/fs/cgroup/job/crk-$pid" ] || pgrep '^crk-' >/dev/null ||
			return 0
		sleep 0.02
	done
	echo "# pid $pid is in $(group_of "$pid"); $(echo /sys/fs/cgroup/job/*/); $(pgrep -l '^crk')"
	return 1
}

echo "TAP version 13"
echo "1..6"

job_start job 16
sleep 1000 &
bystander=$!
echo $bystander >/sys/fs/cgroup/job/cgroup.procs

bad=0
kills_of crkhelper dump -t "$pid" -D images -R && job_runs job && at_home || bad=1
rm -rf images
result $bad "a dump brings the tree back to its cgroup"

bad=0
for i in $(seq $points); do
	kill_next 0 110 crkhelper dump -t "$pid" -D images -R
	if ! at_home || ! job_runs job; then
		echo "# kill $i, after $kill_at us of $kill_end"
		bad=1
		break
	fi
	rm -rf images
done
kills_enough || bad=1
result $bad "kill -9 at $points points: it is brought back"

# nobody is left to bring it back
caught=
for i in $(seq 20); do
	crkhelper dump -t "$pid" -D images -R >log 2>&1 </dev/null &
	dumper=$!
	# until the tree is in it
	until read -r _ 2>/dev/null <"/sys/fs/cgroup/job/crk-$pid/cgroup.procs" || ! kill -0 $dumper 2>/dev/null; do :; done
	kill -STOP $dumper 2>/dev/null
	if [ "$(group_of "$pid")" = "/job/crk-$pid" ] && pkill -KILL -x crk-watch; then
		kill -KILL $dumper
		wait $dumper 2>/dev/null
		caught=1
		break
	fi
	kill -CONT $dumper 2>/dev/null
	wait $dumper
	rm -rf images
done
rm -rf images
[ $caught ] && [ "$(group_of "$pid")" = "/job/crk-$pid" ] && job_runs job
result $? "the watcher killed too: it goes on, in the cgroup that was made for it"
crkhelper dump -t "$pid" -D images -R >log 2>&1 </dev/null && job_runs job && at_home
result $? "... and the next dump brings it back"
rm -rf images

# one that is there already, with somebody else in it
mkdir "/sys/fs/cgroup/job/crk-$pid"
sleep 1000 &
other=$!
echo $other >"/sys/fs/cgroup/job/crk-$pid/cgroup.procs"
expect 1 "cgroup /job/crk-$pid, which the tree would go to, has pid $other in it, which is not of the tree" \
	crkhelper dump -t "$pid" -D images -R && job_runs job && [ "$(group_of "$pid")" = /job ] && [ ! -e images ]
result $? "somebody else is in a cgroup of that name"
kill $other
wait $other 2>/dev/null
rmdir "/sys/fs/cgroup/job/crk-$pid"

crkhelper dump -t "$pid" -D images --leave-frozen >log 2>&1 </dev/null && rm -rf images &&
	crkhelper dump -t "$pid" -D images -R >log 2>&1 </dev/null && [ "$(group_of "$pid")" = "/job/crk-$pid" ] &&
	grep -q 'frozen 1' "/sys/fs/cgroup/job/crk-$pid/cgroup.events"
result $? "one that was left frozen stays so, and where it is"
echo 0 >"/sys/fs/cgroup/job/crk-$pid/cgroup.freeze"
kill $bystander
rmdir "/sys/fs/cgroup/job/crk-$pid" 2>/dev/null
echo 1 >/sys/fs/cgroup/job/cgroup.kill
job_gone job
wait
rmdir "/sys/fs/cgroup/job/crk-$pid" /sys/fs/cgroup/job
exit "$failed"
