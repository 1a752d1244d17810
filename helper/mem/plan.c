// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the images of every process's memory into lists, and refuses what can't be mapped here.  Also the entry points
 * of mem/, which call the other files in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/shm.h>

#include "../restore.h"
#include "mem.h"

/* ---- dump ---- */

int crk_mem_dump_prepare(struct crk_dump *d)
{
	d->mem = calloc(1, sizeof(*d->mem));
	return d->mem ? crk_tracking_prepare(d) : crk_oom();
}

/* which pages there are, and snapshots of those that are read later */
static int pages_begin(struct crk_dump *d)
{
	size_t i;
	int err = 0;

	d->mem->ids = calloc(d->nr_procs, sizeof(*d->mem->ids));
	d->mem->private = calloc(d->nr_procs, sizeof(*d->mem->private));
	if (!d->mem->ids || !d->mem->private)
		return crk_oom();
	crk_tracking_look(d);
	for (i = 0; i < d->nr_procs && !err; i++)
		if (!d->procs[i].zombie)
			err = crk_pagemap_scan(d, &d->procs[i]);
	return err ?: crk_snapshots_take(d);
}

int crk_mem_pre_dump(struct crk_dump *d)
{
	int err = pages_begin(d);
	size_t i;

	for (i = 0; i < d->nr_procs && !err; i++)
		if (!d->procs[i].zombie && !d->procs[i].mm_of)
			err = crk_pagemap_dump(d, &d->procs[i], NULL);
	return err;
}

int crk_mem_dump(struct crk_dump *d)
{
	int err = pages_begin(d);
	size_t i;

	for (i = 0; i < d->nr_procs && !err; i++) {
		struct crk_dproc *p = &d->procs[i];
		_cleanup_free_ uint64_t *nr_pages = calloc(p->nr_vmas + 1, sizeof(*nr_pages));

		if (p->zombie)
			continue;
		if (!nr_pages)
			return crk_oom();
		err = crk_pagemap_dump(d, p, nr_pages);
		if (!err)
			err = crk_vmas_dump(d, p, nr_pages);
	}
	for (i = 0; i < d->nr_procs && !err; i++)
		if (!d->procs[i].zombie)
			err = crk_cow_dump(d, &d->procs[i]);
	return err ?: crk_vdso_dump_end(d);
}

int crk_mem_dump_later(struct crk_dump *d)
{
	size_t i;
	int err = 0;

	for (i = 0; i < d->nr_procs && !err; i++) {
		const struct crk_dproc *p = &d->procs[i];

		err = crk_pagemap_dump_later(d, &d->procs[i]);
		if (err == -ESTALE)
			crk_warn("pid %d (%s): its snapshot is lost: memory ran out, or its holder (crk-snapshot) was killed",
				 p->pid, (const char *)p->leader->comm);
	}
	/* where it can't be read the original may be */
	d->snapshot_lost = err == -ESTALE || err == -EFAULT || err == -ENOMEM;
	return err;
}

void crk_mem_dump_free(struct crk_dump *d)
{
	if (!d->mem)
		return;
	crk_pagemap_free(d);
	crk_img_close(d->mem->vdso_img);
	free(d->mem->vdsos);
	crk_tracking_free(d->mem);
	free(d->mem->shms);
	free(d->mem->files);
	free(d->mem);
	d->mem = NULL;
}

/* ---- restore: reading ---- */

static int read_vmas(struct crk_rst *r, struct crk_rproc *p, struct crk_rmem *m)
{
	size_t nr = m->mm->n_vmas, i;
	ProtobufCMessage *msg;
	struct crk_img *img;
	int ret;

	m->entries = calloc(nr + 1, sizeof(*m->entries));
	m->vmas = calloc(nr + 1, sizeof(*m->vmas));
	if (!m->entries || !m->vmas)
		return crk_oom();
	ret = crk_img_open(r->dir, CRK_IMG_CRK_VMA, p->pid, &img);
	if (ret)
		return ret == -ENOENT ? crk_fail(ret, "crk-vma-%d.img is missing", p->pid) : ret;
	for (i = 0; i < nr && (ret = crk_img_get(img, &msg)) == 1; i++) {
		m->entries[i] = (CrkVmaEntry *)msg;
		m->vmas[i] = (struct crk_rvma){ .e = m->entries[i], .v = m->mm->vmas[i], .start = m->entries[i]->start,
						.end = m->entries[i]->end, .prot = m->mm->vmas[i]->prot };
		m->nr_vmas++;
	}
	crk_img_close(img);
	if (ret < 0)
		return ret;
	return m->nr_vmas == nr ? 0 : crk_fail(-EBADMSG, "crk-vma-%d.img and mm-%d.img do not fit", p->pid, p->pid);
}

