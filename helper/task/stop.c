// SPDX-License-Identifier: GPL-2.0
/*
 * Stopped processes: the signal is sent while they wait at the gate, so that they stop before they run.
 * The parent is told once more that its child has stopped.
 */
#include <signal.h>

#include "task.h"

static int stop_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const struct crk_rec_thread *rec = dproc_rec(p, 0, CRK_REC_THREAD, NULL);

	(void)d;
	if (!(p->leader->flags & CRK_TASK_STOPPED))
		return 0;
	te->has_stop_signal = true;
	te->stop_signal = rec && rec->jobctl_stop ? rec->jobctl_stop : SIGSTOP;
	cores[0]->tc->task_state = CRK_TASK_STATE_STOPPED;
	cores[0]->tc->has_stop_signo = true;
	cores[0]->tc->stop_signo = te->stop_signal;
	return 0;
}

static int stop_restore_outside(struct crk_rst *r, struct crk_rproc *p)
{
	(void)r;
	if (!p->task || !p->task->has_stop_signal)
		return 0;
	/* the only one that neither a mask nor a handler holds off */
	if (kill(p->pid, SIGSTOP))
		return crk_err(-errno, "pid %d (%s): cannot stop it", p->pid, crk_rproc_comm(p));
	return 0;
}

const struct crk_prop_ops crk_prop_stop = {
	.name		= "stop",
	.dump		= stop_dump,
	.restore_outside = stop_restore_outside,
};
