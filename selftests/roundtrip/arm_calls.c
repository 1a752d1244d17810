// SPDX-License-Identifier: GPL-2.0
/*
 * System calls of 32-bit ARM: from ARM and from Thumb code, by the old ABI; handlers without a restorer.
 *
 * crk-test: abi=arm,armel
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

/* ---- calls from both kinds of code ---- */

#define NR_NANOSLEEP	162
#define NR_GETPID	20

long arm_call(long nr, const void *a, void *b);
long thumb_call(long nr, const void *a, void *b);
__asm__ (
	"	.text\n"
	"	.arm\n"
	"	.align	2\n"
	"	.globl	arm_call\n"
	"	.type	arm_call, %function\n"
	"arm_call:\n"
	"	push	{r4, r7, r8, lr}\n"
	"	mov	r7, r0\n"
	"	mov	r8, r0\n"
	"	mov	r0, r1\n"
	"	mov	r1, r2\n"
	"	svc	#0\n"
	"	cmp	r7, r8\n"		/* it is the program's, and stays */
	"	mvnne	r0, #0\n"
	"	pop	{r4, r7, r8, pc}\n"
	"	.thumb\n"
	"	.align	2\n"
	"	.globl	thumb_call\n"
	"	.thumb_func\n"
	"	.type	thumb_call, %function\n"
	"thumb_call:\n"
	"	push	{r4, r5, r7, lr}\n"
	"	mov	r7, r0\n"
	"	mov	r4, r0\n"
	"	mov	r0, r1\n"
	"	mov	r1, r2\n"
	"	svc	#0\n"
	"	cmp	r7, r4\n"
	"	beq	1f\n"
	"	movs	r0, #99\n"
	"1:	pop	{r4, r5, r7, pc}\n"
#ifndef __thumb__
	"	.arm\n"
#endif
);

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

struct sleeper {
	long (*call)(long nr, const void *a, void *b);
	double slept;
	long ret;
};

static volatile int nr_asleep;

static void *sleeper(void *arg)
{
	long ts[2] = { 3, 0 };
	struct sleeper *s = arg;
	double begin = seconds();

	__atomic_add_fetch(&nr_asleep, 1, __ATOMIC_SEQ_CST);
	s->ret = s->call(NR_NANOSLEEP, ts, NULL);
	s->slept = seconds() - begin;
	return NULL;
}

/* the clock of the restored goes on where it was; twice through the freezer, which each time restarts the call */
ROUNDTRIP(calls)
{
	struct sleeper s[] = { { .call = arm_call }, { .call = thumb_call } };
	pthread_t t[2];
	int i;

	nr_asleep = 0;
	for (i = 0; i < 2; i++)
		MUST(!pthread_create(&t[i], NULL, sleeper, &s[i]));
	WAIT_FOR(nr_asleep == 2);
	usleep(300000);
	checkpoint_here();
	checkpoint_here();
	for (i = 0; i < 2; i++) {
		MUST(!pthread_join(t[i], NULL));
		MUST_EQ(s[i].ret, 0);
		MUST(s[i].slept >= 2.9);
	}
	MUST_EQ(arm_call(NR_GETPID, NULL, NULL), getpid());
	MUST_EQ(thumb_call(NR_GETPID, NULL, NULL), getpid());
}

/* ---- calls by the old ABI, whose numbers are in the instruction ---- */

#define OABI(name, nr)										\
	long oabi_##name(long a, long b, long c, long d);					\
	__asm__ (										\
		"	.text\n	.arm\n	.align	2\n	.globl	oabi_" #name "\n"		\
		"	.type	oabi_" #name ", %function\n"					\
		"oabi_" #name ":\n"								\
		"	push	{r7, lr}\n"							\
		"	mvn	r7, #0\n"		/* means nothing to it, and stays */	\
		"	svc	#0x900000 + " #nr "\n"						\
		"	cmn	r7, #1\n"							\
		"	movne	r0, #99\n"							\
		"	pop	{r7, pc}\n" THUMB_AGAIN)

