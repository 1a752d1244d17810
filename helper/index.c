// SPDX-License-Identifier: GPL-2.0
/*
 * Things by number: a hash table that is at most half full, with what doesn't fit in its slot in the next free one.
 * Nothing is taken out again.
 */
#include "index.h"
#include "log.h"
#include "util.h"

#define INDEX_FIRST	64

uint64_t crk_index_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	return x;
}

static struct crk_index_slot *slot_of(const struct crk_index *index, const void *kind, uint64_t a, uint64_t b)
{
	size_t i = crk_index_mix((uintptr_t)kind ^ crk_index_mix(a + crk_index_mix(b)));

	for (;; i++) {
		struct crk_index_slot *slot = &index->slots[i & (index->size - 1)];

		if (!slot->kind || (slot->kind == kind && slot->a == a && slot->b == b))
			return slot;
	}
}

void *crk_index_find(const struct crk_index *index, const void *kind, uint64_t a, uint64_t b)
{
	return index->size ? slot_of(index, kind, a, b)->item : NULL;
}

static int grow(struct crk_index *index)
{
	struct crk_index more = { .nr = index->nr, .size = index->size ? index->size * 2 : INDEX_FIRST };
	size_t i;

	more.slots = calloc(more.size, sizeof(*more.slots));
	if (!more.slots)
		return crk_oom();
	for (i = 0; i < index->size; i++) {
		const struct crk_index_slot *slot = &index->slots[i];

		if (slot->kind)
			*slot_of(&more, slot->kind, slot->a, slot->b) = *slot;
	}
	free(index->slots);
	*index = more;
	return 0;
}

int crk_index_add(struct crk_index *index, const void *kind, uint64_t a, uint64_t b, void *item)
{
	int err = index->nr * 2 >= index->size ? grow(index) : 0;

	if (err)
		return err;
	*slot_of(index, kind, a, b) = (struct crk_index_slot){ kind, a, b, item };
	index->nr++;
	return 0;
}

void crk_index_free(struct crk_index *index)
{
	free(index->slots);
	*index = (struct crk_index){};
}
