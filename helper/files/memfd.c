// SPDX-License-Identifier: GPL-2.0
/*
 * memfd_create(2): open ones, and those that are only mapped (crk_files_dump_path()).  The contents are saved here,
 * holes kept, in the form of CRIU's shared memory images, however the pages got there.
 */
#include <errno.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "files.h"

#ifndef MFD_EXEC
#define MFD_EXEC		0x0010U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC		0x0020
#endif

#define COPY_BUFFER		(256UL << 10)

static const char prefix[] = "/memfd:";

static bool memfd_probe(const struct crk_dfile *f)
{
	return S_ISREG(f->st.st_mode) && !f->st.st_nlink && !strncmp(f->link, prefix, strlen(prefix)) &&
		!(f->facts->f_flags & O_PATH);
}

/* ---- dump ---- */

struct dump_memfd {
	uint32_t id;
};

struct dump_memfds {
	uint32_t nr;
};

/* copies [@off, @off + @len) to the pages, the last one filled up with zeros */
static int pages_copy(struct crk_img *pages, int src, uint64_t off, uint64_t len, uint64_t size)
{
	_cleanup_free_ char *buf = malloc(COPY_BUFFER);
	uint64_t end = off + len;
	int err = buf ? 0 : -ENOMEM;

	for (; off < end && !err; off += COPY_BUFFER) {
		size_t n = min(end - off, COPY_BUFFER), have = min(n, (size_t)(size > off ? size - off : 0));

		memset(buf + have, 0, n - have);
		err = pread_all(src, buf, have, off);
		err = err ?: crk_img_put_raw(pages, buf, n);
	}
	return err;
}

static int contents_dump(struct crk_dump *d, const struct crk_dfile *f, uint32_t shmid)
{
	uint64_t page = sysconf(_SC_PAGESIZE), size = f->st.st_size;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct crk_img *map = NULL, *pages = NULL;
	_cleanup_close_ int src = -1;
	off_t data, hole = 0;
	int err, err2;

	err = crk_dfile_reopen(f, O_RDONLY, &src);
	if (err)
		return err;
	head.pages_id = shmid;
	err = crk_img_create(d->dir, CRK_IMG_PAGEMAP_SHMEM, shmid, &map);
	err = err ?: crk_img_put(map, &head.base);
	err = err ?: crk_img_create(d->dir, CRK_IMG_PAGES, shmid, &pages);
	while (!err && (uint64_t)hole < size) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		data = lseek(src, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(src, data, SEEK_HOLE);
		if (hole < 0) {
			err = crk_dfile_err(-errno, f, "cannot find its data");
			break;
		}
		data = align_down(data, (off_t)page);
		hole = align_up(hole, (off_t)page);
		crk_pagemap_set(&e, data, (hole - data) / page, PE_PRESENT);
		err = crk_img_put(map, &e.base);
		if (!err) {
			err = pages_copy(pages, src, data, hole - data, size);
			d->pages_written += (hole - data) / page;
			crk_progress_add(hole - data);
			if (err)
				crk_dfile_err(err, f, "cannot save its contents");
		}
	}
	err2 = map ? crk_img_close(map) : 0;
	err = err ?: err2;
	err2 = pages ? crk_img_close(pages) : 0;
	return err ?: err2;
}

static int inode_dump(struct crk_dump *d, const struct crk_dfile *f, uint32_t id)
{
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	const char *end = strrchr(f->link, ' ');
	_cleanup_free_ char *name = NULL;
	struct crk_img *img;
	struct statfs fs;
	int seals, err;

	/* "/memfd:NAME (deleted)" */
	if (!end || strcmp(end, " (deleted)"))
		end = f->link + strlen(f->link);
	name = strndup(f->link + strlen(prefix), end - f->link - strlen(prefix));
	if (!name)
		return crk_oom();
	if (fstatfs(f->fd, &fs))
		return crk_dfile_err(-errno, f, "cannot be read");
	{
		_cleanup_close_ int fd = -1;

		/* a mapping's descriptor may be O_PATH */
		err = crk_dfile_reopen(f, O_RDONLY, &fd);
		if (err)
			return err;
		seals = fcntl(fd, F_GET_SEALS);
		if (seals < 0)
			return crk_dfile_err(-errno, f, "cannot read its seals");
	}
	e.name = name;
	e.uid = f->st.st_uid;
	e.gid = f->st.st_gid;
	e.size = f->st.st_size;
	e.shmid = CRK_SHMID_MEMFD + id;
	e.seals = seals;
	e.inode_id = id;
	e.has_mode = true;
	e.mode = f->st.st_mode & 07777;
	if ((uint32_t)fs.f_type == HUGETLBFS_MAGIC) {
		e.has_hugetlb_flag = true;
		e.hugetlb_flag = MFD_HUGETLB | (uint32_t)__builtin_ctzll(fs.f_bsize) << MAP_HUGE_SHIFT;
	}
	err = crk_dump_img(d, CRK_IMG_MEMFD_INODE, &img);
	err = err ?: crk_img_put(img, &e.base);
	return err ?: contents_dump(d, f, e.shmid);
}

