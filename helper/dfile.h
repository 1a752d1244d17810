/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What files.c (tables of descriptors), files_registry.c (files by identity) and dfile.c (facts of a file) know of each
 * other in a dump.  For no one else.
 */
#ifndef _CRK_DFILE_H
#define _CRK_DFILE_H

#include "files/files.h"

/* a file of the dump; the facts stay, the rest of @f is there while the kind dumps it */
struct crk_dump_file {
	struct crk_dfile f;
	struct crk_fd facts;
	uint64_t key;			/* in the hash: identity of the struct file, or made of inode and name */
	bool by_path;			/* not a descriptor */
	bool held;			/* passed in a message; @f.fd stays open so that it can be compared */
	char *link, *fdinfo;
	CrkFileEntry *extra;
	int type;			/* FD_TYPES__* */
};

/* files_registry.c: NULL if there is none; @same (may be NULL) decides between those of the same @key */
struct crk_dump_file *crk_files_find(struct crk_dump_files *s, uint64_t key, bool by_path,
				     bool (*same)(const struct crk_dump_file *df, const void *arg), const void *arg);
/* with an id of its own and no descriptor; NULL after crk_oom() */
struct crk_dump_file *crk_files_add(struct crk_dump *d, uint64_t key, bool by_path);

/* dfile.c: what is there only while the kind dumps it goes */
void crk_dfile_done(struct crk_dump_file *df);

#endif /* _CRK_DFILE_H */
