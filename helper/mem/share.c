// SPDX-License-Identifier: GPL-2.0
/*
 * Restore, plan: which pages processes share copy-on-write with an ancestor, and where they are staged.
 *
 * A page can only be shared again by fork.  So an ancestor makes it before its children are made, in an area at an
 * address that is free in every process; all descendants inherit the area, and each moves its own copy of it to
 * where the mapping belongs.  Areas have addresses of their own and never change once children exist:
 *
 *	give	pages that a process puts into areas, since descendants share them with it
 *	kept	pages that a process takes from the areas as they are
 *	inherit	pages that its ancestors put into the areas, wanted or not
 *
 * What is not kept is filled in, or dropped, by the process's memory program.  An area is also the way to keep two
 * neighbours from being merged: a mapping that was moved keeps the page offsets of where it was made.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mem.h"

#define AREA_ALIGN	(2UL << 20)	/* huge pages stay huge pages */

struct crk_rvma *crk_rvma_from(const struct crk_rmem *m, uint64_t addr)
{
	size_t lo = 0, hi = m->nr_vmas;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->vmas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &m->vmas[lo];		/* behind the last if there is none */
}

bool crk_vma_is_anon(const struct crk_rvma *v)
{
	return v->v->status & VMA_ANON_PRIVATE && !v->e->has_file_id &&
	       !(v->e->flags & (CRK_VMA_SPECIAL | CRK_VMA_HUGETLB | VMA_SHARED | CRK_VMA_DROPPABLE));
}

/* areas are writable, so what is mapped there counts for overcommit; the final mapping must do so too */
static bool may_stage(const struct crk_rvma *v)
{
	return (crk_vma_is_anon(v) || (v->e->has_file_id && !(v->e->flags & (VMA_SHARED | CRK_VMA_HUGETLB)))) &&
	       v->e->flags & (CRK_VMA_ACCOUNT | CRK_VMA_NORESERVE);
}

#define KIND_FLAGS	(CRK_VMA_ACCOUNT | CRK_VMA_NORESERVE | CRK_VMA_GROWSDOWN)

/* are the mappings pieces of what could be one? */
static bool same_kind(const struct crk_rvma *a, const struct crk_rvma *b)
{
	if (!may_stage(a) || !may_stage(b) || (a->e->flags ^ b->e->flags) & KIND_FLAGS ||
	    a->e->has_file_id != b->e->has_file_id)
		return false;
	return !a->e->has_file_id ||
	       (a->e->file_id == b->e->file_id && a->start - a->e->pgoff == b->start - b->e->pgoff);
}

/* would the kernel make one mapping of the two? */
static bool would_merge(const struct crk_rvma *a, const struct crk_rvma *b)
{
	return a->end == b->start && crk_vma_is_anon(a) && crk_vma_is_anon(b) && a->prot == b->prot &&
	       !((a->e->flags ^ b->e->flags) & ~CRK_VMA_ANON_VMA) && !strcmp(a->e->name ?: "", b->e->name ?: "");
}

const struct crk_area *crk_area_of(const struct crk_rmem *m, const struct crk_rvma *v, uint64_t addr)
{
	const struct crk_area *best = NULL;
	size_t i;

	for (i = 0; i < m->nr_areas; i++)
		if (m->areas[i]->end > addr && m->areas[i]->start < v->end && same_kind(m->areas[i]->v, v) &&
		    (!best || m->areas[i]->start < best->start))
			best = m->areas[i];
	return best;
}

static bool has_area(const struct crk_rmem *m, const struct crk_area *a)
{
	size_t i;

	for (i = 0; i < m->nr_areas; i++)
		if (m->areas[i] == a)
			return true;
	return false;
}

/* ---- who could share what ---- */

/* leaves the pages whose mappings are of one kind here and in the owner */
static int share_kinds(const struct crk_rmem *m, struct crk_rshare *s)
{
	const struct crk_rmem *o = s->owner->mem;
	const struct crk_rvma *v = m->vmas, *w = o->vmas;
	struct crk_ranges ok = {};
	size_t i;
	int err = 0;

	for (i = 0; i < s->pages.nr && !err; i++) {
		uint64_t at = s->pages.spans[i].start, end = s->pages.spans[i].end;

		while (at < end && !err) {
			uint64_t up_to;

			v = crk_rvma_from(m, at);
			w = crk_rvma_from(o, at);
			if (v == m->vmas + m->nr_vmas || w == o->vmas + o->nr_vmas)
				break;
			up_to = min(min((uint64_t)v->end, (uint64_t)w->end), end);
			at = max(at, max((uint64_t)v->start, (uint64_t)w->start));
			if (at < up_to && same_kind(v, w))
				err = crk_ranges_append(&ok, at, up_to);
			at = max(at, up_to);
		}
	}
	if (!err)
		err = crk_ranges_and(&s->pages, &ok);
	crk_ranges_free(&ok);
	return err;
}

