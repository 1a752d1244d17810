// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper show: what is in a checkpoint, as text or as JSON.  This loads the images, of any machine, and counts;
 * knows nothing of how they are shown.
 */
#include "show.h"

/* all messages of an image; none if it isn't there */
static int load_all(struct crk_show *s, enum crk_img_type type, unsigned int id, void *items_ret, size_t *nr_ret)
{
	ProtobufCMessage **items = NULL, *msg;
	size_t room = 0;
	struct crk_img *img;
	int ret;

	ret = crk_img_open(s->dir, type, id, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		ProtobufCMessage **slot = array_add(items, *nr_ret, room);

		if (!slot) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		*slot = msg;
	}
	crk_img_close(img);
	*(ProtobufCMessage ***)items_ret = items;
	return ret;
}

static void free_all(void *items, size_t nr)
{
	while (nr)
		protobuf_c_message_free_unpacked(((ProtobufCMessage **)items)[--nr], NULL);
	free(items);
}

/* one message; NULL if the image isn't there */
static int load_one(struct crk_show *s, enum crk_img_type type, unsigned int id, void *ret)
{
	int err = crk_img_read_one(s->dir, type, id, ret);

	return err == -ENOENT ? 0 : err;
}

/* adds @bytes at @addr to the mappings they are in, which are looked at from *@at on */
static void count_saved(struct crk_show_proc *p, size_t *at, uint64_t addr, uint64_t bytes)
{
	while (bytes && *at < p->mm->n_vmas) {
		const VmaEntry *vma = p->mm->vmas[*at];
		uint64_t in;

		if (addr >= vma->end) {
			++*at;
			continue;
		}
		if (addr < vma->start)
			break;
		in = min(bytes, vma->end - addr);
		p->saved[*at] += in;
		addr += in;
		bytes -= in;
	}
}

