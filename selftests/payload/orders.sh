#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154
#
# What the tests of incremental dumps share: the program changes, its orders, dumps of it and restores.  Sourced, after job.sh.

group=changes
number=0
other=${CRK_OTHER_HELPER:-crkhelper}

# changes_start: sets $pid
changes_start()
{
	rm -f acks orders
	: >orders
	setsid crkhelper run -g $group -- "$here/payload/changes" "$PWD/acks" "$PWD/orders" >/dev/null 2>&1 </dev/null &
	until [ -s acks ]; do sleep 0.02; done
	read -r _ pid <acks
	pid=$((10#${pid#P}))
	number=0 lines=1
}

# order LETTER [ARG]: and wait until all of them have carried it out
order()
{
	local text want tries line

	number=$((number + 1))
	printf -v text 'G%010u %s %06u\n' $number "$1" "${2:-0}"
	printf '%s' "$text" | dd of=orders conv=notrunc status=none
	[ "$1" != f ] || lines=2
	printf -v want 'G%010u' $number
	for tries in $(seq 3000); do
		: "$tries"
		if grep -aq BAD acks; then
			echo "# order $1 ${2-}: $(grep -a BAD acks)"
			return 1
		fi
		line=$(head -n "$lines" acks | grep -ac "^$want ")
		[ "$line" != "$lines" ] || return 0
		sleep 0.02
	done
	echo "# order $1 ${2-} was not carried out: $(head -n 2 acks)"
	return 1
}

changes_stop() { job_stop $group; }

# crk WHAT DIR ARG...: what it printed is in log; every second time by the other helper
turn=0
crk()
{
	local what=$1 dir=$2 helper=crkhelper
	shift 2
	turn=$((turn + 1))
	[ $((turn % 2)) = 0 ] || helper=$other
	$helper "$what" -g $group -D "$dir" --json -v "$@" >log 2>&1 </dev/null || { echo "# $helper $what $dir $*: status $?"; sed 's/^/# /' log; return 1; }
}

# one that leaves them running, with tracking
increment() { crk dump "$1" -R --track-mem --prev-images-dir "$2" "${@:3}"; }

# said REGEX: in the output
said()
{
	grep -Eq -- "$1" log || { echo "# nothing matches $1"; sed 's/^/# /' log; return 1; }
}

# json KEY: of the output
json() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" log; }

# saved MIN MAX: so many pages of 4 KiB; where nothing is tracked all of them are
saved()
{
	local pages=$(($(json pages_bytes) / 4096))

	[ "$tracked" ] || return 0
	if [ $pages -lt "$1" ] || [ $pages -gt "$2" ]; then
		echo "# $pages pages, not $1 to $2"
		return 1
	fi
}

# restored DIR: all of it is as it was, and goes on
restored()
{
	changes_stop
	crkhelper restore -D "$1" -g $group -d >log 2>&1 </dev/null || { sed 's/^/# /' log; return 1; }
	order z && order w 20
}

# refused REGEX DIR: by restore and by its --check, in one sentence, and nothing is made
refused()
{
	local how

	for how in -d --check; do
		expect 1 "$1" crkhelper restore -D "$2" -g $group $how || { sed 's/^/# /' log; return 1; }
		[ "$(grep -vc hint: log)" = 1 ] || { echo "# more than one sentence"; sed 's/^/# /' log; return 1; }
		[ ! -d /sys/fs/cgroup/$group ] || { echo "# a cgroup was made"; return 1; }
	done
}

tracked=''
! crkhelper check | grep -q 'ok *write tracking' || tracked=1
