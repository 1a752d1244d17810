// SPDX-License-Identifier: GPL-2.0
/*
 * Contents of memory, and what belongs to an address space besides its mappings: heap, stack, arguments, environment,
 * auxiliary vector, executable, vDSO, huge pages.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)

static char *map(size_t len, int prot, int flags)
{
	char *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* is the page of @p there? */
static bool present(const void *p)
{
	unsigned long long entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	MUST(fd >= 0 && pread(fd, &entry, 8, (unsigned long)p / PAGE * 8) == 8);
	close(fd);
	return entry >> 62;
}

ROUNDTRIP(private_pattern)
{
	unsigned int *p = (void *)map(16 * MIB, PROT_READ | PROT_WRITE, 0);
	size_t i, nr = 16 * MIB / sizeof(*p);

	for (i = 0; i < nr; i++)
		p[i] = i * 2654435761U;
	checkpoint_here();
	for (i = 0; i < nr; i++)
		MUST(p[i] == (unsigned int)(i * 2654435761U));
}

/* what was never touched costs nothing before or after */
ROUNDTRIP(sparse)
{
	const int shift = sizeof(long) == 8 ? 30 : 24;
	char *p = map(64UL << shift, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	size_t i;

	/* or one touch brings 512 pages; where there are none, it is refused */
	MUST(!madvise(p, 64UL << shift, MADV_NOHUGEPAGE) || errno == EINVAL);
	for (i = 0; i < 64; i++)
		p[i << shift] = i + 1;
	MUST(p[PAGE] == 0);		/* the zero page */
	checkpoint_here();
	for (i = 0; i < 64; i++)
		MUST_EQ(p[i << shift], i + 1);
	MUST(!present(p + 100 * PAGE));
	MUST(p[PAGE] == 0);
}

ROUNDTRIP(no_access_with_contents)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);

	strcpy(p, "behind");
	strcpy(p + 2 * PAGE, "two");
	MUST(!mprotect(p, 4 * PAGE, PROT_NONE));
	checkpoint_here();
	MUST(!mprotect(p, 4 * PAGE, PROT_READ));
	MUST_STR(p, "behind");
	MUST_STR(p + 2 * PAGE, "two");
}

ROUNDTRIP(code_made_at_run_time)
{
#ifdef __arm__
	static const unsigned int code[] = { 0xe3a0002a, 0xe12fff1e };		/* mov r0, #42; bx lr */
#else
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };	/* mov $42, %eax; ret */
#endif
	char *p = map(PAGE, PROT_READ | PROT_WRITE, 0);

	memcpy(p, code, sizeof(code));
	MUST(!mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	checkpoint_here();
	MUST_EQ(((int (*)(void))p)(), 42);
}

ROUNDTRIP(private_file_dirty)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	char *p, text[6] = "";

	MUST(fd >= 0 && !ftruncate(fd, 4 * PAGE) && pwrite(fd, "clean", 5, 0) == 5 && pwrite(fd, "third", 5, 2 * PAGE) == 5);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(p != MAP_FAILED && !close(fd));
	strcpy(p + PAGE, "dirty");
	checkpoint_here();
	MUST_STR(p, "clean");
	MUST_STR(p + PAGE, "dirty");
	MUST_STR(p + 2 * PAGE, "third");
	fd = open("file", O_RDWR);
	MUST(fd >= 0 && pread(fd, text, 5, PAGE) == 5 && !*text);
	/* a page that was not copied is still the file's */
	MUST(pwrite(fd, "newer", 5, 2 * PAGE) == 5);
	MUST_STR(p + 2 * PAGE, "newer");
}

ROUNDTRIP(file_shared)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	char *p, text[6] = "";

	MUST(fd >= 0 && !ftruncate(fd, 4 * PAGE));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(p != MAP_FAILED);
	strcpy(p + PAGE, "first");
	checkpoint_here();
	MUST_STR(p + PAGE, "first");
	strcpy(p + PAGE, "later");
	MUST(pread(fd, text, 5, PAGE) == 5);
	MUST_STR(text, "later");
}

/* a library that was replaced by an update */
ROUNDTRIP(private_file_deleted)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	char *p;

	MUST(fd >= 0 && write(fd, "gone", 5) == 5);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(p != MAP_FAILED && !close(fd) && !unlink("file"));
	checkpoint_here();
	MUST_STR(p, "gone");
	MUST(access("file", F_OK));
}

ROUNDTRIP(heap)
{
	char *old = sbrk(0), *p = sbrk(10 * PAGE);

	MUST(p == old);
	strcpy(p + 9 * PAGE, "heap");
	checkpoint_here();
	MUST(sbrk(0) == old + 10 * PAGE);
	MUST_STR(p + 9 * PAGE, "heap");
	MUST(sbrk(PAGE) == old + 10 * PAGE);
	old[10 * PAGE] = 1;
	MUST(sbrk(-11 * (long)PAGE) == old + 11 * PAGE);
	MUST(sbrk(0) == old);
}

static int deep(int n)
{
	volatile char frame[1024];

	frame[0] = n;
	frame[1023] = n;
	if (!n)
		checkpoint_here();
	return n ? deep(n - 1) + frame[0] - frame[1023] + 1 : 0;
}

