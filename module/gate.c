// SPDX-License-Identifier: GPL-2.0
/*
 * The gate from its opener's side: made, waited at, opened for all or for none.  What a task does at it is threads.c's.
 *
 * It opens in steps, since some things must be done by tasks themselves before any other may run user code: timers
 * start, leaders that had exited do so again.
 */
#include <linux/delay.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "restore.h"

/* ---- failure: the first one is kept for CRK_IOC_WAIT, all tasks go ---- */

void __crk_gate_fail(struct crk_gate *gate, struct task_struct *t, u32 op, int err, const char *text)
{
	struct crk_tracee *e;
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	if (gate->state >= CRK_GATE_OPEN)
		return;
	WRITE_ONCE(gate->state, CRK_GATE_DEAD);
	if (t)
		gate->fail_pid = get_pid(task_tgid(t));
	gate->fail_err = err;
	gate->fail_op = op;
	strscpy(gate->fail_text, text, sizeof(gate->fail_text));
	xa_for_each(&gate->tasks, tid, p)
		send_sig(SIGKILL, p->task, 1);
	/* they may have left already */
	xa_for_each(&gate->tracees, tid, e)
		send_sig(SIGKILL, e->task, 1);
	wake_up_all(&gate->opener_wq);
}

void crk_gate_fail(struct crk_gate *gate, struct task_struct *t, u32 op, int err, const char *text)
{
	guard(mutex)(&gate->lock);
	__crk_gate_fail(gate, t, op, err, text);
}

void crk_gate_kill(struct crk_job *job)
{
	if (job->gate)
		crk_gate_fail(job->gate, NULL, CRK_NO_OP, -EINTR, "the restore was given up");
}

int crk_gate_failure(struct crk_gate *gate, struct crk_log *log, int ret)
{
	lockdep_assert_held(&gate->lock);
	if (gate->fail_pid)
		return crk_log(log, ret, "pid %d: %s", pid_vnr(gate->fail_pid), gate->fail_text);
	return crk_log(log, ret, "%s", gate->fail_text);
}

/* ---- the opener's side ---- */

int crk_gate_create(struct crk_job *job, const struct crk_restore *cmd)
{
	struct crk_gate *gate;

	lockdep_assert_held(&job->lock);
	if (job->state != CRK_JOB_NEW)
		return -EBUSY;
	if (cmd->flags || cmd->__reserved || !cmd->nr_tasks)
		return -EINVAL;
	gate = kzalloc(sizeof(*gate), GFP_KERNEL_ACCOUNT);
	if (!gate)
		return -ENOMEM;
	mutex_init(&gate->lock);
	xa_init(&gate->tasks);
	xa_init(&gate->dead);
	xa_init(&gate->tracees);
	xa_init(&gate->procs);
	init_waitqueue_head(&gate->opener_wq);
	init_waitqueue_head(&gate->timer_wq);
	init_waitqueue_head(&gate->wq);
	gate->nr_tasks = cmd->nr_tasks;
	job->state = CRK_JOB_RESTORE;
	smp_store_release(&job->gate, gate);	/* tasks look at it without job->lock */
	return 0;
}

void crk_gate_destroy(struct crk_gate *gate)
{
	struct task_struct *t;
	unsigned long tid;

	if (!gate)
		return;
	xa_for_each(&gate->dead, tid, t)
		put_task_struct(t);
	xa_destroy(&gate->dead);
	crk_tracees_free(gate);
	WARN_ON_ONCE(!xa_empty(&gate->tasks) || !xa_empty(&gate->procs));
	put_pid(gate->fail_pid);
	mutex_destroy(&gate->lock);
	kfree(gate);
}

int crk_wait(struct crk_job *job, struct crk_wait *cmd, struct crk_log *log)
{
	struct crk_gate *gate = job->gate;
	long left = cmd->timeout_ms ? msecs_to_jiffies(cmd->timeout_ms) : MAX_SCHEDULE_TIMEOUT;

	if (!gate)
		return -EBUSY;
	if (cmd->flags)
		return -EINVAL;
	left = wait_event_interruptible_timeout(gate->opener_wq,
						READ_ONCE(gate->nr_parked) == gate->nr_tasks ||
						READ_ONCE(gate->state) == CRK_GATE_DEAD, left);

	guard(mutex)(&gate->lock);
	cmd->out_nr_parked = gate->nr_parked;
	cmd->out_pid = 0;
	cmd->out_bad_op = CRK_NO_OP;
	cmd->out_err = 0;
	if (gate->state == CRK_GATE_DEAD) {
		cmd->out_pid = pid_vnr(gate->fail_pid);
		cmd->out_bad_op = gate->fail_op;
		cmd->out_err = -gate->fail_err;
		return crk_gate_failure(gate, log, -ECHILD);
	}
	if (left < 0)
		return -EINTR;
	if (!left)
		return crk_log(log, -ETIMEDOUT, "%u of %u tasks are parked", gate->nr_parked, gate->nr_tasks);
	return 0;
}

