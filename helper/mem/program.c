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

/* the vDSO and its data are one record: [vvar…] and [vdso] follow each other */
static int add_vdso(struct ops *o, const struct crk_rmem *m, size_t *i)
{
	const struct crk_rvma *first = &m->vmas[*i], *last = first;

	while (*i + 1 < m->nr_vmas && m->vmas[*i + 1].e->flags & CRK_VMA_SPECIAL &&
	       m->vmas[*i + 1].start == last->end)
		last = &m->vmas[++*i];
	return op_add(o, CRK_OP_VDSO, first->start, last->end - first->start) ? 0 : -ENOMEM;
}

/* a mapping that was writable once counts for overcommit; so must the new one, or neighbours don't merge as before */
static int map_prot(const struct crk_rvma *v)
{
	bool counted = v->e->flags & CRK_VMA_ACCOUNT && !(v->e->flags & CRK_VMA_SHARED);

	return counted ? v->prot | PROT_WRITE : v->prot;
}

static uint32_t map_flags(const struct crk_rvma *v)
{
	uint64_t f = v->e->flags;

	return (f & CRK_VMA_SHARED ? CRK_MAP_SHARED : 0) | (f & CRK_VMA_GROWSDOWN ? CRK_MAP_GROWSDOWN : 0) |
	       (f & CRK_VMA_NORESERVE ? CRK_MAP_NORESERVE : 0) | (f & CRK_VMA_DROPPABLE ? CRK_MAP_DROPPABLE : 0);
}

static int add_map(struct crk_rst *r, const struct crk_rproc *p, struct ops *o, const struct crk_rvma *v)
{
	const struct crk_rshm *s = v->e->has_shmem_id ?
		crk_shmem_find(r, v->e->shmem_id, v->e->flags & CRK_VMA_SYSV_SHM) : NULL;
	struct crk_op *op;
	int err;

	if (v->staged) {
		op = op_add(o, CRK_OP_MOVE, v->start, v->end - v->start);
		if (op)
			op->arg = crk_stage_of(v->start);
		return op ? 0 : -ENOMEM;
	}
	if (s && s->sysv) {
		if (v->e->pgoff)
			return crk_fail(-EOPNOTSUPP, "pid %d: part of SysV shared memory %u: not supported", p->pid, s->id);
		op = op_add(o, CRK_OP_SHMAT, v->start, v->end - v->start);
		if (!op)
			return -ENOMEM;
		op->arg = s->id;
		op->prot = v->prot | PROT_READ;
		return 0;
	}
	op = op_add(o, CRK_OP_MAP, v->start, v->end - v->start);
	if (!op)
		return -ENOMEM;
	op->prot = map_prot(v);
	op->flags = map_flags(v);
	if (s) {
		op->fd = s->fd;
		op->off = v->e->pgoff;
	} else if (v->e->has_file_id) {
		err = crk_rfile_get(r, v->e->file_id, &op->fd);
		if (err)
			return err;
		op->off = v->e->pgoff;
	} else {
		op->flags |= CRK_MAP_ANON;
		if (v->e->flags & CRK_VMA_HUGETLB) {
			op->flags |= CRK_MAP_HUGETLB;
			op->page_shift = v->e->page_shift;
		}
	}
	return 0;
}

/* the pages of @v; @next is the first run that may be in it */
static int add_fills(const struct crk_rproc *p, struct ops *o, const struct crk_rvma *v, size_t *next)
{
	const struct crk_rmem *m = p->mem;
	size_t map = o->nr - 1;
	uint64_t filled = 0;
	struct crk_op *op;

	while (*next < m->nr_runs && m->runs[*next].addr < v->end) {
		const struct crk_rrun *run = &m->runs[*next];
		uint64_t run_end = run->addr + run->nr * PAGE_SIZE;
		uint64_t start = max(run->addr, v->start), end = min(run_end, v->end);

		if (start < end && !v->staged) {
			op = op_add(o, CRK_OP_FILL, start, end - start);
			if (!op)
				return -ENOMEM;
			op->fd = m->pages_fd;
			op->off = run->off + (start - run->addr);
			filled += end - start;
		}
		if (run_end > v->end)
			break;
		++*next;
	}
	if (filled == v->end - v->start && crk_vma_is_anon(v) && v->prot & PROT_WRITE && filled >= 16 * PAGE_SIZE)
		o->ops[map].flags |= CRK_MAP_POPULATE;
	return 0;
}

