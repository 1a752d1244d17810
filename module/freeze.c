// SPDX-License-Identifier: GPL-2.0
/*
 * Freezes and thaws a cgroup through its own cgroup.freeze, and keeps the list of its tasks meanwhile.  What the tasks
 * are is tasks.c's and capture.c's; who else may thaw is guard.c's.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/sort.h>
#include <linux/threads.h>
#include <linux/vmalloc.h>

#include "frozen.h"
#include "symbols.h"

#define CRK_TASKS_MAX	PID_MAX_LIMIT
#define POLL_US		50
#define STUCK_MAX	16	/* as many are named when a freeze times out */

/* ---- tasks ---- */

static bool in_cgroup(struct task_struct *t, struct cgroup *cgrp)
{
	return cgroup_is_descendant(task_dfl_cgroup(t), cgrp);
}

/* all threads of the cgroup that the kernel still lists; the references go to @tasks, at most @max */
static u32 tasks_scan(struct cgroup *cgrp, struct crk_frozen_task *tasks, u32 max)
{
	struct task_struct *p, *t;
	u32 nr = 0;

	rcu_read_lock();
	for_each_process_thread(p, t) {
		if (!in_cgroup(t, cgrp))
			continue;
		if (nr < max)
			tasks[nr].task = get_task_struct(t);
		nr++;
	}
	rcu_read_unlock();
	return nr;
}

static void tasks_put(struct crk_frozen_task *tasks, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		if (tasks[i].stack)
			crk_put_task_stack(tasks[i].task);
		put_task_struct(tasks[i].task);
	}
	kvfree(tasks);
}

static int tasks_get(struct cgroup *cgrp, struct crk_frozen_task **ret)
{
	struct crk_frozen_task *tasks;
	u32 nr = tasks_scan(cgrp, NULL, 0), max;

	for (;;) {
		max = nr + 16;
		if (max > CRK_TASKS_MAX)
			return -E2BIG;
		tasks = kvcalloc(max, sizeof(*tasks), GFP_KERNEL_ACCOUNT);
		if (!tasks)
			return -ENOMEM;
		nr = tasks_scan(cgrp, tasks, max);
		if (nr <= max)
			break;
		tasks_put(tasks, max);
	}
	*ret = tasks;
	return nr;
}

static int check_access(struct task_struct *t, struct crk_log *log)
{
	const struct cred *cred;
	bool ok;

	if (t->flags & PF_KTHREAD)
		return crk_log(log, -EOPNOTSUPP, "kernel thread %d (%s) is in the cgroup: move it out",
			       task_pid_vnr(t), t->comm);
	cred = get_task_cred(t);
	ok = checkpoint_restore_ns_capable(cred->user_ns) &&
	     crk_call(ptrace_may_access)(t, PTRACE_MODE_ATTACH_REALCREDS);
	put_cred(cred);
	return ok ? 0 : crk_log(log, -EACCES, "task %d (%s): no ptrace access", task_pid_vnr(t), t->comm);
}

/* a process is frozen whole or not at all: threads may be in several cgroups */
static int check_whole(struct crk_frozen_task *tasks, int nr, struct crk_log *log)
{
	struct task_struct *t;
	int i, n;

	for (i = 0; i < nr; i += n) {
		t = tasks[i].task;
		for (n = 1; i + n < nr && tasks[i + n].task->signal == t->signal; n++)
			;
		if (!thread_group_leader(t) || n < get_nr_threads(t))
			return crk_log(log, -EOPNOTSUPP, "process %d (%s) has threads in other cgroups",
				       task_tgid_vnr(t), t->comm);
	}
	return 0;
}

static int check_tasks(struct cgroup *cgrp, struct crk_log *log)
{
	struct crk_frozen_task *tasks;
	int i, nr, ret = 0;

	nr = tasks_get(cgrp, &tasks);
	if (nr < 0)
		return nr;
	for (i = 0; i < nr && !ret; i++)
		ret = check_access(tasks[i].task, log);
	tasks_put(tasks, nr);
	return ret;
}

static u64 task_switches(struct task_struct *t)
{
	return READ_ONCE(t->nvcsw) + READ_ONCE(t->nivcsw);
}

static u64 task_cgroup_id(struct task_struct *t)
{
	u64 id;

	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(t));
	rcu_read_unlock();
	return id;
}

static u64 task_regs_hash(struct crk_job *job, const struct crk_frozen_task *e)
{
	return e->stack ? siphash(task_pt_regs(e->task), sizeof(struct pt_regs), &job->key) : 0;
}

