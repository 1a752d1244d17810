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
# shellcheck source=selftests/payload/kills.sh
. "$here/payload/kills.sh"

points=50

# processes of the job and of crk
left()
{
	pgrep -lx counter
	pgrep -lx crkhelper
	pgrep -lx crk-lazy-pages
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
echo "1..5"

job_start killed 8
kills_of crkhelper dump -g killed -D images -R || { result 1 "a dump to measure"; exit 1; }
rm -rf images
bad=0
for i in $(seq $points); do
	kill_next 0 110 crkhelper dump -g killed -D images -R
	thawed killed
	if ! job_runs killed; then
		echo "# kill $i, after $kill_at us of $kill_end: the job does not run"
		bad=1
		break
	fi
	rm -rf images
done
kills_enough || bad=1
result $bad "kill -9 of dump at $points points leaves the job running"

kills_of crkhelper dump -t "$pid" -D images -R
bad=$?
rm -rf images
for i in $(seq 10); do
	kill_next 0 110 crkhelper dump -t "$pid" -D images -R
	thawed killed
	job_runs killed || { echo "# kill $i, after $kill_at us of $kill_end"; bad=1; }
	rm -rf images
done
kills_enough || bad=1
result $bad "kill -9 of dump -t leaves the job running"

crkhelper dump -g killed -D images >log 2>&1 </dev/null || { result 1 "a dump to restore"; exit 1; }
job_gone killed
wait
before_groups=
before_mounts=

# restore_kills POINTS ARG...: nothing is left of any, or the job runs whole
restore_kills()
{
	local i tries rest bad=0 points=$1
	shift
	kills_of crkhelper restore -D images -g killed -d "$@" || return 1
	job_stop killed
	before_groups=$(groups)
	before_mounts=$(</proc/self/mounts)
	for i in $(seq "$points"); do
		kill_next 0 110 crkhelper restore -D images -g killed -d "$@" || job_stop killed
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
			echo "# kill $i, after $kill_at us of $kill_end: left behind: ${rest//$'\n'/, }"
			bad=1
			break
		fi
		# by the watcher, which may need a moment
		for tries in $(seq 200); do
			[ "$(groups)" != "$before_groups" ] || break
			sleep 0.02
		done
		if [ "$(groups)" != "$before_groups" ]; then
			echo "# kill $i, after $kill_at us of $kill_end: a cgroup was left behind"
			bad=1
			break
		fi
		[ "$(</proc/self/mounts)" = "$before_mounts" ] || { echo "# a mount was left behind"; bad=1; break; }
	done
	kills_enough && [ $bad = 0 ]
}

restore_kills $points
result $? "kill -9 of restore at $points points leaves nothing behind"

if crkhelper check | grep -q 'ok *lazy pages'; then
	restore_kills 15 --lazy-pages
	result $? "the same while memory is missing"
else
	skip "the same while memory is missing: $(crkhelper check | grep 'lazy pages')"
fi

# a dump that ends the job: it goes on, or it is gone and the images are complete
crkhelper restore -D images -g killed -d >log 2>&1 </dev/null
kills_of crkhelper dump -g killed -D ended || { result 1 "a dump to measure"; exit 1; }
rm -rf ended
bad=0 gone=0
crkhelper restore -D images -g killed -d >log 2>&1 </dev/null
for i in $(seq $points); do
	# most of it is copying; what matters is the last third
	kill_next $((i % 3 ? 66 : 0)) 115 crkhelper dump -g killed -D ended
	thawed killed
	if ! job_runs killed 50 >/dev/null; then
		gone=$((gone + 1))
		if ! job_gone killed || ! crkhelper restore -D ended -g killed -d >log 2>&1 </dev/null || ! job_runs killed; then
			echo "# kill $i, after $kill_at us of $kill_end: neither running nor saved"
			bad=1
			break
		fi
	fi
	rm -rf ended
done
echo "# after $gone dumps it was gone"
kills_enough && [ $gone -ge 1 ] || bad=1
result $bad "kill -9 of a dump that ends the job leaves it running, or complete images"
job_stop killed
exit "$failed"
