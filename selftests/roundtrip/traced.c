// SPDX-License-Identifier: GPL-2.0
/*
 * Tracer and tracee in one tree: wherever the tracer holds its tracee, it holds it there afterwards, sees the same
 * there, is told of no stop twice, and can go on (requirement 2.4).
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "tracer.h"

static volatile sig_atomic_t nr_sigchld, nr_usr1;

static volatile pid_t held;

static void on_sigchld(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	nr_sigchld += info->si_pid == held;
}

static void on_usr1(int sig)
{
	(void)sig;
	nr_usr1++;
}

static void catch_usr1(void)
{
	signal(SIGUSR1, on_usr1);
}

/* a tracee that runs @body after its tracer has attached with @options and let it go from there by @request */
static pid_t tracee_of(void (*body)(void), unsigned long options, long request)
{
	pid_t pid = tracee_held(catch_usr1, body);

	trace(PTRACE_SETOPTIONS, pid, 0, options | PTRACE_O_TRACESYSGOOD);
	trace(request, pid, 0, 0);
	return pid;
}

struct view {
#ifdef __arm__
	struct user_regs regs;
#else
	struct user_regs_struct regs;
#endif
	siginfo_t info;
	unsigned long message;
	struct __ptrace_syscall_info call;
};

static void view_get(pid_t pid, struct view *v)
{
	memset(v, 0, sizeof(*v));
	trace(PTRACE_GETREGS, pid, 0, (unsigned long)&v->regs);
#ifndef __arm__
	v->regs.eflags |= 2;		/* is always set in user mode; exec leaves it out */
#endif
	trace(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&v->info);
	trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&v->message);
	trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(v->call), (unsigned long)&v->call);
}

static void must_be_traced(pid_t pid)
{
	char want[32], *text = file_text("/proc/%d/status", pid), *line = text_line(text, "TracerPid:");

	snprintf(want, sizeof(want), "TracerPid:\t%d", (int)syscall(SYS_gettid));
	MUST_STR(line, want);
	free(text);
	free(line);
}

/* @pid is held and its tracer has waited for it: nobody is told anything, and all looks as before */
static void checkpoint_held(pid_t pid)
{
	struct sigaction sa = { .sa_sigaction = on_sigchld, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct view before, after;
	size_t i;
	int told;

	held = pid;
	MUST(!sigaction(SIGCHLD, &sa, NULL));
	view_get(pid, &before);
	told = nr_sigchld;
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	MUST_EQ(nr_sigchld, told);
	must_be_traced(pid);
	view_get(pid, &after);
	for (i = 0; i < sizeof(before.regs) / sizeof(long); i++)
		MUST_EQ(((const long *)&after.regs)[i], ((const long *)&before.regs)[i]);
	MUST(!memcmp(&before.info, &after.info, sizeof(before.info)));
	MUST(!memcmp(&before.call, &after.call, sizeof(before.call)));
	MUST_EQ(before.message, after.message);
	MUST(!sigaction(SIGCHLD, NULL, &sa));
	MUST(sa.sa_sigaction == on_sigchld && !(sa.sa_flags & SA_NOCLDSTOP));
}

/* ---- signals ---- */

static void raise_usr1(void)
{
	raise(SIGUSR1);
	_exit(nr_usr1);
}

ROUNDTRIP(signal_given)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

ROUNDTRIP(signal_withheld)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 0);
}

ROUNDTRIP(not_waited_for)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);
	siginfo_t info;

	MUST(!waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT | __WALL));
	checkpoint_here();
	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

static int order[3];
static volatile int nr_order;

static void on_any(int sig)
{
	order[nr_order++] = sig;
}

/* the one it is held with is neither the lowest nor the last: others are pending for thread and process */
static void raise_three(void)
{
	sigset_t set;

	signal(SIGHUP, on_any);
	signal(SIGUSR2, on_any);
	signal(SIGTERM, on_any);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	sigemptyset(&set);
	sigsuspend(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	_exit(nr_order == 3 && order[0] + order[1] + order[2] == SIGUSR2 + SIGHUP + SIGTERM ? 7 : 8);
}

ROUNDTRIP(others_pending)
{
	pid_t pid = tracee_of(raise_three, 0, PTRACE_CONT);
	int status, nr = 1;

	must_wait(pid, SIGNAL_STATUS(SIGUSR2));
	MUST(!kill(pid, SIGHUP));
	MUST(!syscall(SYS_tgkill, pid, pid, SIGTERM));
#ifdef __arm__		/* its call has ended already when it is held again: arch/arm/README */
	checkpoint_here();
	must_be_traced(pid);
#else
	checkpoint_held(pid);
#endif
	trace(PTRACE_CONT, pid, 0, SIGUSR2);
	for (; waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status); nr++)
		trace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
	MUST_EQ(nr, 3);
	MUST_EQ(status, 7 << 8);
}

