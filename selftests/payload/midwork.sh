# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of programs share: each case is dumped in mid-work and restored, and its output must be that of an
# undisturbed run.  A case is a job_NAME function; what it writes below $PWD/out is the result.  "In mid-work" is when
# its cgroup has used a third of the CPU time that the undisturbed run took.  Sourced; run_cases is the test.

set -u

top=$PWD/programs
job_path=$PATH		# where jobs find their programs
export top
mkdir -p "$top"

run_job()
{
	mkdir -p "$1/out" && cd "$1" && "job_$2"
}

# check_images DIR NAME: what a test wants to see in the images of that case
check_images()
{
	:
}

cpu_usec()
{
	sed -n 's/usage_usec //p' "/sys/fs/cgroup/$1/cpu.stat" 2>/dev/null || echo 0
}

fail()
{
	failed=1
	echo "# $*"
	[ ! -f "$dir/log" ] || sed 's/^/# /' "$dir/log"
	echo "not ok $nr $c"
	crkhelper_gone
}

# nothing of a failed case may disturb the next
crkhelper_gone()
{
	[ ! -e "/sys/fs/cgroup/$group/cgroup.kill" ] || echo 1 >"/sys/fs/cgroup/$group/cgroup.kill"
	wait
	rmdir "/sys/fs/cgroup/$group" 2>/dev/null
}

# for crit, which reads them on the host
images_keep()
{
	local kept

	[ "${CRK_IMAGES-}" ] || return 0
	kept=$(mktemp -d "$CRK_IMAGES/programs-$c.XXXXXX") && ln "$1"/*.img "$kept" && rm "$kept"/pages-*
}

one_case()
{
	local total used start=$SECONDS
	dir=$top/$c group=programs-$c
	mkdir -p "$dir"
	# undisturbed
	(cd / && crkhelper run -g "$group" -- env PATH="$job_path" bash -c "run_job $dir/a $c &&
		grep usage_usec /sys/fs/cgroup/$group/cpu.stat") >"$dir/usage" 2>"$dir/log" </dev/null &&
		[ "$(find "$dir/a/out" -type f -size +0)" ] || { fail "the undisturbed run failed"; return; }
	total=$(sed -n 's/usage_usec //p' "$dir/usage")
	# dumped on the way
	(cd / && exec crkhelper run -g "$group" -- env PATH="$job_path" bash -c "run_job $dir/b $c") >"$dir/log" 2>&1 </dev/null &
	while used=$(cpu_usec "$group"); [ "${used:-0}" -lt $((total / 3)) ]; do
		kill -0 $! 2>/dev/null || { fail "ended too early"; return; }
		sleep 0.1
	done
	crkhelper dump -g "$group" -D "$dir/images" >>"$dir/log" 2>&1 || { fail "dump failed"; return; }
	wait
	check_images "$dir/images" "$c" || { fail "the images are not of what should be at work"; return; }
	images_keep "$dir/images" || { fail "images cannot be kept for crit"; return; }
	crkhelper restore -D "$dir/images" >>"$dir/log" 2>&1 || { fail "restore failed or the job did ($?)"; return; }
	diff -r "$dir/a/out" "$dir/b/out" >"$dir/diff" 2>&1 || { head -5 "$dir/diff" | sed 's/^/# /'; fail "results differ"; return; }
	echo "# $c: $((total / 1000)) ms of CPU time undisturbed, $((SECONDS - start)) s for all"
	echo "ok $nr $c"
	rm -rf "$dir"
}

# run_cases [NAME]...: of all jobs, or some
run_cases()
{
	local all
	all=$(declare -F | sed -n 's/declare -f job_//p')
	export -f run_job
	for c in $all; do export -f "job_$c"; done
	[ $# = 0 ] || all=$*
	echo "TAP version 13"
	echo "1..$(echo "$all" | wc -w)"
	nr=0 failed=0
	for c in $all; do
		nr=$((nr + 1))
		one_case
	done
	exit $failed
}
