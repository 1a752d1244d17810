#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian abi=x86_64,arm
#
# crkhelper in a container's place: within pid namespaces, three of them one in another, a tree is dumped and restored with
# the pids that are its own there; in those around it has some, as before (requirement 2.26).  Seen from one level further out,
# where the tree is in foreign namespaces, its dump is refused by that name and the tree goes on.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

# levels PID: how many pid namespaces it is in, as this /proc has them, and its pid in the innermost
levels()
{
	awk '/^NSpid:/ { print NF - 1, $NF }' "/proc/$1/status" 2>/dev/null
}

# outer PID: the pid out here of what has that one two levels further in
outer()
{
	local p
	for p in /proc/[0-9]*; do
		[ "$(levels "${p#/proc/}")" != "3 $1" ] || { echo "${p#/proc/}"; return; }
	done
}

# --- innermost, on descriptors 3 and 4 of the test --------------------------

if [ "${1-}" = inner ]; then
	while read -r what; do
		case $what in
		start)		job_start nested; echo "$pid $(levels "$pid")" >&4 ;;
		dump)		crkhelper dump -g nested -D img >log 2>&1 </dev/null; echo $? >&4 ;;
		restore)	crkhelper restore -D img -d >log 2>&1 </dev/null; echo "$? $(levels "$pid")" >&4 ;;
		runs)		job_runs nested >&2; echo $? >&4 ;;
		stop)		job_stop nested; echo $? >&4 ;;
		esac
	done <&3
	exit
fi

# --- two levels further out --------------------------------------------------

if [ "${1-}" != outer ]; then
	exec unshare -pf --mount-proc "$here/roundtrip/nested.sh" outer
fi

tell()
{
	echo "$1" >&5
	read -r -t 100 answer <&6 || { echo "# no answer to $1"; return 1; }
}

mkfifo in out
exec 5<>in 6<>out
unshare -pf --mount-proc unshare -pf --mount-proc "$here/roundtrip/nested.sh" inner 3<in 4>out 5>&- 6>&- &

echo "TAP version 13"
echo "1..4"
tell start
read -r pid had <<<"$answer"
before=$(outer "$pid")
[ "$had" = "1 $pid" ] && [ "$before" ]
result $? "a job has a pid in each of three namespaces"

expect 1 'is in a foreign (mnt|pid) namespace' crkhelper dump -g nested -D foreign && tell runs && [ "$answer" = 0 ]
result $? "from another namespace the dump is refused by name, and the job goes on"

tell dump && [ "$answer" = 0 ] && [ ! "$(outer "$pid")" ]
result $? "within its own it is dumped"

tell restore && [ "$answer" = "0 1 $pid" ] && after=$(outer "$pid") && [ "$after" ] && tell runs && [ "$answer" = 0 ]
result $? "and restored with the pid of its own namespace, $pid; further out $before, now ${after-none}"

tell stop
exec 5>&-
exit "$failed"