static bool task_asleep(struct task_struct *t)
{
	/* on its way: it will be a zombie or gone from the kernel's lists */
	if (t->exit_state == EXIT_DEAD || (t->flags & PF_EXITING && !t->exit_state))
		return false;
	return !crk_task_on_cpu(t) && (t->exit_state || crk_task_dequeued(t));
}

int crk_frozen_wait_asleep(struct task_struct *t)
{
	unsigned int i;

	for (i = 0; !task_asleep(t); i++) {
		if (i == USEC_PER_SEC / POLL_US || fatal_signal_pending(current))
			return -ESTALE;
		usleep_range(POLL_US, 2 * POLL_US);
	}
	return 0;
}

static int cmp_addr(const void *a, const void *b, const void *priv)
{
	const struct crk_frozen_task *tasks = priv;
	unsigned long x = (unsigned long)tasks[*(u32 *)a].task, y = (unsigned long)tasks[*(u32 *)b].task;

	return x < y ? -1 : x > y;
}

struct crk_frozen_task *crk_frozen_find(struct crk_frozen *frozen, const struct task_struct *t)
{
	/* with frozen_record(): the arrays are there when nr says so */
	u32 low = 0, high = smp_load_acquire(&frozen->nr), mid;
	struct crk_frozen_task *e;

