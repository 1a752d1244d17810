// SPDX-License-Identifier: GPL-2.0
/*
 * oom_score_adj of a process.
 */
#include <fcntl.h>

#include "task.h"

static int oom_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	(void)d;
	(void)te;
	cores[0]->tc->has_oom_score_adj = true;
	cores[0]->tc->oom_score_adj = p->leader->oom_score_adj;
	return 0;
}

static int oom_restore_outside(struct crk_rst *r, struct crk_rproc *p)
{
	const TaskCoreEntry *tc = p->threads[0].core->tc;
	char path[48], text[16];
	int ret;

	(void)r;
	if (!tc->has_oom_score_adj)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", p->pid);
	snprintf(text, sizeof(text), "%d", tc->oom_score_adj);
	ret = write_file_at(AT_FDCWD, path, text);
	return ret ? crk_err(ret, "pid %d (%s): cannot set oom_score_adj %s", p->pid, crk_rproc_comm(p), text) : 0;
}

const struct crk_prop_ops crk_prop_oom = {
	.name		= "oom_score_adj",
	.dump		= oom_dump,
	.restore_outside = oom_restore_outside,
};
