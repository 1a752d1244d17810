// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper dedup: of the checkpoints that one builds on, the pages that it does not need are given up, and their room on
 * the disk.  What it needs is found as a restore finds it.  Every byte is verified before the first one is given up.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem/mem.h"

struct pages {
	struct crk_imgdir *dir;
	uint32_t id;
	struct crk_ranges needed;	/* offsets in the image */
};

struct dedup {
	struct crk_imgdir *dir;
	struct pages **pages;
	size_t nr, room;
	struct crk_index index;		/* the same by directory and id */
};

static struct pages *pages_get(struct dedup *d, struct crk_imgdir *dir, uint32_t id)
{
	struct pages *p = crk_index_find(&d->index, dir, id, 0), **slot;

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	slot = p ? array_add(d->pages, d->nr, d->room) : NULL;
	if (!slot) {
		free(p);
		crk_oom();
		return NULL;
	}
	*slot = p;
	p->dir = dir;
	p->id = id;
	return crk_index_add(&d->index, dir, id, 0, p) ? NULL : p;
}

/* what a process needs of each pages image */
static int process_look(struct dedup *d, pid_t pid)
{
	struct crk_rst r = { .dir = d->dir };
	struct crk_rmem m = {};
	int err = crk_runs_plan(&r, pid, &m);
	size_t i;

	for (i = 0; i < m.nr_runs && !err; i++) {
		const struct crk_rrun *run = &m.runs[i];
		const struct crk_rsource *s = &m.sources[run->source];
		struct pages *p = s->dir == d->dir ? NULL : pages_get(d, s->dir, s->pages_id);

		if (s->dir == d->dir)
			continue;
		err = p ? crk_ranges_append(&p->needed, run->off, run->off + run->nr * PAGE_SIZE) : -ENOMEM;
	}
	crk_runs_free(&m);
	return err;
}

static int look(struct dedup *d)
{
	uint32_t pid;
	size_t i;
	int err = 0;

	for (i = 0; !err && crk_imgdir_pagemap_at(d->dir, i, &pid); i++)
		if (pid)
			err = process_look(d, pid);
	for (i = 0; i < d->nr; i++)
		crk_ranges_sort(&d->pages[i]->needed);
	return err;
}

/* all of an image but what is needed */
static int bury(struct dedup *d, struct crk_imgdir *dir, uint32_t id, uint64_t size)
{
	const struct pages *p = crk_index_find(&d->index, dir, id, 0);
	struct crk_ranges dead = {};
	int err = size ? crk_ranges_append(&dead, 0, size) : 0;

	if (!err && p)
		err = crk_ranges_sub(&dead, &p->needed);
	_Static_assert(sizeof(*dead.spans) == 2 * sizeof(uint64_t), "spans are pairs");
	err = err ?: crk_imgdir_dead_set(dir, id, (const uint64_t *)dead.spans, 2 * dead.nr);
	crk_ranges_free(&dead);
	return err;
}

static int parent_dedup(struct dedup *d, struct crk_imgdir *dir)
{
	uint64_t size;
	uint32_t id;
	size_t i;
	int err = 0;

	for (i = 0; !err && crk_imgdir_pages_at(dir, i, &id, &size); i++)
		if (id)
			err = bury(d, dir, id, size);
	return err ?: crk_imgdir_dead_commit(dir);
}

static void report(const struct crk_opts *opts, unsigned int nr, uint64_t freed, uint64_t left)
{
	if (opts->json)
		printf("{ \"parents\": %u, \"freed_bytes\": %llu, \"left_bytes\": %llu }\n", nr, (unsigned long long)freed,
		       (unsigned long long)left);
	else if (opts->verbose || isatty(STDOUT_FILENO))
		printf("%.1f MiB given up in %u parent checkpoints, %.1f MiB of pages are needed\n", freed / 1048576.0, nr,
		       left / 1048576.0);
}

/* pages can't be taken out of what is compressed together */
static int refuse_packed(struct crk_imgdir *dir)
{
	uint64_t before, after;

	for (dir = crk_imgdir_parent(dir); dir; dir = crk_imgdir_parent(dir))
		if (crk_imgdir_packed(dir, &before, &after))
			return crk_fail(-EOPNOTSUPP, "the pages of '%s' are compressed: none of them can be given up",
					crk_imgdir_path(dir));
	return 0;
}

static int dedup(struct dedup *d, const struct crk_opts *opts)
{
	uint64_t freed = 0, left = 0;
	struct crk_imgdir *dir;
	unsigned int nr = 0;
	size_t i, k;
	int err;

	err = crk_imgdir_open(opts->images_dir, CRK_VERIFY_RESTORE, &d->dir);
	err = err ?: crk_imgdir_open_parents(d->dir, CRK_VERIFY_RESTORE);
	err = err ?: refuse_packed(d->dir);
	err = err ?: crk_imgdir_verify_pages(d->dir);
	err = err ?: crk_imgdir_refuse_dead(d->dir);
	err = err ?: look(d);
	if (err)
		return err;
	if (!crk_imgdir_parent(d->dir))
		crk_warn("'%s' builds on no other checkpoint: there is nothing to give up", opts->images_dir);
	if (syncfs(crk_imgdir_fd(d->dir)))
		return crk_err(-errno, "cannot flush '%s' to the disk", opts->images_dir);
	for (dir = crk_imgdir_parent(d->dir); dir && !err; dir = crk_imgdir_parent(dir), nr++) {
		freed -= crk_imgdir_dead(dir);
		err = parent_dedup(d, dir);
		freed += crk_imgdir_dead(dir);
	}
	for (i = 0; i < d->nr; i++)
		for (k = 0; k < d->pages[i]->needed.nr; k++)
			left += d->pages[i]->needed.spans[k].end - d->pages[i]->needed.spans[k].start;
	if (!err)
		report(opts, nr, freed, left);
	return err;
}

int crk_cmd_dedup(const struct crk_opts *opts)
{
	struct dedup d = {};
	size_t i;
	int err;

	crk_progress_on();
	err = dedup(&d, opts);
	crk_progress(NULL, 0);
	for (i = 0; i < d.nr; i++) {
		crk_ranges_free(&d.pages[i]->needed);
		free(d.pages[i]);
	}
	free(d.pages);
	crk_index_free(&d.index);
	crk_imgdir_close(d.dir);
	return err ? CRK_EXIT_FAILED : CRK_EXIT_DONE;
}
