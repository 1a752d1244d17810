/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads that are dumped while each of them blocks in a system call: tables of calls, the checkpoint they have in
 * common, and what must be true of the image and of the results.  Used by the zoos of roundtrip/.
 *
 *	static struct call calls[] = {
 *		{ "pipe", SYS_read, read_one, pipe_open, pipe_feed, .want = 1, CALL_RESTART },
 *	};
 *	zoo(calls, ARRAY_SIZE(calls));
 */
#ifndef _CALLS_H
#define _CALLS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

/* i386 has some calls only by way of another, or has two */
#ifdef SYS__newselect
#define NR_SELECT	SYS__newselect
#else
#define NR_SELECT	SYS_select
#endif
#ifdef SYS_fcntl64
#define NR_FCNTL	SYS_fcntl64
#else
#define NR_FCNTL	SYS_fcntl
#endif
#ifdef SYS_semop
#define NR_SEMOP	SYS_semop
#define NR_SEMTIMEDOP	SYS_semtimedop
#define sys_semop(id, ops, nr)			syscall(SYS_semop, id, ops, nr)
#define sys_semtimedop(id, ops, nr, ts)		syscall(SYS_semtimedop, id, ops, nr, ts)
#else
#define NR_SEMOP	SYS_ipc
#define NR_SEMTIMEDOP	SYS_ipc
#define sys_semop(id, ops, nr)			syscall(SYS_ipc, 1, id, nr, 0, ops)
#define sys_semtimedop(id, ops, nr, ts)		syscall(SYS_ipc, 4, id, nr, 0, ops, ts)
#endif

/* by which ABI the image says that a test's own calls come: i686 ones run on 64-bit kernels */
#ifdef __i386__
#define OWN_ABI		"compat"
#else
#define OWN_ABI		"native"
#endif

/* what the image says of an interrupted call, in the words of crkhelper show */
#define CALL_RESTART	.state = "restart"
#define CALL_NOHAND	.state = "restart-if-no-handler"
#define CALL_BLOCK(_kind) .state = "restart-block", .restart = _kind, .timed = true
#define CALL_BLOCK_FOREVER(_kind) .state = "restart-block", .restart = _kind
/* the kernel itself ends it with EINTR at a freeze: the live task sees that, the restored one does not */
#define CALL_EINTR	.state = "eintr", .live_eintr = true

struct call {
	const char *name;
	int nr;				/* SYS_* it blocks in */
	long (*run)(struct call *c);	/* in a thread of its own; the result, or -errno */
	void (*init)(struct call *c);	/* before that, in the main thread; may be NULL */
	void (*wake)(struct call *c);	/* makes it return; NULL: it does so by itself */
	long want;
	const char *state, *restart;
	bool timed;			/* the restart block has a time that is left */
	bool live_eintr;
	uint64_t blocked;		/* the mask while it waits, bit 0 is signal 1; 0 is not looked at */
	long arg;			/* for those who share a function */

	/* for run, init and wake */
	int fd[2];
	pid_t child;
	uint32_t word;

	/* calls.c */
	pthread_t thread;
	volatile pid_t tid;
	volatile bool ended;
	long ret;
	double began, took;		/* seconds of CLOCK_MONOTONIC */
};

double seconds(void);
long sys_ret(long ret);			/* -errno for -1 */
/* is thread @tid of process @pid asleep in system call @nr, or in the restart of it? */
bool is_blocked_in(pid_t pid, pid_t tid, int nr);
/* returns when all are blocked */
void calls_start(struct call *calls, int nr);
/* after checkpoint_here(): what its first image says of them; @remaining: the most that may be left of a time */
void calls_look_up(const struct call *calls, int nr, double remaining);
/* all that; for calls that are woken */
void zoo(struct call *calls, int nr);
/* waits for one that returns by itself, and checks the result */
void call_end(struct call *c);
/* none has returned; wake all; all return what they should */
void calls_end(struct call *calls, int nr);

#define call_must(c, cond) do {								\
	if (!(cond))									\
		call_fail(c, __FILE__, __LINE__, #cond);				\
} while (0)
void call_fail(const struct call *c, const char *file, int line, const char *what) __attribute__((noreturn));

#endif /* _CALLS_H */