static int memfd_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	struct dump_memfds *s = crk_dump_state(d, &crk_file_memfd, sizeof(*s));
	MemfdFileEntry *e = dump_msg(d, MemfdFileEntry, memfd_file_entry__init);
	struct dump_memfd *m;
	int err = 0;

	if (!s || !e)
		return -ENOMEM;
	m = crk_dump_known(d, &crk_file_memfd, f->st.st_ino, f->st.st_dev);
	if (!m) {
		m = crk_dump_alloc(d, sizeof(*m));
		if (!m || crk_dump_know(d, &crk_file_memfd, f->st.st_ino, f->st.st_dev, m))
			return -ENOMEM;
		m->id = ++s->nr;
		err = inode_dump(d, f, m->id);
	}
	e->id = f->id;
	e->flags = f->facts->f_flags & ~OPEN_ONCE;
	e->pos = f->facts->pos;
	e->inode_id = m->id;
	e->fown = crk_dfile_fown(d, f);
	fe->memfd = e;
	return err ?: e->fown ? 0 : -ENOMEM;
}

/* ---- restore ---- */

struct rst_memfd {
	MemfdInodeEntry *e;
	int fd;				/* held; + 1, 0: not made yet */
	bool complete;
};

struct rst_memfds {
	bool loaded;
};

static int inodes_load(struct crk_rst *r, struct rst_memfds *s)
{
	struct rst_memfd *m;
	struct crk_img *img;
	ProtobufCMessage *msg;
	int ret, err;

	s->loaded = true;
	ret = crk_img_open(r->dir, CRK_IMG_MEMFD_INODE, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		MemfdInodeEntry *e = (MemfdInodeEntry *)msg;

		m = crk_restore_alloc(r, sizeof(*m) + strlen(e->name) + 1);
		ret = m ? 0 : -ENOMEM;
		if (m) {
			m->e = crk_restore_alloc(r, sizeof(*e));
			ret = m->e ? 0 : -ENOMEM;
		}
		if (!ret) {
			*m->e = *e;
			m->e->name = strcpy((char *)(m + 1), e->name);
			if (!crk_restore_known(r, &crk_file_memfd, e->inode_id, 0))
				ret = crk_restore_know(r, &crk_file_memfd, e->inode_id, 0, m);
		}
		memfd_inode_entry__free_unpacked(e, NULL);
		if (ret)
			break;
	}
	err = crk_img_close(img);
	return ret ?: err;
}

static struct rst_memfd *memfd_find(struct crk_rst *r, uint32_t inode_id)
{
	struct rst_memfds *s = crk_restore_state(r, &crk_file_memfd, sizeof(*s));

	if (!s || (!s->loaded && inodes_load(r, s)))
		return NULL;
	return crk_restore_known(r, &crk_file_memfd, inode_id, 0);
}

static int memfd_plan(struct crk_rst *r, const FileEntry *fe)
{
	return memfd_find(r, fe->memfd->inode_id) ? 0 :
		crk_fail(-EBADMSG, "memfd.img: memfd %u of file id %u is missing", fe->memfd->inode_id, fe->id);
}

/* huge pages can't be written, only mapped */
static int range_fill(struct crk_pages *pages, uint64_t from, int fd, bool huge, uint64_t off, uint64_t len, char *buf)
{
	char *mem = MAP_FAILED;
	int err = 0;

	if (huge) {
		mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
		if (mem == MAP_FAILED)
			return crk_err(-errno, "cannot map a memfd of huge pages");
		err = crk_pages_read(pages, mem, len, from);
		munmap(mem, len);
		return err;
	}
	while (len && !err) {
		size_t n = min(len, COPY_BUFFER);

		err = crk_pages_read(pages, buf, n, from);
		if (!err) {
			err = pwrite_all(fd, buf, n, off);
			if (err)
				crk_err(err, "cannot write to a memfd");
		}
		from += n;
		off += n;
		len -= n;
	}
	return err;
}

