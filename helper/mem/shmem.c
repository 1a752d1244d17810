// SPDX-License-Identifier: GPL-2.0
/*
 * Memory shared without a file that has a name: shared anonymous mappings and SysV segments.  Its contents are saved
 * once per object, and restored into an object that the coordinator makes before there are any processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sendfile.h>
#include <sys/shm.h>

#include "../restore.h"
#include "mem.h"

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT	26
#endif

/* ---- dump ---- */

static int copy_range(int from, int to, uint64_t off, uint64_t len)
{
	off_t pos = off;

	while (len) {
		ssize_t n = sendfile(to, from, &pos, min(len, (uint64_t)1 << 30));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		len -= n;
	}
	return 0;
}

/* huge pages can't be read from their file's descriptor by sendfile on all kernels */
static int copy_mapped(int from, int to, uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, from, 0);
	int err;

	if (p == MAP_FAILED)
		return -errno;
	err = write_all(to, p, size);
	munmap(p, size);
	return err;
}

static int put_run(struct crk_img *map, uint64_t off, uint64_t len)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	crk_pagemap_set(&e, off, len / PAGE_SIZE, PE_PRESENT);
	return crk_img_put(map, &e.base);
}

/* what is there of the object, holes left out */
static int dump_contents(struct crk_dump *d, struct crk_img *map, int fd, int to, uint64_t size, bool huge)
{
	off_t data = 0, hole;
	int err = 0;

	if (huge) {
		err = size ? put_run(map, 0, size) : 0;
		d->pages_written += size / PAGE_SIZE;
		return err ?: copy_mapped(fd, to, size);
	}
	while (!err && (data = lseek(fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		data = align_down(data, (off_t)PAGE_SIZE);
		hole = align_up(hole, (off_t)PAGE_SIZE);
		err = put_run(map, data, hole - data);
		if (!err)
			err = copy_range(fd, to, data, hole - data);
		d->pages_written += (hole - data) / PAGE_SIZE;
		crk_progress_add(hole - data);
		data = hole;
	}
	return err ?: errno == ENXIO ? 0 : -errno;
}

static int dump_object(struct crk_dump *d, uint32_t id, int fd, bool huge)
{
	uint32_t pages_id = ++d->mem->next_pages_id;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct crk_img *map = NULL, *pages = NULL;
	struct stat st;
	int err, err2, to;

	if (fstat(fd, &st))
		return crk_err(-errno, "shared memory %u", id);
	err = crk_img_create(d->dir, CRK_IMG_PAGEMAP_SHMEM, id, &map);
	if (!err)
		err = crk_img_create(d->dir, CRK_IMG_PAGES, pages_id, &pages);
	if (err)
		goto out;
	head.pages_id = pages_id;
	err = crk_img_put(map, &head.base);
	to = crk_img_fd(pages);
	if (!err && to < 0)
		err = to;
	if (!err) {
		err = dump_contents(d, map, fd, to, align_up((uint64_t)st.st_size, PAGE_SIZE), huge);
		if (err)
			crk_err(err, "contents of shared memory %u can't be saved", id);
	}
out:
	err2 = crk_img_close(pages);
	err = err ?: err2;
	err2 = crk_img_close(map);
	return err ?: err2;
}

static int dump_sysv(struct crk_dump *d, const struct crk_vma *v)
{
	IpcShmEntry shm = IPC_SHM_ENTRY__INIT;
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	struct shmid_ds ds;

	if (shmctl(v->ino, IPC_STAT, &ds))
		return crk_err(-errno, "SysV shared memory %llu", (unsigned long long)v->ino);
	desc.key = ds.shm_perm.__key;
	desc.uid = ds.shm_perm.uid;
	desc.gid = ds.shm_perm.gid;
	desc.cuid = ds.shm_perm.cuid;
	desc.cgid = ds.shm_perm.cgid;
	desc.mode = ds.shm_perm.mode & (0777 | SHM_DEST);	/* SHM_DEST: removed while attached */
	desc.id = v->ino;
	shm.desc = &desc;
	shm.size = ds.shm_segsz;
	shm.has_in_pagemaps = 1;
	shm.in_pagemaps = 1;
	if (v->flags & CRK_VMA_HUGETLB) {
		shm.has_hugetlb_flag = 1;
		shm.hugetlb_flag = (uint32_t)v->page_shift << MAP_HUGE_SHIFT;
	}
	return crk_img_write_one(d->dir, CRK_IMG_IPCNS_SHM, v->ino, &shm.base);
}

int crk_shmem_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, int fd, uint32_t *id_ret)
{
	bool sysv = v->flags & CRK_VMA_SYSV_SHM;
	struct crk_dump_mem *m = d->mem;
	struct crk_dshm *s;
	size_t i;
	int err;

	(void)p;
	for (i = 0; i < m->nr_shms; i++) {
		if (m->shms[i].inode_id == v->inode_id) {
			*id_ret = m->shms[i].id;
			return 0;
		}
	}
	s = array_add(m->shms, m->nr_shms, m->room_shms);
	if (!s)
		return crk_oom();
	s->inode_id = v->inode_id;
	s->sysv = sysv;
	s->id = sysv ? v->ino : CRK_SHMID_ANON + m->next_shm_id++;
	*id_ret = s->id;
	err = sysv ? dump_sysv(d, v) : 0;
	return err ?: dump_object(d, s->id, fd, v->flags & CRK_VMA_HUGETLB);
}

/* ---- restore ---- */

struct crk_rshm *crk_shmem_find(struct crk_rst *r, uint32_t id, bool sysv)
{
	size_t i;

	for (i = 0; i < r->mem->nr_shms; i++)
		if (r->mem->shms[i].id == id && r->mem->shms[i].sysv == sysv)
			return &r->mem->shms[i];
	return NULL;
}

static bool is_shared_object(const CrkVmaEntry *e)
{
	return e->has_shmem_id;
}

/* a segment that is still there from before is taken over if nobody uses it */
static int plan_sysv(struct crk_rst *r, uint32_t id)
{
	ProtobufCMessage *msg;
	const IpcShmEntry *shm;
	struct shmid_ds ds;
	int err = crk_img_read_one(r->dir, CRK_IMG_IPCNS_SHM, id, &msg);

	if (err)
		return err == -ENOENT ? crk_fail(err, "SysV shared memory %u is not in the images", id) : err;
	shm = (const IpcShmEntry *)msg;
	if (!shmctl(id, IPC_STAT, &ds)) {
		if (ds.shm_nattch || ds.shm_segsz != shm->size || (uint32_t)ds.shm_perm.__key != shm->desc->key)
			err = crk_fail(-EEXIST, "SysV shared memory %u: another segment with this id exists", id);
	} else if (shm->desc->key && shmget(shm->desc->key, 0, 0) >= 0) {
		err = crk_fail(-EEXIST, "SysV shared memory %u: another segment with its key %#x exists", id,
			       shm->desc->key);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	return err;
}

int crk_shmem_plan(struct crk_rst *r)
{
	size_t i, k;
	int err;

	for (i = 0; i < r->nr_procs; i++) {
		const struct crk_rmem *m = r->procs[i].mem;

		for (k = 0; m && k < m->nr_vmas; k++) {
			const struct crk_rvma *v = &m->vmas[k];
			bool sysv = v->e->flags & CRK_VMA_SYSV_SHM;
			struct crk_rshm *s;

			if (!is_shared_object(v->e) || crk_shmem_find(r, v->e->shmem_id, sysv))
				continue;
			s = array_add(r->mem->shms, r->mem->nr_shms, r->mem->room_shms);
			if (!s)
				return crk_oom();
			*s = (struct crk_rshm){ .id = v->e->shmem_id, .sysv = sysv, .size = v->e->shmem_size, .fd = -1,
				.page_shift = v->e->flags & CRK_VMA_HUGETLB ? v->e->page_shift : 0 };
			err = sysv ? plan_sysv(r, s->id) : 0;
			if (err)
				return err;
		}
	}
	return 0;
}

static int fill_object(struct crk_rst *r, const struct crk_rshm *s, char *at)
{
	struct crk_rrun *runs = NULL;
	struct crk_pages *pages = NULL;
	size_t nr = 0, i;
	uint32_t pages_id;
	int err;

	err = crk_runs_read(r, CRK_IMG_PAGEMAP_SHMEM, s->id, &runs, &nr, &pages_id);
	if (!err)
		err = crk_pages_open(r->dir, pages_id, 0, &pages);
	for (i = 0; i < nr && !err; i++) {
		if (runs[i].addr + runs[i].nr * PAGE_SIZE > align_up(s->size, PAGE_SIZE))
			err = crk_fail(-EBADMSG, "shared memory %u: its image has pages behind its end", s->id);
		else
			err = crk_pages_read(pages, at + runs[i].addr, runs[i].nr * PAGE_SIZE, runs[i].off);
	}
	crk_pages_close(pages);
	free(runs);
	return err;
}

/* its descriptor is had through the mapping: nothing else names the object as the kernel does */
static int open_anon(struct crk_rst *r, struct crk_rshm *s)
{
	int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, err, fd;
	uint64_t len = align_up(s->size, s->page_shift ? 1ULL << s->page_shift : PAGE_SIZE);
	char path[80];
	char *p;

	if (s->page_shift)
		flags |= MAP_HUGETLB | s->page_shift << MAP_HUGE_SHIFT;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p == MAP_FAILED)
		return crk_err(-errno, "cannot make shared memory %u of %llu bytes", s->id, (unsigned long long)len);
	err = fill_object(r, s, p);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p, (unsigned long)(p + len));
	fd = err ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (!err && fd < 0)
		err = crk_err(-errno, "shared memory %u: %s", s->id, path);
	munmap(p, len);
	if (err)
		return err;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	if (s->fd < 0)
		err = crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	close(fd);
	return err;
}

