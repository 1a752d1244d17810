// SPDX-License-Identifier: GPL-2.0
/*
 * Resource limits.  Set from outside when the process is complete, since the helper's own work may exceed them.
 */
#include <sys/resource.h>
#include <sys/syscall.h>

#include "task.h"

/* struct rlimit64, the same for all callers */
struct limit {
	uint64_t cur, max;
};

static int limit_swap(pid_t pid, int resource, const struct limit *new, struct limit *old)
{
	return syscall(SYS_prlimit64, pid, resource, new, old) ? -errno : 0;
}

/* those that were read last, and struct crk_task.limits_id of who has them */
static struct {
	uint64_t id;
	struct limit limits[RLIM_NLIMITS];
} last;

/* into @last */
static int limits_read(const struct crk_dproc *p)
{
	int i, ret;

	if (p->live->limits_id && p->live->limits_id == last.id)
		return 0;
	last.id = 0;
	for (i = 0; i < RLIM_NLIMITS; i++) {
		ret = limit_swap(p->pid, i, NULL, &last.limits[i]);
		if (ret)
			return crk_err(ret, "pid %d (%s): cannot read resource limit %d", p->pid, p->leader->comm, i);
	}
	last.id = p->live->limits_id;
	return 0;
}

static int rlimits_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	TaskRlimitsEntry *all = msg_new(TaskRlimitsEntry, task_rlimits_entry__init);
	RlimitEntry *e;
	int i, ret;

	(void)d;
	(void)te;
	if (!all)
		return -ENOMEM;
	cores[0]->tc->rlimits = all;
	all->rlimits = calloc(RLIM_NLIMITS, sizeof(*all->rlimits));
	if (!all->rlimits)
		return crk_oom();
	ret = limits_read(p);
	for (i = 0; i < RLIM_NLIMITS && !ret; i++) {
		e = msg_new(RlimitEntry, rlimit_entry__init);
		if (!e)
			return -ENOMEM;
		e->cur = last.limits[i].cur;
		e->max = last.limits[i].max;
		all->rlimits[all->n_rlimits++] = e;
	}
	return ret;
}

static int rlimits_restore_outside(struct crk_rst *r, struct crk_rproc *p)
{
	const TaskRlimitsEntry *all = p->threads[0].core->tc->rlimits;
	struct limit limit;
	size_t i;
	int ret;

	(void)r;
	for (i = 0; all && i < all->n_rlimits; i++) {
		limit.cur = all->rlimits[i]->cur;
		limit.max = all->rlimits[i]->max;
		ret = limit_swap(p->pid, i, &limit, NULL);
		if (ret)
			return crk_err(ret, "pid %d (%s): cannot set resource limit %zu", p->pid, crk_rproc_comm(p), i);
	}
	return 0;
}

const struct crk_prop_ops crk_prop_rlimits = {
	.name		= "resource limits",
	.dump		= rlimits_dump,
	.restore_outside = rlimits_restore_outside,
};
