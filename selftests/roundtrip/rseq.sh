#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 busy
#
# Threads inside restartable sequences (requirements 5.3, 5.5, 5.9): dumped there again and again, they come out by their
# abort handler, in the restored copy and in one that was left running, and nothing that others have stored is lost.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

# how often; CRK_RSEQ_LEFT=1000 and the like for more
left=${CRK_RSEQ_LEFT:-100}
restored=${CRK_RSEQ_RESTORED:-100}

echo "TAP version 13"
echo "1..3"

# counters: asks for a new line; sets $sum $added $aborted
counters()
{
	local tries
	rm -f counts
	kill -USR1 "$pid"
	for tries in $(seq 500); do
		: "$tries"
		[ ! -s counts ] || break
		sleep 0.02
	done
	read -r sum added aborted <counts
}

# nothing is lost, and all goes on: sets $was for the next time
consistent()
{
	counters || { echo "# no counters"; return 1; }
	echo "# $sum in the counters, $added added, $aborted aborted"
	[ "$sum" = "$added" ] && [ "$added" -gt "$was" ] || return 1
	was=$added
}

setsid crkhelper run -g rseq -- "$here/payload/percpu" "$PWD/counts" >/dev/null 2>&1 </dev/null &
until [ -s counts ]; do sleep 0.02; done
pid=$(cat /sys/fs/cgroup/rseq/cgroup.procs)
was=0
consistent
before=$aborted
bad=0
for i in $(seq "$left"); do
	crkhelper dump -g rseq -D img -R >log 2>&1 </dev/null || { echo "# failed in round $i"; bad=1; break; }
	rm -rf img
done
consistent || bad=1
result $bad "$left dumps of a program that goes on"

bad=0
first=$aborted
for i in $(seq "$restored"); do
	rm -rf img
	if ! { crkhelper dump -g rseq -D img >log 2>&1 </dev/null && crkhelper restore -D img -d >log 2>&1 </dev/null; }; then
		echo "# failed in round $i"
		bad=1
		break
	fi
	[ $((i % 50)) != 0 ] || consistent || { echo "# after round $i"; bad=1; break; }
done
consistent || bad=1
result $bad "$restored dumps and restores"

# one thread is inside most of the time, and every restore ends that
[ $((aborted - first)) -ge $((restored / 4)) ] && [ $((first - before)) -ge $((left / 8)) ]
result $? "the abort handler was taken $((first - before)) and $((aborted - first)) times"
job_stop rseq
exit "$failed"
