// SPDX-License-Identifier: GPL-2.0
/*
 * The gate of a restore from the side of its tasks: they come one by one and wait in the kernel until all are there and
 * have their state; then all go, or none does and all are killed (gate.c).  Knows tasks, not what state they are given
 * (set.c) or what their memory becomes (program.c).
 *
 * A task waits in a task_work, not in the ioctl that brought it here: at that point its user frame is final, and
 * signals, the restart of an interrupted system call and the freezer are looked at after it.  That leaves the
 * question of what keeps this text loaded until a work function has returned to the kernel.  A module_put() of
 * our own would run here.  So each task owns a file with our file_operations and is its only holder: the last fput()
 * is always deferred to another task_work, which runs when we have returned, calls parked_release() and only
 * then, in the kernel's own text, drops the module.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "restore.h"
#include "symbols.h"

/* ---- processes behind the gate: a leader must know when all its threads are in the kernel ---- */

static struct crk_proc *proc_get(struct crk_gate *gate, unsigned long tgid)
{
	struct crk_proc *proc;
	int ret;

	lockdep_assert_held(&gate->lock);
	proc = xa_load(&gate->procs, tgid);
	if (!proc) {
		proc = kzalloc(sizeof(*proc), GFP_KERNEL_ACCOUNT);
		if (!proc)
			return ERR_PTR(-ENOMEM);
		init_waitqueue_head(&proc->wq);
		ret = xa_insert(&gate->procs, tgid, proc, GFP_KERNEL_ACCOUNT);
		if (ret) {
			kfree(proc);
			return ERR_PTR(ret);
		}
	}
	proc->nr_members++;
	return proc;
}

static void proc_put(struct crk_gate *gate, struct crk_proc *proc, unsigned long tgid)
{
	lockdep_assert_held(&gate->lock);
	if (--proc->nr_members)
		return;
	xa_erase(&gate->procs, tgid);
	kfree(proc);
}

/* ---- one task ---- */

static int parked_insert(struct crk_gate *gate, struct crk_parked *p)
{
	int ret;

	guard(mutex)(&gate->lock);
	if (gate->state != CRK_GATE_CLOSED || gate->nr_here == gate->nr_tasks)
		return -EBUSY;
	p->proc = proc_get(gate, p->tgid);
	if (IS_ERR(p->proc))
		return PTR_ERR(p->proc);
	ret = xa_insert(&gate->tasks, p->tid, p, GFP_KERNEL_ACCOUNT);
	if (ret)
		proc_put(gate, p->proc, p->tgid);
	else
		gate->nr_here++;
	return ret;
}

static void parked_remove(struct crk_gate *gate, struct crk_parked *p)
{
	lockdep_assert_held(&gate->lock);
	xa_erase(&gate->tasks, p->tid);
	gate->nr_here--;
	proc_put(gate, p->proc, p->tgid);
}

static void parked_count_left(struct crk_gate *gate, struct crk_parked *p)
{
	lockdep_assert_held(&gate->lock);
	if (p->left)
		return;
	p->left = true;
	if (++gate->nr_left == gate->nr_tasks)
		wake_up_all(&gate->opener_wq);
}

/* the kernel has left our text for this task, or it never came to its work function */
static int parked_release(struct inode *inode, struct file *file)
{
	struct crk_parked *p = file->private_data;
	struct crk_gate *gate = p->job->gate;

	scoped_guard(mutex, &gate->lock) {
		parked_remove(gate, p);
		if (p->let_go)
			parked_count_left(gate, p);
		else if (p->queued)
			__crk_gate_fail(gate, p->task, CRK_NO_OP, -ESRCH, "killed before the restore was complete");
	}
	crk_prog_destroy(p->prog);
	if (p->vfork_child)
		put_task_struct(p->vfork_child);
	put_task_struct(p->task);
	crk_job_put(p->job);
	kfree(p);
	return 0;
}

static const struct file_operations parked_fops = {
	.owner = THIS_MODULE,
	.release = parked_release,
};

/* shares the memory that a program is about to unmap? */
static bool shares_opener_mm(struct crk_job *job)
{
	struct task_struct *opener;
	bool ret;

	rcu_read_lock();
	opener = pid_task(job->opener, PIDTYPE_TGID);
	ret = !opener || READ_ONCE(opener->mm) == current->mm;
	rcu_read_unlock();
	return ret;
}

struct crk_parked *crk_parked_create(struct crk_job *job)
{
	struct crk_gate *gate = smp_load_acquire(&job->gate);	/* complete, see crk_gate_create() */
	struct crk_parked *p;
	int ret;

	if (!gate)
		return ERR_PTR(-EBUSY);
	if (task_tgid(current) == job->opener || shares_opener_mm(job))
		return ERR_PTR(-EPERM);
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return ERR_PTR(-ENOMEM);
	crk_job_get(job);
	p->job = job;
	p->task = get_task_struct(current);
	p->tid = task_pid_nr(current);
	p->tgid = task_tgid_nr(current);
	ret = parked_insert(gate, p);
	if (ret)
		goto err_free;
	p->pin = anon_inode_getfile("[crk]", &parked_fops, p, O_RDONLY);
	if (IS_ERR(p->pin)) {
		ret = PTR_ERR(p->pin);
		goto err_withdraw;
	}
	return p;

err_withdraw:
	scoped_guard(mutex, &gate->lock)
		parked_remove(gate, p);
err_free:
	put_task_struct(p->task);
	crk_job_put(job);
	kfree(p);
	return ERR_PTR(ret);
}

