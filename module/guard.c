// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps a frozen cgroup frozen: while a job holds one, a kprobe on cgroup_freeze() turns the thaws of others into
 * nothing.  A second one on cgroup_leave_frozen() notes the tasks that leave the freezer, so that CRK_IOC_VERIFY can
 * tell them from those that a signal woke and that went back to sleep inside the kernel.
 *
 * The probes stay for a minute when the last job is done: the next one finds them, and kernel text is not patched where
 * the thawed tasks run just then.  Without a job they look at an empty list.  A minute, since patching is not without
 * risk under emulation: seen with QEMU 7.2 (TCG, a thread for each CPU), the kernel died of a breakpoint that was there
 * no more ("Oops: int3").
 *
 * Only the cgroup itself needs the guard: one below it stays frozen through its ancestor whatever is written to its
 * own cgroup.freeze, and a thaw of one above leaves the held one's own setting alone.  That is let through, since it is
 * about others too, and counted.
 */
#include <linux/kprobes.h>
#include <linux/workqueue.h>

#include "frozen.h"

#define GUARD_LINGER_MS	60000

static DEFINE_MUTEX(guard_lock);	/* inside job->lock; protects the list and the probes */
static HLIST_HEAD(guard_list);		/* struct crk_frozen.node; read under RCU by the probes */
static unsigned int guard_users;	/* jobs that need the probes */
static bool guard_set;			/* they are there */
static unsigned long guard_until;	/* and stay until then, in jiffies */
static const char *guard_off = "not tried";
static bool sees_leavers;

static bool is_kernel_true(unsigned long arg)
{
	return arg & 0xff;		/* the other bytes of a register that holds a bool are undefined */
}

/* void cgroup_freeze(struct cgroup *cgrp, bool freeze) */
static int freeze_hook(struct kprobe *p, struct pt_regs *regs)
{
	struct cgroup *cgrp = (void *)*crk_arch.kernel_arg(regs, 0);
	unsigned long *freeze = crk_arch.kernel_arg(regs, 1);
	struct crk_frozen *frozen;

	if (is_kernel_true(*freeze))
		return 0;
	rcu_read_lock();
	hlist_for_each_entry_rcu(frozen, &guard_list, node) {
		if (!cgroup_is_descendant(frozen->cgrp, cgrp))
			continue;
		atomic_inc(&frozen->nr_thaws);
		if (frozen->cgrp == cgrp)
			*freeze = true;		/* "nothing changed", and the function returns */
	}
	rcu_read_unlock();
	return 0;
}
NOKPROBE_SYMBOL(freeze_hook);

/* void cgroup_leave_frozen(bool always_leave): with false, a task of a cgroup that is to be frozen stays */
static int leave_hook(struct kprobe *p, struct pt_regs *regs)
{
	bool always = is_kernel_true(*crk_arch.kernel_arg(regs, 0));
	struct crk_frozen_task *e;
	struct crk_frozen *frozen;

	rcu_read_lock();
	hlist_for_each_entry_rcu(frozen, &guard_list, node) {
		e = crk_frozen_find(frozen, current);
		if (e && (always || !test_bit(CGRP_FREEZE, &task_dfl_cgroup(current)->flags)))
			WRITE_ONCE(e->left, true);
	}
	rcu_read_unlock();
	return 0;
}
NOKPROBE_SYMBOL(leave_hook);

static struct kprobe freeze_probe = { .symbol_name = "cgroup_freeze", .pre_handler = freeze_hook };
static struct kprobe leave_probe = { .symbol_name = "cgroup_leave_frozen", .pre_handler = leave_hook };

/* register_kprobe() wants a probe as it was before its first use */
static int probe_set(struct kprobe *p)
{
	p->addr = NULL;
	p->flags = 0;
	return register_kprobe(p);
}

static int probes_set(void)
{
	int ret;

	lockdep_assert_held(&guard_lock);
	if (guard_off)
		return 0;
	if (!guard_set) {
		ret = probe_set(&freeze_probe);
		if (ret)
			return ret;
		sees_leavers = !probe_set(&leave_probe);
		guard_set = true;
	}
	guard_users++;
	return 0;
}

static void probes_clear(void)
{
	lockdep_assert_held(&guard_lock);
	if (guard_users || !guard_set)
		return;
	if (sees_leavers)
		unregister_kprobe(&leave_probe);
	sees_leavers = false;
	unregister_kprobe(&freeze_probe);
	guard_set = false;
}

static void guard_idle(struct work_struct *work);
static DECLARE_DELAYED_WORK(guard_work, guard_idle);

/* a minute after one job, but others may have come and gone since: then a minute after the last of these */
static void guard_idle(struct work_struct *work)
{
	unsigned long now = jiffies;

	guard(mutex)(&guard_lock);
	if (time_after(guard_until, now))
		schedule_delayed_work(&guard_work, guard_until - now);
	else
		probes_clear();
}

static void probes_put(void)
{
	lockdep_assert_held(&guard_lock);
	if (guard_off || --guard_users)
		return;
	guard_until = jiffies + msecs_to_jiffies(GUARD_LINGER_MS);
	schedule_delayed_work(&guard_work, msecs_to_jiffies(GUARD_LINGER_MS));
}

/* before the freeze, so that none of its time is spent on patching the kernel */
int crk_guard_add(struct crk_frozen *frozen, struct crk_log *log)
{
	struct crk_frozen *other;
	int ret;

	guard(mutex)(&guard_lock);
	hlist_for_each_entry(other, &guard_list, node)
		if (cgroup_is_descendant(other->cgrp, frozen->cgrp) ||
		    cgroup_is_descendant(frozen->cgrp, other->cgrp))
			return crk_log(log, -EBUSY, "another job holds this cgroup, or one above or below it");
	ret = probes_set();
	if (ret)
		return crk_log(log, ret, "cannot guard the freeze: kprobe on cgroup_freeze failed");
	hlist_add_head_rcu(&frozen->node, &guard_list);
	frozen->guarded = true;
	return 0;
}

/* after this the caller may thaw; crk_guard_release() comes when the tasks run again */
void crk_guard_del(struct crk_frozen *frozen)
{
	guard(mutex)(&guard_lock);
	if (frozen->guarded)
		hlist_del_rcu(&frozen->node);
	frozen->guarded = false;
}

void crk_guard_release(void)
{
	guard(mutex)(&guard_lock);
	probes_put();
}

bool crk_guard_sees_leavers(void)
{
	return sees_leavers;
}

const char *crk_guard_off(void)
{
	return guard_off;
}

int __init crk_freeze_guard_init(void)
{
	int ret;

	guard(mutex)(&guard_lock);
	if (!crk_arch.kernel_arg) {
		guard_off = "not written for this architecture";
		return -EOPNOTSUPP;
	}
	guard_off = NULL;
	ret = probes_set();
	if (ret)
		guard_off = "cgroup_freeze cannot be probed";
	else
		probes_put();
	return ret;
}

void crk_freeze_guard_exit(void)
{
	WARN_ON_ONCE(!hlist_empty(&guard_list));
	cancel_delayed_work_sync(&guard_work);
	mutex_lock(&guard_lock);
	probes_clear();
	mutex_unlock(&guard_lock);
}
