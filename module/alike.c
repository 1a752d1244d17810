// SPDX-License-Identifier: GPL-2.0
/*
 * Identities of what many tasks have alike: a helper that knows it of one need not ask again for the others.  Hashes of
 * contents, keyed like those of objects: two tasks with equal ones have the same, two with different ones may still.
 */
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/fs_struct.h>
#include <linux/iocontext.h>
#include <linux/nsproxy.h>
#include <linux/path.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "frozen.h"

static u64 identity(struct crk_job *job, const void *data, size_t len)
{
	return (siphash(data, len, &job->key) >> 1) ?: 1;
}

static u64 namespaces_of(struct crk_job *job, struct task_struct *t)
{
	u64 of[3] = {};

	task_lock(t);
	of[0] = (unsigned long)t->nsproxy;
	task_unlock(t);
	if (!of[0])
		return 0;
	rcu_read_lock();
	of[1] = (unsigned long)__task_cred(t)->user_ns;
	of[2] = (unsigned long)task_active_pid_ns(t);
	rcu_read_unlock();
	return identity(job, of, sizeof(of));
}

static u64 paths_of(struct crk_job *job, struct task_struct *t)
{
	struct path root, pwd;
	u64 of[5];

	task_lock(t);
	if (!t->fs) {
		task_unlock(t);
		return 0;
	}
	get_fs_root(t->fs, &root);
	get_fs_pwd(t->fs, &pwd);
	of[0] = t->fs->umask;
	task_unlock(t);
	of[1] = (unsigned long)root.mnt;
	of[2] = (unsigned long)root.dentry;
	of[3] = (unsigned long)pwd.mnt;
	of[4] = (unsigned long)pwd.dentry;
	path_put(&root);
	path_put(&pwd);
	return identity(job, of, sizeof(of));
}

static u64 program_of(struct crk_job *job, struct task_struct *t)
{
	u64 id = 0;

	task_lock(t);
	if (t->mm)
		id = crk_job_id(job, rcu_access_pointer(t->mm->exe_file));
	task_unlock(t);
	return id;
}

static u64 limits_of(struct crk_job *job, struct task_struct *t)
{
	struct rlimit of[RLIM_NLIMITS];

	task_lock(t->group_leader);
	memcpy(of, t->signal->rlim, sizeof(of));
	task_unlock(t->group_leader);
	return identity(job, of, sizeof(of));
}

/* what sched_getattr(), sched_getaffinity() and ioprio_get() tell */
static u64 scheduling_of(struct crk_job *job, struct task_struct *t)
{
	u64 of[14] = {
		t->policy, t->static_prio, t->rt_priority, t->sched_reset_on_fork,
		t->dl.dl_runtime, t->dl.dl_deadline, t->dl.dl_period, t->dl.flags,
		crk_sched_slice(t),
	};

#ifdef CONFIG_UCLAMP_TASK
	of[9] = t->uclamp_req[UCLAMP_MIN].value;
	of[10] = t->uclamp_req[UCLAMP_MAX].value;
#endif
#ifdef CONFIG_BLOCK
	task_lock(t);
	if (t->io_context) {
		of[11] = 1;
		of[12] = t->io_context->ioprio;
	}
	task_unlock(t);
#endif
	of[13] = identity(job, cpumask_bits(&t->cpus_mask), BITS_TO_LONGS(nr_cpu_ids) * sizeof(long));
	return identity(job, of, sizeof(of));
}

void crk_alike_get(struct crk_job *job, const struct crk_frozen_task *e, struct crk_task *out)
{
	struct task_struct *t = e->task;

	if (t->exit_state)
		return;
	out->sched_id = scheduling_of(job, t);
	if (!thread_group_leader(t) && !t->group_leader->exit_state)
		return;
	out->ns_id = namespaces_of(job, t);
	out->paths_id = paths_of(job, t);
	out->program_id = program_of(job, t);
	out->limits_id = limits_of(job, t);
}
