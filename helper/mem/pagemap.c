// SPDX-License-Identifier: GPL-2.0
/*
 * Dump of private pages: which there are, from the module by runs; their contents, which the module writes into the
 * pages image, now or from a snapshot when the process runs again; and which of them are the same physical page as an
 * ancestor's at the same address.
 */
#include <errno.h>
#include <string.h>

#include "mem.h"

#define RUN_BATCH	16384
#define ID_BATCH	65536
#define RANGE_BATCH	65536
#define BATCH_BYTES	(64ULL << 20)	/* then progress is said, and a signal heard */

struct scan {
	struct crk_pages *pages;	/* one batch */
	uint64_t *ids;
	struct crk_private *to;		/* all to be saved */
};

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
static int range_add(struct crk_private *m, uint64_t addr, uint64_t len)
{
	struct crk_range *last = m->nr ? &m->ranges[m->nr - 1] : NULL;

	if (last && last->addr + last->len == addr) {
		last->len += len;
		return 0;
	}
	last = array_add(m->ranges, m->nr, m->room);
	if (!last)
		return crk_oom();
	last->addr = addr;
	last->len = len;
	return 0;
}

/* pages that did not change since the parent checkpoint, and that it has, are left to it */
static int content_add(struct crk_private *m, const struct crk_pages *run)
{
	uint64_t addr = run->addr, end = addr + run->nr * PAGE_SIZE;
	int err = 0;

	if (m->tracking && run->flags & CRK_PAGE_UNTRACKED)
		err = crk_ranges_append(&m->untracked, addr, end);
	if (run->flags & (CRK_PAGE_UNTRACKED | CRK_PAGE_SOFT_DIRTY))
		return err ?: range_add(m, addr, end - addr);
	while (addr < end && !err) {
		const struct crk_span *has;
		uint64_t up_to;

		while (m->in_parent_at < m->in_parent.nr && m->in_parent.spans[m->in_parent_at].end <= addr)
			m->in_parent_at++;
		has = &m->in_parent.spans[m->in_parent_at];
		if (m->in_parent_at == m->in_parent.nr || has->start >= end)
			return range_add(m, addr, end - addr);
		up_to = has->start > addr ? has->start : min(has->end, end);
		err = has->start > addr ? range_add(m, addr, up_to - addr) : crk_ranges_append(&m->left, addr, up_to);
		addr = up_to;
	}
	return err;
}

static int refuse_poisoned(const struct crk_dproc *p, const struct crk_pages *run)
{
	return crk_fail(-EOPNOTSUPP, "pid %d (%s) address %llx: a poisoned page (UFFDIO_POISON, or its contents are lost): not supported",
			p->pid, (const char *)p->leader->comm, (unsigned long long)run->addr);
}

static int batch_take(const struct crk_dproc *p, struct scan *s, const struct crk_pagerun *cmd, struct crk_page_ids *ids)
{
	const uint64_t *id = s->ids;
	uint32_t i;
	int err = 0;

	for (i = 0; i < cmd->out_nr && !err; i++) {
		const struct crk_pages *run = &s->pages[i];

		if (run->flags & CRK_PAGE_MAYSHARE && ids) {
			err = ids_add(ids, run->addr, id, run->nr);
			id += run->nr;
		}
		if (!err && run->flags & CRK_PAGE_POISONED)
			err = refuse_poisoned(p, run);
		if (!err && run->flags & CRK_PAGE_GUARD)
			err = crk_ranges_append(&s->to->guards, run->addr, run->addr + run->nr * PAGE_SIZE);
		if (!err && run->flags & (CRK_PAGE_ANON | CRK_PAGE_SWAP))
			err = content_add(s->to, run);
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
			err = batch_take(p, s, &cmd, ids);
	}
	return err;
}

int crk_pagemap_scan(struct crk_dump *d, struct crk_dproc *p)
{
	struct crk_page_ids *ids = p->parent || p->has_children ? &d->mem->ids[p - d->procs] : NULL;
	struct scan s = { .to = &d->mem->private[p - d->procs] };
	int err = 0;

	/* the pages of shared memory are saved once */
	if (p->nr_vmas && !p->mm_of)
		err = scan_run(d, p, &s, ids);
	free(s.pages);
	free(s.ids);
	return err;
}

static int write_pagemap(struct crk_dump *d, struct crk_dproc *p, const struct crk_private *m, uint32_t pages_id)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	size_t i = 0, k = 0;
	struct crk_img *img;
	int err, err2;

	err = crk_img_create(d->dir, CRK_IMG_PAGEMAP, p->pid, &img);
	if (err)
		return err;
	head.pages_id = pages_id;
	err = crk_img_put(img, &head.base);
	while ((i < m->nr || k < m->left.nr) && !err) {
		const struct crk_span *left = &m->left.spans[k];
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		if (k == m->left.nr || (i < m->nr && m->ranges[i].addr < left->start)) {
			crk_pagemap_set(&e, m->ranges[i].addr, m->ranges[i].len / PAGE_SIZE, PE_PRESENT);
			i++;
		} else {
			crk_pagemap_set(&e, left->start, (left->end - left->start) / PAGE_SIZE, PE_PARENT);
			d->pages_in_parent += e.nr_pages;
			k++;
		}
		err = crk_img_put(img, &e.base);
	}
	err2 = crk_img_close(img);
	return err ?: err2;
}

