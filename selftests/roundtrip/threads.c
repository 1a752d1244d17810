// SPDX-License-Identifier: GPL-2.0
/*
 * Threads: ids, thread-local variables, locks held and waited for, names, stacks, many of them.
 *
 * crk-test: timeout=900
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#define MANY	1000

struct member {
	pthread_t thread;
	int nr;
	pid_t tid;
};

static __thread int own_nr;
static pthread_barrier_t ready;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool over;
static int sum;

/* sleeps in the kernel at the dump, each with a stack and TLS of its own */
static void *member(void *arg)
{
	struct member *m = arg;
	volatile int on_stack = m->nr * 3;
	char name[16], now[16];

	own_nr = m->nr;
	m->tid = syscall(SYS_gettid);
	snprintf(name, sizeof(name), "member-%d", m->nr);
	prctl(PR_SET_NAME, name);
	pthread_barrier_wait(&ready);
	pthread_mutex_lock(&lock);
	while (!over)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	MUST_EQ(syscall(SYS_gettid), m->tid);
	MUST_EQ(own_nr, m->nr);
	MUST_EQ(on_stack, m->nr * 3);
	MUST(pthread_equal(pthread_self(), m->thread));
	prctl(PR_GET_NAME, now);
	MUST_STR(now, name);
	__atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
	return arg;
}

static void round_of(int nr)
{
	struct member *m = calloc(nr, sizeof(*m));
	pthread_attr_t attr;
	void *ret;
	int i;

	MUST(m);
	pthread_attr_init(&attr);
	MUST(!pthread_attr_setstacksize(&attr, 64 << 10));
	MUST(!pthread_barrier_init(&ready, NULL, nr + 1));
	for (i = 0; i < nr; i++) {
		m[i].nr = i;
		MUST(!pthread_create(&m[i].thread, &attr, member, &m[i]));
	}
	pthread_barrier_wait(&ready);
	checkpoint_here();
	pthread_mutex_lock(&lock);
	over = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < nr; i++) {
		MUST(!pthread_join(m[i].thread, &ret));
		MUST(ret == &m[i]);
	}
	MUST_EQ(sum, nr);
	sum = 0;
	over = false;
}

ROUNDTRIP(one)
{
	round_of(1);
}

ROUNDTRIP(seven)
{
	round_of(7);
}

ROUNDTRIP(thousand)
{
	round_of(MANY);
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *contender(void *arg)
{
	pthread_mutex_lock(&held);
	(*(int *)arg)++;
	pthread_mutex_unlock(&held);
	return NULL;
}

/* a mutex that one holds and others wait for, and one that is robust and whose owner ends */
ROUNDTRIP(mutexes)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t robust;
	pthread_t t[3];
	int counter = 0, i;

	pthread_mutexattr_init(&attr);
	MUST(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	MUST(!pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
	MUST(!pthread_mutex_init(&robust, &attr));
	MUST(!pthread_mutex_lock(&robust));
	pthread_mutex_lock(&held);
	for (i = 0; i < 3; i++)
		MUST(!pthread_create(&t[i], NULL, contender, &counter));
	checkpoint_here();
	MUST_EQ(counter, 0);
	pthread_mutex_unlock(&held);
	for (i = 0; i < 3; i++)
		MUST(!pthread_join(t[i], NULL));
	MUST_EQ(counter, 3);
	/* error checking compares the tid in the mutex */
	MUST_EQ(pthread_mutex_lock(&robust), EDEADLK);
	MUST(!pthread_mutex_unlock(&robust));
}

static pthread_mutex_t left_locked;

static void *dies_locked(void *arg)
{
	MUST(!pthread_mutex_lock(&left_locked));
	sem_post(arg);
	event_wait("die");
	return NULL;
}

/* the kernel walks the robust list at the end of a thread: its head must be registered again */
ROUNDTRIP(robust_list)
{
	pthread_mutexattr_t attr;
	pthread_t t;
	sem_t locked;

	sem_init(&locked, 0, 0);
	pthread_mutexattr_init(&attr);
	MUST(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	MUST(!pthread_mutex_init(&left_locked, &attr));
	MUST(!pthread_create(&t, NULL, dies_locked, &locked));
	MUST(!sem_wait(&locked));
	checkpoint_here();
	event_set("die");
	MUST(!pthread_join(t, NULL));
	MUST_EQ(pthread_mutex_lock(&left_locked), EOWNERDEAD);
}

/* new threads in a restored process */
ROUNDTRIP(created_after)
{
	int counter = 0, i;
	pthread_t t;

	checkpoint_here();
	for (i = 0; i < 50; i++) {
		MUST(!pthread_create(&t, NULL, contender, &counter));
		MUST(!pthread_join(t, NULL));
	}
	MUST_EQ(counter, 50);
}

TEST_HARNESS_MAIN
