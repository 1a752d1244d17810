// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/self/maps and the flags of every mapping are the same line by line, whatever made the kernel keep neighbours
 * apart.  Only the inode numbers of memory without a name may differ.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL
#define TEXT	(1 << 18)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static char before[TEXT], after[TEXT], raw[8 * TEXT];

/* no allocation and no mapping: that would show */
static void read_smaps(char *to)
{
	char *line, *next, *out = to;
	size_t len = 0;
	ssize_t n;
	int fd = open("/proc/self/smaps", O_RDONLY);

	MUST(fd >= 0);
	while ((n = read(fd, raw + len, sizeof(raw) - 1 - len)) > 0)
		len += n;
	raw[len] = '\0';
	MUST(!close(fd));
	for (line = raw; *line; line = next) {
		char *end = strchr(line, '\n'), *sd;
		unsigned long start, stop;
		char perm[8];
		int off = 0;

		next = end + 1;
		*end = '\0';
		if (sscanf(line, "%lx-%lx %7s %n", &start, &stop, perm, &off) == 3) {
			char *name = strchr(line, '/');
			/* made anew, so with another inode */
			bool nameless = name && (!strncmp(name, "/dev/zero (", 11) || !strncmp(name, "/memfd:", 7) ||
						 !strncmp(name, "/anon_hugepage", 14));

			if (nameless)
				out += sprintf(out, "%.*s %s\n", off + 8, line, name);
			else
				out += sprintf(out, "%s\n", line);
		} else if (!strncmp(line, "VmFlags:", 8)) {
			sd = strstr(line, " sd");
			if (sd)
				memmove(sd, sd + 3, strlen(sd + 3) + 1);
			out += sprintf(out, "%s\n", line);
		}
	}
	*out = '\0';
}

static void must_stay_the_same(void)
{
	const char *a, *b;

	read_smaps(before);
	checkpoint_here();
	read_smaps(after);
	for (a = before, b = after; *a || *b;) {
		size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");

		if (la != lb || memcmp(a, b, la)) {
			snprintf(raw, 300, "%.*s", (int)(a + la - before > 120 ? la + 120 : la), a + la - before > 120 ? a - 120 : a);
			snprintf(raw + 400, 300, "%.*s", (int)(b + lb - after > 120 ? lb + 120 : lb), b + lb - after > 120 ? b - 120 : b);
			MUST_STR(raw + 400, raw);
		}
		a += la + !!a[la];
		b += lb + !!b[lb];
	}
}

static char *map(size_t len, int prot, int flags)
{
	char *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

ROUNDTRIP(as_started)
{
	must_stay_the_same();
}

/* protections changed in the middle, with pages and without */
ROUNDTRIP(protections)
{
	char *p = map(12 * PAGE, PROT_READ | PROT_WRITE, 0);

	memset(p, 1, 4 * PAGE);
	MUST(!mprotect(p + PAGE, PAGE, PROT_READ));
	MUST(!mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	MUST(!mprotect(p + 3 * PAGE, PAGE, PROT_READ | PROT_EXEC));
	MUST(!mprotect(p + 6 * PAGE, 2 * PAGE, PROT_READ));
	map(4 * PAGE, PROT_NONE, 0);
	map(4 * PAGE, PROT_READ, 0);
	map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	map(64 * PAGE, PROT_NONE, MAP_NORESERVE);
	must_stay_the_same();
}

/* PROT_NONE beside PROT_NONE: one was writable once and is counted, the other was not */
ROUNDTRIP(counted_and_not)
{
	char *p = map(4 * PAGE, PROT_NONE, 0);

	MUST(!mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	p[0] = 1;
	MUST(!mprotect(p, PAGE, PROT_NONE));
	MUST(!mprotect(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	MUST(!mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	must_stay_the_same();
}

/* two mappings that got pages while they were apart stay two when a mapping fills the gap, or one is moved beside */
ROUNDTRIP(neighbours_not_merged)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, 0), *q = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);

	MUST(!munmap(p + 4 * PAGE, 4 * PAGE));
	p[0] = 'a';
	p[8 * PAGE] = 'b';
	q[0] = 'c';
	MUST(mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 4 * PAGE) == p + 4 * PAGE);
	must_stay_the_same();
	MUST(p[0] == 'a' && p[4 * PAGE] == 'c' && p[8 * PAGE] == 'b');
}

/* three in a row, moved there with pages, the middle one without any */
ROUNDTRIP(moved_neighbours)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, 0), *q;
	int i;

	for (i = 0; i < 4; i++) {
		q = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
		if (i != 1)
			q[i] = 'a' + i;
		MUST(mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 4 * i * PAGE) ==
		     p + 4 * i * PAGE);
	}
	must_stay_the_same();
	for (i = 0; i < 4; i++)
		MUST_EQ(p[4 * i * PAGE + i], i == 1 ? 0 : 'a' + i);
}

ROUNDTRIP(advice)
{
	static const int advices[] = {
		MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK, MADV_DONTDUMP, MADV_WIPEONFORK, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_MERGEABLE,
	};
	char *p = map(PAGE * 2 * 8, PROT_READ | PROT_WRITE, 0);
	size_t i;

	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		p[2 * i * PAGE] = i;
		/* EINVAL: not in this kernel */
		MUST(!madvise(p + 2 * i * PAGE, PAGE, advices[i]) || errno == EINVAL);
	}
	must_stay_the_same();
	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++)
		MUST_EQ(p[2 * i * PAGE], (char)i);
}

