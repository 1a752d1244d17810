// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoint directories: made, completed by the rename of the inventory, opened and checked against the checksums.
 * A directory without inventory.img is not a checkpoint; a file that crk-checksum.img does not list is not part of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"
#include "util.h"

#define INVENTORY	"inventory.img"
#define INVENTORY_PART	"inventory.img.part"	/* until the commit */
#define CHECKSUM	"crk-checksum.img"
#define CHECKSUM_MAX	(256UL << 20)	/* a list longer than that is not one of ours */
#define CACHE_MAX	(64UL << 20)	/* of contents kept from the check to the use */

int crk_imgdir_damaged(const char *name, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return crk_fail(-EBADMSG, "image %s is damaged (%s); take another copy of the checkpoint",
			name, why);
}

static size_t nr_chunks(uint64_t size)
{
	return (size + CRK_IMG_CHUNK - 1) / CRK_IMG_CHUNK;
}

static size_t chunk_len(const struct crk_imgfile *file, size_t chunk)
{
	return min(file->size - chunk * CRK_IMG_CHUNK, (uint64_t)CRK_IMG_CHUNK);
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
	}
	free(dir->files);
	if (dir->fd >= 0)
		close(dir->fd);
	if (dir->inventory)
		crk_inventory_entry__free_unpacked(dir->inventory, NULL);
	free(dir->path);
	free(dir);
}

/*
 * One piece of work per chunk of a file, and one for a file without any.
 */
struct pieces {
	struct crk_imgdir *dir;
	struct {
		size_t file, chunk;
	} *items;
	size_t nr, room;
	uint64_t bytes;
	bool pages_too;
	atomic_ulong cached;
	atomic_flag said;	/* the first failure speaks, the others would only repeat it */
};

static int pieces_add(struct pieces *pieces, size_t file, size_t chunk)
{
	__typeof__(pieces->items) item = array_add(pieces->items, pieces->nr, pieces->room);

	if (!item)
		return crk_oom();
	item->file = file;
	item->chunk = chunk;
	return 0;
}

static bool say_now(struct pieces *pieces)
{
	return !atomic_flag_test_and_set(&pieces->said);
}

/* ---- making ---- */

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
		if (!strcmp(de->d_name, INVENTORY))
			complete = true;
		if (!has_suffix(de->d_name, ".img") && strcmp(de->d_name, INVENTORY_PART))
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

static const char *disk_name(const char *name)
{
	return strcmp(name, INVENTORY) ? name : INVENTORY_PART;
}