/* the list of pages that @p shares with the ancestor @pid; *ret is NULL if that is no ancestor in the images */
static int share_of(struct crk_rproc *p, pid_t pid, struct crk_rshare **ret)
{
	struct crk_rmem *m = p->mem;
	struct crk_rproc *owner = p->parent;
	size_t i;

	for (i = 0; i < m->nr_shares; i++) {
		*ret = &m->shares[i];
		if ((*ret)->owner->pid == pid)
			return 0;
	}
	while (owner && owner->pid != pid)
		owner = owner->parent;
	*ret = NULL;
	if (!owner || !owner->mem)
		return 0;
	*ret = array_add(m->shares, m->nr_shares, m->room_shares);
	if (!*ret)
		return crk_oom();
	(*ret)->owner = owner;
	return 0;
}

static int read_cow(struct crk_rst *r, struct crk_rproc *p, struct crk_rmem *m)
{
	ProtobufCMessage *msg;
	struct crk_rshare *s;
	struct crk_img *img;
	size_t i;
	int ret;

	if (!p->parent)
		return 0;
	ret = crk_img_open(r->dir, CRK_IMG_CRK_COW, p->pid, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) == 1) {
		const CrkCowEntry *e = (const CrkCowEntry *)msg;
		int err = share_of(p, e->owner, &s);

		if (!err && s)
			err = crk_ranges_append(&s->pages, e->vaddr, e->vaddr + e->nr_pages * PAGE_SIZE);
		protobuf_c_message_free_unpacked(msg, NULL);
		if (err) {
			ret = err;
			break;
		}
	}
	crk_img_close(img);
	for (i = 0; i < m->nr_shares; i++)
		crk_ranges_sort(&m->shares[i].pages);
	return ret < 0 ? ret : 0;
}

static int plan_proc(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_rmem *m = calloc(1, sizeof(*m));
	ProtobufCMessage *msg;
	int ret;

	if (!m)
		return crk_oom();
	p->mem = m;
	m->uffd = -1;
	ret = crk_img_read_one(r->dir, CRK_IMG_MM, p->pid, &msg);
	if (ret)
		return ret == -ENOENT ? crk_fail(ret, "mm-%d.img is missing", p->pid) : ret;
	m->mm = (MmEntry *)msg;
	ret = read_vmas(r, p, m);
	ret = ret ?: crk_runs_plan(r, p->pid, m);
	return ret ?: read_cow(r, p, m);
}

/* ---- restore: refusing ---- */

/* is the file at its path the one that was mapped?  Its kind and size are checked with the other files */
static int check_file(struct crk_rst *r, const struct crk_rproc *p, const struct crk_rvma *v)
{
	const FileEntry *fe = crk_rfile_entry(r, v->e->file_id);
	_cleanup_close_ int fd = -1;
	uint8_t build_id[32];
	struct stat st;
	size_t len;

	if (!fe)
		return crk_fail(-EBADMSG, "pid %d: file %u of mapping %llx is not in files.img", p->pid, v->e->file_id,
				(unsigned long long)v->start);
	if (!fe->reg || !v->e->has_size || v->e->flags & VMA_SHARED || v->e->pgoff)
		return 0;
	fd = open(fe->reg->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return 0;		/* the images have it, or opening it will fail */
	if (v->e->has_build_id) {
		len = crk_build_id(fd, build_id, sizeof(build_id));
		if (len == v->e->build_id.len && !memcmp(build_id, v->e->build_id.data, len))
			return 0;
		return crk_fail(-ESTALE, "pid %d (%s): '%s' is another build of the program now", p->pid, crk_rproc_comm(p),
				fe->reg->name);
	}
	if (!v->e->has_mtime_ns ||
	    v->e->mtime_ns == st.st_mtim.tv_sec * 1000000000ULL + st.st_mtim.tv_nsec)
		return 0;
	return crk_fail(-ESTALE, "pid %d (%s): '%s', which it has mapped, was written to after the dump", p->pid,
			crk_rproc_comm(p), fe->reg->name);
}

static bool guards_valid(const CrkVmaEntry *e)
{
	uint64_t last = e->start;
	size_t i;

	for (i = 0; i + 1 < e->n_guards; i += 2) {
		if (e->guards[i] < last || e->guards[i + 1] <= e->guards[i] || e->guards[i + 1] > e->end ||
		    e->guards[i] % PAGE_SIZE || e->guards[i + 1] % PAGE_SIZE)
			return false;
		last = e->guards[i + 1];
	}
	return e->n_guards % 2 == 0;
}

static int check_guards(const struct crk_rproc *p, const CrkVmaEntry *e)
{
	/* no bytes: does nothing, but tells whether it is there */
	if (!e->n_guards || !madvise(NULL, 0, MADV_GUARD_INSTALL))
		return 0;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s) mapping %llx-%llx: has guard pages (MADV_GUARD_INSTALL), which Linux has since 6.13",
			p->pid, crk_rproc_comm(p), (unsigned long long)e->start, (unsigned long long)e->end);
}

