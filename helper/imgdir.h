/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What image.c (framing) and imgdir.c (directories) know of each other.  For no one else.
 */
#ifndef _CRK_IMGDIR_H
#define _CRK_IMGDIR_H

#include "image.h"

#define IMG_NAME_MAX	64	/* of our own names, with the NUL */

/* a file of the checkpoint; on disk unless @data is set while writing */
struct crk_imgfile {
	char *name;
	uint64_t size;
	unsigned char *data;	/* writing: contents not yet on disk; reading: contents, checked */
	void *map;		/* all of it, while its checksums are made or compared */
	uint64_t *chunks;	/* XXH64 of each CRK_IMG_CHUNK */
	size_t nr_chunks;
};

struct crk_imgdir {
	int fd;
	char *path;
	bool writing;
	bool made;		/* the directory did not exist before */
	bool complete;
	struct crk_imgfile *files;	/* reading: in order of name */
	size_t nr_files, room;
	uint64_t in_memory;	/* bytes of all @data */
	size_t nr_writing;	/* images open for writing */
	CrkInventoryEntry *inventory;
};

/* prints that @name is damaged and how, returns -EBADMSG */
int crk_imgdir_damaged(const char *name, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* writing: makes the file and lists it; *index_ret is its place in dir->files */
int crk_imgdir_add_file(struct crk_imgdir *dir, const char *name, int *fd_ret, size_t *index_ret);
/* writing: lists a file whose contents are still @data, which is taken over when 0 is returned */
int crk_imgdir_add_data(struct crk_imgdir *dir, const char *name, unsigned char *data,
			size_t size);
/* reading: NULL if the checkpoint has no such file */
struct crk_imgfile *crk_imgdir_find(struct crk_imgdir *dir, const char *name);

#endif /* _CRK_IMGDIR_H */
