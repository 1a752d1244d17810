# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What the shell tests share: TAP, and a counter job that can be watched.  Sourced; needs $here, the build directory.

set -u
nr=0 failed=0
here=${here:?the build directory of the tests}

ok()
{
	nr=$((nr + 1))
	echo "ok $nr $*"
}

not_ok()
{
	nr=$((nr + 1)) failed=1
	if [ -s log ]; then
		sed 's/^/# /' log
		[ ! "$(tail -c1 log)" ] || echo	# what is said of the case begins a line
	fi
	echo "not ok $nr $*"
}

# result STATUS TEXT...
result()
{
	local status=$1
	shift
	if [ "$status" = 0 ]; then ok "$@"; else not_ok "$@"; fi
}

skip()
{
	nr=$((nr + 1))
	echo "ok $nr # SKIP $*"
}

# job_start GROUP [MIB]: sets $pid
job_start()
{
	rm -f "count.$1"
	setsid crkhelper run -g "$1" -- "$here/payload/counter" "$PWD/count.$1" "${2:-1}" >/dev/null 2>&1 </dev/null &
	until [ -s "count.$1" ]; do sleep 0.02; done
	read -r _ _ pid <"count.$1"
	pid=$((10#$pid))
}

# job_runs GROUP [TRIES]: does it count, in both threads, with its pid?  Starts no process but to wait: it is asked often
job_runs()
{
	local a b c a2 b2 c2 tries
	[ -s "count.$1" ] || return 1
	read -r a b c <"count.$1"
	for tries in $(seq "${2:-200}"); do
		: "$tries"
		read -r a2 b2 c2 <"count.$1"
		[[ "$a2" != BAD && "$c" = "$c2" && "$a2" != "$a" && "$b2" != "$b" && "$(<"count.$1")" != *BAD* ]] && return 0
		sleep 0.02
	done
	echo "# count.$1: $a $b $c, then $a2 $b2 $c2"
	return 1
}

# cgroup.procs does not name a process whose last threads are still busy giving back their memory
job_gone()
{
	local tries
	for tries in $(seq 1000); do
		: "$tries"
		grep -qs '^populated 1' "/sys/fs/cgroup/$1/cgroup.events" || return 0
		sleep 0.02
	done
	return 1
}

job_stop()
{
	[ ! -e "/sys/fs/cgroup/$1/cgroup.kill" ] || echo 1 >"/sys/fs/cgroup/$1/cgroup.kill"
	job_gone "$1"
	wait
	[ ! -d "/sys/fs/cgroup/$1" ] || rmdir "/sys/fs/cgroup/$1"
}

# expect STATUS 'REGEX' CMD...: exit status and one sentence that matches
expect()
{
	local want=$1 regex=$2 got
	shift 2
	timeout 60 "$@" >log 2>&1 </dev/null
	got=$?
	if [ $got != "$want" ]; then
		echo "# exit status $got, not $want"
		return 1
	fi
	grep -Eq -- "$regex" log || { echo "# nothing matches $regex"; return 1; }
}