	while (low < high) {
		mid = low + (high - low) / 2;
		e = &frozen->tasks[frozen->by_addr[mid]];
		if (e->task == t)
			return e;
		if ((unsigned long)e->task < (unsigned long)t)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct task_struct *crk_frozen_task_get(struct crk_job *job, s32 tid)
{
	struct task_struct *t;

	lockdep_assert_held(&job->lock);
	rcu_read_lock();
	t = pid_task(find_vpid(tid), PIDTYPE_PID);
	if (t && crk_frozen_find(job->frozen, t))
		get_task_struct(t);
	else
		t = ERR_PTR(-ESRCH);
	rcu_read_unlock();
	return t;
}

struct mm_struct *crk_frozen_mm_get(struct crk_job *job, s32 tid)
{
	struct task_struct *t = crk_frozen_task_get(job, tid);
	struct mm_struct *mm;

	if (IS_ERR(t))
		return ERR_CAST(t);
	mm = get_task_mm(t);
	put_task_struct(t);
	return mm ?: ERR_PTR(-ESRCH);
}

/*
 * The child of a vfork tells its parent through a completion on the parent's kernel stack.  The stack cannot go away:
 * it is held.
 */
static void find_vfork_parents(struct crk_frozen *frozen)
{
	struct crk_frozen_task *e, *end = frozen->tasks + frozen->nr;
	struct task_struct *child, *leader;
	unsigned long done;
	u32 i;

	rcu_read_lock();
	for (i = 0; i < frozen->nr; i++) {
		child = frozen->tasks[i].task;
		done = (unsigned long)READ_ONCE(child->vfork_done);
		if (!done || frozen->tasks[i].dead)
			continue;
		/* any of the threads: the one that made it may have handed it on by exiting */
		leader = rcu_dereference(child->real_parent)->group_leader;
		e = crk_frozen_find(frozen, leader);
		for (; e && e < end && e->task->signal == leader->signal; e++)
			if (e->stack && done - (unsigned long)task_stack_page(e->task) < THREAD_SIZE)
				e->vfork = child;
	}
	rcu_read_unlock();
}

/* the tasks as they are now that nobody runs; the guard may look at them as soon as nr is set */
static int frozen_record(struct crk_job *job, struct crk_frozen *frozen, struct crk_frozen_task *tasks, u32 nr)
{
	struct crk_frozen_task *e;
	u32 i;

	frozen->by_addr = kvmalloc_array(nr ?: 1, sizeof(u32), GFP_KERNEL_ACCOUNT);
	if (!frozen->by_addr)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		e = &tasks[i];
		e->tid = task_pid_vnr(e->task);
		e->dead = e->task->exit_state;
		e->stack = !e->dead && try_get_task_stack(e->task);
		e->switches = task_switches(e->task);
		e->cgroup_id = task_cgroup_id(e->task);
		e->regs = task_regs_hash(job, e);
		frozen->by_addr[i] = i;
	}
	sort_r(frozen->by_addr, nr, sizeof(u32), cmp_addr, NULL, tasks);
	frozen->tasks = tasks;
	/* with crk_frozen_find(), which the guard calls without a lock */
	smp_store_release(&frozen->nr, nr);
	find_vfork_parents(frozen);
	return 0;
}

/* ---- freeze ---- */

static int freeze_write(struct crk_frozen *frozen, bool freeze)
{
	loff_t pos = 0;
	ssize_t ret = kernel_write(frozen->file, freeze ? "1" : "0", 1, &pos);

	return ret < 0 ? ret : ret == 1 ? 0 : -EIO;
}

/* -ETIMEDOUT at the deadline, -EINTR at a signal */
static int wait_a_bit(ktime_t deadline)
{
	if (signal_pending(current))
		return -EINTR;
	if (deadline && ktime_after(ktime_get(), deadline))
		return -ETIMEDOUT;
	usleep_range_state(POLL_US, 2 * POLL_US, TASK_INTERRUPTIBLE);
	return 0;
}

static bool task_stuck(struct task_struct *t)
{
	return !t->exit_state && !(t->frozen && crk_task_dequeued(t));
}

static void log_stuck(struct cgroup *cgrp, struct crk_log *log)
{
	struct crk_frozen_task *tasks;
	int i, nr, stuck = 0;

	nr = tasks_get(cgrp, &tasks);
	if (nr < 0)
		return;
	for (i = 0; i < nr; i++)
		if (task_stuck(tasks[i].task) && stuck++ < STUCK_MAX)
			crk_stuck_log(tasks[i].task, log);
	if (stuck > STUCK_MAX)
		crk_log(log, 0, "and %d more", stuck - STUCK_MAX);
	tasks_put(tasks, nr);
}

/*
 * CGRP_FROZEN is set when the last task has marked itself frozen, a moment before it goes to sleep; and tasks that
 * were exiting are not counted.  So wait until all really sleep.
 */
static int frozen_wait(struct crk_job *job, struct crk_frozen *frozen, ktime_t deadline, struct crk_log *log)
{
	struct crk_frozen_task *tasks = NULL;
	int i, nr, ret;

	for (;;) {
		nr = -EAGAIN;
		if (test_bit(CGRP_FROZEN, &frozen->cgrp->flags)) {
			nr = tasks_get(frozen->cgrp, &tasks);
			if (nr < 0)
				return nr;
			for (i = 0; i < nr && task_asleep(tasks[i].task); i++)
				;
			if (i == nr)
				break;
			tasks_put(tasks, nr);
		}
		ret = wait_a_bit(deadline);
		if (ret == -ETIMEDOUT)
			log_stuck(frozen->cgrp, log);
		if (ret)
			return ret;
	}
	for (i = 0, ret = 0; i < nr && !ret; i++)
		ret = check_access(tasks[i].task, log);
	if (!ret)
		ret = check_whole(tasks, nr, log);
	if (!ret)
		ret = frozen_record(job, frozen, tasks, nr);
	if (ret)
		tasks_put(tasks, nr);
	return ret;
}

static void frozen_free(struct rcu_head *rcu)
{
	struct crk_frozen *frozen = container_of(rcu, struct crk_frozen, rcu);

	kvfree(frozen->by_addr);
	kvfree(frozen->tasks);
	kfree(frozen);
}

/* thaw first: nothing that takes time may come before it */
static void frozen_destroy(struct crk_frozen *frozen, bool thaw)
{
	bool guarded = frozen->guarded;
	u32 i;

	crk_guard_del(frozen);
	if (thaw)
		freeze_write(frozen, false);
	if (guarded)
		crk_guard_release();
	for (i = 0; i < frozen->nr; i++) {
		if (frozen->tasks[i].stack)
			crk_put_task_stack(frozen->tasks[i].task);
		put_task_struct(frozen->tasks[i].task);
	}
	if (frozen->file)
		fput(frozen->file);
	if (frozen->cgrp)
		cgroup_put(frozen->cgrp);
	call_rcu(&frozen->rcu, frozen_free);
}

static bool caller_in(struct cgroup *cgrp)
{
	struct task_struct *t;
	bool in = false;

	rcu_read_lock();
	for_each_thread(current, t)
		in |= in_cgroup(t, cgrp);
	rcu_read_unlock();
	return in;
}

static int frozen_open(struct crk_frozen *frozen, s32 fd, struct crk_log *log)
{
	struct cgroup *cgrp;
	struct file *file;
	struct file *dir __free(crk_fput) = fget_raw(fd);

	cgrp = cgroup_get_from_fd(fd);
	if (!dir || IS_ERR(cgrp))
		return crk_log(log, -EBADF, "cgroup_fd %d: not a cgroup v2 directory", fd);
	frozen->cgrp = cgrp;
	if (!cgroup_parent(cgrp))
		return crk_log(log, -EOPNOTSUPP, "the root cgroup cannot be frozen");
	if (caller_in(cgrp))
		return crk_log(log, -EDEADLK, "the caller, pid %d (%s), is in the cgroup itself",
			       task_tgid_vnr(current), current->comm);
	file = file_open_root(&dir->f_path, "cgroup.freeze", O_WRONLY, 0);
	if (IS_ERR(file))
		return crk_log(log, PTR_ERR(file), "cannot open cgroup.freeze");
	frozen->file = file;
	return 0;
}

int crk_freeze(struct crk_job *job, struct crk_freeze *cmd, struct crk_log *log)
{
	ktime_t deadline = cmd->timeout_ms ? ktime_add_ms(ktime_get(), cmd->timeout_ms) : 0;
	struct crk_frozen *frozen;
	bool thaw = false;
	int ret;

	lockdep_assert_held(&job->lock);
	if (job->state != CRK_JOB_NEW)
		return -EBUSY;
	frozen = kzalloc(sizeof(*frozen), GFP_KERNEL_ACCOUNT);
	if (!frozen)
		return -ENOMEM;
	ret = frozen_open(frozen, cmd->cgroup_fd, log);
	if (ret)
		goto err_destroy;
	ret = check_tasks(frozen->cgrp, log);
	if (ret)
		goto err_destroy;
	ret = crk_guard_add(frozen, log);
	if (ret)
		goto err_destroy;
	frozen->was_frozen = READ_ONCE(frozen->cgrp->freezer.freeze);
	thaw = !frozen->was_frozen;
	ret = freeze_write(frozen, true);
	if (ret)
		goto err_destroy;
	ret = frozen_wait(job, frozen, deadline, log);
	if (ret)
		goto err_destroy;
	frozen->since_ns = ktime_get_boottime_ns();
	job->frozen = frozen;
	job->state = CRK_JOB_DUMP;
	cmd->out_nr_tasks = frozen->nr;
	cmd->out_frozen_ns = frozen->since_ns;
	return 0;

err_destroy:
	frozen_destroy(frozen, thaw);
	return ret;
}

void crk_freeze_end(struct crk_job *job, bool leave_frozen, u64 *frozen_ns)
{
	struct crk_frozen *frozen = job->frozen;

	lockdep_assert_held(&job->lock);
	job->frozen = NULL;
	job->state = CRK_JOB_DONE;
	if (frozen_ns)
		*frozen_ns = ktime_get_boottime_ns() - frozen->since_ns;
	frozen_destroy(frozen, !leave_frozen && !frozen->was_frozen);
}

/* ---- verify ---- */

static int verify_task(struct crk_job *job, struct crk_frozen_task *e, struct crk_log *log)
{
	struct task_struct *t = e->task;
	bool ran;

	if (!pid_alive(t) || (!e->dead && (t->exit_state || (t->flags & PF_EXITING))))
		return crk_log(log, -ESTALE, "task %d (%s) has exited", e->tid, t->comm);
	if (task_cgroup_id(t) != e->cgroup_id)
		return crk_log(log, -ESTALE, "task %d (%s) was moved to another cgroup", e->tid, t->comm);
	/* a signal wakes a frozen task for a moment; only one that left the freezer can have run user code */
	ran = task_switches(t) != e->switches && (!crk_guard_sees_leavers() || READ_ONCE(e->left));
	if (ran || task_regs_hash(job, e) != e->regs)
		return crk_log(log, -ESTALE, "task %d (%s) %s", e->tid, t->comm,
			       READ_ONCE(t->signal->flags) & SIGNAL_GROUP_EXIT ? "was killed" : "has run");
	return 0;
}

static int verify_none_came(struct crk_frozen *frozen, struct crk_log *log)
{
	struct task_struct *p, *t;
	int ret = 0;

	rcu_read_lock();
	for_each_process_thread(p, t)
		if (in_cgroup(t, frozen->cgrp) && t->exit_state != EXIT_DEAD && !crk_frozen_find(frozen, t))
			ret = crk_log(log, -ESTALE, "task %d (%s) came into the cgroup", task_pid_vnr(t), t->comm);
	rcu_read_unlock();
	return ret;
}

int crk_freeze_verify(struct crk_job *job, struct crk_verify *cmd, struct crk_log *log)
{
	struct crk_frozen *frozen = job->frozen;
	int ret = 0;
	u32 i;

	lockdep_assert_held(&job->lock);
	cmd->out_nr_thaws = atomic_read(&frozen->nr_thaws);
	for (i = 0; i < frozen->nr; i++)
		ret = verify_task(job, &frozen->tasks[i], log) ?: ret;
	ret = verify_none_came(frozen, log) ?: ret;
	if (!ret && !test_bit(CGRP_FROZEN, &frozen->cgrp->flags))
		ret = crk_log(log, -ESTALE, "the cgroup is not frozen any more");
	return ret;
}
