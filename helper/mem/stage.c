// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that has to exist before the memory program runs: pages that children share copy-on-write with their parent
 * are made in the parent before the children are forked, at a distance from where they belong, and each process
 * moves its own copy into place.  Mappings that would merge with a neighbour though they had not are staged too:
 * a moved mapping keeps the page offsets of where it was made, and so does not merge.
 *
 * The stage of an address is the address plus a fixed distance, so that all processes agree on it.
 */
#include <errno.h>
#include <string.h>

#include "mem.h"

/* user addresses of x86_64: programs and their libraries are in the upper half, old ones at the very bottom */
#define STAGE_HIGH	0x400000000000ULL	/* what is here or above goes down by this much */
#define STAGE_LOW	0x100000000000ULL	/* what is below this goes up by it */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

uint64_t crk_stage_of(uint64_t addr)
{
	if (addr >= STAGE_HIGH)
		return addr - STAGE_HIGH;
	return addr < STAGE_LOW ? addr + STAGE_LOW : 0;
}

bool crk_vma_is_anon(const struct crk_rvma *v)
{
	return v->v->status & VMA_ANON_PRIVATE && !v->e->has_file_id &&
	       !(v->e->flags & (CRK_VMA_SPECIAL | CRK_VMA_GROWSDOWN | CRK_VMA_HUGETLB | CRK_VMA_SHARED |
				CRK_VMA_DROPPABLE));
}

static bool may_stage(const struct crk_rvma *v)
{
	return crk_vma_is_anon(v) && v->e->flags & CRK_VMA_ANON_VMA && crk_stage_of(v->start) &&
	       crk_stage_of(v->end - 1) == crk_stage_of(v->start) + (v->end - 1 - v->start);
}

static bool overlaps(const struct crk_rrun *runs, size_t nr, uint64_t start, uint64_t end)
{
	size_t lo = 0, hi = nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (runs[mid].addr + runs[mid].nr * PAGE_SIZE <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr && runs[lo].addr < end;
}

/* nothing of any process may be where stages are */
static bool ranges_free(const struct crk_rst *r)
{
	size_t i, k;

	for (i = 0; i < r->nr_procs; i++) {
		const struct crk_rmem *m = r->procs[i].mem;

		for (k = 0; m && k < m->nr_vmas; k++)
			if (m->vmas[k].end > STAGE_LOW && m->vmas[k].start < STAGE_HIGH)
				return false;
	}
	return true;
}

/* would the kernel make one mapping of the two? */
static bool would_merge(const struct crk_rvma *a, const struct crk_rvma *b)
{
	return a->end == b->start && crk_vma_is_anon(a) && crk_vma_is_anon(b) && a->prot == b->prot &&
	       a->e->flags == b->e->flags && a->e->flags & CRK_VMA_ANON_VMA &&
	       !strcmp(a->e->name ?: "", b->e->name ?: "");
}

void crk_stage_plan(struct crk_rst *r)
{
	size_t i, k;

	r->mem->staging = ranges_free(r);
	if (!r->mem->staging)
		return;
	for (i = 0; i < r->nr_procs; i++) {
		struct crk_rmem *m = r->procs[i].mem, *up = r->procs[i].parent ? r->procs[i].parent->mem : NULL;

		for (k = 0; m && k < m->nr_vmas; k++) {
			struct crk_rvma *v = &m->vmas[k];

			if (!may_stage(v))
				continue;
			if (k && would_merge(v - 1, v) && !(v - 1)->staged)
				v->staged = true;
			if (!up || !overlaps(m->cow, m->nr_cow, v->start, v->end))
				continue;
			v->staged = true;
		}
	}
	/* from children to parents, so that it goes up as far as the sharing does; parents come before children */
	for (i = r->nr_procs; i-- > 0;) {
		struct crk_rmem *m = r->procs[i].mem, *up = r->procs[i].parent ? r->procs[i].parent->mem : NULL;

		for (k = 0; m && up && k < up->nr_vmas; k++)
			if (may_stage(&up->vmas[k]) &&
			    overlaps(m->cow, m->nr_cow, up->vmas[k].start, up->vmas[k].end))
				up->vmas[k].staged = true;
	}
}

/* ---- in the processes ---- */

/* what is missing of the stage of @v; what the parent made is there already */
static int stage_map(const struct crk_rproc *p, const struct crk_rvma *v)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
		    (v->e->flags & CRK_VMA_NORESERVE ? MAP_NORESERVE : 0);
	uint64_t at = crk_stage_of(v->start), end = at + (v->end - v->start), len;

	while (at < end) {
		void *ret = mmap((void *)at, end - at, PROT_READ | PROT_WRITE, flags, -1, 0);

		if (ret != MAP_FAILED)
			return 0;
		if (errno != EEXIST)
			return crk_err(-errno, "pid %d: cannot stage mapping %llx", p->pid, (unsigned long long)v->start);
		/* page by page up to where nothing is; inherited stages are few and mostly whole */
		for (len = PAGE_SIZE; at < end; at += len) {
			ret = mmap((void *)at, len, PROT_READ | PROT_WRITE, flags, -1, 0);
			if (ret != MAP_FAILED)
				munmap(ret, len);
			if (ret != MAP_FAILED)
				break;
		}
	}
	return 0;
}