int crk_show_pagemap(const struct crk_show *s, uint32_t pid, struct crk_show_proc *p, uint64_t *saved_ret,
		     uint64_t *parent_ret)
{
	struct crk_img *img;
	ProtobufCMessage *msg;
	bool is_head = true;
	size_t at = 0;
	int ret;

	*saved_ret = *parent_ret = 0;
	ret = crk_img_open(s->dir, CRK_IMG_PAGEMAP, pid, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		const PagemapEntry *e = (const PagemapEntry *)msg;
		uint64_t bytes = is_head ? 0 : crk_pagemap_nr(e) * s->inv->page_size;

		if (!is_head && (e->in_parent || e->flags & PE_PARENT)) {
			*parent_ret += bytes;
		} else if (!is_head && (!e->has_flags || e->flags & PE_PRESENT)) {
			if (p)
				count_saved(p, &at, e->vaddr, bytes);
			*saved_ret += bytes;
		}
		is_head = false;
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	crk_img_close(img);
	return ret;
}

static int load_memory(struct crk_show *s, struct crk_show_proc *p)
{
	CrkCowEntry **cow = NULL;
	size_t i, nr_cow = 0;
	int ret;

	ret = load_one(s, CRK_IMG_MM, p->ps->pid, &p->mm);
	if (ret || !p->mm)
		return ret;
	p->saved = calloc(p->mm->n_vmas + 1, sizeof(*p->saved));
	if (!p->saved)
		return crk_oom();
	for (i = 0; i < p->mm->n_vmas; i++)
		p->mapped_sum += p->mm->vmas[i]->end - p->mm->vmas[i]->start;
	ret = load_all(s, CRK_IMG_CRK_VMA, p->ps->pid, &p->crk_vmas, &p->nr_crk_vmas);
	ret = ret ?: crk_show_pagemap(s, p->ps->pid, p, &p->saved_sum, &p->parent_sum);
	ret = ret ?: load_all(s, CRK_IMG_CRK_COW, p->ps->pid, &cow, &nr_cow);
	for (i = 0; i < nr_cow; i++)
		p->cow_sum += cow[i]->nr_pages * s->inv->page_size;
	free_all(cow, nr_cow);
	return ret;
}

static int load_threads(struct crk_show *s, struct crk_show_proc *p)
{
	size_t i;
	int ret = 0;

	p->threads = calloc(p->ps->n_threads + 1, sizeof(*p->threads));
	if (!p->threads)
		return crk_oom();
	for (i = 0; i < p->ps->n_threads && !ret; i++) {
		struct crk_show_thread *t = &p->threads[i];

		t->tid = p->ps->threads[i];
		ret = load_one(s, CRK_IMG_CORE, t->tid, &t->core);
		ret = ret ?: load_one(s, CRK_IMG_CRK_CORE, t->tid, &t->recs);
		if (!ret && t->core && t->core->tc && !p->tc)
			p->tc = t->core->tc;
	}
	return ret;
}

static int load_proc(struct crk_show *s, struct crk_show_proc *p)
{
	const TaskKobjIdsEntry *ids;
	int ret;

	ret = load_threads(s, p);
	if (ret)
		return ret;
	ret = load_memory(s, p);
	ret = ret ?: load_one(s, CRK_IMG_FS, p->ps->pid, &p->fs);
	ret = ret ?: load_one(s, CRK_IMG_CRK_TASK, p->ps->pid, &p->task);
	ids = p->ps->n_threads && p->threads[0].core ? p->threads[0].core->ids : NULL;
	if (!ret && ids)
		ret = load_all(s, CRK_IMG_FDINFO, ids->files_id, &p->fds, &p->nr_fds);
	return ret;
}

static int load(struct crk_show *s)
{
	PstreeEntry **ps = NULL;
	size_t i, j;
	int ret;

	s->inv = crk_imgdir_inventory(s->dir);
	ret = load_all(s, CRK_IMG_FILES, 0, &s->files, &s->nr_files);
	ret = ret ?: load_all(s, CRK_IMG_CRK_FILES, 0, &s->crk_files, &s->nr_crk_files);
	ret = ret ?: load_all(s, CRK_IMG_PSTREE, 0, &ps, &s->nr_procs);
	if (ret)
		return ret;
	s->procs = calloc(s->nr_procs + 1, sizeof(*s->procs));
	if (!s->procs)
		return crk_oom();
	for (i = 0; i < s->nr_procs; i++)
		s->procs[i].ps = ps[i];
	free(ps);
	for (i = 0; i < s->nr_procs && !ret; i++) {
		struct crk_show_proc *p = &s->procs[i];

		s->nr_threads += p->ps->n_threads;
		/* parents come first in the image */
		for (j = 0; j < i; j++)
			if (s->procs[j].ps->pid == p->ps->ppid)
				p->depth = s->procs[j].depth + 1;
		ret = load_proc(s, p);
	}
	return ret;
}

static void unload(struct crk_show *s)
{
	size_t i, j;

	for (i = 0; i < s->nr_procs; i++) {
		struct crk_show_proc *p = &s->procs[i];

		for (j = 0; p->threads && j < p->ps->n_threads; j++) {
			if (p->threads[j].core)
				core_entry__free_unpacked(p->threads[j].core, NULL);
			if (p->threads[j].recs)
				crk_core_entry__free_unpacked(p->threads[j].recs, NULL);
		}
		free(p->threads);
		if (p->mm)
			mm_entry__free_unpacked(p->mm, NULL);
		if (p->fs)
			fs_entry__free_unpacked(p->fs, NULL);
		if (p->task)
			crk_task_entry__free_unpacked(p->task, NULL);
		free_all(p->crk_vmas, p->nr_crk_vmas);
		free_all(p->fds, p->nr_fds);
		free(p->saved);
		pstree_entry__free_unpacked(p->ps, NULL);
	}
	free(s->procs);
	free_all(s->files, s->nr_files);
	free_all(s->crk_files, s->nr_crk_files);
	crk_imgdir_close(s->dir);
}

static int crk_show(const char *path, bool json)
{
	struct crk_show s = {};
	struct crk_imgdir *dir;
	int ret;

	ret = crk_imgdir_open(path, CRK_VERIFY_TABLES, &s.dir);
	if (ret)
		return ret;
	/* what is wrong with them is said; what is in this one can be told all the same */
	s.parents_usable = !crk_imgdir_open_parents(s.dir, CRK_VERIFY_TABLES);
	for (dir = s.dir; (dir = crk_imgdir_parent(dir)); )
		s.nr_parents++;
	ret = load(&s);
	if (!ret) {
		if (json)
			crk_show_json(&s, stdout);
		else
			crk_show_text(&s, stdout);
		if (fflush(stdout) || ferror(stdout))
			ret = crk_err(-errno, "cannot write");
	}
	unload(&s);
	return ret;
}

int crk_cmd_show(const struct crk_opts *opts)
{
	return crk_show(opts->images_dir, opts->json) ? CRK_EXIT_FAILED : CRK_EXIT_DONE;
}
