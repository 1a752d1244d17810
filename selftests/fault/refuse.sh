#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600 abi=x86_64,arm
#
# What can't be done is said in one sentence with the right exit status, and changes nothing.
# shellcheck disable=SC2317	# called by damaged()

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

# says STATUS 'REGEX' CMD...: exit status and one sentence, which is this from its begin to its end; a hint may follow
says()
{
	local status=$1 regex=$2
	shift 2
	expect "$status" "^crkhelper: (dump|restore): $regex\$" "$@" || return 1
	[ "$(grep -cv '^  hint: ' log)" = 1 ] || { echo "# more than one sentence"; return 1; }
}

# the same of a dump, which leaves nothing and changes nothing
refused() { says 1 "$@" && [ ! -e images ] && job_runs job; }

usage() { expect 2 "$@" && job_runs job; }

# flip BYTE-OFFSET FILE: one bit
flip()
{
	local byte
	byte=$(od -An -tu1 -j"$1" -N1 "$2")
	printf '%b' "$(printf '\\%03o' $((byte ^ 1)))" | dd of="$2" bs=1 seek="$1" conv=notrunc status=none
}

# damaged TEXT REGEX COMMAND...: does COMMAND to a copy of the images; a restore of it must be refused
damaged()
{
	local text=$1 regex=$2
	shift 2
	rm -rf copy
	cp -a images copy
	"$@"
	says 1 "$regex" crkhelper restore -D copy -d
	result $? "$text"
	[ -z "$(pgrep -x counter)" ] || { echo "# something was created"; pkill -KILL -x counter; }
}

echo "TAP version 13"
echo "1..26"

job_start job
root=$pid
mkdir full not-empty
echo kept >not-empty/file
mount -t tmpfs -o size=256k tmpfs full

refused "directory 'not-empty' is not empty" crkhelper dump -g job -D not-empty -R && [ "$(cat not-empty/file)" = kept ]
result $? "an image directory that holds something"
refused "pid $pid: cannot save its pages: No space left on device" crkhelper dump -g job -D full/images -R && [ ! -e full/images ]
result $? "a full disk"
umount full
refused "pid 999999: No such process" crkhelper dump -t 999999 -D images -R
result $? "a dead pid"
refused "cgroup /sys/fs/cgroup/nowhere: No such file or directory" crkhelper dump -g nowhere -D images -R
result $? "a cgroup that does not exist"
mkdir /sys/fs/cgroup/own
refused "the caller, pid [0-9]+ \(crkhelper[-a-z0-9_]*\), is in the cgroup itself" \
	sh -c 'echo $$ >/sys/fs/cgroup/own/cgroup.procs; exec crkhelper dump -g own -D images -R' &&
	grep -q '^  hint: start crkhelper from outside cgroup own$' log
result $? "a cgroup that contains the helper"
rmdir /sys/fs/cgroup/own
usage "^crkhelper: dump: needs either -g CGROUP or -t PID$" crkhelper dump -D images &&
	usage "^crkhelper: dump: needs -D DIR$" crkhelper dump -g job &&
	usage "^crkhelper: no subcommand 'nonsense'$" crkhelper nonsense &&
	usage "^crkhelper: unrecognized option '--nonsense'$" crkhelper dump --nonsense
result $? "wrong usage"
kthread=$(pgrep -x kthreadd)
refused "pid $kthread \(kthreadd\): is a kernel thread: not supported" crkhelper dump -t "$kthread" -D images -R
result $? "a kernel thread"
mkdir /sys/fs/cgroup/kernel
for name in khugepaged kswapd0 oom_reaper kauditd; do
	kthread=$(pgrep -x $name) && echo "$kthread" >/sys/fs/cgroup/kernel/cgroup.procs && break
done
refused "pid $kthread \($name\): is a kernel thread: not supported" crkhelper dump -t "$kthread" -D images -R &&
	refused "kernel thread $kthread \($name\) is in the cgroup: move it out" crkhelper dump -g kernel -D images -R
result $? "a kernel thread that somebody moved to a cgroup"
echo "$kthread" >/sys/fs/cgroup/cgroup.procs
rmdir /sys/fs/cgroup/kernel
says 1 "'not-empty' is not a complete checkpoint \(inventory.img is missing\)" crkhelper restore -D not-empty -d && job_runs job
result $? "a directory that is no checkpoint"
crkhelper dump -g job -D images --leave-frozen >log 2>&1 </dev/null && grep -q 'frozen 1' /sys/fs/cgroup/job/cgroup.events
result $? "a dump that leaves the job frozen"
crkhelper dump -g job -D images2 --leave-frozen >log 2>&1 </dev/null && grep -q 'frozen 1' /sys/fs/cgroup/job/cgroup.events
result $? "a dump of a job that is frozen already leaves it so"
rm -rf images2
echo 0 >/sys/fs/cgroup/job/cgroup.freeze
job_runs job
result $? "the job goes on after both"
# by whom (requirement 2.25)
says 1 "pid $pid is taken \(counter\)" crkhelper restore -D images -d && job_runs job
result $? "restoring when the pid is taken"
job_stop job

