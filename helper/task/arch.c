// SPDX-License-Identifier: GPL-2.0
/*
 * What only this architecture has and a thread sets for itself; arch/ knows what that is.
 */
#include "../../arch/host.h"
#include "task.h"

static int arch_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const char *what = NULL;
	size_t i;
	int ret;

	(void)r;
	for (i = 0; i < p->nr_threads && crk_host->thread_check; i++) {
		ret = crk_host->thread_check(p->threads[i].recs, p->threads[i].recs_len, &what);
		if (ret)
			return crk_err(ret, TASK_FMT ": cannot get its %s again here", p->pid, crk_rproc_comm(p),
				       p->threads[i].tid, what);
	}
	return 0;
}

static int arch_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const char *what = NULL;
	int ret;

	(void)r;
	if (!crk_host->thread_set)
		return 0;
	ret = crk_host->thread_set(t->recs, t->recs_len, t == p->threads && !p->mm_of, &what);
	return ret ? crk_err(ret, TASK_FMT ": cannot get its %s", p->pid, crk_rproc_comm(p), t->tid, what) : 0;
}

const struct crk_prop_ops crk_prop_arch = {
	.name		= "state of the architecture",
	.check		= arch_check,
	.restore_thread	= arch_restore_thread,
};
