// SPDX-License-Identifier: GPL-2.0
/*
 * Scheduling: nice, policies with their parameters, reset on fork, affinity, I/O priority, timer slack; of threads too.
 */
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

/* <linux/sched/types.h> and the C library's headers do not go together */
struct sched_attr {
	uint32_t size, sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint32_t sched_util_min, sched_util_max;
};

struct sched_state {
	struct sched_attr attr;
	uint64_t cpus[16];
	long cpus_len, ioprio, slack;
};

static struct sched_state state_now(void)
{
	struct sched_state s;

	memset(&s, 0, sizeof(s));
	MUST(!syscall(SYS_sched_getattr, 0, &s.attr, sizeof(s.attr), 0));
	s.cpus_len = syscall(SYS_sched_getaffinity, 0, sizeof(s.cpus), s.cpus);
	s.ioprio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	s.slack = prctl(PR_GET_TIMERSLACK);
	return s;
}

static void state_is(const struct sched_state *s)
{
	struct sched_state now = state_now();

	MUST_EQ(now.attr.sched_policy, s->attr.sched_policy);
	MUST_EQ(now.attr.sched_flags, s->attr.sched_flags);
	MUST_EQ(now.attr.sched_nice, s->attr.sched_nice);
	MUST_EQ(now.attr.sched_priority, s->attr.sched_priority);
	MUST_EQ(now.attr.sched_runtime, s->attr.sched_runtime);
	MUST_EQ(now.attr.sched_deadline, s->attr.sched_deadline);
	MUST_EQ(now.attr.sched_period, s->attr.sched_period);
	MUST_EQ(now.cpus_len, s->cpus_len);
	MUST(!memcmp(now.cpus, s->cpus, sizeof(s->cpus)));
	MUST_EQ(now.ioprio, s->ioprio);
	MUST_EQ(now.slack, s->slack);
}

static void policy_set(const struct sched_attr *attr)
{
	struct sched_attr a = *attr;

	a.size = sizeof(a);
	MUST(!syscall(SYS_sched_setattr, 0, &a, 0));
}

/* in a thread, so that each has its own */
struct taker {
	void (*take)(void);
	sem_t taken;
	pthread_t thread;
};

static void *taker_main(void *arg)
{
	struct taker *t = arg;
	struct sched_state s;

	t->take();
	s = state_now();
	sem_post(&t->taken);
	event_wait("go");
	state_is(&s);
	return NULL;
}

static void take_nice(void)
{
	MUST(!setpriority(PRIO_PROCESS, 0, 7));
}

static void take_negative_nice(void)
{
	MUST(!setpriority(PRIO_PROCESS, 0, -13));
}

static void take_batch(void)
{
	policy_set(&(struct sched_attr){ .sched_policy = SCHED_BATCH, .sched_nice = 3 });
}

static void take_idle(void)
{
	policy_set(&(struct sched_attr){ .sched_policy = SCHED_IDLE });
}

static void take_fifo(void)
{
	policy_set(&(struct sched_attr){ .sched_policy = SCHED_FIFO, .sched_priority = 5 });
}

static void take_rr_reset(void)
{
	policy_set(&(struct sched_attr){ .sched_policy = SCHED_RR, .sched_priority = 9,
					 .sched_flags = SCHED_FLAG_RESET_ON_FORK });
}

static void take_deadline(void)
{
	policy_set(&(struct sched_attr){ .sched_policy = SCHED_DEADLINE, .sched_runtime = 2000000,
					 .sched_deadline = 50000000, .sched_period = 100000000 });
}

static void take_cpu0(void)
{
	uint64_t mask = 1;

	MUST(!syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask));
}

static void take_ioprio(void)
{
	MUST(!syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6)));
}

static void take_io_idle(void)
{
	MUST(!syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
}

static void take_slack(void)
{
	MUST(!prctl(PR_SET_TIMERSLACK, 123456));
}

ROUNDTRIP(threads)
{
	static struct taker t[] = {
		{ take_nice }, { take_negative_nice }, { take_batch }, { take_idle }, { take_fifo }, { take_rr_reset },
		{ take_deadline }, { take_cpu0 }, { take_ioprio }, { take_io_idle }, { take_slack },
	};
	struct sched_state own = state_now();
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		sem_init(&t[i].taken, 0, 0);
		MUST(!pthread_create(&t[i].thread, NULL, taker_main, &t[i]));
		MUST(!sem_wait(&t[i].taken));
	}
	checkpoint_here();
	state_is(&own);
	event_set("go");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		MUST(!pthread_join(t[i].thread, NULL));
}

ROUNDTRIP(process)
{
	struct sched_state s;

	take_cpu0();
	take_ioprio();
	take_slack();
	take_batch();
	s = state_now();
	checkpoint_here();
	state_is(&s);
}

TEST_HARNESS_MAIN
