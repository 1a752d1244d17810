// SPDX-License-Identifier: GPL-2.0
/*
 * In which of the cgroups below the checkpoint's a process and its threads are; ../cgroups.c makes them there.
 */
#include <string.h>

#include "task.h"

static int cgroup_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const char *own = crk_cgroups_path(d, p->live->cgroup_id);
	size_t i;

	(void)cores;
	if (!own)
		return crk_fail(-ESTALE, "pid %d (%s): its cgroup was moved or removed", p->pid, p->leader->comm);
	te->cgroup = strdup(own);
	if (!te->cgroup)
		return crk_oom();
	for (i = 0; i < p->nr_threads; i++) {
		const char *path = crk_cgroups_path(d, p->leader[i].cgroup_id);

		/* an exited leader's may be gone */
		if (p->leader[i].cgroup_id == p->live->cgroup_id || (!path && p->leader[i].flags & CRK_TASK_DEAD))
			continue;
		te->threads[i]->cgroup = path ? strdup(path) : NULL;
		if (!te->threads[i]->cgroup)
			return crk_fail(-ESTALE, TASK_FMT ": its cgroup was moved or removed", DTASK_ARGS(p, i));
	}
	return 0;
}

static int cgroup_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const CrkTaskEntry *te = p->task;
	size_t i;

	if (te && te->cgroup && !crk_cgroups_known(r, te->cgroup))
		return crk_fail(-EBADMSG, "pid %d (%s): cgroup %s is not in crk-cgroup.img", p->pid, crk_rproc_comm(p),
				te->cgroup);
	for (i = 0; te && i < te->n_threads; i++)
		if (te->threads[i]->cgroup && !crk_cgroups_known(r, te->threads[i]->cgroup))
			return crk_fail(-EBADMSG, "pid %d (%s) tid %d: cgroup %s is not in crk-cgroup.img", p->pid,
					crk_rproc_comm(p), te->threads[i]->tid, te->threads[i]->cgroup);
	return 0;
}

const struct crk_prop_ops crk_prop_cgroup = {
	.name		= "cgroup",
	.dump		= cgroup_dump,
	.check		= cgroup_check,
};
