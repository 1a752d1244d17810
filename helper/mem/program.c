// SPDX-License-Identifier: GPL-2.0
/*
 * The memory program of a process: its mappings, in order of address, as records for the module.  A mapping comes with
 * its pages before the next one is made; flags and protections follow, since they may forbid what comes before.
 */
#include <errno.h>
#include <string.h>

#include "../restore.h"
#include "mem.h"

struct ops {
	struct crk_op *ops;
	size_t nr, room;
	struct crk_feed feed;		/* what of the fills is compressed */
};

static struct crk_op *op_add(struct ops *o, uint32_t op, uint64_t addr, uint64_t len)
{
	struct crk_op *ret = array_add(o->ops, o->nr, o->room);

	if (!ret) {
		crk_oom();
		return NULL;
	}
	ret->op = op;
	ret->addr = addr;
	ret->len = len;
	ret->fd = -1;
	return ret;
}

static int add_vdso_op(struct ops *o, const struct crk_vdso_use *u, uint64_t addr, uint64_t len)
{
	struct crk_op *op = op_add(o, CRK_OP_VDSO, addr, len);

	if (!op)
		return -ENOMEM;
	op->arg = u->vdso->e->kind;
	op->off = u->new_trampolines;
	return 0;
}

/* [@addr, @addr + @len) becomes memory that holds what is at @off of @fd */
static int add_memory(struct ops *o, uint64_t addr, uint64_t len, int prot, int fd, uint64_t off)
{
	struct crk_op *op = len ? op_add(o, CRK_OP_MAP, addr, len) : NULL;

	if (!op)
		return len ? -ENOMEM : 0;
	op->flags = CRK_MAP_ANON;
	op->prot = prot;
	op = op_add(o, CRK_OP_FILL, addr, len);
	if (!op)
		return -ENOMEM;
	op->fd = fd;
	op->off = off;
	return 0;
}

/* those of another boot, to which frames on stacks lead, stay where they were */
static int add_trampolines(struct ops *o, const struct crk_vdso_use *u, int fd)
{
	if (u->new_trampolines == u->trampolines)
		return 0;
	return add_memory(o, u->trampolines, u->vdso->e->trampolines.len, PROT_READ | PROT_EXEC, fd, 0);
}

/* a vDSO of another kernel: this kernel's comes first, since the kernel takes its place as a hint */
static int add_foreign_vdso(struct ops *o, const struct crk_vdso_use *u, int fd)
{
	uint64_t data_len = u->data_len, len = u->vdso->e->text.len, off = u->vdso->e->trampolines.len;
	int err;

	err = add_vdso_op(o, u, u->new_addr, u->vdso->data_len + u->vdso->text_len);
	err = err ?: add_memory(o, u->addr, data_len, PROT_READ, fd, off);
	err = err ?: add_memory(o, u->addr + data_len, len, PROT_READ | PROT_EXEC, fd, off + data_len);
	if (err || !u->copy)
		return err;
	err = add_memory(o, u->copy_addr, data_len, PROT_READ, fd, off);
	return err ?: add_memory(o, u->copy_addr + data_len, len, PROT_READ | PROT_EXEC, fd, off + data_len + len);
}

/* the vDSO, its data and the signal trampolines are made at once, when the first of them comes */
static int add_vdso(struct crk_rst *r, const struct crk_rproc *p, struct ops *o)
{
	const struct crk_vdso_use *u = p->mem->vdso;
	int fd = -1, err = 0;

	if (u->foreign || u->new_trampolines != u->trampolines)
		err = crk_vdso_file(r, p, &fd);
	if (err)
		return err;
	if (u->foreign)
		err = add_foreign_vdso(o, u, fd);
	else
		err = add_vdso_op(o, u, u->addr, u->data_len + u->vdso->e->text.len);
	return err ?: add_trampolines(o, u, fd);
}

/* a mapping that was writable once counts for overcommit; so must the new one, or neighbours don't merge as before */
static int map_prot(const struct crk_rvma *v)
{
	bool counted = v->e->flags & CRK_VMA_ACCOUNT && !(v->e->flags & VMA_SHARED);

	return counted ? v->prot | PROT_WRITE : v->prot;
}

