// SPDX-License-Identifier: GPL-2.0
/*
 * Timer slack of threads.
 */
#include <sys/prctl.h>

#include "task.h"

static int timerslack_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const struct crk_rec_thread *rec;
	size_t i;

	(void)d;
	(void)cores;
	for (i = 0; i < p->nr_threads; i++) {
		rec = dproc_rec(p, i, CRK_REC_THREAD, NULL);
		if (!rec)
			continue;
		te->threads[i]->has_timer_slack_ns = true;
		te->threads[i]->timer_slack_ns = rec->timer_slack_ns;
	}
	return 0;
}

static int timerslack_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const CrkThreadEntry *e = rthread_entry(p, t);

	(void)r;
	/* real-time threads have none, and 0 would mean the default */
	if (!e || !e->has_timer_slack_ns || !e->timer_slack_ns)
		return 0;
	if (prctl(PR_SET_TIMERSLACK, e->timer_slack_ns, 0, 0, 0))
		return crk_err(-errno, TASK_FMT ": cannot set its timer slack", p->pid, crk_rproc_comm(p), t->tid);
	return 0;
}

const struct crk_prop_ops crk_prop_timerslack = {
	.name		= "timer slack",
	.dump		= timerslack_dump,
	.restore_thread	= timerslack_restore_thread,
};
