// SPDX-License-Identifier: GPL-2.0
/*
 * Pending signals of threads and processes with their siginfo, in order.  Each thread queues its own to itself, which
 * is the only way to queue one that says it came from the kernel; all signals are blocked then.
 */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "../../arch/host.h"
#include "task.h"

/* ---- dump ---- */

static int action_add(TaskCoreEntry *tc, const struct crk_action *a)
{
	SaEntry *e = msg_new(SaEntry, sa_entry__init);

	if (!e)
		return -ENOMEM;
	e->sigaction = a->handler;
	e->flags = a->flags;
	e->restorer = a->restorer;
	e->mask = a->mask;
	e->has_compat_sigaction = a->abi == CRK_ACTION_COMPAT;
	e->compat_sigaction = e->has_compat_sigaction;
	tc->sigactions[tc->n_sigactions++] = e;
	return 0;
}

static int actions_dump(const struct crk_dproc *p, TaskCoreEntry *tc)
{
	uint32_t i;

	tc->sigactions = calloc(p->actions->nr, sizeof(*tc->sigactions));
	if (!tc->sigactions)
		return crk_oom();
	for (i = 0; i < p->actions->nr; i++)
		if (i + 1 != SIGKILL && i + 1 != SIGSTOP && action_add(tc, &p->actions->actions[i]))
			return -ENOMEM;
	return 0;
}

static int queue_dump(const struct crk_dproc *p, size_t thread, uint32_t process, SignalQueueEntry **ret)
{
	const struct crk_rec_siginfo *rec = NULL;
	SignalQueueEntry *q = msg_new(SignalQueueEntry, signal_queue_entry__init);
	SiginfoEntry *e;
	size_t nr = 0;

	*ret = q;
	if (!q)
		return -ENOMEM;
	while ((rec = dproc_rec(p, thread, CRK_REC_SIGINFO, rec)))
		nr++;
	q->signals = calloc(nr + 1, sizeof(*q->signals));
	if (!q->signals)
		return crk_oom();
	while ((rec = dproc_rec(p, thread, CRK_REC_SIGINFO, rec))) {
		if ((rec->flags & CRK_SIGINFO_PROCESS) != process)
			continue;
		e = msg_new(SiginfoEntry, siginfo_entry__init);
		if (!e)
			return -ENOMEM;
		q->signals[q->n_signals++] = e;
		e->siginfo.data = malloc(sizeof(rec->info));
		if (!e->siginfo.data)
			return crk_oom();
		memcpy(e->siginfo.data, rec->info, sizeof(rec->info));
		e->siginfo.len = sizeof(rec->info);
	}
	return 0;
}

static int signals_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	size_t i;
	int ret;

	(void)d;
	(void)te;
	ret = actions_dump(p, cores[0]->tc);
	ret = ret ?: queue_dump(p, 0, CRK_SIGINFO_PROCESS, &cores[0]->tc->signals_s);
	for (i = 0; i < p->nr_threads && !ret; i++)
		ret = queue_dump(p, i, 0, &cores[i]->thread_core->signals_p);
	return ret;
}

/* ---- restore ---- */

/*
 * The kernel counts overruns when such a signal is taken, of the timer that it is linked to; this one stands alone and
 * brings the count along.  The new timer goes on with periods that were not counted yet.
 */
static void timer_info_fix(const struct crk_rthread *t, uint8_t *info)
{
	const struct crk_rec_posix_timer *timer = NULL;
	int id;

	memcpy(&id, info + crk_host->timer_info.overrun - sizeof(id), sizeof(id));
	while ((timer = rthread_rec(t, CRK_REC_POSIX_TIMER, timer)))
		if (timer->id == id && timer->flags & CRK_TIMER_PENDING)
			memcpy(info + crk_host->timer_info.overrun, &timer->overrun, sizeof(timer->overrun));
	memset(info + crk_host->timer_info.link, 0, sizeof(int));
}

static int signal_queue(const struct crk_rproc *p, const struct crk_rthread *t, const struct crk_rec_siginfo *rec)
{
	uint8_t info[sizeof(rec->info)] = {};
	int ret;

	/* SIGKILL ends a task before it can be dumped; a stop must not stop the helper, see stop.c */
	if (rec->signo == SIGKILL || rec->signo == SIGSTOP)
		return 0;
	if (!(rec->flags & CRK_SIGINFO_NO_INFO))
		memcpy(info, rec->info, sizeof(info));
	memcpy(info, &rec->signo, sizeof(rec->signo));	/* si_signo */
	/* one that was restored before has its count, and no link any more */
	if (rec->flags & CRK_SIGINFO_TIMER)
		timer_info_fix(t, info);
	ret = crk_host->signal_queue(p->pid, rec->flags & CRK_SIGINFO_PROCESS ? 0 : t->tid, rec->signo, info);
	if (ret)
		return crk_err(ret, TASK_FMT ": cannot queue pending signal %u", p->pid, crk_rproc_comm(p), t->tid,
			       rec->signo);
	return 0;
}

static int signals_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const struct crk_rec_siginfo *rec = NULL;
	int ret;

	(void)r;
	while ((rec = rthread_rec(t, CRK_REC_SIGINFO, rec))) {
		ret = signal_queue(p, t, rec);
		if (ret)
			return ret;
	}
	return 0;
}

const struct crk_prop_ops crk_prop_signals = {
	.name		= "pending signals",
	.dump		= signals_dump,
	.restore_thread	= signals_restore_thread,
};