/* that of the attachment; all mappings of it are alike in what they may become */
static int segment_prot(const struct crk_rvma *v)
{
	return PROT_READ | (v->e->flags & CRK_VMA_MAYWRITE ? PROT_WRITE : 0);
}

static uint32_t map_flags(const struct crk_rvma *v)
{
	uint64_t f = v->e->flags;

	return (f & VMA_SHARED ? CRK_MAP_SHARED : 0) | (f & CRK_VMA_GROWSDOWN ? CRK_MAP_GROWSDOWN : 0) |
	       (f & CRK_VMA_NORESERVE ? CRK_MAP_NORESERVE : 0) | (f & CRK_VMA_DROPPABLE ? CRK_MAP_DROPPABLE : 0);
}

/* does @v take pages from areas, or does it come from one for other reasons? */
static bool is_staged(const struct crk_rmem *m, const struct crk_rvma *v)
{
	return m->nr_areas && crk_area_of(m, v, v->start) &&
	       (v->apart || crk_ranges_touch(&m->kept, v->start, v->end) ||
		crk_ranges_touch(&m->give, v->start, v->end));
}

/* the whole segment by its first mapping; parts with other protections follow */
static int add_segment(struct ops *o, const struct crk_rvma *v, const struct crk_rshm *s)
{
	uint64_t page = v->e->flags & CRK_VMA_HUGETLB ? 1ULL << v->e->page_shift : PAGE_SIZE;
	struct crk_op *op;

	if (v->e->pgoff)
		return 0;
	op = op_add(o, CRK_OP_SHMAT, v->start, align_up(s->size, page));
	if (!op)
		return -ENOMEM;
	op->arg = s->id;
	op->prot = segment_prot(v);
	return 0;
}

/* [start, end) of @v */
static int add_piece(struct crk_rst *r, struct ops *o, const struct crk_rvma *v, const struct crk_rshm *s,
		     uint64_t start, uint64_t end)
{
	struct crk_op *op = op_add(o, CRK_OP_MAP, start, end - start);

	if (!op)
		return -ENOMEM;
	op->prot = map_prot(v);
	op->flags = map_flags(v);
	if (s || v->e->has_file_id) {
		op->off = v->e->pgoff + (start - v->start);
		if (s) {
			op->fd = s->fd;
			return 0;
		}
		return crk_rfile_get(r, v->e->file_id, &op->fd);
	}
	op->flags |= CRK_MAP_ANON;
	if (v->e->flags & CRK_VMA_HUGETLB) {
		op->flags |= CRK_MAP_HUGETLB;
		op->page_shift = v->e->page_shift;
	}
	return 0;
}

static int add_map(struct crk_rst *r, const struct crk_rproc *p, struct ops *o, const struct crk_rvma *v)
{
	const struct crk_rshm *s = v->e->has_shmem_id ?
		crk_shmem_find(r, v->e->shmem_id, v->e->flags & CRK_VMA_SYSV_SHM) : NULL;
	uint64_t at = v->start, up_to;
	struct crk_op *op;
	int err = 0;

	if (s && s->sysv)
		return add_segment(o, v, s);
	if (!is_staged(p->mem, v))
		return add_piece(r, o, v, s, v->start, v->end);
	for (; at < v->end && !err; at = up_to) {
		const struct crk_area *a = crk_area_of(p->mem, v, at);

		if (!a || a->start > at) {
			up_to = a ? a->start : v->end;
			err = add_piece(r, o, v, NULL, at, up_to);
			continue;
		}
		up_to = min(a->end, v->end);
		op = op_add(o, CRK_OP_MOVE, at, up_to - at);
		if (!op)
			return -ENOMEM;
		op->arg = a->at + (at - a->start);
	}
	return err;
}

