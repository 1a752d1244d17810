#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=x86_64,arm
#
# kill -9 of crkhelper at points spread over its whole run: after a dump that was killed the job goes on, unchanged;
# after a restore that was killed nothing of it is left.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

points=50

now_us() { local t=${EPOCHREALTIME}; echo $((${t%.*} * 1000000 + 10#${t#*.})); }

# run_killed DELAY_US CMD...: 0 if the kill came before the end
run_killed()
{
	"$here/payload/killat" "$@" >log 2>&1 </dev/null
}

# processes of the job and of crk
left()
{
	pgrep -lx counter
	pgrep -lx crkhelper
}

frozen() { grep -q 'frozen 1' "/sys/fs/cgroup/$1/cgroup.events"; }

echo "TAP version 13"
echo "1..3"

job_start killed 16
crkhelper dump -g killed -D images -R >log 2>&1 </dev/null || { result 1 "a dump to measure"; exit 1; }
rm -rf images
start=$(now_us)
crkhelper dump -g killed -D images -R >log 2>&1 </dev/null
span=$(($(now_us) - start))
rm -rf images
bad=0 hit=0
for i in $(seq 0 $((points - 1))); do
	run_killed $((span * i / points)) crkhelper dump -g killed -D images -R && hit=$((hit + 1))
	for tries in $(seq 100); do : "$tries"; frozen killed || break; sleep 0.02; done
	if ! job_runs killed; then
		echo "# killed after $((span * i / points)) us of $span: the job does not run"
		bad=1
		break
	fi
	rm -rf images
done
echo "# $hit of $points kills came before the end of the dump"
[ $hit -ge $((points / 3)) ] || bad=1
result $bad "kill -9 of dump at $points points leaves the job running"

bad=0
for i in $(seq 0 9); do
	run_killed $((span * i / 10)) crkhelper dump -t "$pid" -D images -R
	for tries in $(seq 100); do : "$tries"; frozen killed || break; sleep 0.02; done
	job_runs killed || bad=1
	rm -rf images
done
result $bad "kill -9 of dump -t leaves the job running"

crkhelper dump -g killed -D images >log 2>&1 </dev/null || { result 1 "a dump to restore"; exit 1; }
job_gone killed
wait
start=$(now_us)
crkhelper restore -D images -g killed -d >log 2>&1 </dev/null || { result 1 "a restore to measure"; exit 1; }
span=$(($(now_us) - start))
job_stop killed
before_groups=$(find /sys/fs/cgroup -type d | sort)
before_mounts=$(cat /proc/self/mounts)
bad=0 hit=0
for i in $(seq 0 $((points - 1))); do
	if run_killed $((span * i / points)) crkhelper restore -D images -g killed -d; then
		hit=$((hit + 1))
	else
		job_stop killed
	fi
	for tries in $(seq 150); do
		: "$tries"
		[ "$(left)" ] || break
		sleep 0.02
	done
	if [ "$(left)" ]; then
		# the kill may have come after the start: then the job runs whole
		if job_runs killed; then job_stop killed; continue; fi
		echo "# killed after $((span * i / points)) us of $span: left behind: $(left | tr '\n' ' ')"
		bad=1
		break
	fi
	if [ "$(find /sys/fs/cgroup -type d | sort)" != "$before_groups" ]; then
		echo "# killed after $((span * i / points)) us: a cgroup was left behind"
		bad=1
		break
	fi
	[ "$(cat /proc/self/mounts)" = "$before_mounts" ] || { echo "# a mount was left behind"; bad=1; break; }
done
echo "# $hit of $points kills came before the end of the restore"
[ $hit -ge $((points / 3)) ] || bad=1
result $bad "kill -9 of restore at $points points leaves nothing behind"
exit "$failed"
