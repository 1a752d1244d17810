#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600
#
# Debuggers at work, dumped with what they debug (requirement 2.4), and what is debugged from outside, before a dump and
# after a restore.  What they debug is of 32 bit in the i686 build, and must look so (requirement 3.8); the debuggers are of 64.

# shellcheck disable=SC2016	# what gdb and a shell of the job expand

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

echo "TAP version 13"
echo "1..8"

stepper=$here/payload/stepper
export stepper
bits=$(file -b "$stepper" | sed 's/^ELF \([0-9]*\)-bit.*/\1/')
case $(uname -m)-$bits in
x86_64-32)	ia32=1 arm='' value=eax ;;
x86_64-64)	ia32='' arm='' value=eax ;;
*)		ia32='' arm=1 value=r0 ;;
esac

# wait_for TEXT FILE: for a minute at most
wait_for()
{
	local tries
	for tries in $(seq 1200); do
		: "$tries"
		grep -q -- "$1" "$2" 2>/dev/null && return 0
		sleep 0.05
	done
	echo "# no '$1' in $2:"
	{ cat "$2"; echo; } | sed 's/^/#   /'	# a prompt has no end of line
	return 1
}

# say FIFO TEXT: without waiting for a reader, which has it open
say()
{
	printf '%b' "$2" 1<>"$1" >&1
}

# run NAME COMMAND: in an empty directory and a cgroup of that name, with the fifo "in" as its standard input
run()
{
	mkdir "$1"
	cd "$1" || exit 1
	mkfifo in
	setsid crkhelper run -g "$1" -- sh -c "exec 0<>in; >up; $2" >/dev/null 2>&1 </dev/null &
	until [ -e up ]; do sleep 0.02; done
}

# dump NAME ARGS..., and restore unless it is to go on
dump_restore()
{
	rm -rf img
	crkhelper dump -g "$1" -D img >log 2>&1 </dev/null && crkhelper restore -D img -d >log 2>&1 </dev/null
}

stop()
{
	job_stop "$1" >/dev/null 2>&1
	cd ..
}

# gdb_at_step NAME COMMANDS REGEX TEXT...: gdb gets its program to a breakpoint at step() by COMMANDS, is dumped there, of
# which crkhelper shows a line with REGEX, and goes on from it to the next; then they are left running
gdb_at_step()
{
	local name=$1 commands=$2 regex=$3 bad
	shift 3
	run "$name" 'exec gdb -q -nx "$stepper" >out 2>&1'
	say in "set pagination off\nset confirm off\nset startup-with-shell off\nset disable-randomization off\n$commands\n"
	wait_for 'Breakpoint 1[.,]' out && dump_restore "$name"
	bad=$?
	crkhelper show img | grep -q "$regex" || bad=1
	say in 'printf "pc %d\\n", $pc == &step\ncontinue\nprintf "arg %d\\n", i\n'
	wait_for 'pc 1' out && wait_for 'arg 1' out || bad=1
	result $bad "$@"
}

# ---- strace in the tree, its program asleep in read ----

# On ARM the freeze makes its program stop where a register cannot be seen: it is refused, and both go on (arch/arm/README)
hidden="held by its tracer at the entry or exit of a system call, where this kernel hides a register"
strace_dump()
{
	if [ "$arm" ]; then
		expect 1 "$hidden" crkhelper dump -g strace -D img
	else
		dump_restore strace
	fi
}

run strace 'exec strace -f -o trace "$stepper" >out 2>err'
wait_for 'done 10' out && wait_for 'read(0' trace && strace_dump
bad=$?
say in xyq
wait_for 'exited with 3' trace || bad=1
printf 'done 10\ngot x\ngot y\n' | cmp - out || bad=1
# the calls that the freeze interrupts are not these
[ "$(grep -c 'read(0, "[xyq]", 1) *= 1' trace)" = 3 ] || bad=1
# a call that only programs of 32 bit make; their read() has another number, too
[ ! "$ia32" ] || grep -q 'set_thread_area({' trace || bad=1
result $bad "strace goes on printing${arm:+, refused}"
stop strace

# ---- gdb in the tree, its program at a breakpoint ----

