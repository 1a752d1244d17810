// SPDX-License-Identifier: GPL-2.0
/*
 * Dump of private pages: which there are, from the module by runs; their contents, which the module writes into the
 * pages image; and which of them are the same physical page as an ancestor's at the same address.
 */
#include <errno.h>
#include <string.h>

#include "mem.h"

#define RUN_BATCH	16384
#define ID_BATCH	65536
#define RANGE_BATCH	65536

struct scan {
	struct crk_pages *pages;	/* one batch */
	uint64_t *ids;
	struct crk_range *ranges;	/* all to be saved */
	size_t nr_ranges, room_ranges;
};

static void scan_free(struct scan *s)
{
	free(s->pages);
	free(s->ids);
	free(s->ranges);
}

static int ids_add(struct crk_page_ids *to, uint64_t addr, const uint64_t *ids, size_t nr)
{
	size_t i;

	if (to->nr + nr > to->room) {
		size_t room = max(to->room * 2, to->nr + nr);
		uint64_t *a = realloc(to->addrs, room * sizeof(*a)), *b;

		if (!a)
			return crk_oom();
		to->addrs = a;
		b = realloc(to->ids, room * sizeof(*b));
		if (!b)
			return crk_oom();
		to->ids = b;
		to->room = room;
	}
	for (i = 0; i < nr; i++) {
		to->addrs[to->nr] = addr + i * PAGE_SIZE;
		to->ids[to->nr++] = ids[i];
	}
	return 0;
}

/* runs that follow each other become one */
static int range_add(struct scan *s, uint64_t addr, uint64_t len)
{
	struct crk_range *last = s->nr_ranges ? &s->ranges[s->nr_ranges - 1] : NULL;

	if (last && last->addr + last->len == addr) {
		last->len += len;
		return 0;
	}
	last = array_add(s->ranges, s->nr_ranges, s->room_ranges);
	if (!last)
		return crk_oom();
	last->addr = addr;
	last->len = len;
	return 0;
}

static int batch_take(struct crk_dump *d, struct scan *s, const struct crk_pagerun *cmd, struct crk_page_ids *ids)
{
	const uint64_t *id = s->ids;
	uint32_t i;
	int err = 0;

	(void)d;
	for (i = 0; i < cmd->out_nr && !err; i++) {
		const struct crk_pages *run = &s->pages[i];

		if (run->flags & CRK_PAGE_MAYSHARE && ids) {
			err = ids_add(ids, run->addr, id, run->nr);
			id += run->nr;
		}
		if (!err && run->flags & (CRK_PAGE_ANON | CRK_PAGE_SWAP))
			err = range_add(s, run->addr, run->nr * PAGE_SIZE);
	}
	return err;
}

static int scan_run(struct crk_dump *d, struct crk_dproc *p, struct scan *s, struct crk_page_ids *ids)
{
	struct crk_pagerun cmd = {
		.size = sizeof(cmd), .pid = p->live->tid, .entry_size = sizeof(struct crk_pages),
		.start = p->vmas[0].start, .end = p->vmas[p->nr_vmas - 1].end,
	};
	int err = 0;

	s->pages = malloc(RUN_BATCH * sizeof(*s->pages));
	s->ids = malloc(ID_BATCH * sizeof(*s->ids));
	if (!s->pages || !s->ids)
		return crk_oom();
	while (!err && cmd.start < cmd.end) {
		cmd.pages_uptr = (uintptr_t)s->pages;
		cmd.nr = RUN_BATCH;
		cmd.ids_uptr = ids ? (uintptr_t)s->ids : 0;
		cmd.nr_ids = ids ? ID_BATCH : 0;
		err = crk_dev_pages(d->dev, &cmd);
		if (!err)
			err = batch_take(d, s, &cmd, ids);
	}
	return err;
}

static int write_pagemap(struct crk_dump *d, struct crk_dproc *p, const struct scan *s, uint32_t pages_id)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct crk_img *img;
	int err, err2;
	size_t i;

	err = crk_img_create(d->dir, CRK_IMG_PAGEMAP, p->pid, &img);
	if (err)
		return err;
	head.pages_id = pages_id;
	err = crk_img_put(img, &head.base);
	for (i = 0; i < s->nr_ranges && !err; i++) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		crk_pagemap_set(&e, s->ranges[i].addr, s->ranges[i].len / PAGE_SIZE, PE_PRESENT);
		err = crk_img_put(img, &e.base);
	}
	err2 = crk_img_close(img);
	return err ?: err2;
}

