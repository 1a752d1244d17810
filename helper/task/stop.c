// SPDX-License-Identifier: GPL-2.0
/*
 * Stopped processes.  The module stops them again, and puts what the parent has been told of it; here the images of
 * other tools get their part, and a SIGSTOP that came while the process was frozen is sent when it waits at the gate.
 */
#include <signal.h>
#include <sys/syscall.h>

#include "task.h"

static int stop_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const struct crk_rec_stop *stop = dproc_rec(p, 0, CRK_REC_STOP, NULL);
	const struct crk_rec_thread *rec;
	size_t i;

	(void)d;
	if (!stop || !(stop->flags & CRK_STOP_STOPPED))
		return 0;
	te->has_stop_signal = true;
	te->stop_signal = SIGSTOP;
	for (i = 0; i < p->nr_threads; i++) {
		rec = dproc_rec(p, i, CRK_REC_THREAD, NULL);
		if (rec && rec->jobctl_stop)
			te->stop_signal = rec->jobctl_stop;
	}
	te->has_stop_reported = true;
	te->stop_reported = !stop->report;
	cores[0]->tc->task_state = CRK_TASK_STATE_STOPPED;
	cores[0]->tc->has_stop_signo = true;
	cores[0]->tc->stop_signo = te->stop_signal;
	return 0;
}

/* no thread can queue it to itself as signals.c does with others: nothing holds it off */
static int stop_restore_outside(struct crk_rst *r, struct crk_rproc *p)
{
	const struct crk_rec_siginfo *rec;
	size_t i;
	long ret;

	(void)r;
	for (i = 0; i < p->nr_threads; i++) {
		for (rec = NULL; (rec = rthread_rec(&p->threads[i], CRK_REC_SIGINFO, rec));) {
			if (rec->signo != SIGSTOP)
				continue;
			if (rec->flags & CRK_SIGINFO_PROCESS)
				ret = kill(p->pid, SIGSTOP);
			else
				ret = syscall(SYS_tgkill, p->pid, p->threads[i].tid, SIGSTOP);
			if (ret)
				return crk_err(-errno, TASK_FMT ": cannot queue pending SIGSTOP", p->pid,
					       crk_rproc_comm(p), p->threads[i].tid);
		}
	}
	return 0;
}

const struct crk_prop_ops crk_prop_stop = {
	.name		= "stop",
	.dump		= stop_dump,
	.restore_outside = stop_restore_outside,
};
