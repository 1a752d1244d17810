// SPDX-License-Identifier: GPL-2.0
/*
 * Job control, both ways: which threads are stopped or about to, and what the parent has been told.
 *
 * A signal could stop a restored process, but the parent would hear of that stop, and a stop by SIGTSTP would look like
 * one by SIGSTOP.  So each thread is told to join a stop that is in force already: do_signal_stop() then asks for no
 * notification.  It does so on the way out of the gate, before it looks at the freezer.
 */
#include <linux/sched/jobctl.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>

#include "out.h"
#include "restore.h"

#define CRK_STOP_TELL	(CRK_STOP_TELL_STOPPED | CRK_STOP_TELL_CONTINUED)
#define CRK_STOP_KNOWN	(CRK_STOP_STOPPED | CRK_STOP_CONTINUED | CRK_STOP_TELL)
#define CRK_THREAD_STOP	(CRK_THREAD_STOPPED | CRK_THREAD_STOPPING)

static const struct {
	u32 named;
	u32 flag;
} stop_flags[] = {
	{ CRK_STOP_STOPPED,		SIGNAL_STOP_STOPPED },
	{ CRK_STOP_CONTINUED,		SIGNAL_STOP_CONTINUED },
	{ CRK_STOP_TELL_STOPPED,	SIGNAL_CLD_STOPPED },
	{ CRK_STOP_TELL_CONTINUED,	SIGNAL_CLD_CONTINUED },
};

/* ---- dump ---- */

void crk_stop_get(struct task_struct *t, struct crk_rec_thread *rec)
{
	/* without its tracer it would be stopped */
	if (t->jobctl & JOBCTL_STOPPED || (t->ptrace && t->signal->flags & SIGNAL_STOP_STOPPED))
		rec->flags |= CRK_THREAD_STOPPED;
	else if (t->jobctl & JOBCTL_STOP_PENDING)
		rec->flags |= CRK_THREAD_STOPPING;
	if (rec->flags & CRK_THREAD_STOP)
		rec->jobctl_stop = t->jobctl & JOBCTL_STOP_SIGMASK ?: SIGSTOP;
}

int crk_capture_stop(struct task_struct *leader, struct crk_out *out)
{
	struct crk_rec_stop rec = {}, *to;
	struct sighand_struct *sighand;
	int i, ret;

	ret = crk_out_reserve(out, sizeof(rec));
	if (ret || !crk_sighand_lock(leader, &sighand))
		return ret;
	for (i = 0; i < ARRAY_SIZE(stop_flags); i++)
		if (leader->signal->flags & stop_flags[i].flag)
			rec.flags |= stop_flags[i].named;
	/* it is shared with the exit of the group */
	if (!(leader->signal->flags & SIGNAL_GROUP_EXIT))
		rec.report = leader->signal->group_exit_code;
	crk_sighand_unlock(sighand);
	if (!rec.flags && !rec.report)
		return 0;
	to = crk_out_add(out, CRK_REC_STOP, sizeof(*to));
	to->flags = rec.flags;
	to->report = rec.report;
	return 0;
}

/* ---- restore ---- */

int crk_stop_check(const struct crk_rec_stop *in, struct crk_log *log)
{
	if (in->flags & ~CRK_STOP_KNOWN || !(in->report == 0 || valid_signal(in->report)))
		return crk_log(log, -EINVAL, "job control: flags %#x, signal %u", in->flags, in->report);
	return 0;
}

int crk_stop_check_thread(const struct crk_rec_thread *in, struct crk_log *log)
{
	u32 flags = in->flags & CRK_THREAD_STOP;

	if (flags == CRK_THREAD_STOP || !valid_signal(in->jobctl_stop) || (flags && !in->jobctl_stop))
		return crk_log(log, -EINVAL, "stopped by signal %u, flags %#x", in->jobctl_stop, in->flags);
	return 0;
}

static void stop_set_thread(struct task_struct *t, const struct crk_rec_thread *in)
{
	if (!(in->flags & CRK_THREAD_STOP))
		return;
	t->jobctl &= ~JOBCTL_STOP_SIGMASK;
	t->jobctl |= in->jobctl_stop | JOBCTL_STOP_PENDING;
	if (in->flags & CRK_THREAD_STOPPING) {
		t->jobctl |= JOBCTL_STOP_CONSUME;
		t->signal->group_stop_count++;
	}
	set_tsk_thread_flag(t, TIF_SIGPENDING);
}

static void flags_set(struct signal_struct *signal, u32 named)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(stop_flags); i++)
		if (named & stop_flags[i].named)
			signal->flags |= stop_flags[i].flag;
}

/* the whole process in one hold of siglock: a SIGCONT comes before or after, and reaches all threads or none */
void crk_stop_set(struct crk_gate *gate, struct crk_parked *leader)
{
	struct signal_struct *signal = leader->task->signal;
	struct sighand_struct *sighand;
	struct crk_parked *p;
	struct task_struct *t;

	lockdep_assert_held(&gate->lock);
	if (!crk_sighand_lock(leader->task, &sighand))
		return;
	/* one that is being killed does not stop */
	if (!(signal->flags & SIGNAL_GROUP_EXIT)) {
		for_each_thread(leader->task, t) {
			p = xa_load(&gate->tasks, task_pid_nr(t));
			/* what a tracer does with a thread is its own */
			if (p && !(p->tracee && p->tracee->tracer))
				stop_set_thread(t, &p->state);
		}
		flags_set(signal, leader->stop.flags & ~CRK_STOP_TELL);
		if (leader->stop.report)
			signal->group_exit_code = leader->stop.report;
	}
	crk_sighand_unlock(sighand);
}

/* the next thread that looks for signals sends the parent its SIGCHLD */
void crk_stop_tell(struct task_struct *leader, const struct crk_rec_stop *stop)
{
	struct sighand_struct *sighand;

	if (!(stop->flags & CRK_STOP_TELL) || !crk_sighand_lock(leader, &sighand))
		return;
	if (!(leader->signal->flags & SIGNAL_GROUP_EXIT))
		flags_set(leader->signal, stop->flags & CRK_STOP_TELL);
	crk_sighand_unlock(sighand);
}
