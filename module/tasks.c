// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_TASKS: who the frozen tasks are, whom they belong to and what they share.  What a thread is inside is
 * capture.c's.
 */
#include <linux/pid_namespace.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seccomp.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "frozen.h"

/* what the scheduler calls a worker: a thread that never runs user code */
static bool is_worker(struct task_struct *t)
{
	return t->flags & (PF_IO_WORKER | PF_USER_WORKER);
}

static bool is_seccomp(struct task_struct *t)
{
#ifdef CONFIG_SECCOMP
	return t->seccomp.mode != SECCOMP_MODE_DISABLED;
#else
	return false;
#endif
}

u32 crk_task_flags(const struct crk_frozen_task *e)
{
	struct task_struct *t = e->task;
	struct signal_struct *sig = t->signal;
	u32 flags = 0;

	if (thread_group_leader(t))
		flags |= CRK_TASK_LEADER;
	if (t->exit_state)
		flags |= delay_group_leader(t) ? CRK_TASK_DEAD : CRK_TASK_ZOMBIE;
	if (sig->flags & SIGNAL_STOP_STOPPED || t->jobctl & JOBCTL_STOPPED)
		flags |= CRK_TASK_STOPPED;
	if (t->ptrace)
		flags |= CRK_TASK_TRACED;
	if (e->vfork)
		flags |= CRK_TASK_VFORK;
	if (is_worker(t))
		flags |= CRK_TASK_WORKER;
	if (is_seccomp(t))
		flags |= CRK_TASK_SECCOMP;
	if (sig->is_child_subreaper)
		flags |= CRK_TASK_SUBREAPER;
	if (READ_ONCE(sig->tty))
		flags |= CRK_TASK_SESSION_TTY;
	if (task_no_new_privs(t))
		flags |= CRK_TASK_NO_NEW_PRIVS;
#ifdef CONFIG_NUMA
	if (READ_ONCE(t->mempolicy))
		flags |= CRK_TASK_MEMPOLICY;
#endif
	return flags;
}

/* as wait4() gives it */
u32 crk_task_exit_code(struct task_struct *t)
{
	return t->signal->flags & SIGNAL_GROUP_EXIT ? t->signal->group_exit_code : t->exit_code;
}

static void get_ids(struct crk_job *job, struct task_struct *t, struct crk_task *out)
{
	/* a task that is killed lets go of these under this lock */
	task_lock(t);
	out->mm_id = crk_job_id(job, t->mm);
	out->files_id = crk_job_id(job, t->files);
	out->fs_id = crk_job_id(job, t->fs);
#ifdef CONFIG_SYSVIPC
	out->sysvsem_id = crk_job_id(job, t->sysvsem.undo_list);
#endif
	task_unlock(t);
	out->sighand_id = crk_job_id(job, rcu_access_pointer(t->sighand));
}

static void get_pids(struct crk_job *job, struct task_struct *t, struct crk_task *out)
{
	struct pid_namespace *ns = task_active_pid_ns(current);
	struct task_struct *tracer;
	struct pid *pid;
	int i;

	rcu_read_lock();
	pid = task_pid(t);
	if (!pid) {			/* released: it was killed and its parent has been told */
		rcu_read_unlock();
		return;
	}
	out->tid = pid_nr_ns(pid, ns);
	out->tgid = task_tgid_nr_ns(t, ns);
	out->ppid = task_tgid_nr_ns(rcu_dereference(t->real_parent), ns);
	out->pgid = task_pgrp_nr_ns(t, ns);
	out->sid = task_session_nr_ns(t, ns);
	tracer = t->ptrace ? rcu_dereference(t->parent) : NULL;
	if (tracer)
		out->tracer_tid = task_pid_nr_ns(tracer, ns);
	out->pid_ns_id = crk_job_id(job, pid->numbers[pid->level].ns);
	out->nr_levels = min(pid->level + 1, CRK_MAX_PID_LEVELS);
	for (i = 0; i < out->nr_levels; i++)
		out->ns_tid[i] = pid->numbers[pid->level - i].nr;
	rcu_read_unlock();
}

static void task_get(struct crk_job *job, const struct crk_frozen_task *e, struct crk_task *out)
{
	struct task_struct *t = e->task;
	u64 utime, stime;

	memset(out, 0, sizeof(*out));
	get_pids(job, t, out);
	get_ids(job, t, out);
	out->flags = crk_task_flags(e);
	if (out->flags & (CRK_TASK_ZOMBIE | CRK_TASK_DEAD))
		out->exit_code = crk_task_exit_code(t);
	out->exit_signal = thread_group_leader(t) ? t->exit_signal : -1;
	out->start_ns = t->start_boottime;
	task_cputime_adjusted(t, &utime, &stime);
	out->utime_ns = utime;
	out->stime_ns = stime;
	out->oom_score_adj = t->signal->oom_score_adj;
	out->pdeath_signal = t->pdeath_signal;
	out->cgroup_id = e->cgroup_id;
	crk_alike_get(job, e, out);
	strscpy(out->comm, t->comm, sizeof(out->comm));
}

int crk_tasks(struct crk_job *job, struct crk_tasks *cmd)
{
	struct crk_frozen *frozen = job->frozen;
	struct crk_task *out __free(kfree) = NULL;
	u32 i;

	lockdep_assert_held(&job->lock);
	cmd->out_nr = frozen->nr;
	if (!cmd->nr)
		return 0;
	if (cmd->entry_size < CRK_TASK_SIZE_VER0)
		return -EINVAL;
	if (cmd->nr < frozen->nr)
		return -ENOSPC;
	out = kmalloc(sizeof(*out), GFP_KERNEL_ACCOUNT);
	if (!out)
		return -ENOMEM;
	for (i = 0; i < frozen->nr; i++) {
		task_get(job, &frozen->tasks[i], out);
		if (crk_copy_records(cmd->tasks_uptr, cmd->entry_size, i, out, sizeof(*out), 1))
			return -EFAULT;
		cond_resched();
	}
	return 0;
}