/* the ranges of a process in pieces that are in one mapping each, and where they are in the pages image */
struct walk {
	const struct crk_private *m;
	size_t i;			/* the range */
	uint64_t addr;			/* where to go on in it; 0: at its start */
	const struct crk_vma *v, *end;
	uint64_t off;			/* in the image, of the piece after this */
	struct crk_range piece;
};

static struct walk walk_init(const struct crk_dproc *p, const struct crk_private *m)
{
	return (struct walk){ .m = m, .v = p->vmas, .end = p->vmas + p->nr_vmas };
}

static bool walk_next(struct walk *w)
{
	const struct crk_range *r;
	uint64_t addr, end;

	if (w->i == w->m->nr)
		return false;
	r = &w->m->ranges[w->i];
	addr = w->addr ?: r->addr;
	end = r->addr + r->len;
	while (w->v + 1 < w->end && w->v->end <= addr)
		w->v++;
	w->addr = min(end, max((uint64_t)w->v->end, addr + PAGE_SIZE));
	w->addr = min(w->addr, addr + BATCH_BYTES);
	w->piece = (struct crk_range){ addr, w->addr - addr };
	w->off += w->piece.len;
	if (w->addr == end) {
		w->i++;
		w->addr = 0;
	}
	return true;
}

/* pieces that follow each other in the image */
struct batch {
	struct crk_range *ranges;
	size_t nr, room;
	uint64_t off, len;
};

static int batch_write(struct crk_dump *d, struct crk_dproc *p, struct crk_private *m, struct batch *b, bool later)
{
	int fd, err;

	if (!b->nr)
		return 0;
	fd = crk_img_fd(m->img);
	if (fd < 0)
		return fd;
	if (later)
		err = crk_dev_read_snapshot(d->dev, m->snapshot, p->pid, fd, b->off, b->ranges, b->nr);
	else
		err = crk_dev_read(d->dev, p->live->tid, fd, b->off, b->ranges, b->nr);
	d->pages_written += b->len / PAGE_SIZE;
	crk_progress_add(b->len);
	if (later)
		d->pages_later += b->len / PAGE_SIZE;
	b->nr = 0;
	return err;
}

/* what is in the snapshot (@later), or what is not */
static int write_pages(struct crk_dump *d, struct crk_dproc *p, struct crk_private *m, bool later)
{
	struct walk w = walk_init(p, m);
	struct batch b = {};
	int err = 0;

	while (!err && walk_next(&w)) {
		struct crk_range *r;

		if (crk_dump_interrupted) {
			err = crk_fail(-ECANCELED, "interrupted");
			break;
		}
		if (crk_snapshot_has(m, w.v) != later) {
			err = batch_write(d, p, m, &b, later);
			continue;
		}
		if (b.nr == RANGE_BATCH || (b.nr && b.len >= BATCH_BYTES))
			err = batch_write(d, p, m, &b, later);
		if (!b.nr) {
			b.off = w.off - w.piece.len;
			b.len = 0;
		}
		b.len += w.piece.len;
		r = array_add(b.ranges, b.nr, b.room);
		if (!r)
			err = err ?: crk_oom();
		else
			*r = w.piece;
	}
	err = err ?: batch_write(d, p, m, &b, later);
	free(b.ranges);
	return err;
}

/* pages with contents per mapping */
static void count_pages(const struct crk_dproc *p, const struct crk_private *m, uint64_t *nr_pages)
{
	struct walk w = walk_init(p, m);
	size_t i, k, v = 0;

	while (walk_next(&w))
		nr_pages[w.v - p->vmas] += w.piece.len / PAGE_SIZE;
	for (i = 0; i < m->left.nr; i++) {
		const struct crk_span *left = &m->left.spans[i];

		while (v + 1 < p->nr_vmas && p->vmas[v].end <= left->start)
			v++;
		for (k = v; k < p->nr_vmas && p->vmas[k].start < left->end; k++)
			nr_pages[k] += (min(left->end, (uint64_t)p->vmas[k].end) -
					max(left->start, (uint64_t)p->vmas[k].start)) / PAGE_SIZE;
	}
}

static int pages_end(struct crk_private *m, int err)
{
	int err2 = crk_img_close(m->img);

	m->img = NULL;
	return err ?: err2;
}

int crk_pagemap_dump(struct crk_dump *d, struct crk_dproc *p, uint64_t *nr_pages)
{
	struct crk_private *m = &d->mem->private[p - d->procs];
	uint32_t pages_id = ++d->mem->next_pages_id;
	int err;

	err = crk_img_create(d->dir, CRK_IMG_PAGES, pages_id, &m->img);
	if (err)
		return err;
	err = write_pages(d, p, m, false);
	if (!m->snapshot)
		err = pages_end(m, err);
	if (!err)
		err = write_pagemap(d, p, m, pages_id);
	if (!err && nr_pages)
		count_pages(p, m, nr_pages);
	return err;
}

int crk_pagemap_dump_later(struct crk_dump *d, struct crk_dproc *p)
{
	struct crk_private *m = &d->mem->private[p - d->procs];

	return m->snapshot ? pages_end(m, write_pages(d, p, m, true)) : 0;
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
	for (i = 0; d->mem->private && i < d->nr_procs; i++) {
		free(d->mem->private[i].ranges);
		crk_ranges_free(&d->mem->private[i].guards);
		crk_ranges_free(&d->mem->private[i].in_parent);
		crk_ranges_free(&d->mem->private[i].left);
		crk_ranges_free(&d->mem->private[i].untracked);
		crk_img_close(d->mem->private[i].img);
	}
	free(d->mem->private);
}