/* [@addr, @addr + @len) from @run; NULL: from nowhere, since nothing of it stays */
static int add_fill_op(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rrun *run,
		       uint64_t addr, uint64_t len)
{
	struct crk_op *op = op_add(o, CRK_OP_FILL, addr, len);
	struct crk_pages *pages;
	uint64_t off;
	int err;

	if (!op)
		return -ENOMEM;
	pages = crk_rrun_pages(m, run ?: m->runs, run ? addr : m->runs->addr, &off);
	op->fd = crk_pages_fd(pages);
	if (op->fd >= 0) {
		op->off = off;
		return 0;
	}
	err = run ? crk_feed_add(r, &o->feed, run->source, off, len) : crk_feed_add_zeros(r, &o->feed, len);
	op->fd = o->feed.fd;
	return err;
}

/* [start, end) from the images; @run: the first run that may be in it */
static int add_fill(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, uint64_t start, uint64_t end, size_t run)
{
	int err = 0;

	for (; run < m->nr_runs && m->runs[run].addr < end && !err; run++) {
		uint64_t from = max(m->runs[run].addr, start);
		uint64_t to = min(m->runs[run].addr + m->runs[run].nr * PAGE_SIZE, end);

		if (from < to)
			err = add_fill_op(r, m, o, &m->runs[run], from, to - from);
	}
	return err;
}

/* pages that came with the areas and are not the process's go; those that did not come are read */
static int add_differences(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rvma *v)
{
	struct crk_span span = { v->start, v->end };
	const struct crk_ranges all = { &span, 1, 1 };
	struct crk_ranges fill = {}, drop = {};
	size_t i;
	int err = 0;

	for (i = crk_rrun_from(m, v->start); i < m->nr_runs && m->runs[i].addr < v->end && !err; i++)
		err = crk_ranges_append(&fill, m->runs[i].addr, m->runs[i].addr + m->runs[i].nr * PAGE_SIZE);
	err = err ?: crk_ranges_and(&fill, &all);
	err = err ?: crk_ranges_add(&drop, &m->inherit);
	err = err ?: crk_ranges_and(&drop, &all);
	err = err ?: crk_ranges_sub(&drop, &fill);
	err = err ?: crk_ranges_sub(&fill, &m->kept);
	err = err ?: crk_ranges_sub(&fill, &m->give);
	for (i = 0; i < drop.nr && !err; i++) {
		struct crk_op *op = op_add(o, CRK_OP_ADVISE, drop.spans[i].start,
					   drop.spans[i].end - drop.spans[i].start);

		err = op ? 0 : -ENOMEM;
		if (op)
			op->arg = MADV_DONTNEED;
	}
	for (i = 0; i < fill.nr && !err; i++)
		err = add_fill(r, m, o, fill.spans[i].start, fill.spans[i].end, crk_rrun_from(m, fill.spans[i].start));
	crk_ranges_free(&fill);
	crk_ranges_free(&drop);
	return err;
}

/* the rest comes when the process runs */
static int add_all_but_lazy(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rvma *v)
{
	uint64_t at = v->start;
	size_t i = crk_ranges_from(&m->lazy, v->start);
	int err = 0;

	for (; at < v->end && !err; i++) {
		uint64_t up_to = i < m->lazy.nr ? min(m->lazy.spans[i].start, v->end) : v->end;

		if (at < up_to)
			err = add_fill(r, m, o, at, up_to, crk_rrun_from(m, at));
		at = i < m->lazy.nr ? m->lazy.spans[i].end : v->end;
	}
	return err;
}

/* all of [start, end); @run: the first that may be in it */
static bool has_all(const struct crk_rmem *m, uint64_t start, uint64_t end, size_t run)
{
	for (; run < m->nr_runs && m->runs[run].addr <= start && start < end; run++)
		start = m->runs[run].addr + m->runs[run].nr * PAGE_SIZE;
	return start >= end;
}

/* the pages of @v, whose mapping is the last record */
static int add_fills(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rvma *v)
{
	size_t first = crk_rrun_from(m, v->start), map = o->nr - 1;

	if (is_staged(m, v))
		return add_differences(r, m, o, v);
	if (crk_ranges_touch(&m->lazy, v->start, v->end))
		return add_all_but_lazy(r, m, o, v);
	/* one fault for all is cheaper than one for each page */
	if (crk_vma_is_anon(v) && v->prot & PROT_WRITE && v->end - v->start >= 16 * PAGE_SIZE &&
	    has_all(m, v->start, v->end, first))
		o->ops[map].flags |= CRK_MAP_POPULATE;
	return add_fill(r, m, o, v->start, v->end, first);
}