#ifdef __thumb__
#define THUMB_AGAIN	"	.thumb\n"
#else
#define THUMB_AGAIN	""
#endif

OABI(read, 3);
OABI(getpid, 20);
OABI(pause, 29);
OABI(nanosleep, 162);
OABI(poll, 168);
OABI(futex, 240);

static bool have_oabi(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(oabi_getpid(0, 0, 0, 0) != getpid());
	MUST_EQ(waitpid(pid, &status, 0), pid);
	return !status;
}

enum { OABI_READ, OABI_PAUSE, OABI_NANOSLEEP, OABI_POLL, OABI_FUTEX, OABI_CALLS };

static struct {
	pthread_t thread;
	double took;
	long ret;
} oabi_calls[OABI_CALLS];

static int oabi_pipe[2];
static char oabi_got;

static void *oabi_call(void *arg)
{
	long n = (long)arg, ts[2] = { 3, 0 }, word = 7;
	double begin = seconds();

	__atomic_add_fetch(&nr_asleep, 1, __ATOMIC_SEQ_CST);
	switch (n) {
	case OABI_READ:
		oabi_calls[n].ret = oabi_read(oabi_pipe[0], (long)&oabi_got, 1, 0);
		break;
	case OABI_PAUSE:
		oabi_calls[n].ret = oabi_pause(0, 0, 0, 0);
		break;
	case OABI_NANOSLEEP:
		oabi_calls[n].ret = oabi_nanosleep((long)ts, 0, 0, 0);
		break;
	case OABI_POLL:
		oabi_calls[n].ret = oabi_poll(0, 0, 3000, 0);
		break;
	case OABI_FUTEX:
		oabi_calls[n].ret = oabi_futex((long)&word, 0, word, (long)ts);
		break;
	}
	oabi_calls[n].took = seconds() - begin;
	return NULL;
}

static void on_nothing(int sig)
{
}

ROUNDTRIP(oabi)
{
	static const long want[] = { 1, -EINTR, 0, 0, -ETIMEDOUT };
	long i;

	if (!have_oabi())
		subject_skip("this kernel has no OABI (CONFIG_OABI_COMPAT)");
	MUST(!pipe(oabi_pipe));
	signal(SIGUSR2, on_nothing);
	nr_asleep = 0;
	for (i = 0; i < OABI_CALLS; i++)
		MUST(!pthread_create(&oabi_calls[i].thread, NULL, oabi_call, (void *)i));
	WAIT_FOR(nr_asleep == OABI_CALLS);
	usleep(300000);
	checkpoint_here();
	checkpoint_here();
	MUST_EQ(write(oabi_pipe[1], "x", 1), 1);
	MUST(!pthread_kill(oabi_calls[OABI_PAUSE].thread, SIGUSR2));
	for (i = 0; i < OABI_CALLS; i++) {
		MUST(!pthread_join(oabi_calls[i].thread, NULL));
		MUST_EQ(oabi_calls[i].ret, want[i]);
		MUST(i < OABI_NANOSLEEP || oabi_calls[i].took >= 2.9);
	}
	MUST_EQ(oabi_got, 'x');
	MUST_EQ(oabi_getpid(0, 0, 0, 0), getpid());
}

/* ---- a handler that returns through the kernel's trampolines ---- */

static volatile int handled;

static void on_usr1(int sig)
{
	checkpoint_here();
	handled = sig;
}

ROUNDTRIP(no_restorer)
{
	struct {
		void (*handler)(int sig);
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} sa = { .handler = on_usr1 };

	handled = 0;
	MUST(!syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 8));
	raise(SIGUSR1);
	MUST_EQ(handled, SIGUSR1);
	handled = 0;
	raise(SIGUSR1);
	MUST_EQ(handled, SIGUSR1);
}

TEST_HARNESS_MAIN