/* what the owners have to put into areas */
static int give_all(struct crk_rst *r)
{
	size_t i, k, n;
	int err = 0;

	for (i = 0; i < r->nr_procs; i++)
		if (r->procs[i].mem)
			r->procs[i].mem->give.nr = 0;
	for (i = 0; i < r->nr_procs && !err; i++) {
		const struct crk_rmem *m = r->procs[i].mem;

		for (k = 0; m && k < m->nr_shares; k++) {
			const struct crk_rshare *s = &m->shares[k];

			for (n = 0; n < s->pages.nr && !err; n++)
				err = crk_ranges_append(&s->owner->mem->give, s->pages.spans[n].start,
							s->pages.spans[n].end);
		}
	}
	for (i = 0; i < r->nr_procs; i++)
		if (r->procs[i].mem)
			crk_ranges_sort(&r->procs[i].mem->give);
	return err;
}

/* an area holds one version of a page: that of the nearest ancestor who gives one */
static int share_conflicts(struct crk_rproc *p, struct crk_rshare *s)
{
	const struct crk_rproc *a;
	int err = 0;

	for (a = p->parent; a && a != s->owner && !err; a = a->parent)
		if (a->mem)
			err = crk_ranges_sub(&s->pages, &a->mem->give);
	return err;
}

/* ---- areas ---- */

static struct crk_area *area_add(struct crk_rst *r, struct crk_rmem *m, const struct crk_rvma *v)
{
	struct crk_area **all, **own, *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	all = array_add(r->mem->areas, r->mem->nr_areas, r->mem->room_areas);
	if (!all) {
		free(a);
		return NULL;
	}
	*all = a;
	own = array_add(m->areas, m->nr_areas, m->room_areas);
	if (!own)
		return NULL;
	*own = a;
	a->v = v;
	a->start = v->start;
	a->end = v->end;
	return a;
}

/* descendants may have more of the mapping than the owner: a stack that grew */
static void area_extend(struct crk_rst *r, const struct crk_rproc *p, struct crk_area *a)
{
	uint64_t low = 0, high = ~0ULL;
	size_t i, k, n;

	for (i = 0; i < p->mem->nr_areas; i++) {
		const struct crk_area *b = p->mem->areas[i];

		if (b->end <= a->start)
			low = max(low, b->end);
		if (b->start >= a->end)
			high = min(high, b->start);
	}
	for (i = 0; i < r->nr_procs; i++) {
		const struct crk_rmem *m = r->procs[i].mem;

		for (k = 0; m && k < m->nr_shares; k++) {
			const struct crk_ranges *pages = &m->shares[k].pages;

			if (m->shares[k].owner != p)
				continue;
			n = crk_ranges_from(pages, a->v->start);
			if (n < pages->nr && pages->spans[n].start < a->v->end) {
				const struct crk_rvma *v = crk_rvma_from(m, pages->spans[n].start);

				a->start = min(a->start, max(v->start, low));
				a->end = max(a->end, min(v->end, high));
			}
		}
	}
}

static int areas_drop_other(struct crk_rmem *m, const struct crk_area *a)
{
	size_t i, to = 0;

	for (i = 0; i < m->nr_areas; i++)
		if (m->areas[i] == a || m->areas[i]->end <= a->start || m->areas[i]->start >= a->end)
			m->areas[to++] = m->areas[i];
	m->nr_areas = to;
	return 0;
}

static bool shares_touch(const struct crk_rmem *m, const struct crk_rvma *v)
{
	size_t i;

	for (i = 0; i < m->nr_shares; i++)
		if (crk_ranges_touch(&m->shares[i].pages, v->start, v->end))
			return true;
	return false;
}

/* parents come before their children */
static int areas_plan(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_rmem *m = p->mem, *up = p->parent ? p->parent->mem : NULL;
	bool moved = false, before;
	struct crk_rvma *v;
	size_t i;

	for (i = 0; up && i < up->nr_areas; i++) {
		struct crk_area **a = array_add(m->areas, m->nr_areas, m->room_areas);

		if (!a)
			return crk_oom();
		*a = up->areas[i];
	}
	for (v = m->vmas; v < m->vmas + m->nr_vmas; v++) {
		bool gives = may_stage(v) && crk_ranges_touch(&m->give, v->start, v->end);
		struct crk_area *a;

		before = moved;
		moved = may_stage(v) && (gives || shares_touch(m, v));
		v->apart = !moved && !before && v > m->vmas && may_stage(v) && would_merge(v - 1, v);
		moved = moved || v->apart;
		if ((!gives && !v->apart) || crk_area_of(m, v, v->start))
			continue;
		a = area_add(r, m, v);
		if (!a)
			return crk_oom();
		if (gives && !v->e->has_file_id)
			area_extend(r, p, a);
		areas_drop_other(m, a);
	}
	return 0;
}

