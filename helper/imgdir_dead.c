// SPDX-License-Identifier: GPL-2.0
/*
 * Dead bytes of pages images: pages that a checkpoint on top has instead, so that their room is given back.  The list of
 * files says which they are before any of them is touched, and checksums take them for zeros: whoever is killed at
 * whatever moment, every checkpoint is either as it was or as it is going to be.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"

#define CHECKSUM_PART	CHECKSUM_IMG ".part"	/* what is left of one that was killed is written anew by the next */

static struct crk_imgfile *pages_find(struct crk_imgdir *dir, uint32_t pages_id)
{
	char name[IMG_NAME_MAX];

	snprintf(name, sizeof(name), "pages-%u.img", pages_id);
	return crk_imgdir_find(dir, name);
}

static uint64_t file_dead(const struct crk_imgfile *file)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < file->nr_dead; i += 2)
		bytes += file->dead[i + 1] - file->dead[i];
	return bytes;
}

uint64_t crk_imgdir_dead(const struct crk_imgdir *dir)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < dir->nr_files; i++)
		bytes += file_dead(&dir->files[i]);
	return bytes;
}

bool crk_imgdir_is_dead(struct crk_imgdir *dir, uint32_t pages_id, uint64_t start, uint64_t end)
{
	const struct crk_imgfile *file = pages_find(dir, pages_id);
	size_t lo = 0, hi = file ? file->nr_dead / 2 : 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (file->dead[2 * mid + 1] <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return file && 2 * lo < file->nr_dead && file->dead[2 * lo] < end;
}

/* "WHAT-N.img": N, or 0 for another name */
static uint32_t number_of(const char *name, const char *what)
{
	size_t len = strlen(what);
	unsigned int n;
	int end = 0;

	if (strncmp(name, what, len) || name[len] < '0' || name[len] > '9')
		return 0;
	return sscanf(name + len, "%u.img%n", &n, &end) == 1 && end && !name[len + end] ? n : 0;
}

bool crk_imgdir_pages_at(const struct crk_imgdir *dir, size_t i, uint32_t *id_ret, uint64_t *size_ret)
{
	if (i >= dir->nr_files)
		return false;
	*id_ret = number_of(dir->files[i].name, "pages-");
	*size_ret = dir->files[i].size;
	return true;
}

bool crk_imgdir_pagemap_at(const struct crk_imgdir *dir, size_t i, uint32_t *pid_ret)
{
	if (i >= dir->nr_files)
		return false;
	*pid_ret = number_of(dir->files[i].name, "pagemap-");
	return true;
}

int crk_imgdir_refuse_dead(const struct crk_imgdir *dir)
{
	if (!crk_imgdir_dead(dir))
		return 0;
	crk_fail(-ENODATA, "'%s' has only those pages left that a checkpoint on top of it needs (crkhelper dedup)", dir->path);
	crk_hint("take the checkpoint that crkhelper dedup was called with");
	return -ENODATA;
}

/* crk_parallel(): the sum of a chunk that has dead bytes */
static int sum_piece(void *arg, size_t i)
{
	struct crk_pieces *pieces = arg;
	struct crk_imgdir *dir = pieces->dir;
	struct crk_imgfile *file = &dir->files[pieces->items[i].file];
	size_t chunk = pieces->items[i].chunk;
	_cleanup_close_ int fd = openat(dir->fd, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int err = fd < 0 ? -errno :
		  crk_checksum_file(fd, file->map, chunk * CRK_IMG_CHUNK, crk_imgdir_chunk_len(file, chunk), file->dead,
				    file->nr_dead, &file->chunks[chunk]);

	if (err && crk_pieces_say_now(pieces))
		crk_err(err, "cannot read image %s", file->name);
	return err;
}

static int sum_file(struct crk_imgdir *dir, struct crk_imgfile *file)
{
	struct crk_pieces pieces = { .dir = dir, .bytes = file->size, .said = ATOMIC_FLAG_INIT };
	size_t chunk;
	int err = 0;

	for (chunk = 0; chunk < file->nr_chunks && !err; chunk++)
		err = crk_pieces_add(&pieces, file - dir->files, chunk);
	return crk_pieces_run(&pieces, err, sum_piece);
}

int crk_imgdir_dead_set(struct crk_imgdir *dir, uint32_t pages_id, const uint64_t *dead, size_t nr)
{
	struct crk_imgfile *file = pages_find(dir, pages_id);
	size_t len = nr * sizeof(*dead);
	uint64_t *copy;

	if (!file || (file->nr_dead == nr && (!nr || !memcmp(file->dead, dead, len))))
		return 0;
	copy = malloc(len + 1);
	if (!copy)
		return crk_oom();
	if (nr)
		memcpy(copy, dead, len);
	free(file->dead);
	file->dead = copy;
	file->nr_dead = nr;
	dir->dead_changed = true;
	return sum_file(dir, file);
}

/* nothing may be given back before it is sure, against a loss of power too, what is in its place */
static int list_replace(struct crk_imgdir *dir)
{
	_cleanup_free_ unsigned char *buf = NULL;
	_cleanup_close_ int fd = -1;
	size_t len;
	int err = crk_imgdir_pack_checksums(dir, &buf, &len);

	if (err)
		return err;
	fd = openat(dir->fd, CHECKSUM_PART, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : write_all(fd, buf, len);
	if (!err && (fsync(fd) || renameat(dir->fd, CHECKSUM_PART, dir->fd, CHECKSUM_IMG) || fsync(dir->fd)))
		err = -errno;
	if (!err)
		return 0;
	crk_err(err, "cannot write image %s of '%s'", CHECKSUM_IMG, dir->path);
	unlinkat(dir->fd, CHECKSUM_PART, 0);
	return err;
}

static int punch(struct crk_imgdir *dir, const struct crk_imgfile *file)
{
	_cleanup_close_ int fd = openat(dir->fd, file->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t i;

	for (i = 0; fd >= 0 && i < file->nr_dead; i += 2)
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, file->dead[i],
			      file->dead[i + 1] - file->dead[i]))
			return crk_err(-errno, "cannot give back room of '%s/%s'", dir->path, file->name);
	return fd < 0 ? crk_err(-errno, "cannot open '%s/%s'", dir->path, file->name) : 0;
}

/* is there any point in it?  Behind the end of a file there is nothing to lose */
static int can_punch(struct crk_imgdir *dir)
{
	_cleanup_close_ int fd = -1;
	size_t i;

	for (i = 0; i < dir->nr_files && !dir->files[i].nr_dead; i++)
		;
	if (i == dir->nr_files)
		return 0;
	fd = openat(dir->fd, dir->files[i].name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return crk_err(-errno, "cannot open '%s/%s'", dir->path, dir->files[i].name);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, align_up(dir->files[i].size, CRK_IMG_CHUNK), CRK_IMG_CHUNK))
		return crk_err(-errno, "'%s': its file system cannot give back a part of a file", dir->path);
	return 0;
}

int crk_imgdir_dead_commit(struct crk_imgdir *dir)
{
	size_t i;
	int err = can_punch(dir);

	if (!err && dir->dead_changed)
		err = list_replace(dir);
	for (i = 0; i < dir->nr_files && !err; i++)
		if (dir->files[i].nr_dead)
			err = punch(dir, &dir->files[i]);
	return err;
}
