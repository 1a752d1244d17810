/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What image.c (framing) and the files of directories know of each other: imgdir.c (made, completed), imgdir_check.c
 * (opened), imgdir_checksums.c (the list of files), imgdir_pieces.c (large files in pieces).  For no one else.
 */
#ifndef _CRK_IMGDIR_H
#define _CRK_IMGDIR_H

#include <stdatomic.h>

#include "image.h"
#include "util.h"

#define INVENTORY_IMG	"inventory.img"
#define INVENTORY_PART	"inventory.img.part"	/* until the commit */
#define CHECKSUM_IMG	"crk-checksum.img"
#define IMG_NAME_MAX	64	/* of our own names, with the NUL */
#define PARENT_LINK	"parent"

/* a file of the checkpoint; on disk unless @data is set while writing */
struct crk_imgfile {
	char *name;
	uint64_t size;
	unsigned char *data;	/* writing: contents not yet on disk; reading: contents, checked, until they were read */
	unsigned int readers;	/* images open for reading */
	bool kept;		/* reading: @data was there, and is wanted again if it is read again */
	void *map;		/* all of it, while its checksums are made or compared */
	uint64_t *chunks;	/* XXH64 of each CRK_IMG_CHUNK */
	bool *later;		/* those that are verified when they are read; NULL: none */
	size_t nr_chunks;
	uint64_t *dead;		/* from, to, …: see imgdir_dead.c */
	size_t nr_dead;
};

struct crk_imgdir {
	int fd;
	char *path;
	bool writing;
	bool made;		/* the directory did not exist before */
	bool complete;
	bool is_parent;
	bool linked;		/* writing: PARENT_LINK was made */
	struct crk_imgdir *parent;	/* NULL: none, or not opened */
	struct crk_imgfile *files;	/* reading: in order of name */
	size_t nr_files, room;
	uint64_t in_memory;	/* bytes of all @data */
	size_t nr_writing;	/* images open for writing */
	bool dead_changed;	/* since CHECKSUM_IMG was read */
	CrkInventoryEntry *inventory;
};

/* prints that @name is damaged and how, returns -EBADMSG */
int crk_imgdir_damaged(const struct crk_imgdir *dir, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* how messages call an image: those of parents with their directory */
const char *crk_imgdir_label(const struct crk_imgdir *dir, const char *name, char buf[4096]);

/* writing: makes the file and lists it; *index_ret is its place in dir->files */
int crk_imgdir_add_file(struct crk_imgdir *dir, const char *name, int *fd_ret, size_t *index_ret);
/* writing: lists a file whose contents are still @data, which is taken over when 0 is returned */
int crk_imgdir_add_data(struct crk_imgdir *dir, const char *name, unsigned char *data,
			size_t size);
/* one more of dir->files, not made; NULL if there is no memory */
struct crk_imgfile *crk_imgdir_add(struct crk_imgdir *dir, const char *name);
/* reading: NULL if the checkpoint has no such file */
struct crk_imgfile *crk_imgdir_find(struct crk_imgdir *dir, const char *name);
/* reading: @data once more, checked once more; let go again when nobody reads it */
int crk_imgdir_data_get(struct crk_imgdir *dir, struct crk_imgfile *file);
void crk_imgdir_data_put(struct crk_imgfile *file);
/* what a file is called until the commit */
const char *crk_imgdir_disk_name(const char *name);

/* crk_imgdir_open(); @is_parent: of another checkpoint, messages name it */
int crk_imgdir_open_as(const char *path, enum crk_img_verify verify, bool is_parent, struct crk_imgdir **ret);

/* ---- imgdir_checksums.c: crk-checksum.img ---- */

int crk_imgdir_write_checksums(struct crk_imgdir *dir);		/* of dir->files, and lists itself there */
int crk_imgdir_read_checksums(struct crk_imgdir *dir);		/* into dir->files */
/* the same as it is to be written, malloc'ed */
int crk_imgdir_pack_checksums(struct crk_imgdir *dir, unsigned char **buf_ret, size_t *len_ret);

/* ---- imgdir_pieces.c ---- */

static inline size_t crk_imgdir_nr_chunks(uint64_t size)
{
	return (size + CRK_IMG_CHUNK - 1) / CRK_IMG_CHUNK;
}

static inline size_t crk_imgdir_chunk_len(const struct crk_imgfile *file, size_t chunk)
{
	return min(file->size - chunk * CRK_IMG_CHUNK, (uint64_t)CRK_IMG_CHUNK);
}

/*
 * One piece of work per chunk of a file, and one for a file without any.
 */
struct crk_pieces {
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

int crk_pieces_add(struct crk_pieces *pieces, size_t file, size_t chunk);
/* is a failure the first one? */
bool crk_pieces_say_now(struct crk_pieces *pieces);
/* work(pieces, 0 … nr - 1) by crk_parallel(), and ends the pieces; @err: what came of their making */
int crk_pieces_run(struct crk_pieces *pieces, int err, int (*work)(void *arg, size_t i));

#endif /* _CRK_IMGDIR_H */
