// SPDX-License-Identifier: GPL-2.0
/*
 * Restore: where in the images the pages of a process, or of a shared memory object, are.  An incremental checkpoint leaves
 * pages to its parent, which may leave them to its own: each is looked for along the chain.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "../restore.h"
#include "mem.h"

struct run_list {
	struct crk_rrun *runs;
	size_t nr, room;
};

static int run_add(struct run_list *to, uint64_t addr, uint64_t end, uint64_t off, uint32_t source)
{
	struct crk_rrun *run = array_add(to->runs, to->nr, to->room);

	if (!run)
		return crk_oom();
	*run = (struct crk_rrun){ addr, (end - addr) / PAGE_SIZE, off, source };
	return 0;
}

/* one pagemap image of a chain */
struct level {
	uint32_t source;
	const struct crk_ranges *want;	/* NULL: all */
	size_t at;			/* in @want */
	uint64_t off;			/* in the pages image, of the next entry that is present */
	struct crk_ranges found;	/* of @want */
	struct crk_ranges rest;		/* that the next one has */
};

/* [addr, end) is here at @off, or @in_parent */
static int entry_take(struct level *l, struct run_list *to, uint64_t addr, uint64_t end, uint64_t off, bool in_parent)
{
	int err = 0;

	while (addr < end && !err) {
		uint64_t from = addr, up_to = end;

		if (l->want) {
			while (l->at < l->want->nr && l->want->spans[l->at].end <= addr)
				l->at++;
			if (l->at == l->want->nr)
				break;
			from = max(addr, l->want->spans[l->at].start);
			up_to = min(end, l->want->spans[l->at].end);
			if (from >= end)
				break;
			err = crk_ranges_append(&l->found, from, up_to);
		}
		if (!err && in_parent)
			err = crk_ranges_append(&l->rest, from, up_to);
		else if (!err)
			err = run_add(to, from, up_to, off + (from - addr), l->source);
		off += up_to - addr;
		addr = up_to;
	}
	return err;
}

static int level_read(struct crk_imgdir *dir, enum crk_img_type type, uint32_t id, struct level *l, struct run_list *to,
		      uint32_t *pages_id_ret)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	uint64_t last = 0;
	int ret;

	ret = crk_img_open(dir, type, id, &img);
	if (ret)
		return ret == -ENOENT ? crk_fail(ret, "the pagemap image of %u is missing in '%s'", id,
						 crk_imgdir_path(dir)) : ret;
	ret = crk_img_get(img, &msg);
	if (ret == 1) {
		*pages_id_ret = ((PagemapHead *)msg)->pages_id;
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	while (ret == 1 && (ret = crk_img_get(img, &msg)) == 1) {
		const PagemapEntry *e = (const PagemapEntry *)msg;
		uint64_t addr = e->vaddr, len = crk_pagemap_nr(e) * PAGE_SIZE;
		bool in_parent = e->in_parent || e->flags & PE_PARENT;
		int err;

		if (addr < last || addr % PAGE_SIZE || !len || addr + len < addr || len / PAGE_SIZE != crk_pagemap_nr(e))
			err = crk_fail(-EBADMSG, "the pagemap image of %u in '%s' makes no sense at %llx", id,
				       crk_imgdir_path(dir), (unsigned long long)addr);
		else
			err = entry_take(l, to, addr, addr + len, l->off, in_parent);
		last = addr + len;
		l->off += in_parent ? 0 : len;
		protobuf_c_message_free_unpacked(msg, NULL);
		ret = err ?: ret;
	}
	crk_img_close(img);
	return ret < 0 ? ret : 0;
}

/* shared memory is saved whole each time */
int crk_runs_read(struct crk_rst *r, enum crk_img_type type, uint32_t id, struct crk_rrun **runs, size_t *nr,
		  uint32_t *pages_id_ret)
{
	struct run_list to = {};
	struct level l = {};
	int err = level_read(r->dir, type, id, &l, &to, pages_id_ret);

	if (!err && l.rest.nr)
		err = crk_fail(-EOPNOTSUPP, "shared memory %u is in a parent checkpoint: not supported", id);
	crk_ranges_free(&l.rest);
	*runs = to.runs;
	*nr = to.nr;
	return err;
}

