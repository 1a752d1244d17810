// SPDX-License-Identifier: GPL-2.0
/*
 * Signal at the parent's death, of each thread.
 */
#include <sys/prctl.h>

#include "task.h"

static int pdeath_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	size_t i;

	(void)d;
	(void)te;
	for (i = 0; i < p->nr_threads; i++) {
		cores[i]->thread_core->has_pdeath_sig = p->leader[i].pdeath_signal != 0;
		cores[i]->thread_core->pdeath_sig = p->leader[i].pdeath_signal;
	}
	return 0;
}

static int pdeath_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;

	(void)r;
	if (!tc || !tc->has_pdeath_sig || !tc->pdeath_sig)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, tc->pdeath_sig, 0, 0, 0))
		return crk_err(-errno, TASK_FMT ": cannot set its parent-death signal %u", p->pid, crk_rproc_comm(p), t->tid,
			       tc->pdeath_sig);
	return 0;
}

const struct crk_prop_ops crk_prop_pdeath = {
	.name		= "parent-death signal",
	.dump		= pdeath_dump,
	.restore_thread	= pdeath_restore_thread,
};