# a parent that waits for its child a moment after it was told to
mkdir /sys/fs/cgroup/late
python3 -c '
import os, subprocess, sys, time
p = subprocess.Popen(sys.argv[1:], start_new_session=True)
while not os.path.exists("wait"):
    time.sleep(0.02)
time.sleep(0.3)
p.wait()
' sh -c 'echo $$ >/sys/fs/cgroup/late/cgroup.procs; exec "$@"' sh "$here/payload/counter" "$PWD/count.late" 1 >/dev/null 2>&1 </dev/null &
until [ -s count.late ]; do sleep 0.02; done
read -r _ _ pid <count.late
pid=$((10#$pid))
crkhelper dump -g late -D late >log 2>&1 </dev/null
says 1 "pid $pid is taken \(counter\)" crkhelper restore -D late -d &&
	grep -q '^  hint: it has ended, and keeps the pid until its parent waits for it$' log
result $? "a pid that a zombie keeps"
touch wait
crkhelper restore -D late -d >log 2>&1 </dev/null && job_runs late
result $? "... for a moment only"
job_stop late
rm -rf late

# what the programs were free to use is not here (requirement 2.11)
word=sse2
! grep -qw neon /proc/cpuinfo || word=neon
sed "s/ $word / /" /proc/cpuinfo >cpuinfo
! grep -qw "$word" cpuinfo && mount --bind cpuinfo /proc/cpuinfo &&
	says 1 "this CPU lacks what the programs may use: $word" crkhelper restore -D images -d && ! pgrep -x counter
result $? "a CPU without $word"
umount /proc/cpuinfo

a_copy() { find copy -name "$1" | sort | head -n1; }
cut() { truncate -s "-$1" "$(a_copy "$2")"; }
remove() { rm "$(a_copy "$1")"; }
another="; take another copy of the checkpoint"
damaged "an image cut off" "image core-[0-9]+.img is damaged \(it has [0-9]+ bytes instead of [0-9]+\)$another" cut 3 'core-*.img'
damaged "pages cut off" "image pages-1.img is damaged \(it has [0-9]+ bytes instead of [0-9]+\)$another" cut 4096 'pages-*.img'
damaged "no inventory" "'copy' is not a complete checkpoint \(inventory.img is missing\)" rm copy/inventory.img
damaged "an image missing" "image mm-[0-9]+.img is missing$another" remove 'mm-*.img'
flip_pages() { f=$(a_copy 'pages-*.img'); flip $(($(stat -c %s "$f") / 2)) "$f"; }
damaged "one bit of the pages" "image pages-1.img is damaged \(checksum differs\)$another" flip_pages
bad=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	: "$i"
	says 1 "image pages-1.img is damaged \(checksum differs\)$another" crkhelper restore -D copy -d || bad=1
done
result $bad "... ten times, and nothing else is said"
says 1 "image pages-1.img is damaged \(checksum differs\)$another" crkhelper restore -D copy --check
result $? "one bit of the pages, found by --check"
all_images()
{
	local f size bad=0
	for f in images/*.img; do
		size=$(stat -c %s "$f")
		[ "$size" -gt 0 ] || continue
		rm -rf copy
		cp -a images copy
		flip $((RANDOM % size)) "copy/${f#*/}"
		says 1 "image ${f#*/} is damaged \(.*\)$another" crkhelper restore -D copy -d || { echo "# one bit of $f went unnoticed"; bad=1; }
		pkill -KILL -x counter
	done
	return $bad
}
all_images
result $? "one bit of each image"
# json FILE PYTHON: is the report in FILE as the expression says?
json() { python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), r' "$@" 2>>log; }
crkhelper restore -D images -g job --check --json >report 2>log </dev/null && ! pgrep -x counter >log &&
	json report "r['pid'] == $root and r['processes'] == 1 and r['threads'] == 3 and not r['restored']"
result $? "the untouched images can be restored after all that, says --check --json"
crkhelper restore -D images -g job -d --json >report 2>log </dev/null && job_runs job &&
	json report "r['pid'] == $root and r['processes'] == 1 and r['threads'] == 3 and r['restored'] and r['seconds'] > 0"
result $? "the untouched images restore after all that"
job_stop job
exit "$failed"