static int write_pages(struct crk_dump *d, struct crk_dproc *p, const struct scan *s, uint32_t pages_id)
{
	struct crk_img *img;
	uint64_t off = 0;
	size_t i, j;
	int err, err2, fd;

	err = crk_img_create(d->dir, CRK_IMG_PAGES, pages_id, &img);
	if (err)
		return err;
	fd = crk_img_fd(img);
	if (fd < 0)
		err = fd;
	for (i = 0; i < s->nr_ranges && !err; i += RANGE_BATCH) {
		size_t nr = min(s->nr_ranges - i, (size_t)RANGE_BATCH);

		err = crk_dev_read(d->dev, p->live->tid, fd, off, s->ranges + i, nr);
		for (j = i; j < i + nr; j++)
			off += s->ranges[j].len;
	}
	d->pages_written += off / PAGE_SIZE;
	err2 = crk_img_close(img);
	return err ?: err2;
}

/* pages with contents per mapping */
static void count_pages(const struct crk_dproc *p, const struct scan *s, uint64_t *nr_pages)
{
	size_t i = 0, k;

	for (k = 0; k < s->nr_ranges; k++) {
		uint64_t addr = s->ranges[k].addr, end = addr + s->ranges[k].len;

		while (i < p->nr_vmas && addr < end) {
			uint64_t up_to = min(end, (uint64_t)p->vmas[i].end);

			if (addr >= p->vmas[i].end) {
				i++;
				continue;
			}
			nr_pages[i] += (up_to - addr) / PAGE_SIZE;
			addr = up_to;
		}
	}
}

static bool has_family(const struct crk_dump *d, const struct crk_dproc *p)
{
	size_t i;

	for (i = 0; i < d->nr_procs; i++)
		if (!d->procs[i].zombie && d->procs[i].parent == p)
			return true;
	return p->parent;
}

int crk_pagemap_dump(struct crk_dump *d, struct crk_dproc *p, uint64_t *nr_pages)
{
	struct crk_page_ids *ids = has_family(d, p) ? &d->mem->ids[p - d->procs] : NULL;
	uint32_t pages_id = ++d->mem->next_pages_id;
	struct scan s = {};
	int err = 0;

	/* the pages of shared memory are saved once */
	if (p->nr_vmas && !p->mm_of)
		err = scan_run(d, p, &s, ids);
	if (!err)
		err = write_pages(d, p, &s, pages_id);
	if (!err)
		err = write_pagemap(d, p, &s, pages_id);
	if (!err)
		count_pages(p, &s, nr_pages);
	scan_free(&s);
	return err;
}

/* ---- copy on write ---- */

struct cow_run {
	uint64_t addr, nr;
	pid_t owner;
};

static int cow_put(struct crk_img *img, const struct cow_run *run)
{
	CrkCowEntry e = CRK_COW_ENTRY__INIT;

	if (!run->nr)
		return 0;
	e.vaddr = run->addr;
	e.nr_pages = run->nr;
	e.owner = run->owner;
	return crk_img_put(img, &e.base);
}

/* the nearest ancestor that has the page; both lists are in order of address, @at is where the last search ended */
static pid_t page_owner(struct crk_dump *d, const struct crk_dproc *p, uint64_t addr, uint64_t id)
{
	const struct crk_dproc *a;

	for (a = p->parent; a; a = a->parent) {
		const struct crk_page_ids *ids = &d->mem->ids[a - d->procs];
		size_t lo = 0, hi = ids->nr;

		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (ids->addrs[mid] < addr)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < ids->nr && ids->addrs[lo] == addr && ids->ids[lo] == id)
			return a->pid;
	}
	return 0;
}

int crk_cow_dump(struct crk_dump *d, struct crk_dproc *p)
{
	const struct crk_page_ids *ids = &d->mem->ids[p - d->procs];
	struct cow_run run = {};
	struct crk_img *img;
	int err, err2;
	size_t i;

	if (!p->parent || !ids->nr)
		return 0;
	err = crk_img_create(d->dir, CRK_IMG_CRK_COW, p->pid, &img);
	if (err)
		return err;
	for (i = 0; i < ids->nr && !err; i++) {
		pid_t owner = page_owner(d, p, ids->addrs[i], ids->ids[i]);

		if (run.nr && owner == run.owner && ids->addrs[i] == run.addr + run.nr * PAGE_SIZE) {
			run.nr++;
			continue;
		}
		err = cow_put(img, &run);
		run = (struct cow_run){ ids->addrs[i], owner ? 1 : 0, owner };
	}
	if (!err)
		err = cow_put(img, &run);
	err2 = crk_img_close(img);
	return err ?: err2;
}

void crk_pagemap_free(struct crk_dump *d)
{
	size_t i;

	for (i = 0; d->mem->ids && i < d->nr_procs; i++) {
		free(d->mem->ids[i].addrs);
		free(d->mem->ids[i].ids);
	}
	free(d->mem->ids);
}
