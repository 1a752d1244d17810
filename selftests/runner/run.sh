#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a guest: the test programs of a build, one after the other, each in a directory of its own with a time limit.
# What a program leaves behind, processes and cgroups, is named and removed before the next one.
#
# usage: run.sh BUILD-DIR ROOTFS [PATTERN]...
# Output: tap.awk's lines, and "# done PROGRAM SECONDS" when a program is through.

dir=$1 rootfs=$2
shift 2
export CRK_TESTS="$dir"	# where programs find payload/

wanted()
{
	[ $# -gt 1 ] || return 0
	name=$1
	shift
	for p; do
		# shellcheck disable=SC2254	# a pattern
		case $name in
		$p|$p/*) return 0 ;;
		$p.sh) [ -e "$dir/$p" ] || return 0 ;;	# there may be another one of this name
		esac
	done
	return 1
}

# Every process with a program behind it but PID 1, this shell and who called it is a test's
sweep()
{
	for p in /proc/[0-9]*; do
		pid=${p#/proc/}
		if [ "$pid" = 1 ] || [ "$pid" = $$ ] || [ "$pid" = $PPID ] || ! readlink "$p/exe" >/dev/null 2>&1; then
			continue
		fi
		comm=$(cat "$p/comm" 2>/dev/null)
		# busybox leaves a "timeout"; of the others: what they do, for those who look for a hang
		[ "$comm" = timeout ] ||
			echo "# $1 left behind: $pid $comm, system call $(cut -d' ' -f1 "$p/syscall") in $(cat "$p/wchan")" \
			     "in $(sed 's/.*:://' "$p/cgroup")"
		kill -KILL "$pid" 2>/dev/null
	done
	find /sys/fs/cgroup -mindepth 1 -depth -type d -exec rmdir {} \; 2>/dev/null
}

# what the kernel had to say since the last program began, such as the registers of those that died of a signal
kernel_says()
{
	dmesg | awk '/crk-test: / { n = 0 } { line[n++] = $0 } END { for (i = 1; i < n && i < 200; i++) print "# kernel: " line[i] }'
}

work=${TMPDIR:-/tmp}/crk-test
[ -z "${CRK_GUEST-1}" ] || echo 1 >/proc/sys/kernel/print-fatal-signals
while read -r name needs limit _ <&3; do
	if [ "$needs" != "$rootfs" ] || ! wanted "$name" "$@"; then
		continue
	fi
	mkdir -p "$work/cwd"
	[ -z "${CRK_GUEST-1}" ] || [ ! -w /dev/kmsg ] || echo "crk-test: $name" >/dev/kmsg
	start=$(cut -d. -f1 /proc/uptime)
	(cd "$work/cwd" && exec timeout -k 5 "$limit" "$dir/$name") >"$work/out" 2>&1 </dev/null 3<&-
	status=$?
	awk -v name="$name" -v status=$status -v limit="$limit" -f "$dir/runner/tap.awk" "$work/out"
	[ $status = 0 ] || [ $status = 4 ] || [ -z "${CRK_GUEST-1}" ] || kernel_says
	[ -z "${CRK_GUEST-1}" ] || sweep "$name"
	echo "# done $name $(($(cut -d. -f1 /proc/uptime) - start))"
	rm -rf "$work"
done 3<"$dir/tests.list"
