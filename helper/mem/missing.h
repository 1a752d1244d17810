/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What of a running process's memory is not there yet, and where in the images it is: runs in order of address.
 */
#ifndef _CRK_MISSING_H
#define _CRK_MISSING_H

#include "mem.h"

struct crk_missing {
	struct crk_rrun *runs;
	size_t first, nr, room;		/* those before @first are there */
};

/* all of these: 0 or -ENOMEM, said */
int crk_missing_append(struct crk_missing *m, const struct crk_rrun *run);	/* in order */
int crk_missing_copy(struct crk_missing *to, const struct crk_missing *from);
int crk_missing_cut(struct crk_missing *m, uint64_t start, uint64_t end);	/* is there, or is not wanted any more */
int crk_missing_move(struct crk_missing *m, uint64_t from, uint64_t to, uint64_t len);
/* the run that has @addr; NULL: none */
const struct crk_rrun *crk_missing_at(const struct crk_missing *m, uint64_t addr);
const struct crk_rrun *crk_missing_first(const struct crk_missing *m);		/* NULL: nothing is missing */
void crk_missing_free(struct crk_missing *m);

static inline uint64_t crk_rrun_end(const struct crk_rrun *run)
{
	return run->addr + run->nr * PAGE_SIZE;
}

#endif /* _CRK_MISSING_H */
