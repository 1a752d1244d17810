/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a dump holds while its cgroup is frozen, shared by the files that read the tasks: freeze.c makes it.
 */
#ifndef _CRK_FROZEN_H
#define _CRK_FROZEN_H

#include <linux/rculist.h>

#include "private.h"

/**
 * struct crk_frozen_task - one thread that was in the cgroup when the freeze was complete
 * @task: referenced
 * @tid: in the pid namespace of the opener; the task itself forgets it when it has been waited for
 * @switches: context switches at that moment
 * @cgroup_id: its cgroup
 * @regs: hash of its user registers
 * @stack: its kernel stack is held, so that its user registers can be read even while it is being killed
 * @vfork: the child that it waits for in vfork, NULL if it does not; one of the tasks
 * @dead: had exited
 * @left: has left the freezer since
 */
struct crk_frozen_task {
	struct task_struct *task;
	s32 tid;
	u64 switches;
	u64 cgroup_id;
	u64 regs;
	bool stack;
	struct task_struct *vfork;
	bool dead;
	bool left;
};

/**
 * struct crk_frozen - a frozen cgroup and its tasks
 * @cgrp: referenced
 * @file: its cgroup.freeze
 * @was_frozen: cgroup.freeze was 1 before
 * @guarded: in the list of the guard
 * @since_ns: CLOCK_BOOTTIME at which the freeze was complete
 * @nr_thaws: foreign thaws held off
 * @nr: entries of @tasks and @by_addr
 * @tasks: in the order of CRK_IOC_TASKS: threads of a process together, leader first
 * @by_addr: indices of @tasks, in order of the address of the task
 * @node: in the list of the guard
 * @rcu: the guard may still be looking
 */
struct crk_frozen {
	struct cgroup *cgrp;
	struct file *file;
	bool was_frozen;
	bool guarded;
	u64 since_ns;
	atomic_t nr_thaws;
	u32 nr;
	struct crk_frozen_task *tasks;
	u32 *by_addr;
	struct hlist_node node;
	struct rcu_head rcu;
};

/* NULL if @t is not one of the frozen tasks */
struct crk_frozen_task *crk_frozen_find(struct crk_frozen *frozen, const struct task_struct *t);
/* wait until @t sleeps; a signal may have woken it for a moment */
int crk_frozen_wait_asleep(struct task_struct *t);

/* guard.c: foreign thaws, and tasks that leave the freezer */
int crk_guard_add(struct crk_frozen *frozen, struct crk_log *log);	/* -EBUSY: overlaps another job's cgroup */
void crk_guard_del(struct crk_frozen *frozen);		/* thaws go through again */
void crk_guard_release(void);				/* once for each crk_guard_add(), when the tasks run again */
bool crk_guard_sees_leavers(void);	/* struct crk_frozen_task.left is kept */
const char *crk_guard_off(void);	/* why there is no guard; NULL if there is */

/* stuck.c */
void crk_stuck_log(struct task_struct *t, struct crk_log *log);	/* why a freeze waited for @t in vain */

/* alike.c */
void crk_alike_get(struct crk_job *job, const struct crk_frozen_task *e, struct crk_task *out);

/* tasks.c */
u32 crk_task_flags(const struct crk_frozen_task *e);
u32 crk_task_exit_code(struct task_struct *t);		/* of one that has exited, as wait4() gives it */

/* lock the signal handlers of @t, which may be about to die; false if it has none any more */
bool crk_sighand_lock(struct task_struct *t, struct sighand_struct **sighand);
void crk_sighand_unlock(struct sighand_struct *sighand);

#endif /* _CRK_FROZEN_H */
