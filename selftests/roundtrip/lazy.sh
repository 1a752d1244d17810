#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=x86_64,arm
#
# restore --lazy-pages: the program runs before its memory is there, finds in it what was there whatever it does with it
# meanwhile, and never anything else: it is killed if what is missing can't be brought.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/orders.sh
. "$here/payload/orders.sh"

filler() { pgrep -x crk-lazy-pages; }

# until crkhelper lazy-pages has ended
filled()
{
	local tries
	for tries in $(seq 3000); do
		: "$tries"
		filler >/dev/null || return 0
		sleep 0.02
	done
	echo "# crkhelper lazy-pages does not end"
	return 1
}

# what nobody has asked for, too, with --fault lazy
bring_all()
{
	! filler >/dev/null || kill -USR1 "$(filler)"
	filled
}

# mappings of $pid, with what they are; how large the pages are, and what else comes with a huge one, is up to the kernel
shape()
{
	awk '/^[0-9a-f]+-/ || /^(Size|VmFlags):/' "/proc/$pid/smaps"
}

is_registered() { awk '/^VmFlags:/' "/proc/$pid/smaps" | grep -q ' um'; }

ms() { echo $(($(date +%s%N) / 1000000)); }

# lazily GROUP DIR ARG...: what it printed is in log
lazily() { crkhelper restore -D "$2" -g "$1" -d --lazy-pages "${@:3}" >log 2>&1 </dev/null; }

echo "TAP version 13"
if crkhelper check | grep -q 'missing *lazy pages'; then
	echo "1..0 # SKIP $(crkhelper check | grep 'lazy pages')"
	exit 0
fi
echo "1..16"

# ---- two threads look at all of 64 MiB again and again ----

job_start lazy 64
crkhelper dump -g lazy -D images >log 2>&1 </dev/null || { result 1 "a dump to restore"; exit 1; }
job_gone lazy
wait

ret=1
crkhelper restore -D images -g lazy -d >log 2>&1 </dev/null && job_runs lazy && shape >shape.full && ret=0
job_stop lazy
result $ret "all at once, to compare with"

ret=1
lazily lazy images && job_runs lazy && filled && job_runs lazy && shape >shape.lazy && ! is_registered && ret=0
diff shape.full shape.lazy | sed 's/^/# /'
cmp -s shape.full shape.lazy || ret=1
result $ret "all is there in the end, and no trace is left"
job_stop lazy

# the best of three each: the machine may be busy
best=([0]=999999 [1]=999999)
for i in 0 1 0 1 0 1; do
	how=()
	[ $i = 0 ] || how=(--lazy-pages)
	from=$(ms)
	crkhelper restore -D images -g lazy -d "${how[@]}" >log 2>&1 </dev/null
	took=$(($(ms) - from))
	[ $took -ge "${best[i]}" ] || best[i]=$took
	job_stop lazy
	filled
done
echo "# all at once ${best[0]} ms, lazily ${best[1]} ms"
[ "${best[1]}" -lt "${best[0]}" ]
result $? "it runs sooner"

# ---- several processes wait ----

rm -f count.two count.one
# shellcheck disable=SC2016	# for the inner shell
setsid crkhelper run -g two -- sh -c '"$0" "$1/count.one" 8 & "$0" "$1/count.two" 8; wait' "$here/payload/counter" "$PWD" >/dev/null 2>&1 </dev/null &
until [ -s count.one ] && [ -s count.two ]; do sleep 0.02; done
crkhelper dump -g two -D images.two >log 2>&1 </dev/null
job_gone two
wait
ret=1
lazily two images.two --fault lazy && job_runs one && job_runs two && bring_all && job_runs one && job_runs two && ret=0
job_stop two
result $ret "two processes"

# ---- every change of memory, before any of it is there ----

changes_start
crkhelper dump -g $group -D changes >log 2>&1 </dev/null || { result 1 "another dump to restore"; exit 1; }
job_gone $group
wait
for what in 'w 100' 'd 80' 'u 256' 's' 'p 30' 'x' 'f 20'; do
	ret=1
	lines=1
	: >orders
	# shellcheck disable=SC2086	# letter and argument
	lazily $group changes --fault lazy && is_registered && order $what && order w 20 && bring_all && order w 20 && ret=0
	changes_stop
	result $ret "order $what"
done

truncate -s 22 acks	# the child's line

# ---- a dump before all is there ----

ret=1
lines=1
: >orders
lazily $group changes --fault lazy && is_registered && ! crkhelper dump -g $group -D refused -R >log 2>&1 </dev/null &&
	said 'pid [0-9]+ .changes. mapping .*: crkhelper lazy-pages .pid [0-9]+. has not brought all of it yet: wait until that has ended' &&
	[ ! -e refused ] && bring_all && crkhelper dump -g $group -D again >log 2>&1 </dev/null && job_gone $group && ret=0
result $ret "a dump is refused before all is there, and made afterwards"

ret=1
lazily $group again && order w 20 && filled && order w 20 && ret=0
changes_stop
result $ret "what was dumped then is right"

# ---- crkhelper lazy-pages is killed: it was a program that looks at its memory when it is told to ----

# killed_early CMD...: the tree is gone with it, and has seen nothing wrong
killed_early()
{
	local restore status

	lines=1
	: >orders
	crkhelper restore -D changes -g $group --lazy-pages --fault lazy --json >log 2>&1 </dev/null &
	restore=$!
	until grep -q '"restored": true' log; do
		kill -0 $restore || return 1
		sleep 0.02
	done
	is_registered && filler >/dev/null || return 1
	"$@"
	job_gone $group || order z	# which would show what it sees
	wait $restore
	status=$?
	[ $status = 137 ] || { echo "# exit status $status, not 137"; return 1; }
	job_gone $group && ! grep -a BAD acks
}

kill_filler() { kill -9 "$(filler)"; }
kill_all() { pkill -9 -x crk-watch; kill_filler; }

ret=1
if killed_early kill_filler; then
	for tries in $(seq 200); do
		: "$tries"
		! grep -q 'was killed before' log || break
		sleep 0.02
	done
	said "lazy-pages was killed before all memory was there: the processes restored to cgroup $group are killed with it" && ret=0
fi
changes_stop
result $ret "killed early it takes them along, before they can see what is not there"

ret=1
killed_early kill_all && ret=0
changes_stop
result $ret "so it does when nobody else watches"

# ---- an image that was altered ----

cp -r images altered
pages=$(find altered -name 'pages-*.img' -printf '%s %p\n' | sort -n | tail -n 1)
size=${pages%% *} pages=${pages#* }
printf 'x' | dd of="$pages" bs=1 seek=$((size / 2 + 77)) conv=notrunc status=none
ret=1
lazily lazy altered && filled && job_gone lazy && said 'image pages-[0-9]+.img is damaged' &&
	said 'lazy-pages: the processes restored to cgroup lazy are killed: not all of their memory could be brought' && ret=0
! grep -a BAD count.lazy || ret=1
job_stop lazy
result $ret "a page that is not what it was ends them, unseen"
