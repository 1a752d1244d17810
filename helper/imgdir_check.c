// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoint directories opened: is it one, complete, ours, of this machine, and undamaged?  Tables are compared with
 * their checksums before anybody reads them; page contents when the caller says.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"

#define CACHE_MAX	(64UL << 20)	/* of contents kept from the check to the use */

/* compressed ones too */
static bool is_pages(const struct crk_imgfile *file)
{
	return !strncmp(file->name, "pages-", 6);
}

static bool is_packed(const struct crk_imgfile *file)
{
	const char *dot = strrchr(file->name, '.');

	return is_pages(file) && dot && strcmp(dot, ".img");
}

static int open_failed(struct crk_pieces *pieces, const struct crk_imgfile *file, int err)
{
	char label[4096];

	if (!crk_pieces_say_now(pieces))
		return err;
	if (err == -ENOENT)
		return crk_fail(-EBADMSG, "image %s is missing; take another copy of the checkpoint",
				crk_imgdir_label(pieces->dir, file->name, label));
	if (err == -ENOMEM)
		return crk_oom();
	return crk_err(err, "cannot read image %s", crk_imgdir_label(pieces->dir, file->name, label));
}

/* the size of a file is checked with its first chunk */
static int open_file(struct crk_pieces *pieces, const struct crk_imgfile *file, bool check_size)
{
	int fd = openat(pieces->dir->fd, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return open_failed(pieces, file, -errno);
	if (!check_size)
		return fd;
	if (fstat(fd, &st)) {
		int err = -errno;

		close(fd);
		return open_failed(pieces, file, err);
	}
	if ((uint64_t)st.st_size == file->size)
		return fd;
	close(fd);
	if (crk_pieces_say_now(pieces))
		crk_imgdir_damaged(pieces->dir, file->name, "it has %jd bytes instead of %ju",
				   (intmax_t)st.st_size, (uintmax_t)file->size);
	return -EBADMSG;
}

static int compare(struct crk_pieces *pieces, const struct crk_imgfile *file, size_t chunk,
		   uint64_t sum)
{
	if (sum == file->chunks[chunk])
		return 0;
	if (crk_pieces_say_now(pieces))
		crk_imgdir_damaged(pieces->dir, file->name, "checksum differs");
	return -EBADMSG;
}

/* an image of one chunk, checked, stays in memory */
static int read_kept(struct crk_pieces *pieces, struct crk_imgfile *file, int fd)
{
	_cleanup_free_ unsigned char *data = malloc(file->size);
	int err;

	if (!data)
		return open_failed(pieces, file, -ENOMEM);
	err = read_all(fd, data, file->size);
	if (err)
		return open_failed(pieces, file, err);
	err = compare(pieces, file, 0, crk_checksum(data, file->size));
	if (!err)
		file->data = steal_ptr(&data);
	file->kept = !err;
	return err;
}

/* what was read is not needed twice, and what is in memory at the births of processes is in all of them for a while */
int crk_imgdir_data_get(struct crk_imgdir *dir, struct crk_imgfile *file)
{
	struct crk_pieces pieces = { .dir = dir, .said = ATOMIC_FLAG_INIT };
	_cleanup_close_ int fd = -1;
	int err = 0;

	if (file->kept && !file->data) {
		fd = open_file(&pieces, file, true);
		err = fd < 0 ? fd : read_kept(&pieces, file, fd);
	}
	if (!err)
		file->readers++;
	return err;
}

void crk_imgdir_data_put(struct crk_imgfile *file)
{
	if (!--file->readers && file->kept)
		free(steal_ptr(&file->data));
}

/* crk_parallel(): check a chunk; an image of one chunk is kept in memory for those who will read it */
static int open_piece(void *arg, size_t i)
{
	struct crk_pieces *pieces = arg;
	struct crk_imgfile *file = &pieces->dir->files[pieces->items[i].file];
	size_t chunk = pieces->items[i].chunk;
	_cleanup_close_ int fd = open_file(pieces, file, chunk == 0);
	uint64_t sum;
	int err;

	if (fd < 0)
		return fd;
	if (!file->nr_chunks || (is_pages(file) && !pieces->pages_too))
		return 0;
	if (file->nr_chunks == 1 && !is_pages(file) &&
	    atomic_fetch_add(&pieces->cached, file->size) + file->size <= CACHE_MAX) {
		return read_kept(pieces, file, fd);
	}
	err = crk_checksum_file(fd, file->map, chunk * CRK_IMG_CHUNK, crk_imgdir_chunk_len(file, chunk), file->dead,
				file->nr_dead, &sum);
	crk_progress_add(crk_imgdir_chunk_len(file, chunk));
	return err ? open_failed(pieces, file, err) : compare(pieces, file, chunk, sum);
}

static int open_files(struct crk_imgdir *dir, bool pages_too)
{
	struct crk_pieces pieces = { .dir = dir, .pages_too = pages_too, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		const struct crk_imgfile *file = &dir->files[i];

		err = crk_pieces_add(&pieces, i, 0);
		if (is_pages(file) && !pages_too)
			continue;
		for (chunk = 1; chunk < file->nr_chunks && !err; chunk++)
			err = crk_pieces_add(&pieces, i, chunk);
		pieces.bytes += file->size;
	}
	return crk_pieces_run(&pieces, err, open_piece);
}

/* is there a checkpoint at all, and is it one of ours? */
static int check_complete(struct crk_imgdir *dir)
{
	if (faccessat(dir->fd, INVENTORY_IMG, F_OK, 0))
		return crk_fail(-ENODATA, "'%s' is not a complete checkpoint (%s is missing)",
				dir->path, INVENTORY_IMG);
	if (faccessat(dir->fd, CHECKSUM_IMG, F_OK, 0) &&
	    faccessat(dir->fd, "crk-inventory.img", F_OK, 0))
		return crk_fail(-EPROTO, "'%s' was made by another tool; crk's own checkpoints carry crk-inventory.img",
				dir->path);
	return 0;
}

static int check_inventory(struct crk_imgdir *dir, bool this_machine)
{
	InventoryEntry *inv;
	int err;

	err = crk_img_read_one(dir, CRK_IMG_CRK_INVENTORY, 0, (ProtobufCMessage **)&dir->inventory);
	if (err == -ENOENT)
		return crk_imgdir_damaged(dir, CHECKSUM_IMG, "it does not list crk-inventory.img");
	if (err)
		return err;
	if (dir->inventory->format != CRK_IMG_FORMAT && dir->inventory->format != CRK_IMG_FORMAT_PACKED)
		return crk_fail(-EPROTO, "'%s' has image format %u, this crkhelper knows up to %u (it was made by crkhelper %s)",
				dir->path, dir->inventory->format, CRK_IMG_FORMAT_PACKED,
				dir->inventory->crk_version);
	if (this_machine && dir->inventory->machine != crk_machine())
		return crk_fail(-ENOEXEC, "'%s' is of another machine: %s, and this one is %s",
				dir->path, crk_machine_name(dir->inventory->machine),
				crk_machine_name(crk_machine()));
	err = crk_img_read_one(dir, CRK_IMG_INVENTORY, 0, (ProtobufCMessage **)&inv);
	if (err == -ENOENT)
		return crk_imgdir_damaged(dir, CHECKSUM_IMG, "it does not list %s", INVENTORY_IMG);
	if (err)
		return err;
	if (inv->img_version != CRK_IMG_VERSION)
		err = crk_fail(-EPROTO, "'%s' has images of version %u, this crkhelper knows %u",
			       dir->path, inv->img_version, CRK_IMG_VERSION);
	inventory_entry__free_unpacked(inv, NULL);
	return err;
}

int crk_imgdir_open_as(const char *path, enum crk_img_verify verify, bool is_parent, struct crk_imgdir **ret)
{
	struct crk_imgdir *dir = calloc(1, sizeof(*dir));
	int err;

	if (!dir)
		return crk_oom();
	dir->complete = true;
	dir->is_parent = is_parent;
	dir->path = strdup(path);
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		err = crk_err(-errno, "cannot open checkpoint '%s'", path);
	else
		err = dir->path ? 0 : crk_oom();
	if (!err)
		err = check_complete(dir);
	if (!err)
		err = crk_imgdir_read_checksums(dir);
	if (!err)
		err = open_files(dir, verify == CRK_VERIFY_ALL);
	if (!err)
		err = check_inventory(dir, verify != CRK_VERIFY_TABLES);
	if (err) {
		crk_imgdir_close(dir);
		return err;
	}
	*ret = dir;
	return 0;
}

int crk_imgdir_open(const char *path, enum crk_img_verify verify, struct crk_imgdir **ret)
{
	return crk_imgdir_open_as(path, verify, false, ret);
}

static int verify_pages(struct crk_imgdir *dir, bool packed)
{
	struct crk_pieces pieces = { .dir = dir, .pages_too = true, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		const struct crk_imgfile *file = &dir->files[i];

		if (!is_pages(file) || is_packed(file) != packed)
			continue;
		for (chunk = 0; chunk < file->nr_chunks && !err; chunk++) {
			if (file->later && file->later[chunk])
				continue;
			err = crk_pieces_add(&pieces, i, chunk);
			pieces.bytes += crk_imgdir_chunk_len(file, chunk);
		}
	}
	return crk_pieces_run(&pieces, err, open_piece);
}

int crk_imgdir_verify_pages(struct crk_imgdir *dir)
{
	int err = 0;

	for (; dir && !err; dir = dir->parent)
		err = verify_pages(dir, false);
	return err;
}

int crk_imgdir_verify_packed(struct crk_imgdir *dir)
{
	int err = 0;

	for (; dir && !err; dir = dir->parent)
		err = verify_pages(dir, true);
	return err;
}

/* ---- chunks of pages images that are read one by one ---- */

static struct crk_imgfile *pages_file(struct crk_imgdir *dir, uint32_t pages_id)
{
	char name[32];

	snprintf(name, sizeof(name), "pages-%u.img", pages_id);
	return crk_imgdir_find(dir, name);
}

int crk_imgdir_verify_later(struct crk_imgdir *dir, uint32_t pages_id, uint64_t start, uint64_t end, bool later)
{
	struct crk_imgfile *file = pages_file(dir, pages_id);
	size_t chunk;

	if (!file || (!file->later && !later))
		return 0;
	if (!file->later)
		file->later = calloc(file->nr_chunks + 1, sizeof(*file->later));
	if (!file->later)
		return crk_oom();
	for (chunk = start / CRK_IMG_CHUNK; chunk < file->nr_chunks && chunk * CRK_IMG_CHUNK < end; chunk++)
		file->later[chunk] = later;
	return 0;
}

int crk_imgdir_read_chunk(struct crk_imgdir *dir, uint32_t pages_id, int fd, size_t chunk, void *buf, size_t *len_ret)
{
	struct crk_imgfile *file = pages_file(dir, pages_id);
	uint64_t start = chunk * CRK_IMG_CHUNK, end, sum;
	char label[4096];
	size_t len, i;
	int err;

	if (!file || chunk >= file->nr_chunks)
		return crk_fail(-EBADMSG, "pages-%u.img in '%s' has no byte %ju", pages_id, dir->path, (uintmax_t)start);
	len = crk_imgdir_chunk_len(file, chunk);
	end = start + len;
	err = pread_all(fd, buf, len, start);
	if (err == -ENODATA)
		return crk_imgdir_damaged(dir, file->name, "it was cut short");
	if (err)
		return crk_err(err, "cannot read image %s", crk_imgdir_label(dir, file->name, label));
	/* the checksum is of what is left, see imgdir_dead.c */
	for (i = 0; i < file->nr_dead; i += 2) {
		uint64_t from = max(file->dead[i], start), to = min(file->dead[i + 1], end);

		if (from < to)
			memset((char *)buf + (from - start), 0, to - from);
	}
	sum = crk_checksum(buf, len);
	if (sum != file->chunks[chunk])
		return crk_imgdir_damaged(dir, file->name, "checksum differs");
	*len_ret = len;
	return 0;
}
