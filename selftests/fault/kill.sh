#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 abi=x86_64,arm busy
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

groups() { echo /sys/fs/cgroup/*/ /sys/fs/cgroup/*/*/; }

# until nobody holds the job of GROUP frozen, or two seconds
thawed()
{
	local tries
	for tries in $(seq 100); do
		: "$tries"
		[[ "$(<"/sys/fs/cgroup/$1/cgroup.events")" == *"frozen 1"* ]] || break
		sleep 0.02
	done
}

echo "TAP version 13"
echo "1..4"

job_start killed 8
crkhelper dump -g killed -D images -R >log 2>&1 </dev/null || { result 1 "a dump to measure"; exit 1; }
rm -rf images
# the shortest of three, or the machine was busy with something else
span=
for i in 1 2 3; do
	start=$(now_us)
	crkhelper dump -g killed -D images -R >log 2>&1 </dev/null
	took=$(($(now_us) - start))
	[ "$span" ] && [ "$span" -lt $took ] || span=$took
	rm -rf images
done
bad=0 hit=0
for i in $(seq 0 $((points - 1))); do
	run_killed $((span * i / points)) crkhelper dump -g killed -D images -R && hit=$((hit + 1))
	thawed killed
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
	thawed killed
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
before_groups=$(groups)
before_mounts=$(</proc/self/mounts)
bad=0 hit=0
for i in $(seq 0 $((points - 1))); do
	if run_killed $((span * i / points)) crkhelper restore -D images -g killed -d; then
		hit=$((hit + 1))
	else
		job_stop killed
	fi
	rest=
	for tries in $(seq 100); do
		: "$tries"
		rest=$(left)
		[ "$rest" ] || break
		# the kill may have come after the start: then the job runs whole
		if job_runs killed 5 >/dev/null; then
			job_stop killed
			rest=
			break
		fi
	done
	if [ "$rest" ]; then
		echo "# killed after $((span * i / points)) us of $span: left behind: ${rest//$'\n'/, }"
		bad=1
		break
	fi
	# by the watcher, which may need a moment
	for tries in $(seq 200); do
		[ "$(groups)" != "$before_groups" ] || break
		sleep 0.02
	done
	if [ "$(groups)" != "$before_groups" ]; then
		echo "# killed after $((span * i / points)) us: a cgroup was left behind"
		bad=1
		break
	fi
	[ "$(</proc/self/mounts)" = "$before_mounts" ] || { echo "# a mount was left behind"; bad=1; break; }
done
echo "# $hit of $points kills came before the end of the restore"
[ $hit -ge $((points / 3)) ] || bad=1
result $bad "kill -9 of restore at $points points leaves nothing behind"

# a dump that ends the job: it goes on, or it is gone and the images are complete
crkhelper restore -D images -g killed -d >log 2>&1 </dev/null
start=$(now_us)
crkhelper dump -g killed -D ended >log 2>&1 </dev/null || { result 1 "a dump to measure"; exit 1; }
span=$(($(now_us) - start))
rm -rf ended
bad=0 hit=0 gone=0
crkhelper restore -D images -g killed -d >log 2>&1 </dev/null
for i in $(seq 0 $((points - 1))); do
	# most of it is copying; what matters is the last third
	at=$((span * 2 / 3 + span * (i - points / 3) / 2 / points))
	[ "$i" -ge $((points / 3)) ] || at=$((span * i * 2 / points))
	run_killed "$at" crkhelper dump -g killed -D ended && hit=$((hit + 1))
	thawed killed
	if ! job_runs killed 50 >/dev/null; then
		gone=$((gone + 1))
		if ! job_gone killed || ! crkhelper restore -D ended -g killed -d >log 2>&1 </dev/null || ! job_runs killed; then
			echo "# killed after $at us of $span: neither running nor saved"
			bad=1
			break
		fi
	fi
	rm -rf ended
done
echo "# $hit of $points kills came before the end of the dump, after $gone dumps it was gone"
[ $hit -ge $((points / 4)) ] && [ $gone -ge 1 ] || bad=1
result $bad "kill -9 of a dump that ends the job leaves it running, or complete images"
job_stop killed
exit "$failed"
