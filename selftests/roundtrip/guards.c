// SPDX-License-Identifier: GPL-2.0
/*
 * Guard pages of madvise(MADV_GUARD_INSTALL): no mapping of their own, but whoever touches them gets a signal.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

static char *map(size_t len, int flags, int fd)
{
	char *p;

	if (madvise(NULL, 0, MADV_GUARD_INSTALL))
		subject_skip("no MADV_GUARD_INSTALL (before Linux 6.13)");
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	MUST(p != MAP_FAILED);
	return p;
}

static void guard(char *p, size_t nr)
{
	/* of files since 6.15 */
	if (madvise(p, nr * PAGE, MADV_GUARD_INSTALL))
		subject_skip("no guards in such a mapping");
}

/* 'g': a guard, 'c': has contents, '.': reads as 0 */
static char kind_of(const char *p)
{
	static int fds[2] = { -1, -1 };
	char c;
	int err;

	if (fds[0] < 0)
		MUST(!pipe(fds));
	err = write(fds[1], p, 1) == 1 ? 0 : errno;
	if (err) {
		MUST_EQ(err, EFAULT);
		return 'g';
	}
	MUST(read(fds[0], &c, 1) == 1);
	return c ? 'c' : '.';
}

static void must_be(const char *p, const char *kinds)
{
	char found[64] = "";
	size_t i;

	for (i = 0; kinds[i]; i++)
		found[i] = kind_of(p + i * PAGE);
	MUST_STR(found, kinds);
}

ROUNDTRIP(anonymous)
{
	char *p = map(16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	memset(p, 'x', 8 * PAGE);
	guard(p, 1);
	guard(p + 3 * PAGE, 2);
	guard(p + 10 * PAGE, 1);
	guard(p + 15 * PAGE, 1);
	checkpoint_here();
	must_be(p, "gccggccc..g....g");
	/* they are the real thing: under them is an ordinary page */
	MUST(!madvise(p + 3 * PAGE, PAGE, MADV_GUARD_REMOVE));
	p[3 * PAGE] = 'y';
	must_be(p, "gcccgccc..g....g");
}

/* a mapping of nothing else, and one without access */
ROUNDTRIP(nothing_else)
{
	char *p = map(4 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *q = map(4 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	guard(p, 4);
	guard(q + PAGE, 1);
	MUST(!mprotect(q, 4 * PAGE, PROT_NONE));
	checkpoint_here();
	must_be(p, "gggg");
	MUST(!mprotect(q, 4 * PAGE, PROT_READ | PROT_WRITE));
	must_be(q, ".g..");
}

ROUNDTRIP(one_for_each_other_page)
{
	enum { NR = 5000 };
	char *p = map(NR * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t i;

	for (i = 0; i < NR; i++) {
		if (i % 2)
			guard(p + i * PAGE, 1);
		else
			p[i * PAGE] = 'x';
	}
	checkpoint_here();
	for (i = 0; i < NR; i++)
		MUST_EQ(kind_of(p + i * PAGE), i % 2 ? 'g' : 'c');
}

ROUNDTRIP(of_a_file)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	char *p, *q;

	MUST(fd >= 0 && !ftruncate(fd, 4 * PAGE) && pwrite(fd, "abc", 3, PAGE) == 3);
	p = map(4 * PAGE, MAP_PRIVATE, fd);
	q = map(4 * PAGE, MAP_SHARED, fd);
	p[2 * PAGE] = 'x';
	guard(p, 1);
	guard(p + 3 * PAGE, 1);
	guard(q + PAGE, 2);
	checkpoint_here();
	must_be(p, "gccg");
	must_be(q, ".gg.");
	MUST(!madvise(q + PAGE, PAGE, MADV_GUARD_REMOVE));
	MUST(!memcmp(q + PAGE, "abc", 3));
}

ROUNDTRIP(of_shared_memory)
{
	char *p = map(4 * PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
	pid_t pid;

	memset(p, 'x', 4 * PAGE);
	guard(p + PAGE, 1);
	pid = fork_child();
	if (!pid) {
		/* they are of each process's page tables */
		MUST(!madvise(p + PAGE, PAGE, MADV_GUARD_REMOVE));
		guard(p, 1);
		event_set("child");
		event_wait("done");
		must_be(p, "gccc");
		_exit(0);
	}
	event_wait("child");
	checkpoint_here();
	must_be(p, "cgcc");
	event_set("done");
	reap(pid);
}

/* pages that come back by fork, below guards that differ */
ROUNDTRIP(copied_on_write)
{
	char *p = map(8 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pid_t pid;

	memset(p, 'x', 8 * PAGE);
	guard(p + PAGE, 1);
	guard(p + 4 * PAGE, 1);
	pid = fork_child();
	if (!pid) {
		must_be(p, "cgccgccc");
		MUST(!madvise(p + PAGE, PAGE, MADV_GUARD_REMOVE));
		guard(p + 6 * PAGE, 1);
		event_set("child");
		event_wait("done");
		must_be(p, "c.ccgcgc");
		_exit(0);
	}
	event_wait("child");
	checkpoint_here();
	must_be(p, "cgccgccc");
	event_set("done");
	reap(pid);
}

/* locked later, as mlockall() does with stacks of threads; what is behind the guard is there */
ROUNDTRIP(locked)
{
	char *p = map(4 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	unsigned char there[4];

	guard(p, 1);
	guard(p + 2 * PAGE, 1);
	MUST(mlock(p, 4 * PAGE) && errno == ENOMEM);
	MUST(!mlock(p + PAGE, PAGE) && !mlock(p + 3 * PAGE, PAGE));
	checkpoint_here();
	MUST(!mincore(p, 4 * PAGE, there) && there[1] & 1 && there[3] & 1);
	must_be(p, "g.g.");
	MUST(madvise(p + PAGE, PAGE, MADV_GUARD_INSTALL) && errno == EINVAL);
}

TEST_HARNESS_MAIN