/* nobody is let go unless all are there and alive */
static int gate_ready(struct crk_gate *gate, struct crk_log *log)
{
	struct task_struct *killed = NULL;
	struct crk_tracee *e;
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	if (gate->state == CRK_GATE_DEAD)
		return crk_gate_failure(gate, log, -ESRCH);
	if (gate->nr_parked != gate->nr_tasks || gate->nr_ready != gate->nr_tasks)
		return crk_log(log, -EBUSY, "%u of %u tasks are parked, %u have their state",
			       gate->nr_parked, gate->nr_tasks, gate->nr_ready);
	xa_for_each(&gate->tasks, tid, p)
		if (fatal_signal_pending(p->task))
			killed = p->task;
	/* these may have left already */
	xa_for_each(&gate->tracees, tid, e)
		if (fatal_signal_pending(e->task) || e->task->exit_state)
			killed = e->task;
	if (!killed)
		return 0;
	__crk_gate_fail(gate, killed, CRK_NO_OP, -ESRCH, "killed before the restore was complete");
	return crk_gate_failure(gate, log, -ESRCH);
}

/* the death of a leader is none of a parent to its children: that was, or was not, long ago */
static void pdeath_keep(struct crk_gate *gate)
{
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	if (!gate->nr_dead)
		return;
	xa_for_each(&gate->tasks, tid, p) {
		p->pdeath_signal = p->task->pdeath_signal;
		p->task->pdeath_signal = 0;
	}
}

static void pdeath_give_back(struct crk_gate *gate)
{
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	if (!gate->nr_dead)
		return;
	xa_for_each(&gate->tasks, tid, p)
		p->task->pdeath_signal = p->pdeath_signal;
}

/* until their children have been given to other threads, which comes last */
static int dead_wait(struct crk_gate *gate)
{
	struct task_struct *t;
	unsigned long tid;

	xa_for_each(&gate->dead, tid, t) {
		while (!READ_ONCE(t->exit_state)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			if (READ_ONCE(gate->state) == CRK_GATE_DEAD)
				return 0;
			usleep_range(10, 50);
		}
	}
	return 0;
}

/* before anybody leaves: threads that stop, or that a tracer holds, do so as soon as they have left */
static void stops_set(struct crk_gate *gate)
{
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	xa_for_each(&gate->tasks, tid, p)
		if (thread_group_leader(p->task))
			crk_stop_set(gate, p);
}

/* tracers have attached; what is held goes to where it is held */
static int gate_trace(struct crk_gate *gate)
{
	scoped_guard(mutex, &gate->lock) {
		if (gate->state != CRK_GATE_ARMING || xa_empty(&gate->tracees))
			return 0;
		crk_tracees_start(gate);
		if (gate->state == CRK_GATE_DEAD)
			return 0;
		WRITE_ONCE(gate->state, CRK_GATE_TRACING);
	}
	wake_up_all(&gate->wq);
	return crk_tracees_wait(gate);
}

static int gate_arm(struct crk_gate *gate, struct crk_log *log)
{
	u32 nr_arming;
	int ret;

	scoped_guard(mutex, &gate->lock) {
		ret = gate_ready(gate, log);
		if (ret)
			return ret;
		if (gate->state != CRK_GATE_CLOSED)
			return -EBUSY;
		ret = crk_tracers_find(gate, log);
		if (ret)
			return ret;
		nr_arming = gate->nr_timers + gate->nr_tracers;
		pdeath_keep(gate);
		stops_set(gate);
		/* with what it is that each task does then; see tracer_is_due(), gate_is_over() */
		smp_store_release(&gate->state, CRK_GATE_ARMING);
	}
	wake_up_all(&gate->timer_wq);
	if (gate->nr_dead || gate->nr_tracers)
		wake_up_all(&gate->wq);
	if (nr_arming && wait_event_killable(gate->opener_wq, READ_ONCE(gate->nr_armed) == nr_arming ||
					     READ_ONCE(gate->state) == CRK_GATE_DEAD))
		return -EINTR;
	return dead_wait(gate) ?: gate_trace(gate);
}

static void gate_open(struct crk_gate *gate)
{
	struct crk_parked *p;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	xa_for_each(&gate->tasks, tid, p) {
		if (thread_group_leader(p->task))
			crk_stop_tell(p->task, &p->stop);
		crk_vfork_link(p);
	}
	crk_tracees_finish(gate);
	pdeath_give_back(gate);
	WRITE_ONCE(gate->state, CRK_GATE_OPEN);
}

int crk_go(struct crk_job *job, struct crk_go *cmd, struct crk_log *log)
{
	struct crk_gate *gate = job->gate;
	int ret;

	lockdep_assert_held(&job->lock);
	if (!gate || job->state != CRK_JOB_RESTORE)
		return -EBUSY;
	if (cmd->flags & ~CRK_GO_PREPARE)
		return -EINVAL;
	cmd->out_nr = 0;
	if (!gate->armed || cmd->flags & CRK_GO_PREPARE) {
		ret = gate_arm(gate, log);
		if (ret)
			return ret;
		gate->armed = true;
	}
	scoped_guard(mutex, &gate->lock) {
		ret = gate_ready(gate, log);
		if (ret || cmd->flags & CRK_GO_PREPARE)
			return ret;
		gate_open(gate);
		job->state = CRK_JOB_DONE;
	}
	wake_up_all(&gate->wq);
	cmd->out_nr = gate->nr_tasks;
	/* the rest can't fail and doesn't need us; a caller who is killed need not see its end */
	return wait_event_killable(gate->opener_wq, READ_ONCE(gate->nr_left) == gate->nr_tasks) ? -EINTR : 0;
}
