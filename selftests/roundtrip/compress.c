// SPDX-License-Identifier: GPL-2.0
/*
 * dump --compress: memory of all kinds, with contents that can be compressed and such that cannot.  Damage and chains are
 * those of compress.sh.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

enum what { RANDOM, TEXT, ZERO, HOLE, NR_WHATS };

/* in runs of odd lengths, so that runs and chunks have no edges in common */
static enum what what_is(size_t page)
{
	return page / 7 % NR_WHATS;
}

static uint64_t word(uint64_t seed, size_t page, size_t i)
{
	switch (what_is(page)) {
	case RANDOM:
		return mix(seed + page * 512 + i + 1);
	case TEXT:
		return 0x2063747420616e64ULL + (seed + page + i / 64) % 16;
	default:
		return 0;
	}
}

static void fill(char *p, size_t len, uint64_t seed)
{
	size_t page, i;

	for (page = 0; page < len / PAGE; page++)
		for (i = 0; i < PAGE / 8 && what_is(page) != HOLE; i++)
			((volatile uint64_t *)(p + page * PAGE))[i] = word(seed, page, i);
}

static void check_from(const char *p, size_t from, size_t len, uint64_t seed)
{
	size_t page, i;

	for (page = from / PAGE; page < len / PAGE; page++)
		for (i = 0; i < PAGE / 8; i++)
			MUST_EQ(((const uint64_t *)(p + page * PAGE))[i], word(seed, page, i));
}

static void check(const char *p, size_t len, uint64_t seed)
{
	check_from(p, 0, len, seed);
}

static char *map(size_t len, int flags, int fd)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* the child has half of it in common with its parent, and half of its own */
static pid_t heir(char *p, size_t len)
{
	pid_t pid = fork_child();

	if (pid)
		return pid;
	fill(p, len / 2, 9);
	event_set("ready");
	event_wait("restored");
	check(p, len / 2, 9);
	check_from(p, len / 2, len, 2);
	_exit(0);
}

static void all_kinds(void)
{
	char *plain = map(16 * MIB + 3 * PAGE, MAP_PRIVATE, -1), *common = map(2 * MIB, MAP_PRIVATE, -1);
	char *code = map(MIB, MAP_PRIVATE, -1), *hidden = map(MIB, MAP_PRIVATE, -1), *none = map(MIB, MAP_PRIVATE, -1);
	int fd = memfd_create("compress", MFD_CLOEXEC), id = shmget(IPC_PRIVATE, MIB, 0600);
	char *shared = map(3 * MIB, MAP_SHARED, -1), *file, *segment = shmat(id, NULL, 0);
	pid_t pid;

	MUST(fd >= 0 && !ftruncate(fd, 3 * MIB) && segment != (char *)-1 && !shmctl(id, IPC_RMID, NULL));
	file = map(3 * MIB, MAP_SHARED, fd);
	fill(plain, 16 * MIB + 3 * PAGE, 1);
	fill(common, 2 * MIB, 2);
	fill(code, MIB, 3);
	fill(hidden, MIB, 4);
	fill(shared, 3 * MIB, 5);
	fill(file, 3 * MIB, 6);
	fill(segment, MIB, 7);
	/* written once, and nothing there: no page of it is in the images */
	none[0] = 1;
	MUST(!madvise(none, MIB, MADV_DONTNEED) && !mprotect(none, MIB, PROT_READ));
	MUST(!mprotect(code, MIB, PROT_READ | PROT_EXEC) && !mprotect(hidden, MIB, PROT_NONE));
	pid = heir(common, 2 * MIB);
	event_wait("ready");
	checkpoint_here();
	MUST(!mprotect(hidden, MIB, PROT_READ));
	check(plain, 16 * MIB + 3 * PAGE, 1);
	check(common, 2 * MIB, 2);
	check(code, MIB, 3);
	check(hidden, MIB, 4);
	check(shared, 3 * MIB, 5);
	check(file, 3 * MIB, 6);
	check(segment, MIB, 7);
	MUST_EQ(none[0], 0);
	event_set("restored");
	reap(pid);
}

ROUNDTRIP(zstd, .dump_args = "--compress=zstd")
{
	all_kinds();
}

ROUNDTRIP(lz4, .dump_args = "--compress=lz4")
{
	all_kinds();
}

/* more processes than threads that decompress: none waits for another */
ROUNDTRIP(family, .dump_args = "--compress=lz4")
{
	char *p = map(2 * MIB, MAP_PRIVATE, -1);
	pid_t pids[12];
	size_t i;

	for (i = 0; i < 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ready%zu", i);
		pids[i] = fork_child();
		if (!pids[i]) {
			fill(p, 2 * MIB, 10 + i);
			event_set(name);
			event_wait("restored");
			check(p, 2 * MIB, 10 + i);
			_exit(0);
		}
		event_wait(name);
	}
	checkpoint_here();
	event_set("restored");
	for (i = 0; i < 12; i++)
		reap(pids[i]);
}

TEST_HARNESS_MAIN
