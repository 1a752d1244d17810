#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian abi=x86_64,arm
#
# A dump that is interrupted amid its memory ends there, not when all is copied: the job goes on as before, no directory is
# left, and one sentence says so.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

mib=256

# images_mib: what the images have by now
images_mib() { du -sm --apparent-size images 2>/dev/null | cut -f1; }

# interrupt SIGNAL PHASE ARG...: a dump, when a tenth of the memory is in its images; PHASE is the one that must not end
interrupt()
{
	local signal=$1 phase=$2 dump status
	shift 2

	# in a script's background SIGINT is ignored
	env --default-signal=INT crkhelper dump -v -g big -D images "$@" >log 2>&1 </dev/null &
	dump=$!
	until [ "$(images_mib || true)" -gt $((mib / 10)) ] 2>/dev/null || ! kill -0 $dump 2>/dev/null; do :; done
	kill -"$signal" $dump
	wait $dump
	status=$?
	[ $status = 1 ] || { echo "# exit status $status, not 1"; return 1; }
	if grep -Eq ": $phase +[0-9.]+ ms" log; then
		echo "# it ended $phase before it took note of the signal"
		return 1
	fi
	[ "$(grep -v ' ms$' log | grep -c '^crkhelper: dump: interrupted$')" = 1 ] || { echo "# it does not say that it was interrupted"; return 1; }
	[ ! -e images ] || { echo "# images are left"; return 1; }
	[[ "$(</sys/fs/cgroup/big/cgroup.events)" == *"frozen 0"* ]] || { echo "# the job is frozen"; return 1; }
	job_runs big
}

echo "TAP version 13"
echo "1..4"
job_start big $mib

interrupt INT memory
result $? "SIGINT while memory is copied; the processes would have ended"
interrupt TERM memory -R --snapshot=never
result $? "SIGTERM while memory is copied; the processes would have gone on"
interrupt INT pages -R --snapshot=always
result $? "SIGINT while memory is read from snapshots"

crkhelper dump -g big -D images >log 2>&1 </dev/null && job_gone big && crkhelper restore -d -D images -g big >log 2>&1 </dev/null &&
	job_runs big
result $? "a dump after that is whole"
job_stop big
exit "$failed"