static int file_create(struct crk_imgdir *dir, const char *name)
{
	int fd = openat(dir->fd, disk_name(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			0600);

	return fd < 0 ? crk_err(-errno, "cannot make image %s", name) : fd;
}

static struct crk_imgfile *file_add(struct crk_imgdir *dir, const char *name)
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

	if (!file_add(dir, name))
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
	struct crk_imgfile *file = file_add(dir, name);

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

/*
 * Ends the pieces; @err: what came of their making.  Large files are mapped once, since to map and unmap each piece
 * would have all CPUs flush their TLBs each time; what can't be mapped is read.
 */
static int pieces_run(struct pieces *pieces, int err, int (*work)(void *arg, size_t i))
{
	struct crk_imgdir *dir = pieces->dir;
	size_t i;

	for (i = 0; i < pieces->nr && !err; i++) {
		struct crk_imgfile *file = &dir->files[pieces->items[i].file];
		_cleanup_close_ int fd = -1;

		if (pieces->items[i].chunk != 1 || file->size > SIZE_MAX)
			continue;
		fd = openat(dir->fd, dir->writing ? disk_name(file->name) : file->name,
			    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
		if (file->map == MAP_FAILED)
			file->map = NULL;
	}
	err = err ?: crk_parallel(pieces->nr, pieces->bytes, work, pieces);
	for (i = 0; i < dir->nr_files; i++) {
		if (dir->files[i].map)
			munmap(dir->files[i].map, dir->files[i].size);
		dir->files[i].map = NULL;
	}
	free(pieces->items);
	return err;
}

/* crk_parallel(): the sum of a chunk */
static int commit_piece(void *arg, size_t i)
{
	struct pieces *pieces = arg;
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
	fd = openat(dir->fd, disk_name(file->name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	err = fd < 0 ? -errno :
	      crk_checksum_file(fd, file->map, chunk * CRK_IMG_CHUNK, chunk_len(file, chunk), &file->chunks[chunk]);
	if (err && say_now(pieces))
		crk_err(err, "cannot read image %s back", file->name);
	return err;
}

static int commit_files(struct crk_imgdir *dir)
{
	struct pieces pieces = { .dir = dir, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		struct crk_imgfile *file = &dir->files[i];

		file->nr_chunks = nr_chunks(file->size);
		file->chunks = calloc(file->nr_chunks + 1, sizeof(*file->chunks));
		err = file->chunks ? pieces_add(&pieces, i, 0) : crk_oom();
		for (chunk = 1; chunk < file->nr_chunks && !err; chunk++)
			err = pieces_add(&pieces, i, chunk);
		pieces.bytes += file->size;
	}
	return pieces_run(&pieces, err, commit_piece);
}

/* appends a message in the framing of images to a growing buffer */
static int append_checksum(unsigned char **buf, size_t *len, const CrkChecksumEntry *e)
{
	uint32_t packed = crk_checksum_entry__get_packed_size(e);
	unsigned char *bigger = realloc(*buf, *len + sizeof(packed) + packed);

	if (!bigger)
		return crk_oom();
	*buf = bigger;
	memcpy(bigger + *len, &packed, sizeof(packed));
	crk_checksum_entry__pack(e, bigger + *len + sizeof(packed));
	*len += sizeof(packed) + packed;
	return 0;
}

static const uint32_t checksum_header[2] = { 0x206b7263, 0x6d757363 };	/* "crk ", "csum" */

static int commit_checksums(struct crk_imgdir *dir)
{
	CrkChecksumEntry e = CRK_CHECKSUM_ENTRY__INIT;
	_cleanup_free_ unsigned char *buf = NULL;
	_cleanup_close_ int fd = -1;
	size_t i, index, len = sizeof(checksum_header), nr_files = dir->nr_files;
	uint64_t sum;
	int err = 0;

	buf = malloc(len);
	if (!buf)
		return crk_oom();
	memcpy(buf, checksum_header, len);
	for (i = 0; i < nr_files && !err; i++) {
		e.name = dir->files[i].name;
		e.size = dir->files[i].size;
		e.chunk = dir->files[i].chunks;
		e.n_chunk = dir->files[i].nr_chunks;
		err = append_checksum(&buf, &len, &e);
	}
	if (err)
		return err;
	sum = crk_checksum(buf, len);
	e.name = "";
	e.size = len;
	e.chunk = &sum;
	e.n_chunk = 1;
	err = append_checksum(&buf, &len, &e);
	if (!err)
		err = crk_imgdir_add_file(dir, CHECKSUM, &fd, &index);
	if (err)
		return err;
	dir->files[index].size = len;
	err = write_all(fd, buf, len);
	return err ? crk_err(err, "cannot write image %s", CHECKSUM) : 0;
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
	if (!crk_imgdir_find(dir, INVENTORY))
		return crk_fail(-EINVAL, "no inventory was written: a bug of crkhelper");
	err = commit_files(dir);
	if (err)
		return err;
	err = commit_checksums(dir);
	if (err)
		return err;
	if (renameat(dir->fd, INVENTORY_PART, dir->fd, INVENTORY))
		return crk_err(-errno, "cannot rename %s to %s", INVENTORY_PART, INVENTORY);
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
				unlinkat(dir->fd, disk_name(dir->files[i].name), 0);
		if (dir->made)
			rmdir(dir->path);
	}
	dir_free(dir);
	errno = saved;
}

/* ---- opening ---- */

static bool is_pages(const struct crk_imgfile *file)
{
	return !strncmp(file->name, "pages-", 6);
}

static int open_failed(struct pieces *pieces, const struct crk_imgfile *file, int err)
{
	if (!say_now(pieces))
		return err;
	if (err == -ENOENT)
		return crk_fail(-EBADMSG, "image %s is missing; take another copy of the checkpoint",
				file->name);
	if (err == -ENOMEM)
		return crk_oom();
	return crk_err(err, "cannot read image %s", file->name);
}

/* the size of a file is checked with its first chunk */
static int open_file(struct pieces *pieces, const struct crk_imgfile *file, bool check_size)
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
	if (say_now(pieces))
		crk_imgdir_damaged(file->name, "it has %jd bytes instead of %ju",
				   (intmax_t)st.st_size, (uintmax_t)file->size);
	return -EBADMSG;
}

static int compare(struct pieces *pieces, const struct crk_imgfile *file, size_t chunk,
		   uint64_t sum)
{
	if (sum == file->chunks[chunk])
		return 0;
	if (say_now(pieces))
		crk_imgdir_damaged(file->name, "checksum differs");
	return -EBADMSG;
}

/* crk_parallel(): check a chunk; an image of one chunk is kept in memory for those who will read it */
static int open_piece(void *arg, size_t i)
{
	struct pieces *pieces = arg;
	struct crk_imgfile *file = &pieces->dir->files[pieces->items[i].file];
	size_t chunk = pieces->items[i].chunk;
	_cleanup_close_ int fd = open_file(pieces, file, chunk == 0);
	_cleanup_free_ unsigned char *data = NULL;
	uint64_t sum;
	int err;

	if (fd < 0)
		return fd;
	if (!file->nr_chunks || (is_pages(file) && !pieces->pages_too))
		return 0;
	if (file->nr_chunks == 1 && !is_pages(file) &&
	    atomic_fetch_add(&pieces->cached, file->size) + file->size <= CACHE_MAX) {
		data = malloc(file->size);
		if (!data)
			return open_failed(pieces, file, -ENOMEM);
		err = read_all(fd, data, file->size);
		if (err)
			return open_failed(pieces, file, err);
		err = compare(pieces, file, chunk, crk_checksum(data, file->size));
		if (!err)
			file->data = steal_ptr(&data);
		return err;
	}
	err = crk_checksum_file(fd, file->map, chunk * CRK_IMG_CHUNK, chunk_len(file, chunk), &sum);
	return err ? open_failed(pieces, file, err) : compare(pieces, file, chunk, sum);
}

static int open_files(struct crk_imgdir *dir, bool pages_too)
{
	struct pieces pieces = { .dir = dir, .pages_too = pages_too, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		const struct crk_imgfile *file = &dir->files[i];

		err = pieces_add(&pieces, i, 0);
		if (is_pages(file) && !pages_too)
			continue;
		for (chunk = 1; chunk < file->nr_chunks && !err; chunk++)
			err = pieces_add(&pieces, i, chunk);
		pieces.bytes += file->size;
	}
	return pieces_run(&pieces, err, open_piece);
}

/* one entry of the list of files: 0, or -EBADMSG without a message */
static int take_checksum(struct crk_imgdir *dir, const CrkChecksumEntry *e)
{
	struct crk_imgfile *file;

	if (strchr(e->name, '/') || e->n_chunk != nr_chunks(e->size))
		return -EBADMSG;
	if (dir->nr_files && strcmp(dir->files[dir->nr_files - 1].name, e->name) >= 0)
		return -EBADMSG;	/* not in order */
	file = file_add(dir, e->name);
	if (!file)
		return -ENOMEM;
	file->size = e->size;
	file->nr_chunks = e->n_chunk;
	file->chunks = calloc(e->n_chunk + 1, sizeof(*file->chunks));
	if (!file->chunks)
		return -ENOMEM;
	memcpy(file->chunks, e->chunk, e->n_chunk * sizeof(*file->chunks));
	return 0;
}

static bool is_trailer(const CrkChecksumEntry *e, const unsigned char *buf, size_t before,
		       bool at_end)
{
	return at_end && e->size == before && e->n_chunk == 1 &&
	       e->chunk[0] == crk_checksum(buf, before);
}

static int parse_checksums(struct crk_imgdir *dir, const unsigned char *buf, size_t len)
{
	size_t pos = sizeof(checksum_header);

	if (len < pos || memcmp(buf, checksum_header, pos))
		return -EBADMSG;
	for (;;) {
		CrkChecksumEntry *e;
		size_t before = pos;
		bool trailer;
		uint32_t packed;
		int err;

		if (len - pos < sizeof(packed))
			return -EBADMSG;
		memcpy(&packed, buf + pos, sizeof(packed));
		pos += sizeof(packed);
		if (len - pos < packed)
			return -EBADMSG;
		e = crk_checksum_entry__unpack(NULL, packed, buf + pos);
		if (!e)
			return -EBADMSG;
		pos += packed;
		trailer = !*e->name;
		if (trailer)
			err = is_trailer(e, buf, before, pos == len) ? 0 : -EBADMSG;
		else
			err = take_checksum(dir, e);
		crk_checksum_entry__free_unpacked(e, NULL);
		if (err || trailer)
			return err;
	}
}

static int read_checksums(struct crk_imgdir *dir)
{
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	size_t len;
	int err;

	if (fstatat(dir->fd, CHECKSUM, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ?
		       crk_fail(-EBADMSG, "image %s is missing; take another copy of the checkpoint", CHECKSUM) :
		       crk_err(-errno, "cannot read image %s", CHECKSUM);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > CHECKSUM_MAX)
		return crk_imgdir_damaged(CHECKSUM, "it is not a list of checksums");
	err = read_file_at(dir->fd, CHECKSUM, &buf, &len);
	if (err)
		return crk_err(err, "cannot read image %s", CHECKSUM);
	err = parse_checksums(dir, (unsigned char *)buf, len);
	if (err == -ENOMEM)
		return crk_oom();
	return err ? crk_imgdir_damaged(CHECKSUM, "checksum differs") : 0;
}

/* is there a checkpoint at all, and is it one of ours? */
static int check_complete(struct crk_imgdir *dir)
{
	if (faccessat(dir->fd, INVENTORY, F_OK, 0))
		return crk_fail(-ENODATA, "'%s' is not a complete checkpoint (%s is missing)",
				dir->path, INVENTORY);
	if (faccessat(dir->fd, CHECKSUM, F_OK, 0) &&
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
		return crk_imgdir_damaged(CHECKSUM, "it does not list crk-inventory.img");
	if (err)
		return err;
	if (dir->inventory->format != CRK_IMG_FORMAT)
		return crk_fail(-EPROTO, "'%s' has image format %u, this crkhelper knows %u (it was made by crkhelper %s)",
				dir->path, dir->inventory->format, CRK_IMG_FORMAT,
				dir->inventory->crk_version);
	if (this_machine && dir->inventory->machine != crk_machine())
		return crk_fail(-ENOEXEC, "'%s' is of another machine: %s, and this one is %s",
				dir->path, crk_machine_name(dir->inventory->machine),
				crk_machine_name(crk_machine()));
	err = crk_img_read_one(dir, CRK_IMG_INVENTORY, 0, (ProtobufCMessage **)&inv);
	if (err == -ENOENT)
		return crk_imgdir_damaged(CHECKSUM, "it does not list %s", INVENTORY);
	if (err)
		return err;
	if (inv->img_version != CRK_IMG_VERSION)
		err = crk_fail(-EPROTO, "'%s' has images of version %u, this crkhelper knows %u",
			       dir->path, inv->img_version, CRK_IMG_VERSION);
	inventory_entry__free_unpacked(inv, NULL);
	return err;
}

int crk_imgdir_open(const char *path, enum crk_img_verify verify, struct crk_imgdir **ret)
{
	struct crk_imgdir *dir = calloc(1, sizeof(*dir));
	int err;

	if (!dir)
		return crk_oom();
	dir->complete = true;
	dir->path = strdup(path);
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		err = crk_err(-errno, "cannot open checkpoint '%s'", path);
	else
		err = dir->path ? 0 : crk_oom();
	if (!err)
		err = check_complete(dir);
	if (!err)
		err = read_checksums(dir);
	if (!err)
		err = open_files(dir, verify == CRK_VERIFY_ALL);
	if (!err)
		err = check_inventory(dir, verify != CRK_VERIFY_TABLES);
	if (err) {
		dir_free(dir);
		return err;
	}
	*ret = dir;
	return 0;
}

int crk_imgdir_verify_pages(struct crk_imgdir *dir)
{
	struct pieces pieces = { .dir = dir, .pages_too = true, .said = ATOMIC_FLAG_INIT };
	size_t i, chunk;
	int err = 0;

	for (i = 0; i < dir->nr_files && !err; i++) {
		const struct crk_imgfile *file = &dir->files[i];

		if (!is_pages(file))
			continue;
		for (chunk = 0; chunk < file->nr_chunks && !err; chunk++)
			err = pieces_add(&pieces, i, chunk);
		pieces.bytes += file->size;
	}
	return pieces_run(&pieces, err, open_piece);
}

/* ---- both ---- */

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

	if (dir->fd >= min)
		return 0;
	fd = fcntl(dir->fd, F_DUPFD_CLOEXEC, min);
	if (fd < 0)
		return crk_err(-errno, "cannot move descriptor %d to %d or above", dir->fd, min);
	close(dir->fd);
	dir->fd = fd;
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
