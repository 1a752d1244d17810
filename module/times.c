// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_REC_TIMES, both ways: the start of a thread and the CPU time that it and its process have used.  As the kernel
 * keeps it, not as it shows it: so that what is shown goes on from the same point, and never back.
 *
 * Both sides work on tasks that sleep: nobody adds to these fields but the task itself, and the process's change
 * when a thread exits or a child is waited for.
 */
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>

#include "out.h"
#include "restore.h"

/* ---- what has been shown, where the kernel corrects it ---- */

static void shown_get(struct prev_cputime *prev, __u64 *utime, __u64 *stime)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&prev->lock, flags);
	*utime = prev->utime;
	*stime = prev->stime;
	raw_spin_unlock_irqrestore(&prev->lock, flags);
}

static void shown_set(struct prev_cputime *prev, u64 utime, u64 stime)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&prev->lock, flags);
	prev->utime = utime;
	prev->stime = stime;
	raw_spin_unlock_irqrestore(&prev->lock, flags);
}

/* ---- dump ---- */

int crk_capture_times(struct task_struct *t, bool leader, struct crk_out *out)
{
	struct signal_struct *sig = t->signal;
	struct sighand_struct *sighand;
	struct crk_rec_times *rec;

	if (crk_out_reserve(out, sizeof(*rec)))
		return -ENOMEM;
	rec = crk_out_add(out, CRK_REC_TIMES, sizeof(*rec));
	rec->start_boottime_ns = t->start_boottime;
	rec->start_monotonic_ns = t->start_time;
	rec->utime_ns = t->utime;
	rec->stime_ns = t->stime;
	rec->runtime_ns = t->se.sum_exec_runtime;
	shown_get(&t->prev_cputime, &rec->shown_utime_ns, &rec->shown_stime_ns);
	/* of one that is being killed nothing is of use */
	if (!leader || !crk_sighand_lock(t, &sighand))
		return 0;
	rec->dead_utime_ns = sig->utime;
	rec->dead_stime_ns = sig->stime;
	rec->dead_runtime_ns = sig->sum_sched_runtime;
	rec->children_utime_ns = sig->cutime;
	rec->children_stime_ns = sig->cstime;
	shown_get(&sig->prev_cputime, &rec->process_shown_utime_ns, &rec->process_shown_stime_ns);
	crk_sighand_unlock(sighand);
	return 0;
}

/* ---- restore ---- */

/*
 * Timers on the CPU clocks of a process that run already, as with an inherited RLIMIT_CPU: they have sums of their own.
 * Those that the process had are started later.
 */
static void cputimer_add(struct signal_struct *sig, u64 utime, u64 stime, u64 runtime)
{
#ifdef CONFIG_POSIX_TIMERS
	struct task_cputime_atomic *sums = &sig->cputimer.cputime_atomic;

	if (!READ_ONCE(sig->posix_cputimers.timers_active))
		return;
	atomic64_add(utime, &sums->utime);
	atomic64_add(stime, &sums->stime);
	atomic64_add(runtime, &sums->sum_exec_runtime);
#endif
}

static void start_set(struct task_struct *t, const struct crk_rec_times *in)
{
	if (in->start_boottime_ns <= ktime_get_boottime_ns())
		t->start_boottime = in->start_boottime_ns;
	if (in->start_monotonic_ns <= ktime_get_ns())
		t->start_time = in->start_monotonic_ns;
}

static void thread_set(struct task_struct *t, const struct crk_rec_times *in)
{
	u64 runtime = max(in->runtime_ns, 1ULL);	/* 0 has never run, to the scheduler */
	u64 more = runtime - t->se.sum_exec_runtime;

	cputimer_add(t->signal, in->utime_ns - t->utime, in->stime_ns - t->stime, more);
	t->utime = in->utime_ns;
	t->stime = in->stime_ns;
	t->se.sum_exec_runtime = runtime;
	/* what others have noted of it, to see how much it has run since */
	t->se.prev_sum_exec_runtime += more;
#ifdef CONFIG_NUMA_BALANCING
	t->last_sum_exec_runtime += more;
	if (t->node_stamp)
		t->node_stamp += more;
#endif
#ifdef CONFIG_TASK_XACCT
	t->acct_timexpd = in->utime_ns + in->stime_ns;
#endif
	shown_set(&t->prev_cputime, in->shown_utime_ns, in->shown_stime_ns);
}

static void process_set(struct signal_struct *sig, const struct crk_rec_times *in)
{
	cputimer_add(sig, in->dead_utime_ns - sig->utime, in->dead_stime_ns - sig->stime,
		     in->dead_runtime_ns - sig->sum_sched_runtime);
	sig->utime = in->dead_utime_ns;
	sig->stime = in->dead_stime_ns;
	sig->sum_sched_runtime = in->dead_runtime_ns;
	sig->cutime = in->children_utime_ns;
	sig->cstime = in->children_stime_ns;
	shown_set(&sig->prev_cputime, in->process_shown_utime_ns, in->process_shown_stime_ns);
}

void crk_times_set(struct task_struct *t, const struct crk_rec_times *in)
{
	struct sighand_struct *sighand;

	start_set(t, in);
	if (!crk_sighand_lock(t, &sighand))
		return;
	/* readers of sums over a process try again */
	write_seqlock(&t->signal->stats_lock);
	thread_set(t, in);
	if (thread_group_leader(t))
		process_set(t->signal, in);
	write_sequnlock(&t->signal->stats_lock);
	crk_sighand_unlock(sighand);
}