static int deeper(int n)
{
	volatile char frame[4096];

	frame[0] = n;
	return n ? deeper(n - 1) + 1 + (frame[0] != (char)n) : 0;
}

/* the stack as it is, and it still grows */
ROUNDTRIP(stack)
{
	MUST_EQ(deep(500), 500);
	MUST_EQ(deeper(600), 600);
}

ROUNDTRIP(arguments)
{
	char *cmdline = file_text("/proc/self/cmdline"), *env = file_text("/proc/self/environ");
	char *exe = link_text("/proc/self/exe"), *comm = file_text("/proc/self/comm"), *stat, *now;

	setenv("LATER", "1", 1);
	checkpoint_here();
	MUST_STR(file_text("/proc/self/cmdline"), cmdline);
	MUST_STR(file_text("/proc/self/environ"), env);
	MUST_STR(link_text("/proc/self/exe"), exe);
	MUST_STR(file_text("/proc/self/comm"), comm);
	MUST_STR(getenv("LATER"), "1");
	/* start_code, end_code, start_stack are 26 to 28, start_data and on 45 to 51 */
	stat = strrchr(file_text("/proc/self/stat"), ')');
	checkpoint_here();
	now = strrchr(file_text("/proc/self/stat"), ')');
	for (int field = 3; field < 52; field++) {
		size_t a, b;

		stat += strspn(stat, ") ");
		now += strspn(now, ") ");
		a = strcspn(stat, " \n");
		b = strcspn(now, " \n");
		if ((field >= 26 && field <= 28) || (field >= 45 && field <= 51))
			MUST(a == b && !memcmp(stat, now, a));
		stat += a;
		now += b;
	}
}

ROUNDTRIP(auxiliary_vector)
{
	static char a[4096], b[4096];
	int fd = open("/proc/self/auxv", O_RDONLY);
	ssize_t n = read(fd, a, sizeof(a));

	MUST(n > 64);
	close(fd);
	checkpoint_here();
	fd = open("/proc/self/auxv", O_RDONLY);
	MUST_EQ(read(fd, b, sizeof(b)), n);
	MUST(!memcmp(a, b, n));
	MUST(getauxval(AT_PAGESZ) == PAGE);
	close(fd);
}

/* the vDSO's data page counts on, its code is where it was */
ROUNDTRIP(vdso)
{
	const Elf64_Ehdr *ehdr = (void *)getauxval(AT_SYSINFO_EHDR);
	struct timespec a, b;
	int i;

	MUST(ehdr && !memcmp(ehdr->e_ident, ELFMAG, SELFMAG));
	MUST(!clock_gettime(CLOCK_MONOTONIC, &a));
	checkpoint_here();
	MUST(!memcmp(ehdr->e_ident, ELFMAG, SELFMAG));
	for (i = 0; i < 1000; i++) {
		MUST(!clock_gettime(CLOCK_MONOTONIC, &b));
		MUST(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
		a = b;
	}
	MUST(time(NULL) > 0);
}

static bool huge_pages(int nr)
{
	char text[32];
	int fd = open("/proc/sys/vm/nr_hugepages", O_RDWR), n;

	if (fd < 0)
		return false;
	n = sprintf(text, "%d", nr);
	if (write(fd, text, n) != n)
		return false;
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	text[n] = '\0';
	return atoi(text) >= nr;
}

ROUNDTRIP(huge_pages_private)
{
	char *p;

	if (!huge_pages(16))
		subject_skip("no huge pages here");
	p = mmap(NULL, 6 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	MUST(p != MAP_FAILED);
	strcpy(p + MIB, "one");
	strcpy(p + 5 * MIB, "three");
	checkpoint_here();
	MUST_STR(p + MIB, "one");
	MUST_STR(p + 5 * MIB, "three");
	p[3 * MIB] = 1;
	MUST(strstr(file_text("/proc/self/smaps"), " ht"));
}

ROUNDTRIP(huge_pages_shared)
{
	char *p;
	pid_t pid;

	if (!huge_pages(16))
		subject_skip("no huge pages here");
	p = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	MUST(p != MAP_FAILED);
	strcpy(p + 3 * MIB, "parent");
	pid = fork_child();
	if (!pid) {
		event_wait("restored");
		MUST_STR(p + 3 * MIB, "later");
		strcpy(p, "child");
		_exit(0);
	}
	checkpoint_here();
	MUST_STR(p + 3 * MIB, "parent");
	strcpy(p + 3 * MIB, "later");
	event_set("restored");
	reap(pid);
	MUST_STR(p, "child");
}

/* pages of every kind beside each other, some dropped again */
ROUNDTRIP(holes)
{
	char *p = map(256 * PAGE, PROT_READ | PROT_WRITE, 0);
	int i;

	for (i = 0; i < 256; i++)
		p[i * PAGE] = i;
	for (i = 0; i < 256; i += 3)
		MUST(!madvise(p + i * PAGE, PAGE, MADV_DONTNEED));
	checkpoint_here();
	for (i = 0; i < 256; i++)
		MUST_EQ(p[i * PAGE], i % 3 ? (char)i : 0);
}

TEST_HARNESS_MAIN