static int check_proc(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rmem *m = p->mem;
	uint64_t last = 0;
	size_t i;

	if (!crk_rfile_entry(r, m->mm->exe_file_id))
		return crk_fail(-EBADMSG, "pid %d: its executable is not in files.img", p->pid);
	for (i = 0; i < m->nr_vmas; i++) {
		const struct crk_rvma *v = &m->vmas[i];
		int err;

		if (v->start < last || v->end <= v->start || v->start % PAGE_SIZE || v->end % PAGE_SIZE ||
		    v->v->start != v->start || v->v->end != v->end || !guards_valid(v->e))
			return crk_fail(-EBADMSG, "pid %d: mapping %zu is wrong", p->pid, i);
		last = v->end;
		err = check_guards(p, v->e);
		if (!err && v->e->has_file_id)
			err = check_file(r, p, v);
		if (err)
			return err;
	}
	return 0;
}

int crk_mem_plan(struct crk_rst *r)
{
	size_t i;
	int err = 0;

	r->mem = calloc(1, sizeof(*r->mem));
	if (!r->mem)
		return crk_oom();
	r->mem->feed_from = r->mem->feed_to = -1;
	r->mem->lazy_in = -1;
	r->mem->lazy_out = -1;
	for (i = 0; i < r->nr_procs && !err; i++) {
		if (r->procs[i].zombie || r->procs[i].stand_in || r->procs[i].mm_of)
			continue;
		err = plan_proc(r, &r->procs[i]);
		if (!err)
			err = check_proc(r, &r->procs[i]);
	}
	err = err ?: crk_vdso_plan(r);
	err = err ?: crk_shmem_plan(r);
	err = err ?: crk_share_plan(r);
	return err ?: crk_lazy_plan(r);
}

/* ---- restore: opening ---- */

/* here, since a file that is opened in a process would be another one in the next */
static int open_files(struct crk_rst *r, const struct crk_rmem *m)
{
	size_t i;
	int fd, err = crk_rfile_get(r, m->mm->exe_file_id, &fd);

	for (i = 0; i < m->nr_vmas && !err; i++)
		if (m->vmas[i].e->has_file_id)
			err = crk_rfile_get(r, m->vmas[i].e->file_id, &fd);
	return err;
}

int crk_mem_open_all(struct crk_rst *r)
{
	size_t i;
	int err = crk_shmem_open_all(r);

	for (i = 0; i < r->nr_procs && !err; i++) {
		if (!r->procs[i].mem)
			continue;
		err = crk_runs_open(r, r->procs[i].mem);
		err = err ?: open_files(r, r->procs[i].mem);
	}
	return err ?: crk_lazy_open(r);
}

static void proc_free(struct crk_rmem *m)
{
	size_t i;

	if (!m)
		return;
	for (i = 0; i < m->nr_vmas; i++)
		protobuf_c_message_free_unpacked(&m->entries[i]->base, NULL);
	if (m->mm)
		protobuf_c_message_free_unpacked(&m->mm->base, NULL);
	crk_runs_free(m);
	free(m->entries);
	free(m->vmas);
	for (i = 0; i < m->nr_shares; i++)
		crk_ranges_free(&m->shares[i].pages);
	free(m->shares);
	free(m->areas);
	crk_ranges_free(&m->lazy);
	if (m->uffd >= 0)
		close(m->uffd);
	crk_ranges_free(&m->give);
	crk_ranges_free(&m->kept);
	crk_ranges_free(&m->inherit);
	crk_vdso_use_free(m->vdso);
	free(m);
}

void crk_mem_free(struct crk_rst *r)
{
	size_t i;

	if (!r->mem)
		return;
	for (i = 0; i < r->nr_procs; i++) {
		proc_free(r->procs[i].mem);
		r->procs[i].mem = NULL;
	}
	for (i = 0; i < r->mem->nr_shms; i++) {
		if (r->mem->shms[i].fd >= 0)
			close(r->mem->shms[i].fd);
		if (r->mem->shms[i].attached)
			shmdt(r->mem->shms[i].attached);
	}
	crk_feeders_stop(r);
	if (r->mem->feed_from >= 0)
		close(r->mem->feed_from);
	if (r->mem->feed_to >= 0)
		close(r->mem->feed_to);
	for (i = 0; i < r->mem->nr_areas; i++)
		free(r->mem->areas[i]);
	free(r->mem->areas);
	crk_vdso_free(r);
	crk_lazy_close(r);
	free(r->mem->shms);
	free(r->mem);
	r->mem = NULL;
}