static void breakpoint(void)
{
#ifdef __thumb__
	asm volatile(".inst.n 0xde01");
#elif defined(__arm__)
	asm volatile(".inst 0xe7f001f0");
#else
	asm volatile("int3");
#endif
	_exit(5);
}

/* where the CPU has not gone on by itself */
static void breakpoint_pass(pid_t pid)
{
#ifdef __arm__
	struct user_regs regs;

	trace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs);
	regs.uregs[15] += regs.uregs[16] & 0x20 ? 2 : 4;
	trace(PTRACE_SETREGS, pid, 0, (unsigned long)&regs);
#endif
}

ROUNDTRIP(at_breakpoint)
{
	pid_t pid = tracee_of(breakpoint, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGTRAP));
	checkpoint_held(pid);
	breakpoint_pass(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 5 << 8);
}

/* a debugger of ARM programs sets breakpoints instead */
#ifndef __arm__
static void count_up(void)
{
	volatile unsigned int i;

	for (i = 0; i < 1000000000; i++)
		;
}

ROUNDTRIP(stepping)
{
	pid_t pid = tracee_of(count_up, 0, PTRACE_SINGLESTEP);
	struct view before, after;
	int i;

	must_wait(pid, SIGNAL_STATUS(SIGTRAP));
	checkpoint_held(pid);
	view_get(pid, &before);
	for (i = 0; i < 100; i++) {
		trace(PTRACE_SINGLESTEP, pid, 0, 0);
		must_wait(pid, SIGNAL_STATUS(SIGTRAP));
		view_get(pid, &after);
		MUST(after.call.instruction_pointer != before.call.instruction_pointer);
		before = after;
	}
	checkpoint_held(pid);
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}
#endif

/* ---- system calls ---- */

static int to_read[2];

static void read_byte(void)
{
	char c = 0;

	if (syscall(SYS_read, to_read[0], &c, 1) != 1)
		_exit(99);
	_exit(c);
}

/* at the entry of read() */
static pid_t tracee_at_read(void)
{
	struct view v;
	pid_t pid;

	MUST(!pipe(to_read));
	pid = tracee_of(read_byte, 0, PTRACE_SYSCALL);
	for (;;) {
		must_wait(pid, SYSCALL_STATUS);
		view_get(pid, &v);
		if (v.call.op == PTRACE_SYSCALL_INFO_ENTRY && v.call.entry.nr == SYS_read)
			return pid;
		trace(PTRACE_SYSCALL, pid, 0, 0);
	}
}

static void ends_with_read(pid_t pid, char byte)
{
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, byte << 8);
}

/* there the kernel hides a register of the thread even from its tracer */
#ifdef __arm__
#define AT_SYSCALL(name)	REFUSED(name, "hides a register")
#else
#define AT_SYSCALL(name)	ROUNDTRIP(name)
#endif

AT_SYSCALL(syscall_entry)
{
	pid_t pid = tracee_at_read();
	struct view v;

	checkpoint_held(pid);
	MUST_EQ(write(to_read[1], "a", 1), 1);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	must_wait(pid, SYSCALL_STATUS);
	view_get(pid, &v);
	MUST_EQ(v.call.op, PTRACE_SYSCALL_INFO_EXIT);
	MUST_EQ(v.call.exit.rval, 1);
	ends_with_read(pid, 'a');
}

AT_SYSCALL(syscall_exit)
{
	pid_t pid = tracee_at_read();

	MUST_EQ(write(to_read[1], "bc", 2), 2);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	must_wait(pid, SYSCALL_STATUS);
	checkpoint_held(pid);
	ends_with_read(pid, 'b');
}

/* the freeze interrupts the call, and so the tracer sees it end and begin again */
AT_SYSCALL(asleep_in_syscall)
{
	pid_t pid = tracee_at_read();
	struct view v;
	int ends = 0;

	trace(PTRACE_SYSCALL, pid, 0, 0);
	nap();
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(write(to_read[1], "d", 1), 1);
	for (;;) {
		must_wait(pid, SYSCALL_STATUS);
		view_get(pid, &v);
		if (v.call.op == PTRACE_SYSCALL_INFO_EXIT) {
			ends++;
			if (!v.call.exit.is_error)
				break;
			MUST_EQ(v.call.exit.rval, -512);	/* ERESTARTSYS */
		} else {
			MUST_EQ(v.call.entry.nr, SYS_read);
		}
		trace(PTRACE_SYSCALL, pid, 0, 0);
	}
	MUST(ends >= 1);
	ends_with_read(pid, 'd');
}

