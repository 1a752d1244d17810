/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of unix sockets share: unix.c (dump), unix-restore.c, unix-diag.c (what only netlink tells),
 * unix-queue.c (messages).
 */
#ifndef _CRK_FILES_UNIX_H
#define _CRK_FILES_UNIX_H

#include <sys/socket.h>
#include <sys/un.h>

#include "files.h"

/* unix_sk_entry.state */
#define UNIX_ESTABLISHED	1
#define UNIX_CLOSE		7
#define UNIX_LISTEN		10

/* unix-diag.c */
struct crk_unix_diag {
	uint32_t type, state;
	bool has_peer;			/* perhaps one that was closed */
	uint32_t peer;			/* its ino; 0: none, closed, or not accepted yet */
	uint32_t backlog, shutdown;
	bool has_file;			/* bound to a path; of the socket's file: */
	uint32_t file_ino, file_dev;
	uint32_t nr_waiting;		/* connections not accepted yet */
	uint32_t waiting[64];		/* ino of those who connect, the first of them */
};
int crk_unix_diag(uint32_t ino, struct crk_unix_diag *out);	/* -ENOENT: no such socket here */

/* unix-opts.c: what setsockopt(2) sets */
int crk_unix_opts_dump(struct crk_dump *d, const struct crk_dfile *f, SkOptsEntry **ret);
int crk_unix_opts_set(int fd, const SkOptsEntry *o);

/* unix-restore.c */
int crk_unix_plan(struct crk_rst *r, const FileEntry *fe);
int crk_unix_open(struct crk_rst *r, const FileEntry *fe, int *ret);
int crk_unix_complete(struct crk_rst *r, const FileEntry *fe, int fd);

/* unix-queue.c: what waits in socket @fd of file @f, without taking it; files passed in it are dumped too */
int crk_unix_queue_dump(struct crk_dump *d, const struct crk_dfile *f, int fd, int type);

struct crk_unix_packet {
	struct crk_unix_packet *next;
	uint32_t id_for, length;
	uint32_t *rights;
	size_t nr_rights;
	char *data;
};
int crk_unix_queue_load(struct crk_rst *r, struct crk_unix_packet **list_ret);
/* sends the @n-th message of its socket from @fd, to @to if that is not connected (to_len 0: it is) */
int crk_unix_queue_send(struct crk_rst *r, const struct crk_unix_packet *p, size_t n, int fd,
			const struct sockaddr_un *to, socklen_t to_len);

#endif /* _CRK_FILES_UNIX_H */
