/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of open files of a restore, shared by files_restore.c, which makes it, and files_install.c.  The
 * coordinator's descriptors are at r->fd_base and above, the targets' below.
 */
#ifndef _CRK_FILES_RESTORE_H
#define _CRK_FILES_RESTORE_H

#include "files/files.h"

struct rfile {
	FileEntry *fe;
	CrkFileEntry *extra;
	const struct crk_file_ops *ops;
	int fd;				/* -1: not open */
	bool in_use;			/* somebody has a descriptor of it */
	bool path_only;			/* tells where another file is, and is not opened itself */
	bool opening;
	bool late;			/* opened when all processes exist; until then @fd is something else */
	pid_t holder;			/* whose descriptors fe means, who connects it */
};

struct chunk {
	struct chunk *next;
	char data[] __attribute__((aligned(16)));
};

struct state {
	const void *key;
	void *mem;
};

struct crk_rst_files {
	struct rfile *files;		/* by id */
	size_t nr, room;
	FileEntry **entries;
	struct chunk *chunks;
	struct state states[16];	/* of kinds and their helpers */
	struct crk_index known;		/* by them */
	struct rfile **connects;	/* those that are connected by a process: by holder */
	size_t nr_connects;
	int *held;			/* descriptors of the coordinator besides those of the files */
	size_t nr_held, room_held;
	int coordinator;		/* pidfd, -1 if no file is late */
};

struct rfile *crk_rfile_find(struct crk_rst *r, uint32_t id);
void crk_rfiles_close(struct crk_rst_files *s, bool last_too);

#endif /* _CRK_FILES_RESTORE_H */