/* leaves the pages that are in an area that the owner has, too */
static int share_areas(const struct crk_rmem *m, struct crk_rshare *s)
{
	struct crk_ranges ok = {};
	const struct crk_rvma *v;
	size_t i;
	int err = 0;

	for (i = 0; i < s->pages.nr && !err; i++) {
		uint64_t at = s->pages.spans[i].start, end = s->pages.spans[i].end;

		while (at < end && !err) {
			const struct crk_area *a;
			uint64_t up_to;

			v = crk_rvma_from(m, at);
			if (v == m->vmas + m->nr_vmas)
				break;
			up_to = min((uint64_t)v->end, end);
			a = crk_area_of(m, v, at);
			if (!a || a->start >= up_to) {
				at = up_to;
				continue;
			}
			at = max(at, a->start);
			up_to = min(up_to, a->end);
			if (has_area(s->owner->mem, a))
				err = crk_ranges_append(&ok, at, up_to);
			at = up_to;
		}
	}
	if (!err)
		err = crk_ranges_and(&s->pages, &ok);
	crk_ranges_free(&ok);
	return err;
}

static int inherit_plan(struct crk_rproc *p)
{
	struct crk_rmem *m = p->mem, *up = p->parent ? p->parent->mem : NULL;
	struct crk_ranges mine = {};
	size_t i;
	int err;

	if (!up)
		return 0;
	err = crk_ranges_add(&m->inherit, &up->inherit);
	err = err ?: crk_ranges_add(&m->inherit, &up->give);
	for (i = 0; i < m->nr_areas && !err; i++)
		if (has_area(up, m->areas[i]))
			err = crk_ranges_append(&mine, m->areas[i]->start, m->areas[i]->end);
	crk_ranges_sort(&mine);
	err = err ?: crk_ranges_and(&m->inherit, &mine);
	crk_ranges_free(&mine);
	return err;
}

/* ---- addresses of the areas ---- */

/* @top: the end of the stack, beyond which this program may be unable to map anything */
static int own_maps(struct crk_ranges *used, uint64_t *top)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int err = read_file_at(AT_FDCWD, "/proc/self/maps", &text, NULL);

	if (err)
		return crk_err(err, "/proc/self/maps");
	for (line = strtok_r(text, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long start, end;

		if (sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		err = crk_ranges_append(used, start, end);
		if (strstr(line, "[stack]"))
			*top = end;
	}
	return err;
}

/* the largest range that is free in all processes and here */
static int largest_gap(const struct crk_rst *r, struct crk_span *gap)
{
	struct crk_ranges used = {};
	uint64_t at = AREA_ALIGN, top = 0;
	size_t i, k;
	int err = own_maps(&used, &top);

	for (i = 0; i < r->nr_procs; i++)
		for (k = 0; r->procs[i].mem && k < r->procs[i].mem->nr_vmas && !err; k++)
			err = crk_ranges_append(&used, r->procs[i].mem->vmas[k].start, r->procs[i].mem->vmas[k].end);
	crk_ranges_sort(&used);
	*gap = (struct crk_span){};
	for (i = 0; i < used.nr && at < top && !err; i++) {
		uint64_t end = min(used.spans[i].start, top);

		if (end > at && end - at > gap->end - gap->start)
			*gap = (struct crk_span){ at, end };
		at = max(at, used.spans[i].end);
	}
	crk_ranges_free(&used);
	return err;
}

/* away from the ends of the gap, where new mappings of this process go; areas never touch each other */
static int areas_place(struct crk_rst *r)
{
	struct crk_span gap;
	uint64_t at, len;
	size_t i;
	int err;

	if (!r->mem->nr_areas)
		return 0;
	err = largest_gap(r, &gap);
	if (err)
		return err;
	len = gap.end - gap.start;
	at = align_up(gap.start + len / 8, AREA_ALIGN);
	for (i = 0; i < r->mem->nr_areas; i++) {
		struct crk_area *a = r->mem->areas[i];

		a->at = at + a->start % AREA_ALIGN;
		at = align_up(a->at + (a->end - a->start), AREA_ALIGN) + AREA_ALIGN;
		if (at > gap.end - len / 8 || a->end - a->start > len)
			return crk_fail(-ENOMEM, "no address range is free for pages that processes share");
	}
	return 0;
}

int crk_share_plan(struct crk_rst *r)
{
	size_t i, k;
	int err = 0;

#define EACH_SHARE(p, s)							\
	for (i = 0; i < r->nr_procs && !err; i++)				\
		for (p = &r->procs[i], k = 0; p->mem && k < p->mem->nr_shares && !err && (s = &p->mem->shares[k]); k++)
	struct crk_rproc *p;
	struct crk_rshare *s;

	EACH_SHARE(p, s)
		err = share_kinds(p->mem, s);
	err = err ?: give_all(r);
	EACH_SHARE(p, s)
		err = share_conflicts(p, s);
	for (i = 0; i < r->nr_procs && !err; i++)
		if (r->procs[i].mem)
			err = areas_plan(r, &r->procs[i]);
	EACH_SHARE(p, s)
		err = share_areas(p->mem, s);
	err = err ?: give_all(r);
	for (i = 0; i < r->nr_procs && !err; i++)
		if (r->procs[i].mem)
			err = inherit_plan(&r->procs[i]);
	return err ?: areas_place(r);
}