/* a mapping whose guards are all gone would lose its flag, "maybe" to the kernel itself */
ROUNDTRIP(guards)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0), *q = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);

	if (madvise(NULL, 0, MADV_GUARD_INSTALL))
		subject_skip("no MADV_GUARD_INSTALL (before Linux 6.13)");
	p[0] = p[3 * PAGE] = 1;
	MUST(!madvise(p + 2 * PAGE, PAGE, MADV_GUARD_INSTALL) && !madvise(p + 7 * PAGE, PAGE, MADV_GUARD_INSTALL));
	MUST(!madvise(p + 5 * PAGE, PAGE, MADV_GUARD_INSTALL) && !mprotect(p + 3 * PAGE, 3 * PAGE, PROT_READ));
	MUST(!madvise(q, PAGE, MADV_GUARD_INSTALL));
	MUST(mlock(q, 4 * PAGE));
	must_stay_the_same();
}

ROUNDTRIP(locked)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);

	MUST(!mlock(p + 2 * PAGE, 2 * PAGE));
	MUST(!mlock2(p + 5 * PAGE, PAGE, MLOCK_ONFAULT));
	must_stay_the_same();
}

/* as mlockall() does with the guards of stacks: nothing can be brought in, but it is locked */
ROUNDTRIP(locked_without_access)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);

	p[PAGE] = 1;
	MUST(!mprotect(p, 4 * PAGE, PROT_NONE));
	MUST(mlock(p, 8 * PAGE) && errno == ENOMEM);
	must_stay_the_same();
	MUST(!mprotect(p, 4 * PAGE, PROT_READ));
	MUST_EQ(p[PAGE], 1);
}

ROUNDTRIP(locked_future)
{
	char *p;

	MUST(!mlockall(MCL_CURRENT | MCL_FUTURE));
	must_stay_the_same();
	p = map(PAGE, PROT_READ | PROT_WRITE, 0);
	read_smaps(after);
	MUST(!munmap(p, PAGE) && strstr(after, " lo"));
}

ROUNDTRIP(grows_down)
{
	char *p = map(300 * PAGE, PROT_NONE, 0), *q;

	MUST(!munmap(p, 300 * PAGE));
	q = mmap(p + 290 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	MUST(q == p + 290 * PAGE);
	q[3 * PAGE] = 3;
	q[-1] = 1;		/* it grows */
	must_stay_the_same();
	MUST(q[-1] == 1 && q[3 * PAGE] == 3);
	q[-3 * (long)PAGE] = 2;
	MUST(q[-3 * (long)PAGE] == 2);
}

ROUNDTRIP(files)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600), ro, exe = open("/proc/self/exe", O_RDONLY);
	char *p;

	MUST(fd >= 0 && !ftruncate(fd, 16 * PAGE));
	ro = open("file", O_RDONLY);
	MUST(ro >= 0 && exe >= 0);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4 * PAGE);
	MUST(p != MAP_FAILED);
	p[0] = 1;
	MUST(mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, ro, 0) != MAP_FAILED);
	MUST(mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 8 * PAGE);
	MUST(p != MAP_FAILED);
	p[PAGE] = 2;
	MUST(!mprotect(p + PAGE, PAGE, PROT_READ));
	MUST(mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, exe, 0) != MAP_FAILED);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(p != MAP_FAILED && !mprotect(p + PAGE, PAGE, PROT_READ));
	close(fd);
	close(ro);
	close(exe);
	must_stay_the_same();
}

/* a child's mappings come from fork: its heap and stack do not grow in one piece with what was inherited */
ROUNDTRIP(after_fork)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, 0), *q;
	pid_t pid;

	memset(p, 1, 8 * PAGE);
	pid = fork_child();
	if (!pid) {
		q = mmap(p - 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (q != MAP_FAILED)
			q[0] = 1;
		p[PAGE] = 2;
		MUST(sbrk(4 * PAGE) != (void *)-1);
		must_stay_the_same();
		MUST(p[0] == 1 && p[PAGE] == 2);
		_exit(0);
	}
	reap(pid);
	MUST(p[PAGE] == 1);
}

/* many, as an interpreter with its libraries has */
ROUNDTRIP(thousand)
{
	char *p = map(2000 * PAGE, PROT_READ | PROT_WRITE, 0);
	int i;

	for (i = 0; i < 500; i++) {
		p[4 * i * PAGE] = i;
		MUST(!mprotect(p + (4 * i + 1) * PAGE, PAGE, PROT_READ));
	}
	must_stay_the_same();
	for (i = 0; i < 500; i++)
		MUST_EQ(p[4 * i * PAGE], (char)i);
}

/* what mmap() finds free: from the top downwards, or as it once was */
ROUNDTRIP(looks_downwards)
{
	char *p;

	checkpoint_here();
	p = map(16 * PAGE, PROT_READ, 0);
	MUST(map(16 * PAGE, PROT_NONE, 0) < p);
}

ROUNDTRIP(looks_upwards)
{
	char *p;

	if (!(personality(-1) & ADDR_COMPAT_LAYOUT)) {
		MUST(personality(personality(-1) | ADDR_COMPAT_LAYOUT) >= 0);
		execl("/proc/self/exe", "maps", "--subject", "looks_upwards", NULL);
		MUST(!"exec");
	}
	checkpoint_here();
	MUST(personality(-1) & ADDR_COMPAT_LAYOUT);
	p = map(16 * PAGE, PROT_READ, 0);
	MUST(map(16 * PAGE, PROT_NONE, 0) > p);
}

TEST_HARNESS_MAIN
