#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600
#
# A process that holds a SysV semaphore (SEM_UNDO): where its set is gone, or others have taken what it held, the restore
# is refused by name, nothing is created, and no semaphore has changed.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

echo "TAP version 13"
echo "1..9"

# value: of the semaphore
value() { perl -e 'print semctl(shift, 0, 12, 0)+0, "\n"' "$id"; }
# add N: without SEM_UNDO
add() { perl -e 'semop(shift, pack("s!3", 0, shift, 04000)) or die "$!\n"' "$id" "$1"; }

id=$(perl -e 'my $id = semget(4711, 2, 0600 | 01000); semctl($id, 0, 16, 2); print $id')
# shellcheck disable=SC2016	# perl's
setsid crkhelper run -g holder -- perl -e '
	my $id = shift;
	semop($id, pack("s!3", 0, -2, 010000)) or die "$!\n";
	sleep 1 while 1;
' "$id" >/dev/null 2>&1 </dev/null &
until [ "$(value)" = 0 ]; do sleep 0.02; done
pid=$(cat /sys/fs/cgroup/holder/cgroup.procs)

crkhelper dump -g holder -D img >log 2>&1 </dev/null && [ "$(value)" = 2 ]
result $? "the end of the dump gives back"
crkhelper show img >log && grep -q 'semaphore adjustments' log
result $? "show tells that it holds one"

nobody() { [ ! -e "/proc/$pid" ] && [ ! -s /sys/fs/cgroup/holder/cgroup.procs ]; }
add -1
expect 1 "pid $pid .*held 2 of semaphore 0 of the SysV set $id, which others have taken" crkhelper restore -D img -d &&
	nobody && [ "$(value)" = 1 ]
result $? "refused while others have it"
expect 1 "which others have taken" crkhelper restore -D img --check
result $? "the same is known without a restore"

add 1
crkhelper restore -D img -d >log 2>&1 </dev/null && [ "$(value)" = 0 ]
result $? "possible again"
kill -KILL "$pid"
until [ "$(value)" = 2 ]; do sleep 0.02; done
result 0 "its end gives back"

# what fails after it has taken gives back, too
until nobody; do sleep 0.02; done
touch pidfile
expect 1 "pidfile" crkhelper restore -D img -d --pidfile pidfile
status=$?
until nobody; do sleep 0.02; done
[ $status = 0 ] && [ "$(value)" = 2 ]
result $? "nothing is kept by a restore that fails"

ipcrm -s "$id"
expect 1 "pid $pid .*SysV set $id .*does not exist" crkhelper restore -D img -d && nobody
result $? "refused when the set is gone"
other=$(perl -e 'my $id = semget(4712, 2, 0600 | 01000); semctl($id, 0, 16, 2); print $id')
expect 1 "SysV set $id .*does not exist" crkhelper restore -D img -d && nobody
result $? "refused when there is another"
ipcrm -s "$other"
exit "$failed"
