// SPDX-License-Identifier: GPL-2.0
/*
 * What signals do to a thread that is dumped in a system call: temporary masks are there after the checkpoint, both of
 * them; a handler that is due ends a call as it would have undisturbed, and only in the thread that runs it
 * (requirement 2.10).  The waits themselves are in zoo.c.
 */
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"

#define BIT(signo)	(1ULL << ((signo) - 1))
#define KERNEL_SET	8	/* bytes of a signal set */

/* blocked in all threads: a thread takes it by a call */
#define TAKEN		(SIGRTMIN + 6)

/* ---- temporary masks: USR1 gets through, USR2 does not; the thread's own mask holds off both ---- */

#define OWN_MASK	(BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(TAKEN))
#define TEMPORARY_MASK	(BIT(SIGUSR2) | BIT(SIGHUP))

static __thread volatile int nr_handled;

static void count(int signo)
{
	(void)signo;
	nr_handled++;
}

static long masked_ppoll(int fd, const uint64_t *mask)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return syscall(SYS_ppoll, &p, 1, NULL, mask, KERNEL_SET);
}

static long masked_pselect(int fd, const uint64_t *mask)
{
	struct {
		const uint64_t *mask;
		size_t size;
	} sixth = { mask, KERNEL_SET };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, NULL, &sixth);
}

static long masked_sigsuspend(int fd, const uint64_t *mask)
{
	(void)fd;
	return syscall(SYS_rt_sigsuspend, mask, KERNEL_SET);
}

static long masked_epoll_pwait(int fd, const uint64_t *mask)
{
	struct epoll_event ev;

	return syscall(SYS_epoll_pwait, fd, &ev, 1, -1, mask, KERNEL_SET);
}

static long masked_epoll_pwait2(int fd, const uint64_t *mask)
{
	struct epoll_event ev;

	return syscall(SYS_epoll_pwait2, fd, &ev, 1, NULL, mask, KERNEL_SET);
}

static long run_masked(struct call *c)
{
	static long (*const how[])(int fd, const uint64_t *mask) = {
		masked_ppoll, masked_pselect, masked_sigsuspend, masked_epoll_pwait, masked_epoll_pwait2,
	};
	uint64_t own = OWN_MASK, temporary = TEMPORARY_MASK, after = 0, pending = 0;
	bool live_eintr = c->live_eintr && is_left_running();
	long ret;

	MUST(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &own, NULL, KERNEL_SET));
	ret = sys_ret(how[c->arg](c->fd[0], &temporary));
	MUST(!syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &after, KERNEL_SET));
	MUST(!syscall(SYS_rt_sigpending, &pending, KERNEL_SET));
	call_must(c, after == OWN_MASK);
	call_must(c, pending == (live_eintr ? 0 : BIT(SIGUSR2)));
	call_must(c, nr_handled == !live_eintr);
	return ret;
}

static void make_source(struct call *c)
{
	c->fd[0] = epoll_create1(0);
	call_must(c, c->fd[0] >= 0);
}

static uint64_t mask_of(const struct call *c, const char *which)
{
	char *text = file_text("/proc/self/task/%d/status", c->tid), *line = text_line(text, which);
	uint64_t mask = strtoull(line + strlen(which), NULL, 16);

	free(line);
	free(text);
	return mask;
}

static void send_both(struct call *c)
{
	WAIT_FOR(is_blocked_in(getpid(), c->tid, c->nr) && mask_of(c, "SigBlk:") == TEMPORARY_MASK);
	call_must(c, !pthread_kill(c->thread, SIGUSR2));
	WAIT_FOR(is_blocked_in(getpid(), c->tid, c->nr));
	call_must(c, mask_of(c, "SigPnd:") == BIT(SIGUSR2));
	call_must(c, !pthread_kill(c->thread, SIGUSR1));
}

#define MASKED	run_masked, make_source, send_both, -EINTR, .blocked = TEMPORARY_MASK

ROUNDTRIP(temporary_masks)
{
	static struct call calls[] = {
		{ "ppoll", SYS_ppoll, MASKED, CALL_NOHAND, .arg = 0 },
		{ "pselect", SYS_pselect6, MASKED, CALL_NOHAND, .arg = 1 },
		{ "sigsuspend", SYS_rt_sigsuspend, MASKED, CALL_NOHAND, .arg = 2 },
		{ "epoll_pwait", SYS_epoll_pwait, MASKED, CALL_EINTR, .arg = 3 },
		{ "epoll_pwait2", SYS_epoll_pwait2, MASKED, CALL_EINTR, .arg = 4 },
	};
	struct sigaction sa = { .sa_handler = count };

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	zoo(calls, ARRAY_SIZE(calls));
}

