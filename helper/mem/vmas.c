// SPDX-License-Identifier: GPL-2.0
/*
 * Dump of mappings: what they are into mm-PID.img as CRIU names it, and what CRIU has no place for into
 * crk-vma-PID.img.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mem.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE		0x08
#endif

int crk_vma_open(const struct crk_dproc *p, const struct crk_vma *v, char **link_ret, int *ret)
{
	_cleanup_free_ char *link = NULL;
	char path[80];
	int err;

	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)v->start, (unsigned long long)v->end);
	err = read_link_at(p->procfd, path, &link);
	if (err)
		return crk_err(err, "pid %d (%s): %s", p->pid, (const char *)p->leader->comm, path);
	*ret = openat(p->procfd, path, O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return crk_err(-errno, "pid %d (%s): mapping of '%s'", p->pid, (const char *)p->leader->comm, link);
	if (link_ret)
		*link_ret = steal_ptr(&link);
	return 0;
}

static const struct crk_dmapped *find_mapped(const struct crk_dump_mem *m, const struct crk_vma *v)
{
	size_t i;

	for (i = 0; i < m->nr_files; i++)
		if (m->files[i].inode_id == v->inode_id && m->files[i].flags == (v->file_flags & O_ACCMODE))
			return &m->files[i];
	return NULL;
}

/* a mapped file that was not seen with this inode and access mode */
static int add_mapped(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, int fd, const char *link,
		      const struct crk_dmapped **ret)
{
	uint32_t flags = v->file_flags & O_ACCMODE;
	struct crk_dump_mem *m = d->mem;
	struct crk_dmapped *f;

	f = array_add(m->files, m->nr_files, m->room_files);
	if (!f)
		return crk_oom();
	*ret = f;
	f->inode_id = v->inode_id;
	f->flags = flags;
	if (fstat(fd, &f->st))
		return crk_err(-errno, "pid %d (%s): '%s'", p->pid, (const char *)p->leader->comm, link);
	if (S_ISREG(f->st.st_mode) && !(v->flags & VMA_SHARED))
		f->build_id_len = crk_build_id(fd, f->build_id, sizeof(f->build_id));
	return crk_files_dump_path(d, p, fd, link, flags, &f->id);
}

static uint32_t vma_prot(const struct crk_vma *v)
{
	return (v->flags & CRK_VMA_READ ? PROT_READ : 0) | (v->flags & CRK_VMA_WRITE ? PROT_WRITE : 0) |
	       (v->flags & CRK_VMA_EXEC ? PROT_EXEC : 0);
}

static uint64_t vma_madv(const struct crk_vma *v)
{
	static const struct {
		uint64_t flag;
		int advice;
	} rows[] = {
		{ CRK_VMA_RAND_READ,	MADV_RANDOM },
		{ CRK_VMA_SEQ_READ,	MADV_SEQUENTIAL },
		{ CRK_VMA_DONTCOPY,	MADV_DONTFORK },
		{ CRK_VMA_MERGEABLE,	MADV_MERGEABLE },
		{ CRK_VMA_HUGEPAGE,	MADV_HUGEPAGE },
		{ CRK_VMA_NOHUGEPAGE,	MADV_NOHUGEPAGE },
		{ CRK_VMA_DONTDUMP,	MADV_DONTDUMP },
		{ CRK_VMA_WIPEONFORK,	MADV_WIPEONFORK },
	};
	uint64_t madv = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (v->flags & rows[i].flag)
			madv |= 1ULL << rows[i].advice;
	return madv;
}

static uint32_t vma_map_flags(const struct crk_vma *v)
{
	return (v->flags & VMA_SHARED ? MAP_SHARED : MAP_PRIVATE) |
	       (v->flags & CRK_VMA_GROWSDOWN ? MAP_GROWSDOWN : 0) |
	       (v->flags & CRK_VMA_NORESERVE ? MAP_NORESERVE : 0) |
	       (v->flags & CRK_VMA_LOCKED ? MAP_LOCKED : 0) |
	       (v->flags & CRK_VMA_HUGETLB ? MAP_HUGETLB | v->page_shift << MAP_HUGE_SHIFT : 0);
}

/* memory that looks like a file but has no name of its own: shared anonymous memory, anonymous huge pages */
static bool is_nameless(const char *link)
{
	return !strcmp(link, "/dev/zero (deleted)") || !strcmp(link, "/anon_hugepage (deleted)");
}

static void dump_file(const struct crk_dmapped *f, const struct crk_vma *v, VmaEntry *e, CrkVmaEntry *c)
{
	e->status |= v->flags & VMA_SHARED ? VMA_FILE_SHARED : VMA_FILE_PRIVATE;
	e->shmid = f->id;
	e->has_fdflags = 1;
	e->fdflags = v->file_flags;
	c->has_file_id = 1;
	c->file_id = f->id;
	/* of a deleted file the images have the contents */
	if (!S_ISREG(f->st.st_mode) || !f->st.st_nlink)
		return;
	if (f->build_id_len) {
		c->has_build_id = 1;
		c->build_id.data = (uint8_t *)f->build_id;
		c->build_id.len = f->build_id_len;
	}
	c->has_size = 1;
	c->size = f->st.st_size;
	c->has_mtime_ns = 1;
	c->mtime_ns = f->st.st_mtim.tv_sec * 1000000000ULL + f->st.st_mtim.tv_nsec;
}