ROUNDTRIP(asleep_without_stops)
{
	pid_t pid = tracee_at_read();

	trace(PTRACE_CONT, pid, 0, 0);
	nap();
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(write(to_read[1], "e", 1), 1);
	must_wait(pid, 'e' << 8);
}

/* ---- events ---- */

#define ALL_EVENTS (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE | \
		    PTRACE_O_TRACEEXEC)

static void fork_and_wait(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(3);
	if (waitpid(pid, &status, 0) != pid)
		_exit(98);
	_exit(WEXITSTATUS(status) + 1);
}

static void vfork_and_wait(void)
{
	pid_t pid = vfork();
	int status;

	if (!pid)
		_exit(3);
	if (waitpid(pid, &status, 0) != pid)
		_exit(98);
	_exit(WEXITSTATUS(status) + 1);
}

static void *thread_fn(void *arg)
{
	return arg;
}

static void make_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_fn, NULL))
		_exit(98);
	pthread_join(thread, NULL);
	_exit(4);
}

static void exec_self(void)
{
	execl("/proc/self/exe", "test", "--subject", "there is none", NULL);
	_exit(98);
}

/* lets those of @whom (as for waitpid) that report go on until @pid is at @want */
static void wait_among(pid_t whom, pid_t pid, int want, long request)
{
	int status;
	pid_t got;

	for (;;) {
		got = waitpid(whom, &status, __WALL);
		MUST(got > 0);
		if (got == pid && status == want)
			return;
		if (got == pid)
			MUST(WIFSTOPPED(status));
		if (WIFSTOPPED(status))
			trace(request, got, 0, WSTOPSIG(status) == SIGCHLD ? SIGCHLD : 0);
	}
}

/* lets all that are traced go on until @pid is at @want; new ones may report first */
static void wait_for(pid_t pid, int want, long request)
{
	wait_among(-1, pid, want, request);
}

/* lets @pid alone go on until it is at @want: what it made waits in its first stop and can't exit */
static void wait_alone(pid_t pid, int want, long request)
{
	wait_among(pid, pid, want, request);
}

static void event_roundtrip(void (*body)(void), int event, int code)
{
	pid_t pid = tracee_of(body, ALL_EVENTS, PTRACE_CONT);
	unsigned long child;
	int status;

	/* a zombie that only its tracer knows of can't be dumped */
	if (event != PTRACE_EVENT_VFORK_DONE) {
		wait_alone(pid, EVENT_STATUS(event), PTRACE_CONT);
	} else {
		wait_for(pid, EVENT_STATUS(event), PTRACE_CONT);
		trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&child);
		while (waitpid(child, &status, __WALL) == (pid_t)child && WIFSTOPPED(status))
			trace(PTRACE_CONT, child, 0, 0);
	}
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, code << 8, PTRACE_CONT);
}

ROUNDTRIP(event_fork)
{
	event_roundtrip(fork_and_wait, PTRACE_EVENT_FORK, 4);
}

ROUNDTRIP(event_vfork)
{
	event_roundtrip(vfork_and_wait, PTRACE_EVENT_VFORK, 4);
}

ROUNDTRIP(event_vfork_done)
{
	event_roundtrip(vfork_and_wait, PTRACE_EVENT_VFORK_DONE, 4);
}

ROUNDTRIP(event_clone)
{
	event_roundtrip(make_thread, PTRACE_EVENT_CLONE, 4);
}

ROUNDTRIP(event_exec)
{
	event_roundtrip(exec_self, PTRACE_EVENT_EXEC, 99);
}

/* with system calls traced too: the end of the fork is reported after the event */
ROUNDTRIP(event_then_exit)
{
	pid_t pid = tracee_of(fork_and_wait, PTRACE_O_TRACEFORK, PTRACE_SYSCALL);
	struct view v;

	wait_alone(pid, EVENT_STATUS(PTRACE_EVENT_FORK), PTRACE_SYSCALL);
	checkpoint_held(pid);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	wait_for(pid, SYSCALL_STATUS, PTRACE_CONT);
	view_get(pid, &v);
	MUST_EQ(v.call.op, PTRACE_SYSCALL_INFO_EXIT);
	MUST(v.call.exit.rval > 0);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, 4 << 8, PTRACE_CONT);
}

/* the options are there: the event comes */
ROUNDTRIP(options)
{
	pid_t pid = tracee_of(raise_usr1, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL, PTRACE_CONT);
	unsigned long code;

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, EVENT_STATUS(PTRACE_EVENT_EXIT));
	trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&code);
	MUST_EQ(code, 1 << 8);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 1 << 8);
}

/* ---- seized, stopped ---- */

static void wait_for_term(void)
{
	for (;;)
		pause();
}

static pid_t seized(void)
{
	pid_t pid = fork_child();

	if (!pid) {
		event_set("up");
		wait_for_term();
	}
	event_wait("up");
	trace(PTRACE_SEIZE, pid, 0, 0);
	return pid;
}

