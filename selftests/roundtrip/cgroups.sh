#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900
#
# Cgroups below the target: all that is in them is frozen, dumped, and restored where it was, in cgroups with the limits
# and owners they had; one that was frozen on its own is so afterwards.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

top=/sys/fs/cgroup
dir=$(mktemp -d /tmp/cgroups.XXXXXX) && cd "$dir" || exit 1
for controller in memory pids cpu; do
	echo "+$controller" >"$top/cgroup.subtree_control" || { echo "1..0 # SKIP no controller $controller"; exit 0; }
done

done_by()
{
	timeout 100 "$@" >log 2>&1 </dev/null
}

pid_of()
{
	local p
	read -r _ _ p <"count.$1"
	echo $((10#$p))
}

cgroup_of()
{
	sed -n 's/^0:://p' "/proc/$1/cgroup"
}

# is the counter NAME of this tree in cgroup $2, and does it run?
at()
{
	[ "$(cgroup_of "$(pid_of "$1")")" = "$2" ] || { echo "# $1 is in $(cgroup_of "$(pid_of "$1")"), not in $2"; return 1; }
}

runs_at()
{
	at "$1" "$2" && job_runs "$1"
}

stands_at()
{
	local before
	at "$1" "$2" || return 1
	before=$(cat "count.$1")
	sleep 0.5
	[ "$(cat "count.$1")" = "$before" ] || { echo "# $1 is not frozen"; return 1; }
}

is()
{
	[ "$(cat "$top/$1")" = "$2" ] || { echo "# $1: $(cat "$top/$1"), not $2"; return 1; }
}

second_thread()
{
	find "/proc/$1/task" -mindepth 1 -maxdepth 1 ! -name "$1" -printf '%f\n' | head -n1
}

# job/main: the shell; job/a: limits, another owner, and below it job/a/deep; job/t: threads apart; job/f: frozen
build()
{
	local name
	rm -f count.*
	# shellcheck disable=SC2016	# for that shell
	setsid crkhelper run -g job -- sh -c '
		for n in a deep t f; do "$0/payload/counter" "$PWD/count.$n" 1 & done; wait' "$here" >/dev/null 2>&1 </dev/null &
	for name in a deep t f; do
		until [ -s "count.$name" ]; do sleep 0.02; done
	done
	shell=$(awk '/^PPid:/ { print $2 }' "/proc/$(pid_of a)/status")
	mkdir -p $top/job/{main,a/deep,t/w,f,empty}
	echo "$shell" >$top/job/main/cgroup.procs
	for name in a t f; do
		pid_of $name >"$top/job/$name/cgroup.procs"
	done
	pid_of deep >$top/job/a/deep/cgroup.procs
	echo threaded >$top/job/t/w/cgroup.type
	thread=$(second_thread "$(pid_of t)")
	echo "$thread" >$top/job/t/w/cgroup.threads
	echo "+memory +pids +cpu" >$top/job/cgroup.subtree_control
	echo 64M >$top/job/a/memory.max
	echo 7 >$top/job/a/pids.max
	echo "20000 100000" >$top/job/f/cpu.max
	echo 50 >$top/job/f/cpu.weight
	echo 11 >$top/job/empty/pids.max
	chown 1000:1000 $top/job/a $top/job/a/cgroup.procs
	chmod 700 $top/job/a
	echo 1 >$top/job/f/cgroup.freeze
	until grep -q 'frozen 1' $top/job/f/cgroup.events; do sleep 0.02; done
}

unbuild()
{
	[ -d "$top/$1" ] || return 0
	echo 1 >"$top/$1/cgroup.kill"
	until grep -q 'populated 0' "$top/$1/cgroup.events"; do sleep 0.02; done
	wait
	find "$top/$1" -depth -type d -exec rmdir {} +
}

# all processes where they were, and those that should run do
members()
{
	runs_at a "/$1/a" && runs_at deep "/$1/a/deep" && runs_at t "/$1/t" && stands_at f "/$1/f" &&
		[ "$(cgroup_of "$shell")" = "/$1/main" ] && [ "$(pid_of a)" = "$pid_a" ] &&
		[ "$(sed -n 's/^0:://p' "/proc/$(pid_of t)/task/$thread/cgroup")" = "/$1/t/w" ]
}

settings()
{
	is "$1/cgroup.subtree_control" "cpu memory pids" && is "$1/a/memory.max" 67108864 && is "$1/a/pids.max" 7 &&
		is "$1/f/cpu.max" "20000 100000" && is "$1/f/cpu.weight" 50 && is "$1/empty/pids.max" 11 &&
		is "$1/t/w/cgroup.type" threaded && is "$1/f/cgroup.freeze" 1 && is "$1/a/cgroup.freeze" 0 &&
		[ "$(stat -c %u:%g:%a "$top/$1/a")" = 1000:1000:700 ] &&
		[ "$(stat -c %u:%g:%a "$top/$1/a/cgroup.procs")" = 1000:1000:644 ] &&
		[ "$(stat -c %u:%g:%a "$top/$1/f")" = 0:0:755 ]
}

echo "TAP version 13"
echo "1..13"

build
pid_a=$(pid_of a)

members job
result $? "the tree of cgroups stands"

done_by crkhelper dump -g job -D running -R && members job && settings job
result $? "a dump that leaves it running changes none of it, the frozen one stays frozen"

done_by crkhelper dump -g job -D images && wait &&
	find $top/job -depth -type d -exec rmdir {} + && done_by crkhelper restore -D images -d
result $? "dump, and restore where no cgroup is left"
members job
result $? "all are in their cgroups again, a single thread too, and the frozen one is frozen"
settings job
result $? "limits, owners, types, an empty cgroup"
echo 0 >$top/job/f/cgroup.freeze
runs_at f /job/f
result $? "its owner thaws it"
echo 1 >$top/job/f/cgroup.freeze

# who raised a limit meanwhile did so on purpose
done_by crkhelper dump -g job -D again && wait && echo 80M >$top/job/a/memory.max && rmdir $top/job/empty &&
	done_by crkhelper restore -D again -d && members job && is job/a/memory.max 83886080 && is job/a/pids.max 7 &&
	is job/empty/pids.max 11
result $? "cgroups that exist keep their settings, the missing one is made"

unbuild job
mkdir -p $top/job/a
setsid sleep 1000 >/dev/null 2>&1 &
echo $! >$top/job/a/cgroup.procs
expect 1 "job.* in use" crkhelper restore -D images -d && [ ! -d $top/job/f ]
result $? "a cgroup below that is in use"
unbuild job

mkdir -p $top/job/a
echo 1 >$top/job/a/cgroup.freeze
expect 1 "job/a.* is frozen" crkhelper restore -D images -d && [ ! -d $top/job/f ] && is job/a/cgroup.freeze 1
result $? "a cgroup below that somebody else froze"
rmdir $top/job/a
rmdir $top/job

# damaged page contents are found when the tree stands already
cp -a images broken
pages=$(find broken -name 'pages-*.img' -size +100k | head -n1)
printf 'damage' | dd of="$pages" bs=1 seek=5000 conv=notrunc status=none
expect 1 "pages-.*damaged" crkhelper restore -D broken -d && [ ! -e $top/job ] && ! pgrep -x counter
result $? "a restore that fails late leaves no cgroup behind"
mkdir -p $top/job/f
echo 1 >$top/job/f/cgroup.freeze
expect 1 "pages-.*damaged" crkhelper restore -D broken -d && [ "$(ls -d $top/job/*/)" = "$top/job/f/" ] &&
	is job/f/cgroup.freeze 1
result $? "... and those that existed as they were"
rmdir $top/job/f
rmdir $top/job

done_by crkhelper restore -D images -d -g elsewhere && members elsewhere && settings elsewhere
result $? "the whole tree below another cgroup"
unbuild elsewhere

# nothing in the top's own settings says so, but there is no controller to give below
mkdir $top/narrow
expect 0 "narrow/inner.*controller memory is not enabled" crkhelper restore -D images -d -g narrow/inner && members narrow/inner
result $? "a controller that is not to be had is named"
unbuild narrow
cd / && rm -rf "$dir"
exit $failed