static int add_prot(struct ops *o, const struct crk_rvma *v)
{
	int made = v->staged ? PROT_READ | PROT_WRITE : map_prot(v);
	struct crk_op *op;

	if (v->e->flags & CRK_VMA_SYSV_SHM)
		made = v->prot | PROT_READ;
	if (made == v->prot)
		return 0;
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

static int add_flags(struct ops *o, const struct crk_rvma *v)
{
	int advice, err = 0;

	for (advice = 0; advice < 64 && !err; advice++)
		if (v->v->madv >> advice & 1)
			err = add_arg(o, CRK_OP_ADVISE, v, advice);
	if (!err && v->e->flags & CRK_VMA_NAMED && v->e->name)
		err = add_arg(o, CRK_OP_NAME, v, (uintptr_t)v->e->name);
	if (!err && v->e->flags & (CRK_VMA_LOCKED | CRK_VMA_LOCKONFAULT))
		err = add_arg(o, CRK_OP_LOCK, v, !!(v->e->flags & CRK_VMA_LOCKONFAULT));
	if (!err && v->e->flags & CRK_VMA_SEALED)
		err = op_add(o, CRK_OP_SEAL, v->start, v->end - v->start) ? 0 : -ENOMEM;
	return err;
}

static int add_exe(struct crk_rst *r, const struct crk_rproc *p, struct ops *o)
{
	struct crk_op *op = op_add(o, CRK_OP_EXE, 0, 0);

	return op ? crk_rfile_get(r, p->mem->mm->exe_file_id, &op->fd) : -ENOMEM;
}

static int add_lock_future(const struct crk_rproc *p, struct ops *o)
{
	const struct crk_rec_mm *mm = crk_rec_find(p->threads[0].recs, p->threads[0].recs_len, CRK_REC_MM, NULL);
	struct crk_op *op;

	if (!mm)
		return crk_fail(-EBADMSG, "pid %d: crk-core image without address space", p->pid);
	if (!(mm->flags & CRK_MM_LOCK_FUTURE))
		return 0;
	op = op_add(o, CRK_OP_MLOCKALL, 0, 0);
	if (op)
		op->arg = !!(mm->flags & CRK_MM_LOCK_ONFAULT);
	return op ? 0 : -ENOMEM;
}

static int build(struct crk_rst *r, struct crk_rproc *p, struct ops *o)
{
	const struct crk_rmem *m = p->mem;
	size_t i, next = 0;
	int err = 0;

	for (i = 0; i < m->nr_vmas && !err; i++) {
		if (m->vmas[i].e->flags & CRK_VMA_SPECIAL) {
			err = add_vdso(o, m, &i);
			continue;
		}
		err = add_map(r, p, o, &m->vmas[i]);
		err = err ?: add_fills(p, o, &m->vmas[i], &next);
		err = err ?: add_prot(o, &m->vmas[i]);
		err = err ?: add_flags(o, &m->vmas[i]);
	}
	err = err ?: add_exe(r, p, o);
	return err ?: add_lock_future(p, o);
}

int crk_mem_run(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_program cmd = { .size = sizeof(cmd) };
	struct ops o = {};
	int err = build(r, p, &o);

	if (err)
		return err;
	cmd.ops_uptr = (uintptr_t)o.ops;
	cmd.nr_ops = o.nr;
	cmd.op_size = sizeof(struct crk_op);
	cmd.nr_threads = p->nr_threads;
	cmd.close_from = p->files_of ? ~0U : (uint32_t)r->fd_base;
	cmd.recs_uptr = (uintptr_t)p->threads[0].recs;
	cmd.recs_len = p->threads[0].recs_len;
	return crk_dev_program(r->dev, &cmd);
}
