#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The guest's part of scripts/demo: xz with two threads compresses 64 MiB beside a shell loop that counts; both are
# dumped in mid-work, are gone, and come back.  The finished file must be that of an undisturbed run.

set -e
cd "$(mktemp -d)"

step()
{
	printf '\n== %s\n' "$*"
}

show()
{
	echo "\$ $*"
	"$@"
}

processes()
{
	[ -e /sys/fs/cgroup/demo ] || return 0
	while read -r p; do
		ps -o pid=,nlwp=,args= -p "$p" 2>/dev/null || :	# some are just ending
	done </sys/fs/cgroup/demo/cgroup.procs | grep -v -e ' sleep ' -e ' mv ' | sed 's/^/    /'
}

size()
{
	stat -c %s out.xz 2>/dev/null || echo 0
}

state()
{
	echo "    the loop counts: $(cat count)    compressed so far: $(size) bytes"
}

step "64 MiB of numbers, compressed without interruption, to compare with later"
seq 1 9000000 | head -c 64M >in
echo "\$ xz -T2 -1 -c in >undisturbed.xz"
xz -T2 -1 -c in >undisturbed.xz
stat -c '    %n: %s bytes' in undisturbed.xz
whole=$(stat -c %s undisturbed.xz)

step "the same as a job of two: xz with two threads, and a loop that counts"
cat >job.sh <<'END'
(n=0; while [ ! -e finished ]; do n=$((n + 1)); echo $n >count.new; mv count.new count; sleep 0.1; done) &
xz -T2 -1 -c in >out.xz
touch finished
wait
END
echo "\$ crkhelper run -g demo -- sh job.sh &"
crkhelper run -g demo -- sh job.sh >run.log 2>&1 </dev/null &
run=$!
until [ "$(size)" -gt $((whole / 4)) ] && [ -s count ]; do
	kill -0 $run || { cat run.log; exit 1; }
	sleep 0.1
done
processes | tee before
state
sleep 0.5
state

step "dumped: the job is saved and ended"
show crkhelper dump -v -g demo -D job.img
wait $run || :
[ ! -e finished ] || { echo "it had finished before"; exit 1; }
left=$(processes)
echo "    processes left: ${left:-none}"
state
sleep 1
state

step "what is in the checkpoint"
show crkhelper show job.img
du -sh job.img | awk '{ print "    " $1 " in all" }'

step "restored: it goes on where it was, with the same pids"
show crkhelper restore -d -D job.img
processes | tee after
state
sleep 1
state
if cmp -s before after; then
	echo "    the same processes as before"
else
	echo "    not the same processes as before"
	exit 1
fi

step "the end"
until [ -e finished ]; do
	# it may have finished between the two
	[ "$(processes)" ] || [ -e finished ] || { cat run.log; echo "the job ended without finishing"; exit 1; }
	sleep 0.2
done
state
show cmp out.xz undisturbed.xz
xz -t out.xz
echo "    the file is the same, byte by byte, as that of the undisturbed run"