/* ---- a handler that is due: the signal came while the process was stopped, so before the dump ---- */

struct stopped {
	struct call call;
	bool signal;		/* it has a signal pending */
	int sa_flags;
	bool feed;		/* the call goes on and must be fed */
};

static long run_pause(struct call *c)
{
	return sys_ret(syscall(SYS_pause));
}

static long run_sigtimedwait(struct call *c)
{
	uint64_t set = BIT(TAKEN);

	return sys_ret(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, KERNEL_SET));
}

static long run_epoll_wait(struct call *c)
{
	struct epoll_event ev;

	MUST(!epoll_ctl(c->fd[1], EPOLL_CTL_ADD, c->fd[0], &(struct epoll_event){ .events = EPOLLIN }));
	return sys_ret(syscall(SYS_epoll_wait, c->fd[1], &ev, 1, -1));
}

static long run_poll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };

	return sys_ret(syscall(SYS_poll, &p, 1, -1));
}

static long run_read(struct call *c)
{
	char byte;

	return sys_ret(syscall(SYS_read, c->fd[0], &byte, 1));
}

static long run_nanosleep(struct call *c)
{
	struct timespec ts = { .tv_sec = 10000 }, left = {};
	long ret = sys_ret(syscall(SYS_nanosleep, &ts, &left));

	call_must(c, left.tv_sec > 0 && left.tv_sec < 10000);
	return ret;
}

static long run_ppoll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };
	struct timespec ts = { .tv_sec = 10000 };

	return sys_ret(syscall(SYS_ppoll, &p, 1, &ts, NULL, KERNEL_SET));
}

