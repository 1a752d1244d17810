// SPDX-License-Identifier: GPL-2.0
/*
 * Flags of the address space that are no mapping's: which memory goes into core files, transparent huge pages off,
 * merging of equal pages, registrations for membarrier(2), dumpable.  The memory program leaves them alone.  Dumpable
 * comes after the credentials of all threads, each of which may have reset it; what children inherit comes when they
 * are made.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "task.h"

/* of Linux 6.4 and 6.18 */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE	67
#define PR_GET_MEMORY_MERGE	68
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED	(1 << 1)
#endif

static const struct {
	uint32_t flag;
	uint32_t cmd;
} barriers[] = {
	{ CRK_MM_BARRIER_GLOBAL, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
	{ CRK_MM_BARRIER_PRIVATE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
	{ CRK_MM_BARRIER_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
	{ CRK_MM_BARRIER_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
};

static uint32_t barriers_mask(uint32_t flags)
{
	uint32_t ret = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(barriers); i++)
		if (flags & barriers[i].flag)
			ret |= barriers[i].cmd;
	return ret;
}

static int mm_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	(void)d;
	te->has_dumpable = true;
	te->dumpable = p->mm->dumpable;
	te->has_coredump_filter = true;
	te->coredump_filter = p->mm->coredump_filter;
	te->has_thp_disable = true;
	te->thp_disable = p->mm->flags & (CRK_MM_THP_DISABLE | CRK_MM_THP_ADVISED);
	te->has_thp_except_advised = te->thp_disable;
	te->thp_except_advised = p->mm->flags & CRK_MM_THP_ADVISED;
	te->has_memory_merge = true;
	te->memory_merge = p->mm->flags & CRK_MM_MERGE_ANY;
	cores[0]->tc->membarrier_registration_mask = barriers_mask(p->mm->flags);
	cores[0]->tc->has_membarrier_registration_mask = cores[0]->tc->membarrier_registration_mask;
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
	if (te->has_thp_disable &&
	    prctl(PR_SET_THP_DISABLE, te->thp_disable, te->thp_except_advised ? PR_THP_DISABLE_EXCEPT_ADVISED : 0, 0, 0))
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

/* before the mappings are made: each of them is to be merged too */
static int merge_restore(const struct crk_rproc *p, const CrkTaskEntry *te)
{
	if (!te || !te->has_memory_merge)
		return 0;
	/* where it isn't known it is off */
	if (max(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 0) == te->memory_merge)
		return 0;
	if (prctl(PR_SET_MEMORY_MERGE, te->memory_merge, 0, 0, 0))
		return crk_err(-errno, "pid %d (%s): cannot have equal pages of its memory merged (PR_SET_MEMORY_MERGE)", p->pid,
			       crk_rproc_comm(p));
	return 0;
}

static int barriers_restore(const struct crk_rproc *p, const TaskCoreEntry *tc)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(barriers); i++) {
		if (!(tc->membarrier_registration_mask & barriers[i].cmd))
			continue;
		if (syscall(SYS_membarrier, barriers[i].cmd, 0, 0))
			return crk_err(-errno, "pid %d (%s): cannot register for membarrier command 0x%x", p->pid,
				       crk_rproc_comm(p), barriers[i].cmd);
	}
	return 0;
}

static int dumpable_restore(const struct crk_rproc *p, const CrkTaskEntry *te)
{
	/* 2 is no value that can be asked for: the kernel gives it to programs that change credentials; 0 hides as much */
	if (!te || !te->has_dumpable || prctl(PR_GET_DUMPABLE) == (int)te->dumpable)
		return 0;
	if (prctl(PR_SET_DUMPABLE, te->dumpable == 1))
		return crk_err(-errno, "pid %d (%s): cannot make it dumpable again", p->pid, crk_rproc_comm(p));
	return 0;
}

static int mm_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	int ret = 0;

	(void)r;
	if (t != p->threads)
		return 0;
	if (!p->mm_of) {
		ret = merge_restore(p, p->task);
		ret = ret ?: barriers_restore(p, t->core->tc);
	}
	return ret ?: dumpable_restore(p, p->task);
}

const struct crk_prop_ops crk_prop_mm = {
	.name		= "mm",
	.dump		= mm_dump,
	.restore_early	= mm_restore_early,
	.restore_thread	= mm_restore_thread,
};
