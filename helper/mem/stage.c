// SPDX-License-Identifier: GPL-2.0
/*
 * Restore, in the processes: areas are mapped and the pages that descendants share are put into them before those are
 * made.  share.c has decided which.
 */
#include <errno.h>
#include <string.h>

#include "mem.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

static int area_map(struct crk_rst *r, const struct crk_rproc *p, struct crk_area *a)
{
	const CrkVmaEntry *e = a->v->e;
	int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd = -1, err;
	uint64_t off = 0, len = a->end - a->start;
	char *at;

	flags |= e->flags & CRK_VMA_NORESERVE ? MAP_NORESERVE : 0;
	flags |= e->flags & CRK_VMA_GROWSDOWN ? MAP_GROWSDOWN : 0;
	if (e->has_file_id) {
		err = crk_rfile_get(r, e->file_id, &fd);
		if (err)
			return err;
		off = e->pgoff;
	} else {
		flags |= MAP_ANONYMOUS;
	}
	at = mmap((void *)(uintptr_t)a->at, len, PROT_READ | PROT_WRITE, flags, fd, off);
	if (at == MAP_FAILED)
		return crk_err(-errno, "pid %d: cannot make memory for mapping %llx, %llu bytes", p->pid,
			       (unsigned long long)a->start, (unsigned long long)len);
	a->mapped = true;
	/* had it never had a page, a move would change its page offsets, and it would merge with its neighbour */
	if (a->v->apart) {
		*(volatile char *)at = 0;
		madvise(at, PAGE_SIZE, MADV_DONTNEED);
	}
	return 0;
}

static void *staged(const struct crk_rmem *m, uint64_t addr, uint64_t *end)
{
	const struct crk_rvma *v = crk_rvma_from(m, addr);
	const struct crk_area *a = crk_area_of(m, v, addr);

	if (!a || a->start > addr || v->start > addr)
		return NULL;
	*end = min(*end, min(a->end, v->end));
	return (void *)(uintptr_t)(a->at + (addr - a->start));
}

/* [start, end) of the images into its areas */
static int stage_read(const struct crk_rproc *p, uint64_t start, uint64_t end)
{
	const struct crk_rmem *m = p->mem;
	size_t i = crk_rrun_from(m, start);

	while (start < end) {
		const struct crk_rrun *run = &m->runs[i];
		uint64_t run_end, up_to, off;
		struct crk_pages *pages;
		int err;
		void *to;

		if (i == m->nr_runs || run->addr > start)
			return crk_fail(-EBADMSG, "pid %d: crk-cow names page %llx, which is not in its pagemap", p->pid,
					(unsigned long long)start);
		run_end = run->addr + run->nr * PAGE_SIZE;
		up_to = min(end, run_end);
		to = staged(m, start, &up_to);
		if (!to)
			return crk_fail(-EBADMSG, "pid %d: page %llx of crk-cow is in no mapping", p->pid,
					(unsigned long long)start);
		pages = crk_rrun_pages(m, run, start, &off);
		err = crk_pages_read(pages, to, up_to - start, off);
		if (err)
			return err;
		start = up_to;
		i += up_to == run_end;
	}
	return 0;
}

/* what the ancestors' marks in this process's memory say: it may have come into being by another way than planned */
static int take_inherited(struct crk_rmem *m)
{
	size_t i;
	int err = 0;

	for (i = 0; i < m->nr_shares && !err; i++)
		if (m->shares[i].owner->mem->gave)
			err = crk_ranges_add(&m->kept, &m->shares[i].pages);
	return err;
}

int crk_mem_stage(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_ranges write = {};
	struct crk_rmem *m = p->mem;
	size_t i;
	int err;

	if (!m || !m->nr_areas)
		return 0;
	err = take_inherited(m);
	for (i = 0; i < m->nr_areas && !err; i++) {
		struct crk_area *a = m->areas[i];

		if (a->mapped)
			continue;
		err = crk_ranges_cut(&m->inherit, a->start, a->end);
		err = err ?: crk_ranges_cut(&m->kept, a->start, a->end);
		err = err ?: area_map(r, p, a);
	}
	err = err ?: crk_ranges_add(&write, &m->give);
	err = err ?: crk_ranges_sub(&write, &m->kept);
	for (i = 0; i < write.nr && !err; i++)
		err = stage_read(p, write.spans[i].start, write.spans[i].end);
	crk_ranges_free(&write);
	m->gave = true;
	return err;
}