gdb_at_step gdb 'break *step\nrun' 'traced by [0-9]*, held at signal' "gdb goes on from its breakpoint to the next"

dump_restore gdb
bad=$?
say in 'set $old = $pc\nstepi\nprintf "stepped %d\\n", $pc > $old\nfinish\nprintf "gave %d\\n", $'$value'\n'
wait_for 'stepped 1' out && wait_for 'gave 2' out || bad=1
say in 'delete\nset $'$value' = 9\ncontinue\n'
wait_for 'done 10' out || bad=1
say in 'q'
wait_for 'exited with code 03' out || bad=1
say in 'quit\n'
result $bad "gdb steps on, and its program ends under it"
stop gdb

# ---- the same by a debug register of the CPU ----

gdb_at_step hbreak 'starti\nhbreak *step\ncontinue' 'has hardware breakpoints' \
	"gdb goes on from a hardware breakpoint to the next"
stop hbreak

# ---- debuggers that come after a restore, on another kernel as it seems ----

run late 'exec "$stepper" >out 2>&1'
wait_for 'done 10' out && rm -rf img && crkhelper dump -g late -D img >log 2>&1 </dev/null &&
	crkhelper restore -D img -d --fault vdso >log 2>&1 </dev/null
bad=$?
pid=$(cat /sys/fs/cgroup/late/cgroup.procs)
strace -p "$pid" -o trace 2>err &
strace=$!
wait_for attached err && say in x && wait_for 'read(0, "x", 1) *= 1' trace || bad=1
kill $strace
wait $strace
gdb -q -nx -batch -p "$pid" -ex 'printf "bits %d\n", 8 * sizeof($sp)' -ex backtrace >gdb.out 2>&1 </dev/null || bad=1
grep -q "^bits $bits\$" gdb.out && grep -q '^#[0-9]* .* main ()' gdb.out || bad=1
# where 32-bit programs sleep
[ ! "$ia32" ] || grep -q '^#0 .* __kernel_vsyscall ()' gdb.out || bad=1
[ $bad = 0 ] || sed 's/^/# /' log err trace gdb.out
say in yq
wait_for 'got y' out || bad=1
result $bad "debuggers that come later see its width, its calls and who called whom"
stop late

# ---- traced from outside ----

job_start traced
strace -p "$pid" -f -o strace.out 2>strace.err &
strace=$!
wait_for attached strace.err
expect 1 "pid $pid \(counter\) tid $pid: is traced by pid $strace \(strace\)" crkhelper dump -g traced -D img --refuse-traced
bad=$?
job_runs traced || bad=1
result $bad "--refuse-traced names the tracer"
timeout 60 crkhelper dump -g traced -D img --retry 20 >log 2>&1 </dev/null
bad=$?
grep -q "tid $pid: is traced by pid $strace (strace), which is not in the dump" log || [ "$arm" ] || bad=1
if [ $bad = 0 ]; then
	wait $strace 2>/dev/null
	crkhelper restore -D img -d >log 2>&1 </dev/null && job_runs traced || bad=1
else
	# where its calls are hidden it depends on where the freeze finds it, or strace is too busy with it
	[ "$arm" ] && grep -q "$hidden\|has run" log && job_runs traced && bad=0
	kill $strace
	wait $strace 2>/dev/null
fi
grep -q '^TracerPid:[[:space:]]*0$' "/proc/$pid/status" || bad=1
result $bad "a program that strace follows from outside comes back without it${arm:+, or is refused}"
job_stop traced
rm -rf img

mkfifo gdb.in
job_start traced
gdb -q -nx -p "$pid" 0<>gdb.in >gdb.out 2>&1 &
gdb=$!
wait_for '(gdb)' gdb.out
# the copy must not run into it: nobody would take the trap
say gdb.in 'hbreak nanosleep\ncontinue\n'
wait_for 'hit Breakpoint 1' gdb.out
crkhelper dump -g traced -D img >log 2>&1 </dev/null && grep -q "traced by pid $gdb (gdb)" log
bad=$?
say gdb.in 'quit\n'
wait $gdb
crkhelper restore -D img -d >log 2>&1 </dev/null && job_runs traced || bad=1
result $bad "a program that gdb holds from outside comes back and runs"
job_stop traced
exit "$failed"