/* a restore attaches whole segments */
static int refuse_part(const struct crk_dproc *p, const struct crk_vma *v, uint64_t size)
{
	const struct crk_vma *first = p->vmas, *end = p->vmas + p->nr_vmas;
	bool begins, ends;

	size = align_up(size, 1ULL << v->page_shift);
	begins = !v->pgoff || (v > first && v[-1].inode_id == v->inode_id && v[-1].end == v->start &&
			       v[-1].pgoff + (v[-1].end - v[-1].start) == v->pgoff);
	ends = v->pgoff + (v->end - v->start) == size ||
	       (v + 1 < end && v[1].inode_id == v->inode_id && v[1].start == v->end &&
		v[1].pgoff == v->pgoff + (v->end - v->start));
	if (begins && ends)
		return 0;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s) mapping %llx-%llx: a part of SysV shared memory %llu, the rest is unmapped: not supported",
			p->pid, (const char *)p->leader->comm, (unsigned long long)v->start,
			(unsigned long long)v->end, (unsigned long long)v->ino);
}

static int dump_shared(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, int fd, VmaEntry *e,
		       CrkVmaEntry *c)
{
	uint32_t id;
	int err = crk_shmem_dump(d, p, v, fd, &id);
	struct stat st;

	if (err)
		return err;
	if (fstat(fd, &st))
		return crk_err(-errno, "pid %d: shared memory %u", p->pid, id);
	if (v->flags & CRK_VMA_SYSV_SHM) {
		err = refuse_part(p, v, st.st_size);
		if (err)
			return err;
	}
	e->status |= v->flags & CRK_VMA_SYSV_SHM ? VMA_AREA_SYSVIPC : VMA_ANON_SHARED;
	e->flags |= MAP_ANONYMOUS;
	e->shmid = id;
	c->has_shmem_id = 1;
	c->shmem_id = id;
	c->has_shmem_size = 1;
	c->shmem_size = st.st_size;
	return 0;
}

static int dump_backed(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, VmaEntry *e, CrkVmaEntry *c)
{
	_cleanup_free_ char *link = NULL;
	_cleanup_close_ int fd = -1;
	const struct crk_dmapped *f = v->flags & CRK_VMA_SYSV_SHM ? NULL : find_mapped(d->mem, v);
	int err;

	if (f) {
		dump_file(f, v, e, c);
		return 0;
	}
	err = crk_vma_open(p, v, &link, &fd);
	if (err)
		return err;
	if (v->flags & CRK_VMA_SYSV_SHM)
		return dump_shared(d, p, v, fd, e, c);
	if (!is_nameless(link)) {
		err = add_mapped(d, p, v, fd, link, &f);
		if (!err)
			dump_file(f, v, e, c);
		return err;
	}
	if (v->flags & VMA_SHARED)
		return dump_shared(d, p, v, fd, e, c);
	if (!(v->flags & CRK_VMA_HUGETLB))
		return crk_fail(-EOPNOTSUPP, "pid %d (%s) mapping %llx-%llx: private mapping of shared anonymous memory: not supported",
				p->pid, (const char *)p->leader->comm, (unsigned long long)v->start,
				(unsigned long long)v->end);
	e->status |= VMA_ANON_PRIVATE;
	e->flags |= MAP_ANONYMOUS;
	return 0;
}

static int dump_one(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, VmaEntry *e, CrkVmaEntry *c)
{
	e->start = c->start = v->start;
	e->end = c->end = v->end;
	e->pgoff = v->pgoff;
	e->prot = vma_prot(v);
	e->flags = vma_map_flags(v);
	e->status = VMA_AREA_REGULAR;
	e->fd = -1;
	e->has_madv = 1;
	e->madv = vma_madv(v);
	c->flags = v->flags;
	c->has_pgoff = 1;
	c->pgoff = v->pgoff;
	c->has_page_shift = 1;
	c->page_shift = v->page_shift;
	c->has_ino = c->has_dev = v->inode_id != 0;
	c->ino = v->ino;
	c->dev = v->dev;
	c->has_file_flags = v->file_id != 0;
	c->file_flags = v->file_flags;
	c->has_anon_group = 1;
	c->anon_group = v->anon_vma_id ^ v->anon_vma_id >> 32;
	c->name = v->name[0] ? (char *)v->name : NULL;
	if (v->flags & CRK_VMA_SPECIAL) {
		e->status |= VMA_ANON_PRIVATE |
			     (strcmp((const char *)v->name, "[vdso]") ? VMA_AREA_VVAR : VMA_AREA_VDSO);
		e->flags |= MAP_ANONYMOUS;
		return e->status & VMA_AREA_VDSO ? crk_vdso_dump(d, p, v, c) : 0;
	}
	if (v->file_id)
		return dump_backed(d, p, v, e, c);
	e->status |= VMA_ANON_PRIVATE;
	e->flags |= MAP_ANONYMOUS;
	if (v->start <= p->mm->start_stack && p->mm->start_stack < v->end)
		e->status |= VMA_AREA_STACK;
	if (v->start <= p->mm->brk && p->mm->start_brk <= v->end - 1)
		e->status |= VMA_AREA_HEAP;
	return 0;
}

