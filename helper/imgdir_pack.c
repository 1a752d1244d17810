// SPDX-License-Identifier: GPL-2.0
/*
 * Dump: pages images compressed, before the commit.  The kernel writes pages into plain files, as fast as it can, since
 * processes may wait for that; here each becomes a file of frames, by all processors, and its room on the disk is given
 * back as that goes on.  What a frame is: pack.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"
#include "pack.h"

#define PUNCH_STEP	(16UL << 20)
#define IDLE_MAX	8	/* threads of crk_parallel() at most */

/* a pages image and what it becomes */
struct packed {
	uint32_t id;
	size_t from, to;		/* in dir->files */
	size_t first, nr;		/* its chunks among all; how many they are */
	int fd_from, fd_to;		/* -1: not open; @fd_from: nor if it is in memory */
	size_t next;			/* the chunk that is to be written */
	uint64_t len;			/* written */
	uint32_t *frame_len;
};

struct pack_work {
	struct crk_imgdir *dir;
	enum crk_pack_algorithm how;
	const volatile sig_atomic_t *stop;
	struct packed *files;
	size_t nr_files;
	pthread_mutex_t lock;		/* all of @files from fd_from on, and the rest of this */
	pthread_cond_t turn;
	struct crk_packer *idle[IDLE_MAX];
	size_t nr_idle;
	bool failed;
};

static struct packed *file_of(struct pack_work *w, size_t item)
{
	size_t lo = 0, hi = w->nr_files;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (w->files[mid].first <= item)
			lo = mid;
		else
			hi = mid;
	}
	return &w->files[lo];
}

static struct crk_packer *packer_get(struct pack_work *w)
{
	struct crk_packer *p = NULL;

	pthread_mutex_lock(&w->lock);
	if (w->nr_idle)
		p = w->idle[--w->nr_idle];
	pthread_mutex_unlock(&w->lock);
	return p ?: crk_packer_create();
}

