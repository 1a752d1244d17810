// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoint directories: made, and completed by the rename of the inventory.  A directory without inventory.img is not
 * a checkpoint; a file that crk-checksum.img does not list is not part of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"

const char *crk_imgdir_label(const struct crk_imgdir *dir, const char *name, char buf[4096])
{
	if (!dir->is_parent)
		return name;
	snprintf(buf, 4096, "%s/%s", dir->path, name);
	return buf;
}

int crk_imgdir_damaged(const struct crk_imgdir *dir, const char *name, const char *fmt, ...)
{
	char why[256], label[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return crk_fail(-EBADMSG, "image %s is damaged (%s); take another copy of the checkpoint",
			crk_imgdir_label(dir, name, label), why);
}

static int file_cmp(const void *a, const void *b)
{
	return strcmp(((const struct crk_imgfile *)a)->name, ((const struct crk_imgfile *)b)->name);
}

struct crk_imgfile *crk_imgdir_find(struct crk_imgdir *dir, const char *name)
{
	struct crk_imgfile key = { .name = (char *)name };

	if (!dir->nr_files)
		return NULL;
	return bsearch(&key, dir->files, dir->nr_files, sizeof(*dir->files), file_cmp);
}

static void dir_free(struct crk_imgdir *dir)
{
	size_t i;

	for (i = 0; i < dir->nr_files; i++) {
		free(dir->files[i].name);
		free(dir->files[i].data);
		free(dir->files[i].chunks);
		free(dir->files[i].later);
		free(dir->files[i].dead);
	}
	free(dir->files);
	if (dir->fd >= 0)
		close(dir->fd);
	if (dir->inventory)
		crk_inventory_entry__free_unpacked(dir->inventory, NULL);
	if (dir->parent)
		dir_free(dir->parent);
	free(dir->path);
	free(dir);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && !strcmp(name + len - suffix_len, suffix);
}

/* refuse a directory that holds anything, and say what it seems to be */
static int check_empty(struct crk_imgdir *dir, const char *path)
{
	int copy = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	bool empty = true, complete = false, foreign = false;
	struct dirent *de;
	int err;

	if (!d) {
		err = crk_err(-errno, "cannot read directory '%s'", path);
		if (copy >= 0)
			close(copy);
		return err;
	}
	while ((de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		empty = false;
		if (!strcmp(de->d_name, INVENTORY_IMG))
			complete = true;
		if (!has_suffix(de->d_name, ".img") && !has_suffix(de->d_name, ".img.zst") &&
		    !has_suffix(de->d_name, ".img.lz4") && strcmp(de->d_name, INVENTORY_PART) && strcmp(de->d_name, PARENT_LINK))
			foreign = true;
	}
	if (empty)
		return 0;
	if (complete)
		return crk_fail(-EEXIST, "directory '%s' already holds a checkpoint", path);
	err = crk_fail(-EEXIST, "directory '%s' is not empty", path);
	if (!foreign)
		crk_hint("it holds the remains of a dump that was killed, which can be removed");
	return err;
}

int crk_imgdir_create(const char *path, struct crk_imgdir **ret)
{
	struct crk_imgdir *dir = calloc(1, sizeof(*dir));
	int err;

	if (!dir)
		return crk_oom();
	dir->fd = -1;
	dir->writing = true;
	if (!mkdir(path, 0700)) {
		dir->made = true;
	} else if (errno != EEXIST) {
		err = crk_err(-errno, "cannot make directory '%s'", path);
		goto err_free;
	}
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* absolute, since a made directory is removed by its path, wherever we are then */
	dir->path = dir->fd >= 0 ? realpath(path, NULL) : NULL;
	if (!dir->path) {
		err = crk_err(-errno, "cannot open directory '%s'", path);
		goto err_free;
	}
	if (!dir->made) {
		err = check_empty(dir, path);
		if (err)
			goto err_free;
	}
	*ret = dir;
	return 0;

err_free:
	if (dir->made)
		rmdir(path);
	dir_free(dir);
	return err;
}

const char *crk_imgdir_disk_name(const char *name)
{
	return strcmp(name, INVENTORY_IMG) ? name : INVENTORY_PART;
}

static int file_create(struct crk_imgdir *dir, const char *name)
{
	int fd = openat(dir->fd, crk_imgdir_disk_name(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			0600);

	return fd < 0 ? crk_err(-errno, "cannot make image %s", name) : fd;
}

struct crk_imgfile *crk_imgdir_add(struct crk_imgdir *dir, const char *name)
{
	struct crk_imgfile *file = array_add(dir->files, dir->nr_files, dir->room);

	if (!file)
		return NULL;
	file->name = strdup(name);
	if (!file->name) {
		dir->nr_files--;
		return NULL;
	}
	return file;
}

int crk_imgdir_add_file(struct crk_imgdir *dir, const char *name, int *fd_ret, size_t *index_ret)
{
	int fd;

	if (!crk_imgdir_add(dir, name))
		return crk_oom();
	fd = file_create(dir, name);
	if (fd < 0) {
		/* not ours to remove */
		free(dir->files[--dir->nr_files].name);
		return fd;
	}
	*index_ret = dir->nr_files - 1;
	*fd_ret = fd;
	return 0;
}

int crk_imgdir_add_data(struct crk_imgdir *dir, const char *name, unsigned char *data, size_t size)
{
	struct crk_imgfile *file = crk_imgdir_add(dir, name);

	if (!file)
		return crk_oom();
	if (!data) {
		data = calloc(1, 1);
		if (!data)
			return crk_oom();
	}
	file->data = data;
	file->size = size;
	dir->in_memory += size;
	return 0;
}

/* put what is in memory on disk */
static int file_store(struct crk_imgdir *dir, struct crk_imgfile *file)
{
	_cleanup_close_ int fd = file_create(dir, file->name);
	int err;

	if (fd < 0)
		return fd;
	err = write_all(fd, file->data, file->size);
	free(file->data);
	file->data = NULL;	/* from now on it is removed if this comes to nothing */
	return err ? crk_err(err, "cannot write image %s", file->name) : 0;
}

/* crk_parallel(): the sum of a chunk */
static int commit_piece(void *arg, size_t i)
{
	struct crk_pieces *pieces = arg;
	struct crk_imgdir *dir = pieces->dir;
	struct crk_imgfile *file = &dir->files[pieces->items[i].file];
	size_t chunk = pieces->items[i].chunk;
	_cleanup_close_ int fd = -1;
	int err;

	if (file->data) {
		if (file->nr_chunks)
			file->chunks[0] = crk_checksum(file->data, file->size);
		return file_store(dir, file);
	}
	if (!file->nr_chunks)
		return 0;
	fd = openat(dir->fd, crk_imgdir_disk_name(file->name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	err = fd < 0 ? -errno :
	      crk_checksum_file(fd, file->map, chunk * CRK_IMG_CHUNK, crk_imgdir_chunk_len(file, chunk), NULL,
				0, &file->chunks[chunk]);
	if (err && crk_pieces_say_now(pieces))
		crk_err(err, "cannot read image %s back", file->name);
	crk_progress_add(crk_imgdir_chunk_len(file, chunk));
	return err;
}

static int commit_files(struct crk_imgdir *dir)
{
	struct crk_pieces pieces = { .dir = dir, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		struct crk_imgfile *file = &dir->files[i];

		file->nr_chunks = crk_imgdir_nr_chunks(file->size);
		file->chunks = calloc(file->nr_chunks + 1, sizeof(*file->chunks));
		err = file->chunks ? crk_pieces_add(&pieces, i, 0) : crk_oom();
		for (chunk = 1; chunk < file->nr_chunks && !err; chunk++)
			err = crk_pieces_add(&pieces, i, chunk);
		pieces.bytes += file->size;
	}
	return crk_pieces_run(&pieces, err, commit_piece);
}

int crk_imgdir_commit(struct crk_imgdir *dir)
{
	size_t i;
	int err;

	if (dir->nr_writing)
		return crk_fail(-EBUSY, "%zu images are still being written: a bug of crkhelper",
				dir->nr_writing);
	if (dir->nr_files)
		qsort(dir->files, dir->nr_files, sizeof(*dir->files), file_cmp);
	for (i = 1; i < dir->nr_files; i++)
		if (!strcmp(dir->files[i - 1].name, dir->files[i].name))
			return crk_fail(-EEXIST, "image %s was written twice: a bug of crkhelper",
					dir->files[i].name);
	if (!crk_imgdir_find(dir, INVENTORY_IMG))
		return crk_fail(-EINVAL, "no inventory was written: a bug of crkhelper");
	err = commit_files(dir);
	if (err)
		return err;
	err = crk_imgdir_write_checksums(dir);
	if (err)
		return err;
	if (renameat(dir->fd, INVENTORY_PART, dir->fd, INVENTORY_IMG))
		return crk_err(-errno, "cannot rename %s to %s", INVENTORY_PART, INVENTORY_IMG);
	dir->complete = true;
	return 0;
}

void crk_imgdir_close(struct crk_imgdir *dir)
{
	int saved = errno;
	size_t i;

	if (!dir)
		return;
	if (dir->writing && !dir->complete) {
		for (i = 0; i < dir->nr_files; i++)
			if (!dir->files[i].data)
				unlinkat(dir->fd, crk_imgdir_disk_name(dir->files[i].name), 0);
		if (dir->linked)
			unlinkat(dir->fd, PARENT_LINK, 0);
		if (dir->made)
			rmdir(dir->path);
	}
	dir_free(dir);
	errno = saved;
}

int crk_imgdir_fd(struct crk_imgdir *dir)
{
	return dir->fd;
}

const char *crk_imgdir_path(struct crk_imgdir *dir)
{
	return dir->path;
}

int crk_imgdir_raise_fd(struct crk_imgdir *dir, int min)
{
	int fd;

	for (; dir; dir = dir->parent) {
		if (dir->fd >= min)
			continue;
		fd = fcntl(dir->fd, F_DUPFD_CLOEXEC, min);
		if (fd < 0)
			return crk_err(-errno, "cannot move descriptor %d to %d or above", dir->fd, min);
		close(dir->fd);
		dir->fd = fd;
	}
	return 0;
}

const CrkInventoryEntry *crk_imgdir_inventory(struct crk_imgdir *dir)
{
	return dir->inventory;
}

uint64_t crk_imgdir_size(struct crk_imgdir *dir)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < dir->nr_files; i++)
		size += dir->files[i].size;
	return size;
}
