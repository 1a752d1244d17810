// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in each system call that waits for another task, by a futex, a signal, a lock or System V IPC: after the
 * checkpoint it still waits, and what wakes it gives it what it would have got undisturbed (requirements 2.1, 2.10).
 * Waits for files are in zoo_files.c, waits that end by themselves in zoo_time.c, what signals do to waits in
 * zoo_signals.c.
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

TEST_HARNESS_MAIN
