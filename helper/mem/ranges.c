// SPDX-License-Identifier: GPL-2.0
/*
 * Sets of addresses; see ranges.h.  Knows nothing of memory images.
 */
#include "log.h"
#include "ranges.h"
#include "util.h"

int crk_ranges_append(struct crk_ranges *s, uint64_t start, uint64_t end)
{
	struct crk_span *last = s->nr ? &s->spans[s->nr - 1] : NULL;

	if (start >= end)
		return 0;
	if (last && last->end == start) {
		last->end = end;
		return 0;
	}
	last = array_add(s->spans, s->nr, s->room);
	if (!last)
		return crk_oom();
	*last = (struct crk_span){ start, end };
	return 0;
}

static int cmp_span(const void *a, const void *b)
{
	const struct crk_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void crk_ranges_sort(struct crk_ranges *s)
{
	size_t i, to = 0;

	if (s->nr > 1)
		qsort(s->spans, s->nr, sizeof(*s->spans), cmp_span);
	for (i = 1; i < s->nr; i++) {
		if (s->spans[i].start <= s->spans[to].end)
			s->spans[to].end = max(s->spans[to].end, s->spans[i].end);
		else
			s->spans[++to] = s->spans[i];
	}
	if (s->nr)
		s->nr = to + 1;
}

static int ranges_set(struct crk_ranges *s, struct crk_ranges *to, int err)
{
	if (err) {
		crk_ranges_free(to);
		return err;
	}
	crk_ranges_free(s);
	*s = *to;
	return 0;
}

int crk_ranges_sub(struct crk_ranges *s, const struct crk_ranges *what)
{
	struct crk_ranges out = {};
	size_t i, k = 0;
	int err = 0;

	for (i = 0; i < s->nr && !err; i++) {
		uint64_t at = s->spans[i].start, end = s->spans[i].end;

		while (k < what->nr && what->spans[k].end <= at)
			k++;
		for (; k < what->nr && what->spans[k].start < end && !err; k++) {
			err = crk_ranges_append(&out, at, what->spans[k].start);
			at = what->spans[k].end;
			if (at >= end)
				break;		/* it may reach into the next one */
		}
		if (!err)
			err = crk_ranges_append(&out, at, end);
	}
	return ranges_set(s, &out, err);
}

int crk_ranges_and(struct crk_ranges *s, const struct crk_ranges *with)
{
	struct crk_ranges out = {};
	size_t i = 0, k = 0;
	int err = 0;

	while (i < s->nr && k < with->nr && !err) {
		const struct crk_span *a = &s->spans[i], *b = &with->spans[k];

		err = crk_ranges_append(&out, max(a->start, b->start), min(a->end, b->end));
		if (a->end < b->end)
			i++;
		else
			k++;
	}
	return ranges_set(s, &out, err);
}

int crk_ranges_add(struct crk_ranges *s, const struct crk_ranges *more)
{
	size_t i;
	int err = 0;

	for (i = 0; i < more->nr && !err; i++)
		err = crk_ranges_append(s, more->spans[i].start, more->spans[i].end);
	crk_ranges_sort(s);
	return err;
}

int crk_ranges_cut(struct crk_ranges *s, uint64_t start, uint64_t end)
{
	struct crk_span span = { start, end };
	const struct crk_ranges what = { &span, 1, 1 };

	return crk_ranges_touch(s, start, end) ? crk_ranges_sub(s, &what) : 0;
}

size_t crk_ranges_from(const struct crk_ranges *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->spans[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool crk_ranges_touch(const struct crk_ranges *s, uint64_t start, uint64_t end)
{
	size_t i = crk_ranges_from(s, start);

	return i < s->nr && s->spans[i].start < end;
}

void crk_ranges_free(struct crk_ranges *s)
{
	free(s->spans);
	*s = (struct crk_ranges){};
}
