/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Targets of captures: what they tell the test that captures them, and threads asleep in all kinds of calls.
 */
#ifndef _TARGET_H
#define _TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SEC 1000000000LL

/* ---- memory that the test and its target share ---- */

enum { MAX_THREADS = 1100 };

struct shared {
	int nr;				/* threads that are there */
	pid_t tid[MAX_THREADS];
	pid_t child;
	unsigned long addr[8];
	int id[8];
};

extern struct shared *shared;

void shared_make(void);
/* in a target: thread @i is there */
void thread_here(int i);
/* a thread that says so and sleeps */
void *idle_thread(void *i);

/* ---- threads asleep in all kinds of calls ---- */

struct sleeper {
	const char *name;
	void *(*fn)(void *i);
	int nr;
	unsigned int kind;		/* CRK_SYSCALL_* */
	unsigned int abi;
	unsigned int restart;		/* CRK_RESTART_* */
	unsigned int flags;		/* of the restart block */
	long long remaining;		/* 0: no time */
	uint64_t blocked;		/* the mask while it waits, bit 0 is signal 1; 0 is not looked at */
};

extern const struct sleeper sleepers[];
extern const int nr_sleepers;

/* for task_start(): a thread of each */
void sleep_all(void *arg);

/* is @a within a minute below @b? */
bool soon(long long a, long long b);

#endif /* _TARGET_H */
