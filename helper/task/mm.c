// SPDX-License-Identifier: GPL-2.0
/*
 * Flags of the address space that are no mapping's: which memory goes into core files, transparent huge pages off,
 * dumpable.  The memory program leaves them alone.  Dumpable comes after the credentials of all threads, each of
 * which may have reset it.
 */
#include <fcntl.h>
#include <sys/prctl.h>

#include "task.h"

static int mm_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	(void)d;
	(void)cores;
	te->has_dumpable = true;
	te->dumpable = p->mm->dumpable;
	te->has_coredump_filter = true;
	te->coredump_filter = p->mm->coredump_filter;
	te->has_thp_disable = true;
	te->thp_disable = p->mm->flags & CRK_MM_THP_DISABLE;
	return 0;
}

static int mm_restore_early(struct crk_rst *r, struct crk_rproc *p)
{
	const CrkTaskEntry *te = p->task;
	char text[16];
	int ret;

	(void)r;
	if (!te)
		return 0;
	if (te->has_thp_disable && prctl(PR_SET_THP_DISABLE, te->thp_disable, 0, 0, 0))
		return crk_err(-errno, "pid %d (%s): cannot switch transparent huge pages %s", p->pid, crk_rproc_comm(p),
			       te->thp_disable ? "off" : "on");
	if (!te->has_coredump_filter)
		return 0;
	snprintf(text, sizeof(text), "0x%x", te->coredump_filter);
	ret = write_file_at(AT_FDCWD, "/proc/self/coredump_filter", text);
	/* a kernel without core dumps has no such file and no use for it */
	if (ret && ret != -ENOENT)
		return crk_err(ret, "pid %d (%s): cannot set its core dump filter", p->pid, crk_rproc_comm(p));
	return 0;
}

static int mm_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const CrkTaskEntry *te = p->task;

	(void)r;
	/* 2 is no value that can be asked for: the kernel gives it to programs that change credentials; 0 hides as much */
	if (t != p->threads || !te || !te->has_dumpable || prctl(PR_GET_DUMPABLE) == (int)te->dumpable)
		return 0;
	if (prctl(PR_SET_DUMPABLE, te->dumpable == 1))
		return crk_err(-errno, "pid %d (%s): cannot make it dumpable again", p->pid, crk_rproc_comm(p));
	return 0;
}

const struct crk_prop_ops crk_prop_mm = {
	.name		= "mm",
	.dump		= mm_dump,
	.restore_early	= mm_restore_early,
	.restore_thread	= mm_restore_thread,
};