void crk_parked_destroy(struct crk_parked *p)
{
	if (p)
		fput(p->pin);
}

/*
 * What the helper's libc registered would be written to when the task dies or is scheduled, into whatever is mapped
 * there by then.
 */
static void user_pointers_drop(void)
{
	current->clear_child_tid = NULL;
	crk_robust_list(current) = NULL;
#ifdef CONFIG_COMPAT
	crk_compat_robust_list(current) = NULL;
#endif
	crk_rseq_set(&(struct crk_rseq_state){}, false);
}

int crk_parked_queue(struct crk_parked *p, task_work_func_t func)
{
	int ret;

	/* of no use any more; and a restartable sequence must not call for attention on the way, see park_ok() */
	if (!p->queued)
		user_pointers_drop();
	if (!p->queued && crk_arch.park_prepare)
		crk_arch.park_prepare();
	init_task_work(&p->work, func);
	p->queued = true;
	ret = crk_call(task_work_add)(current, &p->work, TWA_RESUME);
	if (ret)
		p->queued = false;	/* the task is exiting */
	return ret;
}

/* the first of its works; false if the gate has failed for it */
bool crk_parked_begin(struct crk_parked *p)
{
	if (current->flags & PF_EXITING)
		return false;
	if (!crk_arch.park_ok || crk_arch.park_ok())
		return true;
	crk_gate_fail(p->job->gate, current, CRK_NO_OP, -EAGAIN, "a signal came on its way to the gate");
	return false;
}

void crk_parked_leave(struct crk_parked *p)
{
	fput(p->pin);
}

/* ---- waiting ---- */

static void sharer_count(struct crk_parked *owner, struct crk_parked *sharer)
{
	if (!sharer->parked || !sharer->prog || !sharer->prog->shared || !owner->brings_mm ||
	    sharer->task->mm != owner->task->mm)
		return;
	WRITE_ONCE(owner->proc->nr_sharers, owner->proc->nr_sharers + 1);
	wake_up(&owner->proc->wq);
}

/* which of the two comes first can't be told: each is counted when it finds the other */
void crk_parked_brings_mm(struct crk_parked *p)
{
	struct crk_gate *gate = p->job->gate;
	struct crk_parked *q;
	unsigned long tid;

	guard(mutex)(&gate->lock);
	p->brings_mm = true;
	xa_for_each(&gate->tasks, tid, q)
		sharer_count(p, q);
}

static bool gate_enter(struct crk_gate *gate, struct crk_parked *p)
{
	struct crk_parked *q;
	unsigned long tid;

	guard(mutex)(&gate->lock);
	if (gate->state != CRK_GATE_CLOSED || current->flags & PF_EXITING)
		return false;
	p->parked = true;
	if (p->prog && p->prog->shared)
		xa_for_each(&gate->tasks, tid, q)
			sharer_count(q, p);
	gate->nr_timers += p->prog && p->prog->nr_timers;
	WRITE_ONCE(p->proc->nr_parked, p->proc->nr_parked + 1);
	wake_up(&p->proc->wq);
	WRITE_ONCE(gate->nr_parked, gate->nr_parked + 1);
	if (gate->nr_parked == gate->nr_tasks)
		wake_up_all(&gate->opener_wq);
	return true;
}

/* timers start when the gate is about to open: their remaining time must not pass while others are waited for */
static bool timers_start(struct crk_gate *gate, struct crk_parked *p)
{
	int ret;

	if (wait_event_killable(gate->timer_wq, READ_ONCE(gate->state) != CRK_GATE_CLOSED))
		return false;
	if (READ_ONCE(gate->state) != CRK_GATE_ARMING)
		return false;
	ret = crk_timers_start(p->prog);

	guard(mutex)(&gate->lock);
	if (ret) {
		__crk_gate_fail(gate, current, CRK_NO_OP, ret, p->prog->text);
		return false;
	}
	gate->nr_armed++;
	wake_up_all(&gate->opener_wq);
	return true;
}

static enum crk_gate_state leaves_at(const struct crk_parked *p)
{
	return READ_ONCE(p->dead) ? CRK_GATE_ARMING : crk_trace_is_held(p) ? CRK_GATE_TRACING : CRK_GATE_OPEN;
}

/* what a task is has been settled when the gate is no longer closed */
static bool tracer_is_due(const struct crk_gate *gate, const struct crk_parked *p)
{
	/* pairs with gate_arm() */
	return smp_load_acquire(&gate->state) == CRK_GATE_ARMING && p->tracer && !p->attached;
}

