// SPDX-License-Identifier: GPL-2.0
/*
 * The threads of a restored process, all but the leader: one after the other is made with the tid it had, gets its
 * properties and parks in the kernel.  They are made without a TLS of their own, so the C library takes each for the
 * leader; that is sound because only one of them, or the leader, runs at a time until it is about to park.
 */
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/host.h"
#include "restore.h"

/* untouched pages of it cost nothing */
#define THREAD_STACK	(64 << 10)

struct thread_start {
	struct crk_rst *r;
	struct crk_rproc *p;
	struct crk_rthread *t;
	uint32_t *ready;		/* 1 when the next one may go on; shared by all */
};

/* the last use of the C library is before @ready is set */
static void thread_main(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;
	uint32_t *ready = start.ready;
	int ret;

	ret = crk_props_thread(start.r, start.p, start.t);
	if (ret) {
		crk_sync_fail(start.r->sync);
		for (;;)
			pause();
	}
	__atomic_store_n(ready, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, ready, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	crk_dev_park(start.r->dev);
	crk_sync_fail(start.r->sync);
	for (;;)
		pause();
}

static int thread_create(struct thread_start *start, char *stack)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		.stack = (uintptr_t)stack,
		.stack_size = THREAD_STACK,
		.set_tid = (uintptr_t)&start->t->tid,
		.set_tid_size = 1,
	};
	long tid = crk_host->clone_thread(&args, sizeof(args), thread_main, start);
	char comm[17];

	if (tid == -EEXIST) {
		crk_pid_comm(start->t->tid, comm);
		return crk_fail(-EEXIST, "pid %d: cannot make thread %d again, the number is taken (%s)", start->p->pid,
				start->t->tid, comm);
	}
	if (tid < 0)
		return crk_err(tid, "pid %d: cannot make thread %d", start->p->pid, start->t->tid);
	return 0;
}

int crk_threads_create(struct crk_rst *r, struct crk_rproc *p)
{
	struct thread_start start = { .r = r, .p = p };
	size_t len = (p->nr_threads - 1) * THREAD_STACK, i;
	uint32_t ready;
	char *stacks;
	int ret;

	if (p->nr_threads < 2)
		return 0;
	/* never unmapped: the memory program does that when all are parked */
	stacks = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stacks == MAP_FAILED)
		return crk_err(-errno, "pid %d: cannot make stacks for %zu threads", p->pid, p->nr_threads - 1);
	start.ready = &ready;
	for (i = 1; i < p->nr_threads; i++) {
		start.t = &p->threads[i];
		__atomic_store_n(&ready, 0, __ATOMIC_SEQ_CST);
		ret = thread_create(&start, stacks + (i - 1) * THREAD_STACK);
		if (ret)
			return ret;
		while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
			syscall(SYS_futex, &ready, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	}
	return 0;
}
