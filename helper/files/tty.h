/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of terminals share: tty.c (dump), tty-restore.c, tty-queue.c (what waits to be read).
 */
#ifndef _CRK_FILES_TTY_H
#define _CRK_FILES_TTY_H

#include <asm/termbits.h>

#include "files.h"

#define TTYAUX_MAJOR	5

/* crk_file_entry.tty_flags, of the master */
#define TTY_SLAVE_CLOSED	1	/* all openings of the slave were closed: the master reads EIO */

/* tty_info ids: CRIU counts the two ends apart */
static inline uint32_t crk_tty_info_id(uint32_t index, bool master)
{
	return 2 * index + (master ? 1 : 2);
}

/* tty-queue.c */
struct crk_tty_queue {
	char *data;
	size_t len;
};

/* settings with which what waits passes unaltered; @lines: input of a terminal in line mode stays lines */
struct termios2 crk_tty_plain(const struct termios2 *t, bool lines);
/* all that can be read from @fd, which must not block */
int crk_tty_queue_take(struct crk_dump *d, int fd, struct crk_tty_queue *q);
/* puts @in where the slave is read and @out where the master is */
int crk_tty_queues_put(int master, int slave, const struct termios2 *t, const struct crk_tty_queue *in,
		       const struct crk_tty_queue *out);

/* tty-restore.c */
int crk_tty_plan(struct crk_rst *r, const FileEntry *fe);
int crk_tty_open(struct crk_rst *r, const FileEntry *fe, int *ret);
int crk_tty_process(struct crk_rst *r, struct crk_rproc *p);
int crk_tty_complete(struct crk_rst *r, const FileEntry *fe, int fd);

#endif /* _CRK_FILES_TTY_H */
