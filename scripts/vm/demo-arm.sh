#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The guests' part of scripts/demo -a arm, in two boots: three programs count and are dumped together; in the next boot
# they are restored and count to the end.
#
# usage: demo-arm.sh dump | restore DIR

set -e
cd "$2"

step()
{
	printf '\n== %s\n' "$*"
}

show()
{
	echo "\$ $*"
	"$@"
}

last_lines()
{
	for p in oabi thumb vfp; do
		sed -n '$s/^/    /p' $p.log
	done
}

at_least()
{
	for p in oabi thumb vfp; do
		if [ ! -e $p.log ] || [ "$(wc -l <$p.log)" -lt "$1" ]; then return 1; fi
	done
}

case $1 in
dump)
	step "Linux $(uname -r), boot $(cut -c1-8 /proc/sys/kernel/random/boot_id): programs of OABI, Thumb and with VFP count to 60"
	# shellcheck disable=SC2016	# for the job's shell
	crkhelper run -g demo -- sh -c 'for p in oabi thumb vfp; do ./$p $PWD/$p.log & done; wait' >/dev/null 2>&1 </dev/null &
	until at_least 20; do
		kill -0 $!
		sleep 0.2
	done
	last_lines
	step "dumped: saved and ended"
	show crkhelper dump -v -g demo -D job.img
	last_lines
	sync ;;
restore)
	step "a fresh boot, $(cut -c1-8 /proc/sys/kernel/random/boot_id): restored"
	last_lines
	show crkhelper restore -v -d -D job.img
	until at_least 60; do
		[ "$(cat /sys/fs/cgroup/demo/cgroup.procs)" ]
		sleep 0.5
	done
	last_lines
	step "each line is there once, and what was in registers went on"
	for p in oabi thumb vfp; do
		awk -v name=$p '{ step++; sum += step; value = name == "vfp" ? int(1 + step / 2) : sum
			if ($3 != step || $7 != value) { print name ".log: line " NR ": " $0; bad = 1 } }
			END { exit bad || step != 60 }' $p.log
		echo "    $p: 60 lines, right"
	done ;;
esac