/*
 * Memory that was written once but has no pages any more: mprotect() of newer kernels (seen on 7.2) forgets that private memory is
 * counted if it never had a page.  A page comes and goes.
 */
static int add_history(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rvma *v)
{
	size_t first = crk_rrun_from(m, v->start);
	struct crk_op *op;

	if (!crk_vma_is_anon(v) || !(v->e->flags & CRK_VMA_ANON_VMA) || !m->nr_runs ||
	    (first < m->nr_runs && m->runs[first].addr < v->end))
		return 0;
	if (add_fill_op(r, m, o, NULL, v->start, PAGE_SIZE))
		return -ENOMEM;
	op = op_add(o, CRK_OP_ADVISE, v->start, PAGE_SIZE);
	if (op)
		op->arg = MADV_DONTNEED;
	return op ? 0 : -ENOMEM;
}

static int add_prot(struct crk_rst *r, const struct crk_rmem *m, struct ops *o, const struct crk_rvma *v)
{
	int made = is_staged(m, v) ? PROT_READ | PROT_WRITE : map_prot(v);
	struct crk_op *op;

	if (v->e->flags & CRK_VMA_SYSV_SHM)
		made = segment_prot(v);
	if (made == v->prot)
		return 0;
	if (!is_staged(m, v) && add_history(r, m, o, v))
		return -ENOMEM;
	op = op_add(o, CRK_OP_PROTECT, v->start, v->end - v->start);
	if (op)
		op->prot = v->prot;
	return op ? 0 : -ENOMEM;
}

static int add_arg(struct ops *o, uint32_t code, const struct crk_rvma *v, uint64_t arg)
{
	struct crk_op *op = op_add(o, code, v->start, v->end - v->start);

	if (op)
		op->arg = arg;
	return op ? 0 : -ENOMEM;
}

/* where all are mergeable from the start, one that is not was made so */
static bool is_unmergeable(const struct crk_rproc *p, const struct crk_rvma *v)
{
	return p->task && p->task->memory_merge && !(v->e->flags & (CRK_VMA_MERGEABLE | VMA_SHARED));
}

/* in pieces: pages behind one that can't be brought in would not be */
static int add_locks(struct ops *o, const struct crk_rvma *v)
{
	uint64_t at = v->start;
	size_t i;

	for (i = 0; i <= v->e->n_guards && at < v->end; i++) {
		uint64_t end = i < v->e->n_guards ? v->e->guards[i] : v->end;
		struct crk_op *op = end > at ? op_add(o, CRK_OP_LOCK, at, end - at) : NULL;

		if (end > at && !op)
			return -ENOMEM;
		if (op)
			op->arg = !!(v->e->flags & CRK_VMA_LOCKONFAULT);
		at = end;
	}
	return 0;
}

/* while it is not yet locked or sealed; whatever is there goes away */
static int add_guards(struct ops *o, const struct crk_rvma *v)
{
	size_t i;

	for (i = 0; i + 1 < v->e->n_guards; i += 2) {
		struct crk_op *op = op_add(o, CRK_OP_ADVISE, v->e->guards[i], v->e->guards[i + 1] - v->e->guards[i]);

		if (!op)
			return -ENOMEM;
		op->arg = MADV_GUARD_INSTALL;
	}
	return 0;
}

