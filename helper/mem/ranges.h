/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sets of addresses as lists of ranges, in order, apart from each other.
 */
#ifndef _CRK_RANGES_H
#define _CRK_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crk_span {
	uint64_t start, end;
};

struct crk_ranges {
	struct crk_span *spans;
	size_t nr, room;
};

/* all of these: 0 or -ENOMEM, said */
int crk_ranges_append(struct crk_ranges *s, uint64_t start, uint64_t end);	/* any order: sort before use */
void crk_ranges_sort(struct crk_ranges *s);
int crk_ranges_sub(struct crk_ranges *s, const struct crk_ranges *what);	/* @s without @what */
int crk_ranges_and(struct crk_ranges *s, const struct crk_ranges *with);	/* what is in both */
int crk_ranges_add(struct crk_ranges *s, const struct crk_ranges *more);	/* what is in one of them */
int crk_ranges_cut(struct crk_ranges *s, uint64_t start, uint64_t end);		/* @s without these addresses */
/* the first span that ends behind @addr; s->nr if there is none */
size_t crk_ranges_from(const struct crk_ranges *s, uint64_t addr);
bool crk_ranges_touch(const struct crk_ranges *s, uint64_t start, uint64_t end);
void crk_ranges_free(struct crk_ranges *s);

#endif /* _CRK_RANGES_H */
