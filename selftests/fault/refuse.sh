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

refused() { expect 1 "$@" && job_runs job; }

# flip BYTE-OFFSET FILE: one bit
flip()
{
	local byte
	byte=$(od -An -tu1 -j"$1" -N1 "$2")
	printf '%b' "$(printf '\\%03o' $((byte ^ 1)))" | dd of="$2" bs=1 seek="$1" conv=notrunc status=none
}

# damaged TEXT COMMAND...: does COMMAND to a copy of the images; a restore of it must be refused
damaged()
{
	local text=$1
	shift
	rm -rf copy
	cp -a images copy
	"$@"
	expect 1 "copy|damaged|checksum|complete|truncated" crkhelper restore -D copy -d
	result $? "$text"
	[ -z "$(pgrep -x counter)" ] || { echo "# something was created"; pkill -KILL -x counter; }
}

echo "TAP version 13"
echo "1..22"

job_start job
mkdir full not-empty
echo kept >not-empty/file
mount -t tmpfs -o size=256k tmpfs full

refused "not-empty.*" crkhelper dump -g job -D not-empty -R && [ "$(cat not-empty/file)" = kept ]
result $? "an image directory that holds something"
refused "full/images.*(space|ENOSPC)|(space|ENOSPC).*" crkhelper dump -g job -D full/images -R && [ ! -e full/images ]
result $? "a full disk"
umount full
refused "999999" crkhelper dump -t 999999 -D images -R && [ ! -e images ]
result $? "a dead pid"
refused "nowhere" crkhelper dump -g nowhere -D images -R
result $? "a cgroup that does not exist"
mkdir /sys/fs/cgroup/own
refused "own|crkhelper" sh -c 'echo $$ >/sys/fs/cgroup/own/cgroup.procs; exec crkhelper dump -g own -D images -R'
result $? "a cgroup that contains the helper"
rmdir /sys/fs/cgroup/own
expect 2 "usage" crkhelper dump -D images && expect 2 "usage" crkhelper dump -g job && expect 2 "" crkhelper nonsense &&
	expect 2 "" crkhelper dump --nonsense && job_runs job
result $? "wrong usage"
kthread=$(pgrep -x kthreadd)
refused "kernel|kthreadd|$kthread" crkhelper dump -t "$kthread" -D images -R
result $? "a kernel thread"
refused "not a checkpoint|complete|inventory|No such" crkhelper restore -D not-empty -d
result $? "a directory that is no checkpoint"
crkhelper dump -g job -D images --leave-frozen >log 2>&1 </dev/null && grep -q 'frozen 1' /sys/fs/cgroup/job/cgroup.events
result $? "a dump that leaves the job frozen"
crkhelper dump -g job -D images2 --leave-frozen >log 2>&1 </dev/null && grep -q 'frozen 1' /sys/fs/cgroup/job/cgroup.events
result $? "a dump of a job that is frozen already leaves it so"
rm -rf images2
echo 0 >/sys/fs/cgroup/job/cgroup.freeze
job_runs job
result $? "the job goes on after both"
refused "$pid.*(taken|exists|busy|in use|runs)|(taken|exists|busy|in use).*$pid" crkhelper restore -D images -d
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
expect 1 "$pid is taken" crkhelper restore -D late -d && grep -q 'until its parent waits' log
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
	expect 1 "this CPU lacks what the programs may use: $word" crkhelper restore -D images -d && ! pgrep -x counter
result $? "a CPU without $word"
umount /proc/cpuinfo

a_copy() { find copy -name "$1" | sort | head -n1; }
cut() { truncate -s "-$1" "$(a_copy "$2")"; }
remove() { rm "$(a_copy "$1")"; }
damaged "an image cut off" cut 3 'core-*.img'
damaged "pages cut off" cut 4096 'pages-*.img'
damaged "no inventory" rm copy/inventory.img
damaged "an image missing" remove 'mm-*.img'
flip_pages() { f=$(a_copy 'pages-*.img'); flip $(($(stat -c %s "$f") / 2)) "$f"; }
damaged "one bit of the pages" flip_pages
all_images()
{
	local f size bad=0
	for f in images/*.img; do
		size=$(stat -c %s "$f")
		[ "$size" -gt 0 ] || continue
		rm -rf copy
		cp -a images copy
		flip $((RANDOM % size)) "copy/${f#*/}"
		expect 1 "." crkhelper restore -D copy -d || { echo "# one bit of $f went unnoticed"; bad=1; }
		pkill -KILL -x counter
	done
	return $bad
}
all_images
result $? "one bit of each image"
crkhelper restore -D images -g job -d >log 2>&1 </dev/null && job_runs job
result $? "the untouched images restore after all that"
job_stop job
exit "$failed"
