// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of missing memory; see missing.h.  Most is taken from the front, which costs nothing; what is taken from the
 * midst, since somebody waits for it, moves the rest of the list.
 */
#include <string.h>

#include "missing.h"

/* the first that ends behind @addr */
static size_t run_from(const struct crk_missing *m, uint64_t addr)
{
	size_t lo = m->first, hi = m->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (crk_rrun_end(&m->runs[mid]) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct crk_rrun *crk_missing_at(const struct crk_missing *m, uint64_t addr)
{
	size_t i = run_from(m, addr);

	return i < m->nr && m->runs[i].addr <= addr ? &m->runs[i] : NULL;
}

const struct crk_rrun *crk_missing_first(const struct crk_missing *m)
{
	return m->first < m->nr ? &m->runs[m->first] : NULL;
}

int crk_missing_append(struct crk_missing *m, const struct crk_rrun *run)
{
	struct crk_rrun *more = array_add(m->runs, m->nr, m->room);

	if (!more)
		return crk_oom();
	*more = *run;
	return 0;
}

int crk_missing_copy(struct crk_missing *to, const struct crk_missing *from)
{
	size_t nr = from->nr - from->first;

	*to = (struct crk_missing){ .runs = malloc((nr + 1) * sizeof(*to->runs)), .nr = nr, .room = nr + 1 };
	if (!to->runs)
		return crk_oom();
	if (nr)
		memcpy(to->runs, from->runs + from->first, nr * sizeof(*to->runs));
	return 0;
}

/* the part of @run in [start, end), which is not empty */
static struct crk_rrun part(const struct crk_rrun *run, uint64_t start, uint64_t end)
{
	uint64_t from = max(run->addr, start), to = min(crk_rrun_end(run), end);

	return (struct crk_rrun){ from, (to - from) / PAGE_SIZE, run->off + (from - run->addr), run->source };
}

/* @run comes before the @i-th */
static int insert(struct crk_missing *m, size_t i, const struct crk_rrun *run)
{
	int err = crk_missing_append(m, run);

	if (err)
		return err;
	memmove(m->runs + i + 1, m->runs + i, (m->nr - 1 - i) * sizeof(*m->runs));
	m->runs[i] = *run;
	return 0;
}

int crk_missing_cut(struct crk_missing *m, uint64_t start, uint64_t end)
{
	size_t i = run_from(m, start), gone;

	if (start >= end || i == m->nr || m->runs[i].addr >= end)
		return 0;
	if (m->runs[i].addr < start) {
		struct crk_rrun before = part(&m->runs[i], 0, start);

		if (crk_rrun_end(&m->runs[i]) > end) {
			struct crk_rrun behind = part(&m->runs[i], end, UINT64_MAX);
			int err = insert(m, i + 1, &behind);

			if (err)
				return err;
		}
		m->runs[i++] = before;
	}
	for (gone = i; gone < m->nr && crk_rrun_end(&m->runs[gone]) <= end; gone++)
		;
	if (gone < m->nr && m->runs[gone].addr < end)
		m->runs[gone] = part(&m->runs[gone], end, UINT64_MAX);
	if (i == m->first) {
		m->first = gone;
		return 0;
	}
	memmove(m->runs + i, m->runs + gone, (m->nr - gone) * sizeof(*m->runs));
	m->nr -= gone - i;
	return 0;
}

int crk_missing_move(struct crk_missing *m, uint64_t from, uint64_t to, uint64_t len)
{
	struct crk_missing moved = {};
	int err = 0;
	size_t i;

	for (i = run_from(m, from); i < m->nr && m->runs[i].addr < from + len && !err; i++) {
		struct crk_rrun run = part(&m->runs[i], from, from + len);

		run.addr = run.addr - from + to;
		err = crk_missing_append(&moved, &run);
	}
	err = err ?: crk_missing_cut(m, from, from + len);
	err = err ?: crk_missing_cut(m, to, to + len);
	for (i = 0; i < moved.nr && !err; i++)
		err = insert(m, run_from(m, moved.runs[i].addr), &moved.runs[i]);
	crk_missing_free(&moved);
	return err;
}

void crk_missing_free(struct crk_missing *m)
{
	free(m->runs);
	*m = (struct crk_missing){};
}
