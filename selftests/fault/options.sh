#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600 abi=x86_64,arm
#
# What crkhelper(8) promises of subcommands, options and exit statuses, a case each.
# shellcheck disable=SC2317,SC2086	# cases are called by name; numbers

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

groups=/sys/fs/cgroup

# wait_for COMMAND...: twenty seconds for it to be true
wait_for()
{
	local until=$((SECONDS + 20))
	until "$@"; do
		[ $SECONDS -lt $until ] || { echo "# in 20 s not: $*"; return 1; }
		sleep 0.02
	done 2>/dev/null
}

not() { ! "$@"; }
# crk ARG...: must do what it is told
crk() { crkhelper "$@" >log 2>&1 </dev/null; }
# is LINK-OR-FILE-OR-WORD WANTED
is() { [ "$1" = "$2" ] || { echo "# $1, not $2"; return 1; }; }
stat_of() { local stat; stat=$(<"/proc/$1/stat") && set -- ${stat##*) } && echo "$@"; }
stopped() { [[ "$(stat_of "$1")" = T* ]]; }
session_of() { stat_of "$1" | cut -d' ' -f4; }
group_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
frozen() { grep -q '^frozen 1' "$groups/$1/cgroup.events"; }
# ends STATUS COMMAND...: with nothing to say about it
ends() { timeout 60 "${@:2}" >log 2>&1 </dev/null; is $? "$1"; }
# end GROUP: nothing of it is left; its crkhelper is not waited for
end()
{
	[ -d "$groups/$1" ] || return 0
	echo 1 >"$groups/$1/cgroup.kill"
	job_gone "$1" && { rmdir "$groups/$1" 2>/dev/null || wait_for test ! -d "$groups/$1"; }
}
gone() { [ ! -e "/proc/$1" ]; }
counts() { job_runs "$1" 50 >/dev/null; }

# ---- which processes ----

# a tree in a cgroup with others: the shell and the counter below it
shared_start()
{
	mkdir $groups/shared
	sleep 1000 &
	bystander=$!
	echo $bystander >$groups/shared/cgroup.procs
	# shellcheck disable=SC2016	# for that shell
	setsid sh -c 'echo $$ >$1/cgroup.procs; "$2" "$3" 1; :' sh $groups/shared "$here/payload/counter" "$PWD/count.shared" \
		>/dev/null 2>&1 </dev/null &
	until [ -s count.shared ]; do sleep 0.02; done
	read -r _ _ pid <count.shared
	pid=$((10#$pid))
	root=$(stat_of $pid | cut -d' ' -f2)
}

case_tree_left_running()
{
	shared_start
	crk dump -t "$root" -D tree.R -R && job_runs shared &&
		is "$(group_of $pid)" /shared && is "$(group_of "$root")" /shared && is "$(group_of $bystander)" /shared &&
		is "$(echo $groups/shared/*/)" "$groups/shared/*/"
}

case_tree_refused()
{
	local ret
	mkdir full
	mount -t tmpfs -o size=256k tmpfs full
	expect 1 "[Nn]o space" crkhelper dump -t "$root" -D full/images && [ ! -e full/images ]
	ret=$?
	umount full
	[ $ret = 0 ] || return
	is "$(group_of $pid)" /shared && job_runs shared && is "$(echo $groups/shared/*/)" "$groups/shared/*/"
}

case_tree_left_frozen()
{
	crk dump -t "$root" -D tree.F --leave-frozen && frozen "shared/crk-$root" && is "$(group_of $pid)" "/shared/crk-$root" &&
		not counts shared && is "$(group_of $bystander)" /shared || return
	echo 0 >"$groups/shared/crk-$root/cgroup.freeze"
	job_runs shared
}

case_tree_ended()
{
	# now it has a cgroup to itself, which is taken as it is
	crk dump -t "$root" -D tree && wait_for gone $pid && wait_for gone "$root" && is "$(group_of $bystander)" /shared &&
		crk restore -D tree -d && job_runs shared && is "$(group_of $pid)" "/shared/crk-$root"
	local ret=$?
	echo 1 >$groups/shared/cgroup.kill
	wait_for not grep -q . $groups/shared/cgroup.procs
	rmdir $groups/shared/crk-* $groups/shared
	return $ret
}

# what lost its parent belongs to init again
case_orphan()
{
	local orphan
	# shellcheck disable=SC2016	# for these shells
	setsid crkhelper run -g orphan -- sh -c '(sleep 10001 & echo $! >orphan); exec sleep 10002' >/dev/null 2>&1 </dev/null &
	wait_for test -s orphan && wait_for grep -q 10002 /proc/[0-9]*/cmdline || return
	orphan=$(<orphan)
	is "$(stat_of $orphan | cut -d' ' -f2)" 1 && crk dump -g orphan -D orphans && wait_for gone $orphan && crk restore -D orphans -d &&
		is "$(stat_of $orphan | cut -d' ' -f2)" 1
	local ret=$?
	end orphan
	return $ret
}

# ---- what becomes of them ----

# while one dump holds it
case_second_dump()
{
	local first tries ret=1
	job_start second 64
	for tries in 1 2 3 4 5; do
		crkhelper dump -g second -D second.img -R --snapshot never >first 2>&1 </dev/null &
		first=$!
		until [[ "$(<$groups/second/cgroup.events)" = *"frozen 1"* ]] || gone $first; do :; done
		kill -STOP $first && frozen second && break
		wait $first
		rm -rf second.img
	done
	expect 1 "held by another|another job" crkhelper dump -g second -D again && [ ! -e again ] && frozen second && ret=0
	kill -CONT $first
	wait $first && job_runs second && expect 1 "$pid is taken" crkhelper restore -D second.img --check || ret=1
	end second
	return $ret
}

case_dump_leaves_stopped()
{
	job_start job
	crk dump -g job -D stopped -s && wait_for stopped $pid && not frozen job && not counts job &&
		kill -CONT $pid && job_runs job || return
	end job
	# it was not stopped when it was dumped
	crk restore -D stopped -d && job_runs job
}

case_restore_leaves_frozen()
{
	crk dump -g job -D images && crk restore -D images -d --leave-frozen && frozen job && not counts job || return
	echo 0 >$groups/job/cgroup.freeze
	job_runs job
}

case_restore_leaves_stopped()
{
	end job
	crk restore -D images -d -s && wait_for stopped $pid && not frozen job && not counts job &&
		kill -CONT $pid && job_runs job
}

case_excluding_each_other()
{
	expect 2 "exclude each other" crkhelper dump -g job -D none -R -s && expect 2 "exclude" crkhelper dump -g job -D none -s --leave-frozen &&
		[ ! -e none ] && job_runs job
}

# the last pages of the images don't fit: nothing has become of the processes yet
case_disk_full_at_the_end()
{
	local used less option ret=0
	mkdir -p full
	mount -t tmpfs tmpfs full
	crk dump -g job -D full/images -R
	used=$(($(stat -f -c '%b - %f' full)))
	umount full
	for less in 1 2 3; do
		for option in -s '' --leave-frozen; do
			mount -t tmpfs -o size=$(((used - less) * 4096)) tmpfs full
				expect 1 "[Nn]o space" crkhelper dump -g job -D full/images $option && [ ! -e full/images ] && job_runs job || ret=1
			umount full
			[ $ret = 0 ] || { echo "# $less pages of $used too few, with '$option'"; return $ret; }
		done
	done
}

# ---- restore ----

case_pidfile()
{
	end job
	rm -f pid
	crk restore -D images -d --pidfile pid && is "$(<pid)" $pid && job_runs job
}

case_pidfile_that_exists()
{
	end job
	local before
	before=$(<count.job)
	expect 1 "pid'.*exists" crkhelper restore -D images -d --pidfile pid && gone $pid && is "$(<pid)" $pid && is "$(<count.job)" "$before"
}

case_check_only()
{
	rm -f pid
	crk restore -D images --check -d --pidfile pid && gone $pid && [ ! -e $groups/job ] && [ ! -e pid ] || return
	rm -rf copy
	cp -a images copy
	printf damage | dd of="$(find copy -name 'pages-*.img' -size +64k | head -n1)" bs=1 seek=40000 conv=notrunc status=none
	expect 1 "pages-.*damaged" crkhelper restore -D copy --check || return
	crk restore -D images -d && job_runs job && expect 1 "$pid is taken" crkhelper restore -D images --check && job_runs job
}

case_restore_waits()
{
	local sig want
	for sig in TERM KILL; do
		end job
		rm -f pid
		crkhelper restore -D images --pidfile pid >log 2>&1 </dev/null &
		wait_for test -s pid && job_runs job || return
		want=$((128 + $(kill -l $sig)))
		# to the helper, but for what it can't catch
		if [ $sig = KILL ]; then kill -KILL $pid; else kill -$sig $!; fi
		wait $!
		is $? $want && gone $pid && [ ! -e $groups/job ] || return
	done
}

# ---- files ----

case_inherit_fd()
{
	local what
	mkfifo to.reader
	cat to.reader >first &
	setsid crkhelper run -g pipe -- sh -c 'while :; do echo line; sleep 0.01; done' 2>/dev/null </dev/null > >(cat >to.reader) &
	wait_for test -s first && wait_for grep -q . $groups/pipe/cgroup.procs || return
	pid=$(head -n1 $groups/pipe/cgroup.procs)
	what=$(readlink "/proc/$pid/fd/1")
	crk dump -g pipe -D piped || return
	wait
	expect 1 "other end .*outside" crkhelper restore -D piped -d && grep -qF -e "--inherit-fd 'fd[N]:$what'" log &&
		expect 2 "9 is not open" crkhelper restore -D piped -d --inherit-fd "fd[9]:$what" &&
		expect 1 "not open for writing" crkhelper restore -D piped --check --inherit-fd "fd[0]:$what" && expect 2 "expected fd" crkhelper restore -D piped --inherit-fd 9 || return
	crkhelper restore -D piped -d --inherit-fd "fd[9]:$what" >log 2>&1 </dev/null 9> >(cat >second)
	wait_for test -s second && grep -qx line second && not is "$(readlink "/proc/$pid/fd/1")" "$what" >/dev/null
	local ret=$?
	end pipe
	return $ret
}

# a job with 100 KiB in a file without a name and two kinds of locks
case_ghost_limit()
{
	cat >holder.py <<-'END'
	import fcntl, os, time
	f = open("unnamed", "wb")
	f.write(b"x" * 102400)
	f.flush()
	os.unlink("unnamed")
	lock = open("locked", "w")
	fcntl.flock(lock, fcntl.LOCK_EX)
	open("held", "w").write("yes")
	time.sleep(10000)
	END
	setsid crkhelper run -g ghost -- python3 holder.py >/dev/null 2>&1 </dev/null &
	wait_for test -s held || return
	pid=$(head -n1 $groups/ghost/cgroup.procs)
	expect 1 "unnamed.*--ghost-limit" crkhelper dump -g ghost -D ghost --ghost-limit 64k && [ ! -e ghost ] && not gone $pid &&
		not frozen ghost && crk dump -g ghost -D ghost --ghost-limit 1m -R && rm -r ghost &&
		crk dump -g ghost -D ghost --ghost-limit 102400 -R && rm -r ghost && expect 2 "ghost-limit" crkhelper dump -g ghost -D ghost --ghost-limit 1x
}

case_file_locks()
{
	crk dump -g ghost -D ghost --file-locks && flock -n locked true && crk restore -D ghost -d -l && not flock -n locked true
	local ret=$?
	end ghost
	return $ret
}

# ---- a shell's job ----

# on_terminal COMMAND: on a new one
on_terminal() { script -qec "$1" /dev/null >screen 2>&1 </dev/null; }

case_shell_job()
{
	local other
	on_terminal "sh -c 'crkhelper run -j -g shell -- sh -c \"while :; do tty <&1; sleep 0.01; done\" & wait'" &
	other=$!
	wait_for grep -q . $groups/shell/cgroup.procs && wait_for grep -q /dev/pts/ screen || return
	pid=$(head -n1 $groups/shell/cgroup.procs)
	not is "$(session_of $pid)" $pid >/dev/null && expect 1 "terminal.*outside" crkhelper dump -g shell -D shell &&
		grep -q -e '--shell-job' log && not frozen shell || return
	crk dump -g shell -D shell -j || return
	wait $other
	expect 1 "terminal was outside" crkhelper restore -D shell -d && gone $pid || return
	# another one, whose number need not be another
	on_terminal "echo \$\$ >shell.sid; crkhelper restore -D shell -j -d --pidfile shell.pid && sleep 1000" &
	other=$!
	wait_for test -s shell.pid && wait_for grep -q /dev/pts/ screen && is "$(<shell.pid)" $pid &&
		is "$(session_of $pid)" "$(<shell.sid)"
	local ret=$?
	kill -KILL -- -"$(<shell.sid)"
	end shell
	return $ret
}

# ---- run ----

case_run_gives_the_status()
{
	# shellcheck disable=SC2016	# for that shell
	ends 7 crkhelper run -- sh -c 'exit 7' && expect 127 "no-such-command" crkhelper run -- no-such-command &&
		expect 126 "'/'" crkhelper run -- / && ends 143 crkhelper run -- sh -c 'kill -TERM $$' &&
		ends 0 crkhelper run -- true && is "$(echo $groups/crk-*)" "$groups/crk-*"
}

case_run_makes_cgroup_and_session()
{
	# shellcheck disable=SC2016	# for that shell
	expect 0 "^0::/crk-[0-9]+\$" crkhelper run -- sh -c 'cat /proc/self/cgroup' &&
		expect 0 "^same\$" crkhelper run -g named -- sh -c 'grep -qx 0::/named /proc/self/cgroup && [ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] && echo same' &&
		[ ! -e $groups/named ]
}

case_run_forwards_signals()
{
	local sig
	for sig in HUP INT QUIT TERM USR1 USR2; do
		rm -f ready
		# shellcheck disable=SC2016	# for that shell
		# what is started with & ignores two of them
		env --default-signal=INT,QUIT crkhelper run -g signal -- bash -c 'trap "exit 42" $1; >ready; while :; do sleep 0.01; done' bash $sig >log 2>&1 </dev/null &
		wait_for test -e ready && kill -$sig $! || return
		wait $!
		is "$sig $?" "$sig 42" || return
	done
}

# a parent that does not want to know how its children end
case_ignored_sigchld()
{
	ends 7 env --ignore-signal=CHLD crkhelper run -- sh -c 'exit 7' || return
	end job
	rm -f pid
	env --ignore-signal=CHLD crkhelper restore -D images --pidfile pid >log 2>&1 </dev/null &
	wait_for test -s pid && job_runs job && kill -TERM "$(<pid)" || return
	wait $!
	is $? 143
}

# ---- what they say ----

case_check_json()
{
	crkhelper check --json >json 2>log </dev/null || return
	python3 - <<-'END' >>log 2>&1 || return
	import json, os
	c = json.load(open("json"))
	assert c["ok"] is True and c["kernel"] == os.uname().release and c["machine"] == os.uname().machine, c
	assert {"CAP_CHECKPOINT_RESTORE", "/dev/crk", "cgroup v2"} <= {r["name"] for r in c["checks"] if r["ok"] and r["needed"]}, c
	END
	mount --bind /dev/null /dev/crk
	crkhelper check --json >json 2>log </dev/null
	local ret=$?
	umount /dev/crk
	is $ret 1 && python3 -c 'import json; c = json.load(open("json")); assert not c["ok"] and not [r for r in c["checks"] if r["name"] == "/dev/crk"][0]["ok"], c' >>log 2>&1
}

case_dump_json()
{
	end job
	job_start job
	crkhelper dump -g job -D said -R --json >json 2>log </dev/null && python3 -c 'import json
d = json.load(open("json")); assert d["processes"] == 1 and d["threads"] == 3 and d["pages_bytes"] >= 1 << 20 and 0 < d["frozen_seconds"] <= d["seconds"], d' >>log 2>&1
}

case_verbose()
{
	rm -rf said
	expect 0 "freeze +[0-9.]+ ms" crkhelper dump -g job -D said -R -v && not grep -q "fd 4: pipe" log &&
		grep -q "1 processes, 3 threads, [0-9.]* MiB" log && rm -r said &&
		expect 0 "pid $pid fd 4: pipe" crkhelper dump -g job -D said -R -vv
}

# on a terminal, from a third of a second on, with bytes and time; gone at the end
case_progress()
{
	job_start big 512
	TERM=linux script -qec "crkhelper dump -g big -D big.img" /dev/null >log 2>&1 </dev/null &&
		grep -q "crkhelper: dump: memory, [0-9]* MiB, [0-9.]* s" log && grep -q $'\e\\[K\r1 processes' log || return
	TERM=linux script -qec "crkhelper restore -D big.img -d" /dev/null >log 2>&1 </dev/null &&
		grep -q "crkhelper: restore: reading images, [0-9]* of 5[0-9]* MiB" log && job_runs big || return
	rm -r big.img
	TERM=dumb script -qec "crkhelper dump -g big -D big.img -R" /dev/null >log 2>&1 </dev/null && not grep -q " MiB, " log && rm -r big.img &&
		TERM=linux crk dump -g big -D big.img -R && is "$(<log)" "" && rm -r big.img && end big
}

case_help_and_version()
{
	local command
	for command in run dump restore check show; do
		expect 0 "usage: crkhelper $command" crkhelper $command --help || return
	done
	expect 0 "Exit status" crkhelper --help && expect 0 "^crkhelper [0-9.]+, ABI [0-9]+ of /dev/crk\$" crkhelper --version && expect 2 "Exit status" crkhelper
}

# ---- exit status 3: the images are complete, but the processes can't be ended ----

case_in_doubt()
{
	rm -rf doubt
	mount --bind /dev/full $groups/job/cgroup.kill
	expect 3 "cannot kill" crkhelper dump -g job -D doubt
	local ret=$?
	umount $groups/job/cgroup.kill
	[ $ret = 0 ] || return
	end job
	crk restore -D doubt -d && job_runs job
}

echo "TAP version 13"
cases=()
[ $# != 0 ] || mapfile -t cases < <(sed -n 's/^case_\([a-z_]*\)()$/\1/p' "$0")
for c in "$@" "${cases[@]}"; do
	: >log
	"case_$c"
	result $? "${c//_/ }"
done
echo "1..$nr"
end job
exit "$failed"
