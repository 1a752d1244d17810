// SPDX-License-Identifier: GPL-2.0
/*
 * Child subreaper.  While a tree is made any process may be one for a moment, so it is switched off too.
 */
#include <sys/prctl.h>

#include "task.h"

static int subreaper_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	(void)d;
	(void)te;
	cores[0]->tc->has_child_subreaper = true;
	cores[0]->tc->child_subreaper = p->leader->flags & CRK_TASK_SUBREAPER;
	return 0;
}

static int subreaper_restore_early(struct crk_rst *r, struct crk_rproc *p)
{
	const TaskCoreEntry *tc = p->threads[0].core->tc;

	(void)r;
	if (prctl(PR_SET_CHILD_SUBREAPER, tc->has_child_subreaper && tc->child_subreaper))
		return crk_err(-errno, "pid %d (%s): cannot become a subreaper", p->pid, crk_rproc_comm(p));
	return 0;
}

const struct crk_prop_ops crk_prop_subreaper = {
	.name		= "subreaper",
	.dump		= subreaper_dump,
	.restore_early	= subreaper_restore_early,
};
