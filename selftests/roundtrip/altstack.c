// SPDX-License-Identifier: GPL-2.0
/*
 * Alternate signal stacks: plain ones, and those that are given up while a handler runs (SS_AUTODISARM), dumped outside
 * of handlers and inside.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "checkpoint.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM	(1U << 31)
#endif

#define SIZE	(256 << 10)

static char stack[SIZE], other_stack[SIZE];
static volatile int nr_handled;
static void (*volatile in_handler)(void);

static void must_be(const char *sp, unsigned int flags)
{
	stack_t ss;

	MUST(!sigaltstack(NULL, &ss));
	MUST_EQ((unsigned int)ss.ss_flags, flags);
	MUST(ss.ss_sp == (void *)sp);
	MUST_EQ(ss.ss_size, sp ? SIZE : 0);
}

static void on_usr1(int sig, siginfo_t *info, void *context)
{
	char here;

	nr_handled++;
	MUST(&here >= stack && &here < stack + SIZE);
	if (in_handler)
		in_handler();
}

static void stack_set(char *sp, unsigned int flags)
{
	stack_t ss = { .ss_sp = sp, .ss_size = SIZE, .ss_flags = flags };

	MUST(!sigaltstack(&ss, NULL));
}

static void handler_set(unsigned int flags)
{
	/* on i386 a frame without siginfo has no place for the stack, which stays disarmed then */
	struct sigaction sa = { .sa_sigaction = on_usr1, .sa_flags = SA_ONSTACK | SA_SIGINFO };

	stack_set(stack, flags);
	MUST(!sigaction(SIGUSR1, &sa, NULL));
}

static void handle(int nr)
{
	raise(SIGUSR1);
	MUST_EQ(nr_handled, nr);
}

ROUNDTRIP(plain)
{
	handler_set(0);
	checkpoint_here();
	must_be(stack, 0);
	handle(1);
}

static void dumped_on_it(void)
{
	must_be(stack, SS_ONSTACK);
	checkpoint_here();
	must_be(stack, SS_ONSTACK);
}

ROUNDTRIP(plain_in_handler)
{
	handler_set(0);
	in_handler = dumped_on_it;
	handle(1);
	must_be(stack, 0);
}

ROUNDTRIP(autodisarm)
{
	handler_set(SS_AUTODISARM);
	checkpoint_here();
	must_be(stack, SS_AUTODISARM);
	handle(1);
	must_be(stack, SS_AUTODISARM);
}

/* it has none then, and gets it back when it returns */
static void dumped_without(void)
{
	must_be(NULL, SS_DISABLE);
	checkpoint_here();
	must_be(NULL, SS_DISABLE);
}

ROUNDTRIP(autodisarm_in_handler)
{
	handler_set(SS_AUTODISARM);
	in_handler = dumped_without;
	handle(1);
	must_be(stack, SS_AUTODISARM);
	in_handler = NULL;
	handle(2);
}

/* the point of it: a handler may take another one */
static void dumped_on_another(void)
{
	stack_set(other_stack, SS_AUTODISARM);
	checkpoint_here();
	must_be(other_stack, SS_AUTODISARM);
}

ROUNDTRIP(another_in_handler)
{
	handler_set(SS_AUTODISARM);
	in_handler = dumped_on_another;
	handle(1);
	must_be(stack, SS_AUTODISARM);
}

static void *of_thread(void *arg)
{
	stack_set(other_stack, SS_AUTODISARM);
	event_set("up");
	event_wait("go");
	must_be(other_stack, SS_AUTODISARM);
	return arg;
}

ROUNDTRIP(of_each_thread)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, of_thread, NULL));
	event_wait("up");
	checkpoint_here();
	must_be(NULL, SS_DISABLE);
	event_set("go");
	MUST(!pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
