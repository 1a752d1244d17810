#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1800 abi=x86_64 busy
#
# Dumps that let the processes go on before their memory is written: what they write meanwhile is not in the images, they
# notice nothing, and whatever goes wrong they live.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/kills.sh
. "$here/payload/kills.sh"

tests=13
images=images
memcg=/sys/fs/cgroup/writers

# writers_start MIB THREADS [tree]: sets $pid
writers_start()
{
	rm -f rounds
	setsid crkhelper run -g writers -- "$here/payload/writers" "$PWD/rounds" "$@" >/dev/null 2>&1 </dev/null &
	until [ -s rounds ]; do sleep 0.02; done
	read -r _ pid <rounds
	pid=$((10#${pid#P}))
}

round()
{
	local r
	read -r r _ <rounds
	echo $((10#${r#G}))
}

# writers_go [N]: all of them write all their memory N times more, and nothing is wrong
writers_go()
{
	local from to tries
	from=$(round)
	to=$((from + ${1:-2}))
	for tries in $(seq 3000); do
		: "$tries"
		! grep -a BAD rounds || return 1
		[ "$(round)" -lt "$to" ] || return 0
		sleep 0.05
	done
	echo "# round $(round), not $to"
	return 1
}

writers_stop() { job_stop writers; }

# holders: pids of those that have snapshots
holders() { pgrep -x crk-snapshot; }

# dump ARG...: one that leaves the writers running
dump()
{
	rm -rf "$images"
	crkhelper dump -g writers -D "$images" -R -v --timeout 120 "$@" >log 2>&1 </dev/null
}

# said REGEX: in the output of the dump
said()
{
	grep -Eq -- "$1" log || { echo "# nothing matches $1"; return 1; }
}

# for crit, which reads them on the host
images_keep()
{
	local kept

	[ "${CRK_IMAGES-}" ] || return 0
	kept=$(mktemp -d "$CRK_IMAGES/snapshot.XXXXXX") && cp images/*.img "$kept" && rm "$kept"/pages-*
}

# restored: what was dumped is what goes on
restored()
{
	writers_stop
	printf 'G%010u P%08d\n' 0 "$pid" | dd of=rounds conv=notrunc status=none
	crkhelper restore -D "$images" -g writers -d >log 2>&1 </dev/null || return 1
	until [ "$(round)" != 0 ]; do
		sleep 0.05
		[ "$(cat /sys/fs/cgroup/writers/cgroup.procs)" ] || { cat rounds; return 1; }
	done
	writers_go 3
}

# json KEY: of the dump's output
json() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" log; }

kib() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo; }

if ! crkhelper check | grep -q 'ok *memory snapshots'; then
	echo "TAP version 13"
	echo "1..0 # SKIP the module can't make snapshots here"
	exit 0
fi
echo 8 >/proc/sys/vm/nr_hugepages

echo "TAP version 13"
echo "1..$tests"

# ---- the frozen moment ----

writers_start 64 8
ret=0
for how in always auto; do
	writers_go && dump --snapshot=$how && said 'writers\): snapshot of [0-9.]+ MiB' && writers_go || ret=1
done
{ [ $ret = 0 ] && images_keep && restored; } || ret=1
result $ret "eight threads write meanwhile, the image is of one moment"

ret=1
dump --snapshot=never && said 'copied while frozen: --snapshot=never' && ! grep -q 'snapshot of' log && writers_go && restored && ret=0
result $ret "--snapshot=never"

writers_stop
writers_start 8 2
ret=1
dump -v && said 'no snapshot: [0-9.]+ MiB are copied as fast' && dump --snapshot=always && said 'snapshot of [0-9.]+ MiB' &&
	writers_go && restored && ret=0
result $ret "memory that is not worth it"

writers_stop
writers_start 48 3 tree
ret=1
writers_go && dump && said 'snapshot of' && [ "$(grep -c 'snapshot of' log)" = 2 ] && writers_go && restored && ret=0
result $ret "a tree is of one moment"

ret=1
expect 2 'expected auto, always or never' crkhelper dump -g writers -D images -R --snapshot=perhaps && ret=0
result $ret "--snapshot=perhaps"

# ---- what they notice ----

writers_stop
writers_start 128 1
ret=0
crkhelper dump -g writers -D images.seen -R --snapshot=always >log 2>&1 </dev/null &
helper=$!
until h=$(holders); do
	kill -0 $helper || break
done
# it goes no further, and the holder stays
kill -STOP $helper
until [[ "$(sed -n 's/^State:\t\(.\).*/\1/p' /proc/$helper/status)" = [TZ] ]]; do sleep 0.02; done
if [ "$h" ] && [ -d "/proc/$h" ]; then
	[ ! -s "/proc/$h/cmdline" ] || { echo "# the holder has a command line"; ret=1; }
	[ "$(cat "/proc/$h/oom_score_adj")" = 1000 ] || { echo "# oom_score_adj"; ret=1; }
	! grep -q writers "/proc/$h/cgroup" || { echo "# the holder is in the cgroup"; ret=1; }
	[ "$(pidof writers)" = "$pid" ] || { echo "# pidof: $(pidof writers)"; ret=1; }
	[ ! "$(cat "/proc/$pid/task/$pid/children")" ] || { echo "# it has a child"; ret=1; }
	[[ "$(rmmod crk 2>&1)" = *'in use'* ]] || { echo "# the module could be removed"; ret=1; }
else
	echo "# no holder was seen"
	ret=1
fi
kill -CONT $helper
wait $helper || ret=1
rm -rf images.seen
[ ! "$(holders)" ] || { echo "# a holder is left"; ret=1; }
writers_go || ret=1
result $ret "no child, no second program; the module can't be removed meanwhile"

# ---- what is frozen, and for how long ----

writers_stop
writers_start 256 1
ret=1
if dump --snapshot=never --json; then
	copied=$(json frozen_seconds)
	if dump --json && [ "$(json snapshots)" = 1 ]; then
		held=$(json frozen_seconds)
		echo "# 256 MiB: frozen for $held s with a snapshot, for $copied s without"
		awk -v a="$held" -v b="$copied" 'BEGIN { exit !(a * 3 < b) }' && [ "$(json pages_bytes)" -gt 268435456 ] &&
			[ "$(json pages_bytes_frozen)" -lt 8388608 ] && [ "$(json pages_bytes_frozen)" -gt 2097152 ] && ret=0
	fi
fi
result $ret "frozen for less than a third of the time that copying takes"

# ---- what speaks against it ----

writers_stop
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
writers_start 64 2
ret=1
echo $(($(cat $memcg/memory.current) + 20 * 1048576)) >$memcg/memory.max
dump && said 'cgroup writers has room for [0-9.]+ MiB .memory.max' && writers_go && restored && ret=0
result $ret "a memory cgroup without room: copied while frozen"

writers_stop
writers_start 128 2
ret=0
# images on tmpfs would count too
mkdir -p uncounted && mount -t ramfs none uncounted
images=uncounted/images
echo 2 >/proc/sys/vm/overcommit_memory
for i in $(seq 0 15); do
	# some for the helper itself, and the kernel counts by the CPU: some MiB are not seen
	echo $(($(kib Committed_AS) + (40 + i * 12) * 1024)) >/proc/sys/vm/overcommit_kbytes
	dump --snapshot=always || { sed 's/^/# /' log; ret=1; }
	if [ "$i" = 0 ]; then
		said 'no snapshot, copied while frozen: the kernel does not duplicate its memory: too little memory' || ret=1
		dump && said 'no snapshot, copied while frozen: vm.overcommit_memory is 2' || ret=1
	fi
	grep -q 'snapshot of' log && break
done
[ "$i" -gt 2 ] || ret=1
echo "# duplicated with $((40 + i * 12)) MiB"
echo 0 >/proc/sys/vm/overcommit_memory
echo 0 >/proc/sys/vm/overcommit_kbytes
echo 50 >/proc/sys/vm/overcommit_ratio
writers_go && restored || ret=1
umount uncounted
images=images
result $ret "the kernel refuses memory at a growing number of points: copied while frozen"

# ---- what goes wrong ----

writers_stop
writers_start 128 4
ret=1
(
	until killall -9 crk-snapshot 2>/dev/null; do :; done
) &
killer=$!
dump --snapshot=always && said 'its snapshot is lost: memory ran out, or its holder' &&
	said 'dumping again, with all memory copied while frozen' && said 'no snapshots.*: one was lost' && writers_go &&
	restored && ret=0
kill $killer 2>/dev/null
wait $killer
result $ret "a holder is killed: dumped again"

rm -rf images
kills_of crkhelper dump -g writers -D images -R --snapshot=always
ret=$?
for i in $(seq 12); do
	rm -rf images
	kill_next 0 110 crkhelper dump -g writers -D images -R --snapshot=always
	for tries in $(seq 100); do
		: "$tries"
		[[ "$(holders)" || "$(<$memcg/cgroup.events)" == *"frozen 1"* ]] || break
		sleep 0.02
	done
	[ ! "$(holders)" ] || { echo "# a holder is left"; ret=1; }
	writers_go 1 || { ret=1; break; }
done
kills_enough || ret=1
result $ret "kill -9 of dump leaves no holder, and the writers running"

# ---- many ----

writers_stop
writers_start 16 2
ret=0
for i in $(seq 0 104); do
	dump --snapshot=always || { ret=1; break; }
	[ "$i" != 4 ] || anon=$(kib AnonPages) slab=$(kib SUnreclaim) tables=$(kib PageTables)
done
anon=$(($(kib AnonPages) - anon)) slab=$(($(kib SUnreclaim) - slab)) tables=$(($(kib PageTables) - tables))
echo "# 100 snapshots: AnonPages $anon kB, SUnreclaim $slab kB, PageTables $tables kB more"
# of 16 MiB and some page tables each time nothing is left
[ $anon -lt 16384 ] && [ $slab -lt 4096 ] && [ $tables -lt 1024 ] || ret=1
writers_go && restored || ret=1
result $ret "a hundred of them leave nothing behind"

writers_stop
ret=1
! holders && ret=0
result $ret "no holder is left"
echo 0 >/proc/sys/vm/nr_hugepages
exit "$failed"