static int dump_exe(struct crk_dump *d, struct crk_dproc *p, uint32_t *id_ret)
{
	/* what was dumped last, and struct crk_task.program_id of who runs it */
	static struct {
		uint64_t id;
		uint32_t file;
	} last;
	uint64_t id = p->live->program_id;
	_cleanup_free_ char *link = NULL;
	_cleanup_close_ int fd = -1;
	int err;

	if (id && id == last.id) {
		*id_ret = last.file;
		return 0;
	}
	err = read_link_at(p->procfd, "exe", &link);
	if (err)
		return crk_err(err, "pid %d (%s): exe", p->pid, (const char *)p->leader->comm);
	fd = openat(p->procfd, "exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return crk_err(-errno, "pid %d (%s): '%s'", p->pid, (const char *)p->leader->comm, link);
	err = crk_files_dump_path(d, p, fd, link, O_RDONLY, id_ret);
	if (err)
		return err;
	last.id = id;
	last.file = *id_ret;
	return 0;
}

static int write_mm(struct crk_dump *d, struct crk_dproc *p, VmaEntry **vmas)
{
	const struct crk_rec_mm *r = p->mm;
	uint64_t auxv[CRK_AUXV_MAX];
	MmEntry mm = MM_ENTRY__INIT;
	int err;

	memcpy(auxv, r->auxv, sizeof(auxv));
	mm.mm_start_code = r->start_code;
	mm.mm_end_code = r->end_code;
	mm.mm_start_data = r->start_data;
	mm.mm_end_data = r->end_data;
	mm.mm_start_stack = r->start_stack;
	mm.mm_start_brk = r->start_brk;
	mm.mm_brk = r->brk;
	mm.mm_arg_start = r->arg_start;
	mm.mm_arg_end = r->arg_end;
	mm.mm_env_start = r->env_start;
	mm.mm_env_end = r->env_end;
	mm.n_mm_saved_auxv = r->nr_auxv;
	mm.mm_saved_auxv = auxv;
	mm.n_vmas = p->nr_vmas;
	mm.vmas = vmas;
	mm.has_dumpable = 1;
	mm.dumpable = r->dumpable;
	mm.has_thp_disabled = 1;
	mm.thp_disabled = !!(r->flags & CRK_MM_THP_DISABLE);
	err = dump_exe(d, p, &mm.exe_file_id);
	return err ?: crk_img_write_one(d->dir, CRK_IMG_MM, p->pid, &mm.base);
}

/* into @ret, which @c refers to */
static int dump_guards(const struct crk_ranges *all, CrkVmaEntry *c, struct crk_ranges *ret)
{
	struct crk_span span = { c->start, c->end };
	size_t i = crk_ranges_from(all, c->start);
	int err = 0;

	crk_ranges_free(ret);
	for (; i < all->nr && all->spans[i].start < c->end && !err; i++)
		err = crk_ranges_append(ret, all->spans[i].start, all->spans[i].end);
	err = err ?: crk_ranges_and(ret, &(struct crk_ranges){ &span, 1, 1 });
	_Static_assert(sizeof(*ret->spans) == 2 * sizeof(*c->guards), "spans are pairs");
	c->guards = (uint64_t *)ret->spans;
	c->n_guards = 2 * ret->nr;
	return err;
}

int crk_vmas_dump(struct crk_dump *d, struct crk_dproc *p, const uint64_t *nr_pages)
{
	_cleanup_free_ VmaEntry *entries = calloc(p->nr_vmas + 1, sizeof(*entries));
	_cleanup_free_ VmaEntry **ptrs = calloc(p->nr_vmas + 1, sizeof(*ptrs));
	struct crk_ranges guards = {};
	struct crk_img *img;
	int err, err2;
	size_t i;

	if (!entries || !ptrs)
		return crk_oom();
	err = crk_img_create(d->dir, CRK_IMG_CRK_VMA, p->pid, &img);
	if (err)
		return err;
	for (i = 0; i < p->nr_vmas && !err; i++) {
		CrkVmaEntry c = CRK_VMA_ENTRY__INIT;

		vma_entry__init(&entries[i]);
		ptrs[i] = &entries[i];
		c.has_pages = 1;
		c.pages = nr_pages[i];
		err = dump_one(d, p, &p->vmas[i], &entries[i], &c);
		err = err ?: dump_guards(&d->mem->private[p - d->procs].guards, &c, &guards);
		if (!err)
			err = crk_img_put(img, &c.base);
	}
	crk_ranges_free(&guards);
	err2 = crk_img_close(img);
	err = err ?: err2;
	return err ?: write_mm(d, p, ptrs);
}