/* what a level was asked for must be there */
static int check_found(struct crk_imgdir *dir, pid_t pid, const struct level *l)
{
	struct crk_ranges missing = {};
	int err = l->want ? crk_ranges_add(&missing, l->want) : 0;

	err = err ?: crk_ranges_sub(&missing, &l->found);
	if (!err && missing.nr)
		err = crk_fail(-EBADMSG, "pid %d: page %llx should be in the parent checkpoint '%s', which does not have it",
			       pid, (unsigned long long)missing.spans[0].start, crk_imgdir_path(dir));
	crk_ranges_free(&missing);
	return err;
}

/* another checkpoint on top of the same parent may have had no need of it */
static int check_dead(pid_t pid, const struct crk_rmem *m)
{
	size_t i;

	for (i = 0; i < m->nr_runs; i++) {
		const struct crk_rrun *run = &m->runs[i];
		const struct crk_rsource *s = &m->sources[run->source];

		if (crk_imgdir_is_dead(s->dir, s->pages_id, run->off, run->off + run->nr * PAGE_SIZE))
			return crk_fail(-ENODATA, "pid %d: pages at %llx were in '%s', and were given up for another checkpoint on top of that (crkhelper dedup)",
					pid, (unsigned long long)run->addr, crk_imgdir_path(s->dir));
	}
	return 0;
}

static int cmp_run(const void *a, const void *b)
{
	const struct crk_rrun *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int crk_runs_plan(struct crk_rst *r, pid_t pid, struct crk_rmem *m)
{
	struct crk_imgdir *dir = r->dir;
	struct crk_ranges want = {};
	struct run_list to = {};
	size_t room = 0;
	int err;

	do {
		struct level l = { .source = m->nr_sources, .want = m->nr_sources ? &want : NULL };
		struct crk_rsource *s = array_add(m->sources, m->nr_sources, room);

		if (!s) {
			err = crk_oom();
			break;
		}
		s->dir = dir;
		err = level_read(dir, CRK_IMG_PAGEMAP, pid, &l, &to, &s->pages_id);
		err = err ?: check_found(dir, pid, &l);
		crk_ranges_free(&l.found);
		crk_ranges_free(&want);
		want = l.rest;
		dir = crk_imgdir_parent(dir);
		if (!err && want.nr && !dir)
			err = crk_fail(-EBADMSG, "pid %d: page %llx is in the parent of '%s', which names none", pid,
				       (unsigned long long)want.spans[0].start, crk_imgdir_path(s->dir));
	} while (!err && want.nr);
	crk_ranges_free(&want);
	if (m->nr_sources > 1 && to.nr)
		qsort(to.runs, to.nr, sizeof(*to.runs), cmp_run);
	m->runs = to.runs;
	m->nr_runs = to.nr;
	return err ?: check_dead(pid, m);
}

static int source_open(struct crk_rst *r, struct crk_rsource *s)
{
	int err = crk_pages_open(s->dir, s->pages_id, r->fd_base, &s->pages);

	if (err)
		return err == -ENOENT ? crk_fail(err, "pages-%u.img is missing in '%s'", s->pages_id,
						 crk_imgdir_path(s->dir)) : err;
	return crk_pages_fd(s->pages) < 0 ? crk_feed_open(r) : 0;
}

int crk_runs_open(struct crk_rst *r, struct crk_rmem *m)
{
	size_t i;
	int err = 0;

	for (i = 0; i < m->nr_runs && !err; i++)
		if (!m->sources[m->runs[i].source].pages)
			err = source_open(r, &m->sources[m->runs[i].source]);
	return err;
}

void crk_runs_free(struct crk_rmem *m)
{
	size_t i;

	for (i = 0; i < m->nr_sources; i++)
		crk_pages_close(m->sources[i].pages);
	free(m->sources);
	free(m->runs);
}

/* where @run is in an image, from @addr on */
struct crk_pages *crk_rrun_pages(const struct crk_rmem *m, const struct crk_rrun *run, uint64_t addr, uint64_t *off_ret)
{
	*off_ret = run->off + (addr - run->addr);
	return m->sources[run->source].pages;
}

size_t crk_rrun_from(const struct crk_rmem *m, uint64_t addr)
{
	size_t lo = 0, hi = m->nr_runs;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->runs[mid].addr + m->runs[mid].nr * PAGE_SIZE <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
