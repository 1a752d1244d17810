#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 busy
#
# Threads inside restartable sequences (requirements 5.3, 5.5, 5.8, 5.9): dumped there again and again, they come out by their
# abort handler, in the restored copy and in one that was left running, and nothing that others have stored is lost.  Between
# dump and restore, and while they are frozen, their generation is changed: who was in a sequence then must have been aborted.
# shellcheck disable=SC2317	# functions are called by name

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

# how often; CRK_RSEQ_LEFT=1000 and the like for more
left=${CRK_RSEQ_LEFT:-60}
restored=${CRK_RSEQ_RESTORED:-60}

echo "TAP version 13"
echo "1..6"

# counters: asks for a new line; sets $sum $added $aborted $caught $continued
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
	read -r sum added aborted caught continued <counts
}

# nothing is lost, nobody went on in a sequence, and all goes on: sets $was for the next time
consistent()
{
	counters || { echo "# no counters"; return 1; }
	echo "# $sum in the counters, $added added, $aborted aborted, $caught of them by a dump, $continued went on"
	[ "$sum" = "$added" ] && [ "$continued" = 0 ] && [ "$added" -gt "$was" ] || return 1
	was=$added
}

generation=0
next_generation()
{
	generation=$((generation + 1))
	# shellcheck disable=SC2059	# bytes
	printf "$(printf '\\x%02x\\x%02x' $((generation & 255)) $((generation >> 8)))" 1<>counts.generation
}

leave_frozen()
{
	rm -rf img
	crkhelper dump -g rseq -D img --leave-frozen >log 2>&1 </dev/null || return 1
	next_generation
	echo 0 >/sys/fs/cgroup/rseq/cgroup.freeze
}

leave_running()
{
	rm -rf img
	crkhelper dump -g rseq -D img -R >log 2>&1 </dev/null
}

end_and_restore()
{
	rm -rf img
	crkhelper dump -g rseq -D img >log 2>&1 </dev/null || return 1
	next_generation
	crkhelper restore -D img -d >log 2>&1 </dev/null
}

# rounds N TEXT COMMAND
rounds()
{
	local i bad=0

	for i in $(seq "$1"); do
		"$3" || { echo "# failed in round $i"; bad=1; break; }
		[ $((i % 50)) != 0 ] || consistent || { echo "# after round $i"; bad=1; break; }
	done
	consistent || bad=1
	result $bad "$2, $1 times"
}

start()
{
	rm -f counts
	setsid crkhelper run -g rseq -- "$@" "$PWD/counts" >/dev/null 2>&1 </dev/null &
	until [ -s counts ]; do sleep 0.02; done
	pid=$(cat /sys/fs/cgroup/rseq/cgroup.procs)
	was=0
	consistent
}

start "$here/payload/percpu"
before=$aborted
rounds $((left / 2)) "dump of a program that goes on" leave_running
middle=$aborted
rounds $((left / 2)) "dump that leaves it frozen for a while" leave_frozen
first=$caught
rounds "$restored" "dump and restore" end_and_restore
# one thread at least is inside most of the time, and every dump ends that
[ $((middle - before)) -ge $((left / 16)) ] && [ "$first" -ge $((left / 8)) ] && [ $((caught - first)) -ge $((restored / 4)) ]
result $? "the abort handler was taken $((middle - before)), $first and $((caught - first)) times"
job_stop rseq

# areas registered by hand, in a program that is linked statically
own=percpu-static
[ -e "$here/payload/$own" ] || own=percpu
start env GLIBC_TUNABLES=glibc.pthread.rseq=0 "$here/payload/$own"
rounds $((restored / 4)) "dump and restore of areas registered by hand" end_and_restore
[ "$caught" -ge $((restored / 16)) ]
result $? "the abort handler was taken $caught times"
job_stop rseq
exit "$failed"
