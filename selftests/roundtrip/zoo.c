// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in each system call that waits for another task, by a futex, a signal, a lock or System V IPC: after the
 * checkpoint it still waits, and what wakes it gives it what it would have got undisturbed.  Waits for files are in
 * zoo_files.c, waits that end by themselves in zoo_time.c.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"

#define BIT(signo)	(1ULL << ((signo) - 1))
#define KERNEL_SET	8	/* bytes of a signal set */

/* blocked in all threads: a thread takes it by a call */
#define TAKEN		(SIGRTMIN + 6)

/* ---- futexes ---- */

/* ->arg is the operation */
static long run_futex(struct call *c)
{
	return sys_ret(syscall(SYS_futex, &c->word, c->arg, c->word, NULL, NULL, 1));
}

static long run_futex_waitv(struct call *c)
{
	struct futex_waitv w[2] = {
		{ .uaddr = (uintptr_t)&w[1].val, .val = 7, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
		{ .uaddr = (uintptr_t)&c->word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
	};

	w[1].val = 0;
	w[0].uaddr = (uintptr_t)&w[0].val;
	return sys_ret(syscall(SYS_futex_waitv, w, 2, 0, NULL, 0));
}

static void wake_futex(struct call *c)
{
	int wake = FUTEX_WAKE | (c->arg & FUTEX_PRIVATE_FLAG), tries = 6000;

	while (syscall(SYS_futex, &c->word, wake, 1, NULL, NULL, 0) != 1) {
		call_must(c, --tries);
		nap();
	}
}

static void own_futex(struct call *c)
{
	c->word = gettid();
}

static void unlock_futex(struct call *c)
{
	call_must(c, !syscall(SYS_futex, &c->word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}

static long run_lock_pi(struct call *c)
{
	return sys_ret(syscall(SYS_futex, &c->word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}

ROUNDTRIP(in_futex)
{
	static struct call calls[] = {
		{ "private", SYS_futex, run_futex, NULL, wake_futex, 0, CALL_RESTART, .arg = FUTEX_WAIT_PRIVATE },
		{ "shared", SYS_futex, run_futex, NULL, wake_futex, 0, CALL_RESTART, .arg = FUTEX_WAIT },
		{ "bitset", SYS_futex, run_futex, NULL, wake_futex, 0, CALL_RESTART, .arg = FUTEX_WAIT_BITSET_PRIVATE },
		{ "lock_pi", SYS_futex, run_lock_pi, own_futex, unlock_futex, 0, CALL_RESTART },
		{ "waitv", SYS_futex_waitv, run_futex_waitv, NULL, wake_futex, 1, CALL_RESTART,
		  .arg = FUTEX_PRIVATE_FLAG },
	};

	zoo(calls, ARRAY_SIZE(calls));
}

/* ---- processes and signals ---- */

static void fork_one(struct call *c)
{
	char name[32];

	c->child = fork_child();
	if (c->child)
		return;
	snprintf(name, sizeof(name), "exit.%s", c->name);
	event_wait(name);
	_exit(3);
}

static void end_one(struct call *c)
{
	char name[32];

	snprintf(name, sizeof(name), "exit.%s", c->name);
	event_set(name);
}

static long run_wait4(struct call *c)
{
	int status = 0;
	pid_t pid = syscall(SYS_wait4, c->child, &status, 0, NULL);

	return pid < 0 ? -errno : pid == c->child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static long run_waitid(struct call *c)
{
	siginfo_t info = {};

	if (syscall(SYS_waitid, P_PID, c->child, &info, WEXITED, NULL))
		return -errno;
	return info.si_pid == c->child ? info.si_status : -1;
}

static long run_pause(struct call *c)
{
	return sys_ret(syscall(SYS_pause));
}

static long run_sigtimedwait(struct call *c)
{
	uint64_t set = BIT(TAKEN);

	return sys_ret(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, KERNEL_SET));
}

static void send_usr1(struct call *c)
{
	call_must(c, !pthread_kill(c->thread, SIGUSR1));
}

static void send_taken(struct call *c)
{
	call_must(c, !pthread_kill(c->thread, TAKEN));
}

static void nothing(int signo)
{
	(void)signo;
}

ROUNDTRIP(in_wait_and_pause)
{
	static struct call calls[] = {
		{ "wait4", SYS_wait4, run_wait4, fork_one, end_one, 3, CALL_RESTART },
		{ "waitid", SYS_waitid, run_waitid, fork_one, end_one, 3, CALL_RESTART },
		{ "pause", SYS_pause, run_pause, NULL, send_usr1, -EINTR, CALL_NOHAND },
		{ "sigtimedwait", SYS_rt_sigtimedwait, run_sigtimedwait, NULL, send_taken, 0, CALL_EINTR },
	};
	struct sigaction sa = { .sa_handler = nothing };
	sigset_t set;

	calls[3].want = TAKEN;
	sigemptyset(&set);
	sigaddset(&set, TAKEN);
	MUST(!sigaction(SIGUSR1, &sa, NULL) && !sigprocmask(SIG_BLOCK, &set, NULL));
	zoo(calls, ARRAY_SIZE(calls));
}

/* ---- locks, and System V's queues and semaphores, which outlive their users ---- */

static void hold_flock(struct call *c)
{
	int other = open("flock", O_RDWR | O_CREAT, 0600);

	c->fd[0] = open("flock", O_RDWR);
	c->fd[1] = other;
	call_must(c, c->fd[0] >= 0 && !flock(other, LOCK_EX));
}

static long run_flock(struct call *c)
{
	return sys_ret(syscall(SYS_flock, c->fd[0], LOCK_EX));
}

static void drop_flock(struct call *c)
{
	call_must(c, !flock(c->fd[1], LOCK_UN));
}

static struct flock whole_file = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

/* held by a child: threads of one process don't keep each other out */
static void hold_posix_lock(struct call *c)
{
	c->fd[0] = open("posix", O_RDWR | O_CREAT, 0600);
	c->child = fork_child();
	if (c->child) {
		event_wait("locked");
		return;
	}
	MUST(!fcntl(c->fd[0], F_SETLK, &whole_file));
	event_set("locked");
	event_wait("unlock");
	_exit(0);
}

static void drop_posix_lock(struct call *c)
{
	event_set("unlock");
	reap(c->child);
}

static void hold_ofd_lock(struct call *c)
{
	c->fd[1] = open("ofd", O_RDWR | O_CREAT, 0600);
	c->fd[0] = open("ofd", O_RDWR);
	call_must(c, c->fd[0] >= 0 && !fcntl(c->fd[1], F_OFD_SETLK, &whole_file));
}

static void drop_ofd_lock(struct call *c)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	call_must(c, !fcntl(c->fd[1], F_OFD_SETLK, &fl));
}

/* ->arg is the command */
static long run_lock(struct call *c)
{
	return sys_ret(syscall(NR_FCNTL, c->fd[0], c->arg, &whole_file));
}

static void make_queue(struct call *c)
{
	c->fd[0] = msgget(IPC_PRIVATE, 0600);
	call_must(c, c->fd[0] >= 0);
}

struct letter {
	long type;
	char text[512];
};

static long run_msgrcv(struct call *c)
{
	struct letter l;
	long ret = syscall(SYS_msgrcv, c->fd[0], &l, sizeof(l.text), 5, 0);

	return ret < 0 ? -errno : l.type;
}

static void send_letter(struct call *c)
{
	struct letter l = { .type = 5 };

	call_must(c, !msgsnd(c->fd[0], &l, 3, IPC_NOWAIT));
}

static void make_full_queue(struct call *c)
{
	struct letter l = { .type = 1 };

	make_queue(c);
	while (!msgsnd(c->fd[0], &l, sizeof(l.text), IPC_NOWAIT))
		;
	call_must(c, errno == EAGAIN);
}

static long run_msgsnd(struct call *c)
{
	struct letter l = { .type = 6 };

	return sys_ret(syscall(SYS_msgsnd, c->fd[0], &l, sizeof(l.text), 0));
}

static void take_letter(struct call *c)
{
	struct letter l;

	call_must(c, msgrcv(c->fd[0], &l, sizeof(l.text), 1, IPC_NOWAIT) >= 0);
}

static void make_semaphore(struct call *c)
{
	c->fd[0] = semget(IPC_PRIVATE, 1, 0600);
	call_must(c, c->fd[0] >= 0);
}

static long run_semop(struct call *c)
{
	struct sembuf op = { .sem_op = -1 };

	return sys_ret(sys_semop(c->fd[0], &op, 1));
}

static long run_semtimedop(struct call *c)
{
	struct sembuf op = { .sem_op = -1 };
	struct timespec ts = { .tv_sec = 10000 };

	return sys_ret(sys_semtimedop(c->fd[0], &op, 1, &ts));
}

static void post_semaphore(struct call *c)
{
	struct sembuf op = { .sem_op = 1 };

	call_must(c, !semop(c->fd[0], &op, 1));
}

ROUNDTRIP(in_locks_and_ipc)
{
	static struct call calls[] = {
		{ "flock", SYS_flock, run_flock, hold_flock, drop_flock, 0, CALL_RESTART },
		{ "F_SETLKW", NR_FCNTL, run_lock, hold_posix_lock, drop_posix_lock, 0, CALL_RESTART,
		  .arg = F_SETLKW },
		{ "F_OFD_SETLKW", NR_FCNTL, run_lock, hold_ofd_lock, drop_ofd_lock, 0, CALL_RESTART,
		  .arg = F_OFD_SETLKW },
		{ "msgrcv", SYS_msgrcv, run_msgrcv, make_queue, send_letter, 5, CALL_NOHAND },
		{ "msgsnd", SYS_msgsnd, run_msgsnd, make_full_queue, take_letter, 0, CALL_NOHAND },
		{ "semop", NR_SEMOP, run_semop, make_semaphore, post_semaphore, 0, CALL_EINTR },
		{ "semtimedop", NR_SEMTIMEDOP, run_semtimedop, make_semaphore, post_semaphore, 0, CALL_EINTR },
	};

	zoo(calls, ARRAY_SIZE(calls));
	MUST(!msgctl(calls[3].fd[0], IPC_RMID, NULL) && !msgctl(calls[4].fd[0], IPC_RMID, NULL));
	MUST(!semctl(calls[5].fd[0], 0, IPC_RMID) && !semctl(calls[6].fd[0], 0, IPC_RMID));
}

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

/* a call that ended because of the handler is over */
#define CALL_DONE	.state = "done"

ROUNDTRIP(handler_pending)
{
	static struct stopped all[] = {
		{ { "epoll_wait", SYS_epoll_wait, run_epoll_wait, .want = -EINTR, CALL_DONE }, true },
		{ { "epoll_wait, SA_RESTART", SYS_epoll_wait, run_epoll_wait, .want = -EINTR, CALL_DONE }, true,
		  SA_RESTART },
		{ { "epoll_wait, no signal", SYS_epoll_wait, run_epoll_wait, .want = 1, CALL_EINTR }, .feed = true },
		{ { "sigtimedwait", SYS_rt_sigtimedwait, run_sigtimedwait, .want = -EINTR, CALL_DONE }, true },
		{ { "pause", SYS_pause, run_pause, .want = -EINTR, CALL_NOHAND }, true, SA_RESTART },
		{ { "poll", SYS_poll, run_poll, .want = -EINTR, CALL_BLOCK_FOREVER("poll") }, true, SA_RESTART },
		{ { "nanosleep", SYS_nanosleep, run_nanosleep, .want = -EINTR, CALL_BLOCK("nanosleep") }, true,
		  SA_RESTART },
		{ { "futex", SYS_futex, run_futex_timeout, .want = -EINTR, CALL_BLOCK("futex") }, true, SA_RESTART },
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

TEST_HARNESS_MAIN