static long run_sleep_until(struct call *c)
{
	struct timespec ts = {};

	MUST(!clock_gettime(CLOCK_MONOTONIC, &ts));
	ts.tv_sec += 10000;
	return sys_ret(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
}

static long run_semop(struct call *c)
{
	struct sembuf op = { .sem_op = -1 };
	int id = semget(IPC_PRIVATE, 1, 0600);
	long ret = sys_ret(sys_semop(id, &op, 1));

	MUST(!semctl(id, 0, IPC_RMID));
	return ret;
}

static long run_msgrcv(struct call *c)
{
	struct { long type; char text[8]; } l;
	int id = msgget(IPC_PRIVATE, 0600);
	long ret = sys_ret(syscall(SYS_msgrcv, id, &l, sizeof(l.text), 0, 0));

	MUST(!msgctl(id, IPC_RMID, NULL));
	return ret;
}

static long run_waitid(struct call *c)
{
	siginfo_t info;

	if (!fork_child())
		for (;;)
			pause();
	return sys_ret(syscall(SYS_waitid, P_ALL, 0, &info, WEXITED, NULL));
}

static long run_futex_timeout(struct call *c)
{
	struct timespec ts = { .tv_sec = 10000 };

	return sys_ret(syscall(SYS_futex, &c->word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0));
}

static void stopped_start(struct stopped *s)
{
	struct sigaction sa = { .sa_handler = count, .sa_flags = s->sa_flags };
	struct call *c = &s->call;
	int fds[2];

	MUST(!pipe(fds));
	c->fd[0] = fds[0];
	c->fd[1] = epoll_create1(0);
	c->child = fork_child();
	if (!c->child) {
		MUST(!sigaction(SIGUSR1, &sa, NULL));
		c->ret = c->run(c);
		call_must(c, c->ret == (c->live_eintr && is_left_running() ? -EINTR : c->want));
		call_must(c, nr_handled == s->signal);
		_exit(0);
	}
	c->fd[1] = fds[1];
	c->tid = c->child;
	WAIT_FOR(is_blocked_in(c->child, c->child, c->nr));
	MUST(!kill(c->child, SIGSTOP));
	MUST_EQ(waitpid(c->child, NULL, WUNTRACED), c->child);
	if (s->signal)
		MUST(!kill(c->child, SIGUSR1));
}

static void stopped_end(struct stopped *s)
{
	struct call *c = &s->call;

	MUST(!kill(c->child, SIGCONT));
	/* the live task gets EINTR for it, and nothing then reads the pipe */
	if (s->feed)
		MUST_EQ(write(c->fd[1], "x", 1), 1);
	reap(c->child);
}

ROUNDTRIP(handler_pending)
{
	static struct stopped all[] = {
		{ { "epoll_wait", SYS_epoll_wait, run_epoll_wait, .want = -EINTR, CALL_EINTR }, true },
		{ { "epoll_wait, SA_RESTART", SYS_epoll_wait, run_epoll_wait, .want = -EINTR, CALL_EINTR }, true,
		  SA_RESTART },
		{ { "epoll_wait, no signal", SYS_epoll_wait, run_epoll_wait, .want = 1, CALL_EINTR }, .feed = true },
		{ { "sigtimedwait", SYS_rt_sigtimedwait, run_sigtimedwait, .want = -EINTR, CALL_EINTR }, true },
		{ { "pause", SYS_pause, run_pause, .want = -EINTR, CALL_NOHAND }, true, SA_RESTART },
		{ { "poll", SYS_poll, run_poll, .want = -EINTR, CALL_BLOCK_FOREVER("poll") }, true, SA_RESTART },
		{ { "nanosleep", SYS_nanosleep, run_nanosleep, .want = -EINTR, CALL_BLOCK("nanosleep") }, true,
		  SA_RESTART },
		{ { "futex", SYS_futex, run_futex_timeout, .want = -EINTR, CALL_BLOCK("futex") }, true, SA_RESTART },
		{ { "ppoll", SYS_ppoll, run_ppoll, .want = -EINTR, CALL_NOHAND }, true, SA_RESTART },
		{ { "sleep until", SYS_clock_nanosleep, run_sleep_until, .want = -EINTR, CALL_NOHAND, .arg = -1 }, true,
		  SA_RESTART },
		{ { "semop", NR_SEMOP, run_semop, .want = -EINTR, CALL_EINTR }, true, SA_RESTART },
		{ { "msgrcv", SYS_msgrcv, run_msgrcv, .want = -EINTR, CALL_NOHAND }, true, SA_RESTART },
		{ { "waitid", SYS_waitid, run_waitid, .want = -EINTR, CALL_RESTART }, true },
		{ { "read", SYS_read, run_read, .want = -EINTR, CALL_RESTART }, true },
		{ { "read, SA_RESTART", SYS_read, run_read, .want = 1, CALL_RESTART }, true, SA_RESTART, true },
	};
	int nr = ARRAY_SIZE(all), i;

	for (i = 0; i < nr; i++)
		stopped_start(&all[i]);
	checkpoint_here();
	for (i = 0; i < nr; i++)
		calls_look_up(&all[i].call, 1, 10000);
	for (i = 0; i < nr; i++)
		stopped_end(&all[i]);
}

/* ---- a handler that is due in one thread of a process whose threads all wait ---- */

#define NR_WAITING	8

struct waiting {
	struct call calls[NR_WAITING];
	int nr_handled[NR_WAITING];
};

static struct waiting *waiting;

static long run_crowd(struct call *c)
{
	long ret = run_epoll_wait(c);

	waiting->nr_handled[c - waiting->calls] = nr_handled;
	return ret;
}

/* of a signal for the process, each of the threads that it has been sent to may be the one that handles it */
static int crowd_main(void)
{
	struct sigaction sa = { .sa_handler = count };
	int i;

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	calls_start(waiting->calls, NR_WAITING);
	event_set("waiting");
	for (i = 0; i < NR_WAITING; i++)
		MUST(!pthread_join(waiting->calls[i].thread, NULL));
	return 0;
}

static bool is_signal_taken(pid_t pid)
{
	char *text = file_text("/proc/%d/status", pid), *line = text_line(text, "ShdPnd:");
	bool ret = !strtoull(line + strlen("ShdPnd:"), NULL, 16);

	free(line);
	free(text);
	return ret;
}

ROUNDTRIP(handler_pending_elsewhere)
{
	int nr_eintr = 0, fds[2], i;
	struct call *c;
	pid_t pid;

	waiting = mmap(NULL, sizeof(*waiting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(waiting != MAP_FAILED && !pipe(fds));
	for (c = waiting->calls; c < waiting->calls + NR_WAITING; c++)
		*c = (struct call){ "epoll_wait", SYS_epoll_wait, run_crowd, .fd = { fds[0], epoll_create1(0) }, CALL_EINTR };
	pid = fork_child();
	if (!pid)
		_exit(crowd_main());
	event_wait("waiting");
	MUST(!kill(pid, SIGSTOP));
	MUST_EQ(waitpid(pid, NULL, WUNTRACED), pid);
	MUST(!kill(pid, SIGUSR1));
	checkpoint_here();
	calls_look_up(waiting->calls, NR_WAITING, 0);
	MUST(!kill(pid, SIGCONT));
	WAIT_FOR(is_signal_taken(pid));
	MUST_EQ(write(fds[1], "x", 1), 1);
	reap(pid);
	for (c = waiting->calls, i = 0; i < NR_WAITING; c++, i++) {
		bool eintr = is_left_running() || waiting->nr_handled[i];

		call_must(c, c->ret == (eintr ? -EINTR : 1));
		nr_eintr += waiting->nr_handled[i];
	}
	/* or the main thread has handled it */
	MUST(nr_eintr <= 1);
}

TEST_HARNESS_MAIN