static bool gate_is_over(const struct crk_gate *gate, const struct crk_parked *p)
{
	enum crk_gate_state state = smp_load_acquire(&gate->state);	/* pairs with gate_arm() */

	return state != CRK_GATE_CLOSED && state >= leaves_at(p);
}

static void tracer_attach(struct crk_gate *gate, struct crk_parked *p)
{
	char text[80] = "";
	pid_t tracee;
	int ret;

	ret = crk_tracer_attach(gate, &tracee);

	guard(mutex)(&gate->lock);
	p->attached = true;
	if (ret) {
		snprintf(text, sizeof(text), "cannot attach to thread %d again as its tracer (%d)", tracee, ret);
		__crk_gate_fail(gate, current, CRK_NO_OP, ret, text);
	}
	gate->nr_armed++;
	wake_up_all(&gate->opener_wq);
}

static bool gate_wait(struct crk_gate *gate, struct crk_parked *p)
{
	if (p->prog && p->prog->nr_timers && !timers_start(gate, p))
		return false;
	/* a task that is killed when the gate is open already was let go: it dies with its own state */
	(void)wait_event_killable(gate->wq, gate_is_over(gate, p) || tracer_is_due(gate, p));
	if (tracer_is_due(gate, p)) {
		tracer_attach(gate, p);
		(void)wait_event_killable(gate->wq, gate_is_over(gate, p));
	}

	guard(mutex)(&gate->lock);
	p->let_go = gate->state >= leaves_at(p) && gate->state != CRK_GATE_DEAD;
	return p->let_go;
}

/* the gate is open: nothing here may fail */
static void state_apply(const struct crk_rec_thread *in, const struct crk_rec_settings *settings)
{
	const struct crk_rseq_state rseq = {
		.addr = in->rseq, .len = in->rseq_len, .sig = in->rseq_sig, .version = in->rseq_version,
		.slice = in->flags & CRK_THREAD_RSEQ_SLICE,
	};
	sigset_t blocked;

	current->sas_ss_sp = in->altstack_sp;
	current->sas_ss_size = in->altstack_size;
	current->sas_ss_flags = in->altstack_flags;
	crk_robust_list(current) = u64_to_user_ptr(in->robust_list);
#ifdef CONFIG_COMPAT
	crk_compat_robust_list(current) = u64_to_user_ptr(in->compat_robust_list);
#endif
	current->set_child_tid = u64_to_user_ptr(in->set_child_tid);
	current->clear_child_tid = u64_to_user_ptr(in->clear_child_tid);
	current->personality = in->personality;
	current->timer_slack_ns = in->timer_slack_ns;
	task_lock(current);
	strscpy_pad(current->comm, in->comm, sizeof(current->comm));
	task_unlock(current);
	crk_rseq_set(&rseq, in->syscall == CRK_SYSCALL_NONE);
	crk_settings_set(settings);

	/* last: signals that were queued meanwhile are noticed here */
	crk_sigset_put(&blocked, in->saved_mask);
	current->saved_sigmask = blocked;
	crk_sigset_put(&blocked, in->blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (in->flags & CRK_THREAD_RESTORE_MASK)
		set_restore_sigmask();
	crk_restart_set(&in->restart);
	crk_arch.set_finish(in);
}

/*
 * A leader that had exited does so again.  It never comes back here, so that its stack may name our text when that is
 * gone; our file is closed in the kernel's own text, since what is deferred runs on the way.
 */
static void leader_exit_work(struct callback_head *work)
{
	struct crk_parked *p = container_of(work, struct crk_parked, work);
	int code = p->exit_code >> 8;

	crk_parked_leave(p);
	crk_arch.sys_exit(code);
}

/* asleep elsewhere than in the freezer: it may take long, and is no part of the restore */
static void sleep_again(struct crk_gate *gate, struct crk_parked *p)
{
	scoped_guard(mutex, &gate->lock)
		parked_count_left(gate, p);
	if (crk_trace_is_held(p))
		crk_trace_go(p);
	if (p->vfork_child)
		crk_vfork_wait(p);
}

void crk_park_work(struct callback_head *work)
{
	struct crk_parked *p = container_of(work, struct crk_parked, work);
	struct crk_gate *gate = p->job->gate;
	DECLARE_COMPLETION_ONSTACK(vfork_done);

	p->vfork_done = &vfork_done;
	if ((p->prog || crk_parked_begin(p)) && gate_enter(gate, p) && gate_wait(gate, p)) {
		/* by a work of its own: those that came with this one must not be lost */
		if (p->dead && !crk_parked_queue(p, leader_exit_work))
			return;
		state_apply(&p->state, &p->settings);
		if (p->vfork_child || crk_trace_is_held(p))
			sleep_again(gate, p);
	}
	crk_parked_leave(p);
}

int crk_park(struct crk_job *job, struct crk_park *cmd)
{
	struct crk_parked *p;
	int ret;

	if (cmd->flags || thread_group_leader(current))
		return -EINVAL;
	p = crk_parked_create(job);
	if (IS_ERR(p))
		return PTR_ERR(p);
	ret = crk_parked_queue(p, crk_park_work);
	if (ret)
		crk_parked_destroy(p);
	return ret;
}