/* pages that the image doesn't have, or that are the parent's: the latter stay, the former go */
static int stage_drop(const struct crk_rproc *p, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	if (madvise((void *)crk_stage_of(start), end - start, MADV_DONTNEED))
		return crk_err(-errno, "pid %d: cannot drop pages at %llx", p->pid, (unsigned long long)start);
	return 0;
}

static int stage_read(const struct crk_rproc *p, uint64_t addr, uint64_t end, uint64_t off)
{
	int err;

	if (addr >= end)
		return 0;
	err = pread_all(p->mem->pages_fd, (void *)crk_stage_of(addr), end - addr, off);
	return err ? crk_err(err, "pid %d: pages at %llx", p->pid, (unsigned long long)addr) : 0;
}

/* [start, end) of the image at @off, without what is shared with the parent */
static int stage_own(const struct crk_rproc *p, uint64_t start, uint64_t end, uint64_t off)
{
	const struct crk_rmem *m = p->mem;
	uint64_t at = start;
	size_t i;
	int err;

	for (i = 0; i < m->nr_cow && m->cow[i].addr < end; i++) {
		uint64_t cow_end = m->cow[i].addr + m->cow[i].nr * PAGE_SIZE;

		if (cow_end <= at)
			continue;
		if (m->cow[i].addr > at) {
			err = stage_read(p, at, m->cow[i].addr, off + (at - start));
			if (err)
				return err;
		}
		at = min(cow_end, end);
	}
	return stage_read(p, at, end, off + (at - start));
}

int crk_stage_fill(struct crk_rproc *p, const struct crk_rvma *v)
{
	const struct crk_rmem *m = p->mem;
	uint64_t at = v->start;
	size_t i;
	int err;

	err = stage_map(p, v);
	for (i = 0; i < m->nr_runs && !err; i++) {
		uint64_t start = max(m->runs[i].addr, v->start);
		uint64_t end = min(m->runs[i].addr + m->runs[i].nr * PAGE_SIZE, v->end);

		if (start >= end)
			continue;
		err = stage_drop(p, at, start);
		err = err ?: stage_own(p, start, end, m->runs[i].off + (start - m->runs[i].addr));
		at = end;
	}
	return err ?: stage_drop(p, at, v->end);
}

int crk_mem_stage(struct crk_rst *r, struct crk_rproc *p)
{
	size_t i;
	int err = 0;

	if (!r->mem->staging || !p->mem)
		return 0;
	for (i = 0; i < p->mem->nr_vmas && !err; i++)
		if (p->mem->vmas[i].staged)
			err = crk_stage_fill(p, &p->mem->vmas[i]);
	return err;
}
