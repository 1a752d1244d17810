/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Things by number: what was seen before is found again in the same time, however much has been seen.  The numbers are two, and
 * of a kind, which is any address: one index serves all who look for something of their own.
 */
#ifndef _CRK_INDEX_H
#define _CRK_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct crk_index {
	struct crk_index_slot *slots;	/* .kind NULL: free */
	size_t nr, size;		/* @size is 0 or a power of two */
};

struct crk_index_slot {
	const void *kind;
	uint64_t a, b;
	void *item;
};

uint64_t crk_index_mix(uint64_t x);	/* spreads numbers over all bits */
void *crk_index_find(const struct crk_index *index, const void *kind, uint64_t a, uint64_t b);	/* NULL: not there */
int crk_index_add(struct crk_index *index, const void *kind, uint64_t a, uint64_t b, void *item);	/* what is not there */
void crk_index_free(struct crk_index *index);

#endif /* _CRK_INDEX_H */