static int make_sysv(struct crk_rst *r, const IpcShmEntry *shm)
{
	struct shmid_ds ds;
	char text[16];
	int err, id;

	if (!shmctl(shm->desc->id, IPC_STAT, &ds))
		return 0;
	snprintf(text, sizeof(text), "%u", shm->desc->id);
	err = write_file_at(AT_FDCWD, "/proc/sys/kernel/shm_next_id", text);
	if (err)
		return crk_err(err, "/proc/sys/kernel/shm_next_id");
	err = crk_undo_shm(r, shm->desc->id);
	if (err)
		return err;
	id = shmget(shm->desc->key, shm->size, IPC_CREAT | IPC_EXCL | (shm->desc->mode & 0777) |
		    (shm->hugetlb_flag ? SHM_HUGETLB | shm->hugetlb_flag : 0));
	if (id < 0)
		return crk_err(-errno, "cannot make SysV shared memory %u", shm->desc->id);
	if ((uint32_t)id != shm->desc->id) {
		shmctl(id, IPC_RMID, NULL);
		return crk_fail(-EEXIST, "SysV shared memory %u: the kernel gave id %d", shm->desc->id, id);
	}
	if (shmctl(id, IPC_STAT, &ds))
		return crk_err(-errno, "SysV shared memory %d", id);
	ds.shm_perm.uid = shm->desc->uid;
	ds.shm_perm.gid = shm->desc->gid;
	ds.shm_perm.mode = shm->desc->mode & 0777;
	return shmctl(id, IPC_SET, &ds) ? crk_err(-errno, "SysV shared memory %d", id) : 0;
}

