// SPDX-License-Identifier: GPL-2.0
/*
 * The threads of a restored process, all but the leader: each is made with the tid it had, gives itself its properties
 * and parks in the kernel.  They are made without a TLS of their own, so the C library takes each for the leader, and
 * they run side by side: what they call must not fail on its normal path, since they share errno, and must not
 * allocate.  Waiting for each other would cost more than all the rest.
 */
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../arch/host.h"
#include "restore.h"

/* untouched pages of it cost nothing */
#define THREAD_STACK	(64 << 10)

/* at the bottom of its thread's stack, far from what the thread pushes */
struct thread_start {
	struct crk_rst *r;
	struct crk_rproc *p;
	struct crk_rthread *t;
};

static void thread_main(void *arg)
{
	struct thread_start *start = arg;
	int ret;

	ret = crk_cgroups_enter(start->r, start->p, start->t - start->p->threads);
	ret = ret ?: crk_props_thread(start->r, start->p, start->t);
	if (!ret)
		ret = crk_dev_park(start->r->dev);
	(void)ret;
	crk_sync_fail(start->r->sync);
	for (;;)
		pause();
}

static bool has_own_semundo(const struct crk_rthread *t)
{
	const struct crk_rec_thread *rec = crk_rec_find(t->recs, t->recs_len, CRK_REC_THREAD, NULL);

	return rec && rec->flags & CRK_THREAD_OWN_SEMUNDO;
}

static int thread_create(struct thread_start *start)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 (has_own_semundo(start->t) ? 0 : CLONE_SYSVSEM),
		.stack = (uintptr_t)start,
		.stack_size = THREAD_STACK,
		.set_tid = (uintptr_t)&start->t->tid,
		.set_tid_size = 1,
	};
	char comm[17];
	long tid;

	crk_cgroups_birth(start->r, start->p, start->t - start->p->threads, &args);
	tid = crk_host->clone_thread(&args, sizeof(args), thread_main, start);
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
	size_t len = (p->nr_threads - 1) * THREAD_STACK, i;
	char *stacks;
	int ret;

	if (p->nr_threads < 2)
		return 0;
	/* never unmapped: the memory program does that when all are parked */
	stacks = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stacks == MAP_FAILED)
		return crk_err(-errno, "pid %d: cannot make stacks for %zu threads", p->pid, p->nr_threads - 1);
	for (i = 1; i < p->nr_threads; i++) {
		struct thread_start *start = (void *)(stacks + (i - 1) * THREAD_STACK);

		*start = (struct thread_start){ .r = r, .p = p, .t = &p->threads[i] };
		ret = thread_create(start);
		if (ret)
			return ret;
	}
	return 0;
}