static int contents_restore(struct crk_rst *r, const struct rst_memfd *m, int fd)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	_cleanup_free_ char *buf = malloc(COPY_BUFFER);
	struct crk_pages *pages = NULL;
	struct crk_img *map = NULL;
	ProtobufCMessage *msg;
	uint64_t from = 0;
	int ret;

	if (!buf)
		return crk_oom();
	ret = crk_img_open(r->dir, CRK_IMG_PAGEMAP_SHMEM, m->e->shmid, &map);
	if (ret)	/* empty */
		return ret == -ENOENT ? 0 : ret;
	ret = crk_img_get(map, &msg);
	if (ret > 0) {
		ret = crk_pages_open(r->dir, ((PagemapHead *)msg)->pages_id, 0, &pages);
		protobuf_c_message_free_unpacked(msg, NULL);
		if (ret == -ENOENT)
			crk_fail(-EBADMSG, "the pages of memfd '%s' are missing", m->e->name);
	}
	while (!ret && (ret = crk_img_get(map, &msg)) > 0) {
		PagemapEntry *e = (PagemapEntry *)msg;

		ret = range_fill(pages, from, fd, m->e->has_hugetlb_flag, e->vaddr, crk_pagemap_nr(e) * page, buf);
		from += crk_pagemap_nr(e) * page;
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	crk_pages_close(pages);
	crk_img_close(map);
	return ret;
}

/* all but those that later writers and mappings would meet */
static int seals_add(int fd, uint32_t seals)
{
	return seals && fcntl(fd, F_ADD_SEALS, seals) ? -errno : 0;
}

#define LATE_SEALS	(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static int memfd_make(struct crk_rst *r, struct rst_memfd *m)
{
	const MemfdInodeEntry *e = m->e;
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (e->has_hugetlb_flag ? e->hugetlb_flag : 0);
	uint64_t page = sysconf(_SC_PAGESIZE);
	int fd, err;

	fd = memfd_create(e->name, flags | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)	/* before 6.3 */
		fd = memfd_create(e->name, flags);
	if (fd < 0)
		return crk_err(-errno, "memfd '%s': cannot create", e->name);
	err = crk_fd_hold(r, fd, &fd);
	if (err)
		return err;
	m->fd = fd + 1;
	if (ftruncate(fd, e->has_hugetlb_flag ? e->size : align_up(e->size, page)))
		return crk_err(-errno, "memfd '%s': cannot set its size", e->name);
	err = contents_restore(r, m, fd);
	if (err)
		return err;
	if (ftruncate(fd, e->size))
		return crk_err(-errno, "memfd '%s': cannot set its size", e->name);
	if (fchown(fd, e->uid, e->gid) || (e->has_mode && fchmod(fd, e->mode)))
		return crk_err(-errno, "memfd '%s': cannot set its owner and mode", e->name);
	err = seals_add(fd, e->seals & ~LATE_SEALS);
	return err ? crk_err(err, "memfd '%s': cannot seal it (%#x)", e->name, e->seals) : 0;
}

static int memfd_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	struct rst_memfd *m = memfd_find(r, fe->memfd->inode_id);
	int fd, err;

	if (!m->fd) {
		err = memfd_make(r, m);
		if (err)
			return err;
	}
	fd = crk_fd_reopen(m->fd - 1, fe->memfd->flags & ~(OPEN_ONCE | O_ASYNC));
	if (fd < 0)
		return crk_err(-errno, "memfd '%s': cannot open it", m->e->name);
	if (fe->memfd->pos && lseek(fd, fe->memfd->pos, SEEK_SET) < 0) {
		err = crk_err(-errno, "memfd '%s': cannot set its offset", m->e->name);
		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

/* all mappings are there */
static int memfd_complete(struct crk_rst *r, const FileEntry *fe, int fd)
{
	struct rst_memfd *m = memfd_find(r, fe->memfd->inode_id);
	int err;

	(void)fd;
	if (m->complete || !m->fd)
		return 0;
	m->complete = true;
	err = seals_add(m->fd - 1, m->e->seals & LATE_SEALS & ~F_SEAL_SEAL);
	err = err ?: seals_add(m->fd - 1, m->e->seals & F_SEAL_SEAL);
	return err ? crk_err(err, "memfd '%s': cannot seal it (%#x)", m->e->name, m->e->seals) : 0;
}

const struct crk_file_ops crk_file_memfd = {
	.name	= "memfd",
	.type	= FD_TYPES__MEMFD,
	.probe	= memfd_probe,
	.dump	= memfd_dump,
	.plan	= memfd_plan,
	.open	= memfd_open,
	.complete = memfd_complete,
};