static int open_sysv(struct crk_rst *r, struct crk_rshm *s)
{
	ProtobufCMessage *msg;
	bool removed;
	char *p;
	int err = crk_img_read_one(r->dir, CRK_IMG_IPCNS_SHM, s->id, &msg);

	if (err)
		return err;
	err = make_sysv(r, (const IpcShmEntry *)msg);
	removed = ((const IpcShmEntry *)msg)->desc->mode & SHM_DEST;
	protobuf_c_message_free_unpacked(msg, NULL);
	if (err)
		return err;
	p = shmat(s->id, NULL, 0);
	if (p == (char *)-1)
		return crk_err(-errno, "SysV shared memory %u", s->id);
	err = fill_object(r, s, p);
	if (!err && removed) {
		/* it can still be attached by its id as long as somebody has it */
		s->attached = p;
		return shmctl(s->id, IPC_RMID, NULL) ? crk_err(-errno, "SysV shared memory %u", s->id) : 0;
	}
	shmdt(p);
	return err;
}

int crk_shmem_open_all(struct crk_rst *r)
{
	size_t i;
	int err = 0;

	for (i = 0; i < r->mem->nr_shms && !err; i++)
		err = r->mem->shms[i].sysv ? open_sysv(r, &r->mem->shms[i]) : open_anon(r, &r->mem->shms[i]);
	return err;
}