static void packer_put(struct pack_work *w, struct crk_packer *p)
{
	pthread_mutex_lock(&w->lock);
	if (p && w->nr_idle < IDLE_MAX) {
		w->idle[w->nr_idle++] = p;
		p = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	crk_packer_destroy(p);
}

static int file_open(struct pack_work *w, struct packed *f)
{
	const struct crk_imgfile *from = &w->dir->files[f->from], *to = &w->dir->files[f->to];

	if (f->fd_to >= 0)
		return 0;
	if (!from->data)
		f->fd_from = openat(w->dir->fd, from->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (!from->data && f->fd_from < 0)
		return crk_err(-errno, "cannot read image %s back", from->name);
	f->fd_to = openat(w->dir->fd, to->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return f->fd_to < 0 ? crk_err(-errno, "cannot open image %s", to->name) : 0;
}

static void file_close(struct packed *f)
{
	if (f->fd_from >= 0)
		close(f->fd_from);
	if (f->fd_to >= 0)
		close(f->fd_to);
	f->fd_from = f->fd_to = -1;
}

/* chunk @i as a frame in the buffer of @p */
static int chunk_pack(struct pack_work *w, const struct packed *f, size_t i, struct crk_packer *p, size_t *len_ret)
{
	const struct crk_imgfile *from = &w->dir->files[f->from];
	uint64_t off = (uint64_t)i * CRK_PACK_CHUNK;
	size_t len = min(from->size - off, (uint64_t)CRK_PACK_CHUNK), room = crk_pack_bound(w->how, len);
	unsigned char *buf = crk_packer_buffer(p, room + CRK_PACK_CHUNK);
	int err;

	if (!buf)
		return -ENOMEM;
	err = from->data ? 0 : pread_all(f->fd_from, buf + room, len, off);
	if (err)
		return crk_err(err, "cannot read image %s back", from->name);
	err = crk_pack(p, w->how, from->data ? from->data + off : buf + room, len, buf, room, len_ret);
	return err ? crk_err(err, "cannot compress image %s", from->name) : 0;
}

/* it is this thread's turn with the file; what can't be given back now goes with the file */
static int chunk_write(struct pack_work *w, struct packed *f, size_t i, const void *frame, size_t len)
{
	uint64_t done = (i + 1ULL) * CRK_PACK_CHUNK;
	int err = pwrite_all(f->fd_to, frame, len, f->len);

	if (err)
		return crk_err(err, "cannot write image %s", w->dir->files[f->to].name);
	if (f->fd_from >= 0 && !(done % PUNCH_STEP))
		(void)!fallocate(f->fd_from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, done - PUNCH_STEP, PUNCH_STEP);
	return 0;
}

/* crk_parallel(): in the order of chunks, so that whose turn it is to write is never behind those who wait for it */
static int pack_item(void *arg, size_t item)
{
	struct pack_work *w = arg;
	struct packed *f = file_of(w, item);
	struct crk_packer *p = packer_get(w);
	size_t i = item - f->first, len = 0;
	int err = p ? 0 : -ENOMEM;

	pthread_mutex_lock(&w->lock);
	err = err ?: file_open(w, f);
	if (!err && *w->stop)
		err = w->failed ? -ECANCELED : crk_fail(-ECANCELED, "interrupted");
	w->failed |= err;
	pthread_mutex_unlock(&w->lock);
	err = err ?: chunk_pack(w, f, i, p, &len);

	pthread_mutex_lock(&w->lock);
	w->failed |= err;
	while (f->next != i && !w->failed)
		pthread_cond_wait(&w->turn, &w->lock);
	if (w->failed)
		err = err ?: -ECANCELED;
	pthread_mutex_unlock(&w->lock);
	err = err ?: chunk_write(w, f, i, crk_packer_buffer(p, 0), len);

	pthread_mutex_lock(&w->lock);
	w->failed |= err;
	if (!err) {
		f->frame_len[i] = len;
		f->len += len;
		f->next++;
		if (f->next == f->nr)
			file_close(f);
	}
	pthread_cond_broadcast(&w->turn);
	pthread_mutex_unlock(&w->lock);
	packer_put(w, p);
	crk_progress_add(CRK_PACK_CHUNK);
	return err;
}

/* the images that have pages, and empty files for what they become */
static int files_list(struct pack_work *w, uint64_t *bytes_ret)
{
	struct crk_imgdir *dir = w->dir;
	size_t i, nr = dir->nr_files, room = 0, items = 0;
	char name[IMG_NAME_MAX];
	uint64_t size;
	uint32_t id;
	int err, fd;

	for (i = 0; i < nr && crk_imgdir_pages_at(dir, i, &id, &size); i++) {
		struct packed *f = id && size ? array_add(w->files, w->nr_files, room) : NULL;

		if (!f && id && size)
			return crk_oom();
		if (!f)
			continue;
		*f = (struct packed){ .id = id, .from = i, .first = items, .fd_from = -1, .fd_to = -1,
				      .nr = (size + CRK_PACK_CHUNK - 1) / CRK_PACK_CHUNK };
		items += f->nr;
		*bytes_ret += size;
		f->frame_len = calloc(f->nr, sizeof(*f->frame_len));
		if (!f->frame_len)
			return crk_oom();
		snprintf(name, sizeof(name), "pages-%u.img%s", id, crk_pack_suffixes[w->how]);
		err = crk_imgdir_add_file(dir, name, &fd, &f->to);
		if (err)
			return err;
		close(fd);
	}
	return 0;
}

static int file_done(struct pack_work *w, struct packed *f)
{
	CrkPackedEntry e = CRK_PACKED_ENTRY__INIT;
	struct crk_imgfile *from = &w->dir->files[f->from];

	w->dir->files[f->to].size = f->len;
	if (!from->data && unlinkat(w->dir->fd, from->name, 0))
		return crk_err(-errno, "cannot remove image %s, which is there compressed", from->name);
	e.algorithm = w->how;
	e.chunk_size = CRK_PACK_CHUNK;
	e.size = from->size;
	e.frame_len = f->frame_len;
	e.n_frame_len = f->nr;
	if (from->data)
		w->dir->in_memory -= from->size;
	free(steal_ptr(&from->name));
	free(steal_ptr(&from->data));
	return crk_img_write_one(w->dir, CRK_IMG_CRK_PACKED, f->id, &e.base);
}

/* those that are there compressed have no name any more */
static void drop_nameless(struct crk_imgdir *dir)
{
	size_t i, to = 0;

	for (i = 0; i < dir->nr_files; i++)
		if (dir->files[i].name)
			dir->files[to++] = dir->files[i];
	dir->nr_files = to;
}

int crk_imgdir_pack(struct crk_imgdir *dir, enum crk_pack_algorithm how, const volatile sig_atomic_t *stop,
		    uint64_t *before_ret, uint64_t *after_ret)
{
	struct pack_work w = { .dir = dir, .how = how, .stop = stop, .lock = PTHREAD_MUTEX_INITIALIZER,
			       .turn = PTHREAD_COND_INITIALIZER };
	uint64_t bytes = 0, after = 0;
	const struct packed *last;
	size_t i;
	int err = files_list(&w, &bytes);

	last = w.nr_files ? &w.files[w.nr_files - 1] : NULL;
	crk_progress("compressing", bytes);
	if (!err && last)
		err = crk_parallel(last->first + last->nr, bytes, pack_item, &w);
	for (i = 0; i < w.nr_files; i++) {
		file_close(&w.files[i]);
		after += w.files[i].len;
		err = err ?: file_done(&w, &w.files[i]);
		free(w.files[i].frame_len);
	}
	drop_nameless(dir);
	while (w.nr_idle)
		crk_packer_destroy(w.idle[--w.nr_idle]);
	free(w.files);
	*before_ret = bytes;
	*after_ret = after;
	return err;
}
