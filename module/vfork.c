// SPDX-License-Identifier: GPL-2.0
/*
 * Asleep in vfork: a restored parent goes on with the wait that it was in, and gets the child's pid as the result of
 * its system call when the child execs or exits.  As kernel/fork.c does it: the child has a pointer to a completion on
 * the parent's stack, which find_vfork_parents() of a later dump looks for.
 *
 * The parent sleeps in our text then, so the module stays loaded until its child is done; its file holds it.
 */
#include <linux/cgroup.h>
#include <linux/completion.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <asm/syscall.h>

#include "restore.h"
#include "symbols.h"

/* the gate is about to open: both are parked, the child can't have done anything yet */
void crk_vfork_link(struct crk_parked *p)
{
	struct task_struct *child = p->vfork_child;

	if (!child)
		return;
	p->vfork_pid = task_pid_nr_ns(child, task_active_pid_ns(p->task));
	task_lock(child);
	child->vfork_done = p->vfork_done;
	task_unlock(child);
}

/* current, through the gate with all its state */
void crk_vfork_wait(struct crk_parked *p)
{
	struct task_struct *child = p->vfork_child;
	int killed;

	crk_call(cgroup_enter_frozen)();
	killed = wait_for_completion_state(p->vfork_done, TASK_KILLABLE | TASK_FREEZABLE);
	crk_call(cgroup_leave_frozen)(false);
	if (killed) {
		task_lock(child);
		child->vfork_done = NULL;
		task_unlock(child);
		return;
	}
	if (current->ptrace & PT_EVENT_FLAG(PTRACE_EVENT_VFORK_DONE))
		crk_call(ptrace_notify)(SIGTRAP | PTRACE_EVENT_VFORK_DONE << 8, p->vfork_pid);
	syscall_set_return_value(current, task_pt_regs(current), 0, p->vfork_pid);
	crk_trace_syscall_exit();
}
