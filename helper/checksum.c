// SPDX-License-Identifier: GPL-2.0
/*
 * Checksums of memory and files, and a small crew of threads to make them.  Knows nothing of images.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checksum.h"
#include "util.h"

#define CREW_MAX	4
#define CREW_MIN_BYTES	(8UL << 20)	/* less is done before a thread has started */

uint64_t crk_checksum(const void *buf, size_t len)
{
	return XXH64(buf, len, 0);
}

/* a few pages at a time: what is not mapped */
static int sum_by_reading(int fd, uint64_t off, size_t len, XXH64_state_t *state)
{
	char buf[64 * 1024];	/* stays in the cache between the copy and the sum */

	while (len) {
		size_t n = min(len, sizeof(buf));
		int err = pread_all(fd, buf, n, off);

		if (err)
			return err;
		XXH64_update(state, buf, n);
		off += n;
		len -= n;
	}
	return 0;
}

/*
 * The page cache itself is summed, not a copy of it.  MADV_POPULATE_READ tells of a file that is cut short or can't be
 * read, where a mere access would be SIGBUS.
 */
static int sum_add(int fd, void *map, uint64_t off, size_t len, XXH64_state_t *state)
{
	if (!map || madvise((char *)map + off, len, MADV_POPULATE_READ))
		return sum_by_reading(fd, off, len, state);
	XXH64_update(state, (char *)map + off, len);
	/* or all of it would count as memory of this process */
	madvise((char *)map + off, len, MADV_DONTNEED);
	return 0;
}

static void sum_zeros(size_t len, XXH64_state_t *state)
{
	static const char zeros[4096];

	for (; len; len -= min(len, sizeof(zeros)))
		XXH64_update(state, zeros, min(len, sizeof(zeros)));
}

int crk_checksum_file(int fd, void *map, uint64_t off, size_t len, const uint64_t *dead, size_t nr_dead, uint64_t *ret)
{
	uint64_t end = off + len;
	XXH64_state_t state;
	size_t i = 0, hi = nr_dead / 2;
	int err = 0;

	while (i < hi) {
		size_t mid = (i + hi) / 2;

		if (dead[2 * mid + 1] <= off)
			i = mid + 1;
		else
			hi = mid;
	}
	XXH64_reset(&state, 0);
	for (i *= 2; i < nr_dead && dead[i] < end && !err; i += 2) {
		uint64_t from = max(dead[i], off), to = min(dead[i + 1], end);

		err = from > off ? sum_add(fd, map, off, from - off, &state) : 0;
		sum_zeros(to - from, &state);
		off = to;
	}
	if (!err && off < end)
		err = sum_add(fd, map, off, end - off, &state);
	*ret = XXH64_digest(&state);
	return err;
}

struct crew {
	size_t nr;
	int (*work)(void *arg, size_t i);
	void *arg;
	atomic_size_t next;
	atomic_int err;
};

static void *crew_member(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->err)) {
		size_t i = atomic_fetch_add(&crew->next, 1);
		int err, none = 0;

		if (i >= crew->nr)
			break;
		err = crew->work(crew->arg, i);
		if (err)
			atomic_compare_exchange_strong(&crew->err, &none, err);
	}
	return NULL;
}

int crk_parallel(size_t nr, uint64_t bytes, int (*work)(void *arg, size_t i), void *arg)
{
	struct crew crew = { .nr = nr, .work = work, .arg = arg };
	long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[CREW_MAX - 1];
	int i, nr_threads = 0;

	if (bytes >= CREW_MIN_BYTES) {
		/* a thread that can't be made is not needed: the caller works too */
		while (nr_threads < min(nr_cpus, (long)CREW_MAX) - 1 &&
		       (size_t)nr_threads + 1 < nr &&
		       !pthread_create(&threads[nr_threads], NULL, crew_member, &crew))
			nr_threads++;
	}
	crew_member(&crew);
	for (i = 0; i < nr_threads; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&crew.err);
}
