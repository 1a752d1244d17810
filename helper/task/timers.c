// SPDX-License-Identifier: GPL-2.0
/*
 * Interval timers and POSIX timers.  Here they get their ids; the module arms them when the gate opens, from the
 * records that come with the memory program, so that no time is lost between.
 */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "../../arch/host.h"
#include "task.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF	0
#define PR_TIMER_CREATE_RESTORE_IDS_ON	1
#endif

#define NS	1000000000LL

/* ---- dump: for other tools; crk takes the records ---- */

static void itimer_fill(ItimerEntry *e, const struct crk_rec_itimer *rec)
{
	e->isec = rec->interval_ns / NS;
	e->iusec = rec->interval_ns % NS / 1000;
	e->vsec = rec->remaining_ns / NS;
	e->vusec = rec->remaining_ns % NS / 1000;
}

static void posix_fill(PosixTimerEntry *e, const struct crk_rec_posix_timer *rec)
{
	bool armed = rec->flags & CRK_TIMER_ARMED;

	e->it_id = rec->id;
	e->clock_id = rec->clockid;
	e->si_signo = rec->signo;
	e->it_sigev_notify = rec->notify;
	e->sival_ptr = rec->value;
	e->overrun = rec->overrun;
	e->isec = rec->interval_ns / NS;
	e->insec = rec->interval_ns % NS;
	e->vsec = armed ? rec->remaining_ns / NS : 0;
	e->vnsec = armed ? rec->remaining_ns % NS : 0;
	e->has_notify_thread_id = rec->notify_tid != 0;
	e->notify_thread_id = rec->notify_tid;
}

static int timers_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	TaskTimersEntry *all = msg_new(TaskTimersEntry, task_timers_entry__init);
	const struct crk_rec_posix_timer *posix = NULL;
	const struct crk_rec_itimer *itimer = NULL;
	PosixTimerEntry *e;
	size_t nr = 0;

	(void)d;
	(void)te;
	if (!all)
		return -ENOMEM;
	cores[0]->tc->timers = all;
	all->real = msg_new(ItimerEntry, itimer_entry__init);
	all->virt = msg_new(ItimerEntry, itimer_entry__init);
	all->prof = msg_new(ItimerEntry, itimer_entry__init);
	if (!all->real || !all->virt || !all->prof)
		return -ENOMEM;
	while ((itimer = dproc_rec(p, 0, CRK_REC_ITIMER, itimer)))
		itimer_fill(itimer->which == ITIMER_REAL ? all->real :
			    itimer->which == ITIMER_VIRTUAL ? all->virt : all->prof, itimer);
	while ((posix = dproc_rec(p, 0, CRK_REC_POSIX_TIMER, posix)))
		nr++;
	all->posix = calloc(nr + 1, sizeof(*all->posix));
	if (!all->posix)
		return crk_oom();
	while ((posix = dproc_rec(p, 0, CRK_REC_POSIX_TIMER, posix))) {
		e = msg_new(PosixTimerEntry, posix_timer_entry__init);
		if (!e)
			return -ENOMEM;
		posix_fill(e, posix);
		all->posix[all->n_posix++] = e;
	}
	return 0;
}

/* ---- restore ---- */

/* the kernel counts ids up in each process and never goes back, so smaller ones come first */
static int timer_create_id(const struct crk_rec_posix_timer *rec, bool exact)
{
	int id = rec->id, ret;

	if (exact)
		return crk_host->timer_create(rec, &id);
	for (;;) {
		ret = crk_host->timer_create(rec, &id);
		if (ret || id == rec->id)
			return ret;
		syscall(SYS_timer_delete, id);
		if (id > rec->id)
			return -EEXIST;
	}
}

static const struct crk_rec_posix_timer *timer_after(const struct crk_rthread *t, int64_t id)
{
	const struct crk_rec_posix_timer *rec = NULL, *next = NULL;

	while ((rec = rthread_rec(t, CRK_REC_POSIX_TIMER, rec)))
		if (rec->id > id && (!next || rec->id < next->id))
			next = rec;
	return next;
}

static int timers_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const struct crk_rec_posix_timer *rec;
	int64_t last = -1;
	bool exact;
	int ret = 0;

	(void)r;
	if (t != p->threads || !timer_after(t, last))
		return 0;
	exact = !prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0);
	while (!ret && (rec = timer_after(t, last))) {
		last = rec->id;
		ret = timer_create_id(rec, exact);
		if (ret)
			crk_err(ret, "pid %d (%s): cannot make timer %d again", p->pid, crk_rproc_comm(p), rec->id);
	}
	if (exact)
		prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0);
	return ret;
}

const struct crk_prop_ops crk_prop_timers = {
	.name		= "timers",
	.dump		= timers_dump,
	.restore_thread	= timers_restore_thread,
};
