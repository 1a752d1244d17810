/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A shot is all that /proc tells of the processes of a cgroup, with their memory and page tables; two of them are
 * compared byte by byte.  What may differ between any two, and why, is a named list in shot.c.
 */
#ifndef _SHOT_H
#define _SHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* what may differ: in any case; only if the target was frozen and thawed, as without a dump */
enum { ALWAYS = 1, THAWED = 2 };

struct look {
	int when;			/* what of the list is left out */
	bool contents;			/* of memory too, which makes pages present; else page tables only */
	const uintptr_t *rseq;		/* rseq areas of threads, taken as zeros; an area at 0: the thread has none */
	size_t nr_rseq;
};

struct shot {
	struct item {
		char *name, *text;
	} *items;
	size_t nr;
};

struct shot shot_take(const char *cgroup, const struct look *look);
void shot_free(struct shot *s);
/* what differs, malloc'ed, or NULL */
char *shot_differs(const struct shot *a, const struct shot *b);

/* a file as text, malloc'ed: NULs become dots; NULL if it can't be opened */
char *slurp(const char *path);

#endif /* _SHOT_H */
