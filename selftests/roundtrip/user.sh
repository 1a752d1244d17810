#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=120 abi=x86_64
#
# A user who has CAP_CHECKPOINT_RESTORE and nothing else of root's, in cgroups that were given to him (requirement 2.30): his
# processes are dumped and restored, those of others are not.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

groups=/sys/fs/cgroup
uid=1000

# as_user CAPABILITIES COMMAND...: from a cgroup that he may move processes from
as_user()
{
	local caps=-all${1:+,+$1}
	shift
	(
		echo "$BASHPID" >$groups/user/shell/cgroup.procs
		exec setpriv --reuid=$uid --regid=$uid --clear-groups --inh-caps="$caps" --ambient-caps="$caps" --bounding-set="$caps" "$@"
	)
}

# what crkhelper is told to do by the user with his capability
user_crk() { as_user checkpoint_restore timeout 30 crkhelper "$@" >log 2>&1 </dev/null; }

echo "TAP version 13"
echo "1..8"

mkdir $groups/user $groups/user/shell
chown -R $uid $groups/user
chmod 666 /dev/crk
mkdir mine
chown $uid mine

as_user checkpoint_restore setsid crkhelper run -g user/job -- "$here/payload/counter" "$PWD/mine/count" 4 >/dev/null 2>&1 </dev/null &
for _ in $(seq 200); do [ ! -s mine/count ] || break; sleep 0.02; done
ln -s mine/count count.user
read -r _ _ pid <count.user && pid=$((10#$pid)) && job_runs user && [ "$(stat -c %u "/proc/$pid")" = $uid ]
result $? "his program runs"

user_crk dump -g user/job -D mine/running -R && job_runs user
result $? "dumped, left running"

user_crk dump -g user/job -D mine/images && job_gone user/job
result $? "dumped, ended"

user_crk restore -D mine/images -d && job_runs user && grep -q "^Uid:	$uid	$uid	$uid	$uid" "/proc/$pid/status" &&
	grep -q "^CapEff:	0*10000000000$" "/proc/$pid/status"
result $? "restored, with his ids and capability"

mkdir $groups/other
(
	echo "$BASHPID" >$groups/other/cgroup.procs
	exec setpriv --reuid=1001 --regid=1001 --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all sleep 1000
) >/dev/null 2>&1 </dev/null &
other=$!
until [[ "$(tr '\0' ' ' <"/proc/$other/cmdline")" = sleep* ]]; do sleep 0.02; done
crkhelper dump -g other -D mine/others >log 2>&1 </dev/null && chown -R $uid mine/others
wait $other 2>/dev/null
user_crk restore -D mine/others -g user/others -d
[ $? = 1 ] && grep -q "pid $other .*: had other credentials (uid 1001) than crkhelper has (uid $uid)" log && [ ! -e "/proc/$other" ]
result $? "what was another user's is not restored by him"

mkdir $groups/user/foreign
chown -R $uid $groups/user/foreign
sleep 1000 &
echo $! >$groups/user/foreign/cgroup.procs
as_user checkpoint_restore timeout 30 crkhelper dump -g user/foreign -D mine/foreign -R >log 2>&1 </dev/null
[ $? = 1 ] && grep -q "task $! .*: no ptrace access" log && [ ! -e mine/foreign ] && ! grep -q 'frozen 1' $groups/user/foreign/cgroup.events
result $? "a process of root's is refused"
kill $!
wait $! 2>/dev/null

as_user '' timeout 30 crkhelper dump -g user/job -D mine/without -R >log 2>&1 </dev/null
[ $? = 1 ] && grep -q "CAP_CHECKPOINT_RESTORE" log && [ ! -e mine/without ] && job_runs user
result $? "without the capability nothing is done"

chmod 600 /dev/crk
user_crk dump -g user/job -D mine/without -R
[ $? = 1 ] && grep -q "it is root's" log && [ ! -e mine/without ] && job_runs user
result $? "nor without a right to the device"

echo 1 >$groups/user/cgroup.kill
job_gone user/job
rmdir $groups/user/* $groups/user 2>/dev/null
exit "$failed"