static int add_flags(const struct crk_rproc *p, struct ops *o, const struct crk_rvma *v)
{
	int advice, err = 0;

	for (advice = 0; advice < 64 && !err; advice++)
		if (v->v->madv >> advice & 1)
			err = add_arg(o, CRK_OP_ADVISE, v, advice);
	if (!err && is_unmergeable(p, v))
		err = add_arg(o, CRK_OP_ADVISE, v, MADV_UNMERGEABLE);
	if (!err && v->e->flags & CRK_VMA_NAMED && v->e->name)
		err = add_arg(o, CRK_OP_NAME, v, (uintptr_t)v->e->name);
	err = err ?: add_guards(o, v);
	if (!err && v->e->flags & (CRK_VMA_LOCKED | CRK_VMA_LOCKONFAULT))
		err = add_locks(o, v);
	if (!err && v->e->flags & CRK_VMA_SEALED)
		err = op_add(o, CRK_OP_SEAL, v->start, v->end - v->start) ? 0 : -ENOMEM;
	return err;
}

static int add_exe(struct crk_rst *r, const struct crk_rproc *p, struct ops *o)
{
	struct crk_op *op = op_add(o, CRK_OP_EXE, 0, 0);

	return op ? crk_rfile_get(r, p->mem->mm->exe_file_id, &op->fd) : -ENOMEM;
}

static int add_lock_future(const struct crk_rec_mm *mm, struct ops *o)
{
	struct crk_op *op;

	if (!(mm->flags & CRK_MM_LOCK_FUTURE))
		return 0;
	op = op_add(o, CRK_OP_MLOCKALL, 0, 0);
	if (op)
		op->arg = !!(mm->flags & CRK_MM_LOCK_ONFAULT);
	return op ? 0 : -ENOMEM;
}

static int build(struct crk_rst *r, struct crk_rproc *p, struct ops *o)
{
	const struct crk_rec_mm *mm = crk_rec_find(p->threads[0].recs, p->threads[0].recs_len, CRK_REC_MM, NULL);
	const struct crk_rmem *m = p->mem;
	bool has_vdso = false;
	size_t i;
	int err = 0;

	if (!mm)
		return crk_fail(-EBADMSG, "pid %d: crk-core image without address space", p->pid);
	for (i = 0; i < m->nr_vmas && !err; i++) {
		if (m->vmas[i].e->flags & CRK_VMA_SPECIAL) {
			if (!has_vdso)
				err = add_vdso(r, p, o);
			has_vdso = true;
			continue;
		}
		err = add_map(r, p, o, &m->vmas[i]);
		err = err ?: add_fills(r, m, o, &m->vmas[i]);
		err = err ?: add_prot(r, m, o, &m->vmas[i]);
		err = err ?: add_flags(p, o, &m->vmas[i]);
	}
	err = err ?: add_exe(r, p, o);
	return err ?: add_lock_future(mm, o);
}

/*
 * The memory is another's, who waits to go on in it: from the word on that it may, nothing but our own stack is ours.
 */
static int run_shared(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_program cmd = {
		.size = sizeof(cmd),
		.flags = CRK_PROGRAM_SHARED,
		.op_size = sizeof(struct crk_op),
		.nr_threads = p->nr_threads,
		.close_from = p->files_of ? ~0U : (uint32_t)r->fd_base,
		.recs_uptr = (uintptr_t)p->threads[0].recs,
		.recs_len = p->threads[0].recs_len,
	};

	crk_sync_wake(&p->parking);
	return crk_dev_program(r->dev, &cmd);
}

int crk_mem_run(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_program cmd = { .size = sizeof(cmd) };
	struct ops o = {};
	size_t i;
	int err;

	if (p->mm_of)
		return run_shared(r, p);
	err = build(r, p, &o);
	err = err ?: crk_feed_begin(r, p, &o.feed);
	if (err)
		return err;
	for (i = 0; i < r->nr_procs; i++)
		cmd.nr_sharers += r->procs[i].mm_of == p;
	cmd.ops_uptr = (uintptr_t)o.ops;
	cmd.nr_ops = o.nr;
	cmd.op_size = sizeof(struct crk_op);
	cmd.nr_threads = p->nr_threads;
	cmd.close_from = p->files_of ? ~0U : (uint32_t)r->fd_base;
	cmd.recs_uptr = (uintptr_t)p->threads[0].recs;
	cmd.recs_len = p->threads[0].recs_len;
	return crk_dev_program(r->dev, &cmd);
}