ROUNDTRIP(interrupted)
{
	pid_t pid = seized();

	trace(PTRACE_INTERRUPT, pid, 0, 0);
	must_wait(pid, STOP_STATUS(SIGTRAP));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	trace(PTRACE_INTERRUPT, pid, 0, 0);		/* only one that was seized can be interrupted */
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

/* held at the stop of its process, which goes on while the tracer listens */
static pid_t seized_and_stopped(void)
{
	pid_t pid = seized();

	MUST(!kill(pid, SIGTSTP));
	must_wait(pid, SIGNAL_STATUS(SIGTSTP));
	trace(PTRACE_CONT, pid, 0, SIGSTOP);
	must_wait(pid, STOP_STATUS(SIGSTOP));
	return pid;
}

ROUNDTRIP(group_stop)
{
	pid_t pid = seized_and_stopped();

	checkpoint_held(pid);
	trace(PTRACE_LISTEN, pid, 0, 0);
	MUST(!kill(pid, SIGCONT));
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

ROUNDTRIP(listening)
{
	pid_t pid = seized_and_stopped();

	trace(PTRACE_LISTEN, pid, 0, 0);
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	MUST(!kill(pid, SIGCONT));
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

/* the older way: no siginfo tells what it is */
ROUNDTRIP(group_stop_attached)
{
	pid_t pid = tracee_of(wait_for_term, 0, PTRACE_CONT);
	siginfo_t info;

	MUST(!kill(pid, SIGSTOP));
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	trace(PTRACE_CONT, pid, 0, SIGSTOP);
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	MUST(syscall(SYS_ptrace, PTRACE_GETSIGINFO, pid, 0, &info) && errno == EINVAL);
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	must_be_traced(pid);
	MUST(syscall(SYS_ptrace, PTRACE_GETSIGINFO, pid, 0, &info) && errno == EINVAL);
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

/* ---- who traces whom ---- */

static void *tracing_thread(void *arg)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	event_set("held");
	event_wait("go");
	must_be_traced(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
	return arg;
}

ROUNDTRIP(by_a_thread)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, tracing_thread, NULL));
	event_wait("held");
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(thread, NULL));
}

static void *raising_thread(void *arg)
{
	raise(SIGUSR1);
	return arg;
}

static void raise_in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, raising_thread, NULL) || pthread_join(thread, NULL))
		_exit(98);
	_exit(nr_usr1);
}

/* one thread held, the other asleep in the kernel, both traced */
ROUNDTRIP(threads)
{
	pid_t pid = tracee_of(raise_in_thread, PTRACE_O_TRACECLONE, PTRACE_CONT), tid;
	int status;

	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		MUST(tid > 0 && WIFSTOPPED(status));
		if (tid != pid && status == SIGNAL_STATUS(SIGUSR1))
			break;
		trace(PTRACE_CONT, tid, 0, 0);
	}
	checkpoint_held(tid);
	must_be_traced(pid);
	trace(PTRACE_CONT, tid, 0, SIGUSR1);
	/* it may be overtaken by the exit of all */
	MUST_EQ(waitpid(tid, &status, __WALL), tid);
	MUST(WIFEXITED(status));
	must_wait(pid, 1 << 8);
}

/* is traced itself, in a system call of its own, while it holds another */
static void trace_another(void)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	raise(SIGUSR2);
	must_be_traced(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
	_exit(6);
}

ROUNDTRIP(tracer_is_held)
{
	pid_t pid = tracee_of(trace_another, 0, PTRACE_CONT);

	wait_for(pid, SIGNAL_STATUS(SIGUSR2), PTRACE_CONT);
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, 6 << 8, PTRACE_CONT);
}

/* a zombie whose parent has not been told, since its tracer has not waited */
ROUNDTRIP(zombie_of_another, .refused = "its tracer, pid ")
{
	pid_t child = fork_child(), tracer;
	siginfo_t info;

	if (!child) {
		event_wait("traced");
		_exit(2);
	}
	tracer = fork_child();
	if (!tracer) {
		trace(PTRACE_SEIZE, child, 0, 0);
		event_set("traced");
		MUST(!waitid(P_PID, child, &info, WEXITED | WNOWAIT | __WALL));
		event_set("dead");
		event_wait("go");
		must_wait(child, 2 << 8);
		_exit(0);
	}
	event_wait("dead");
	checkpoint_here();
	event_set("go");
	must_wait(tracer, 0);
	must_wait(child, 2 << 8);
}

ROUNDTRIP(refused_if_asked, .refused = "--refuse-traced", .dump_args = "--refuse-traced")
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_here();
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

TEST_HARNESS_MAIN
