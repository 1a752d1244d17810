// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is swapped out: private, shared, and copied on write by a child; what is in it, and that it is still shared.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE		4096UL
#define NR_PAGES	64
#define SWAPFILE	"/var/tmp/crk-swap"	/* not where /tmp is in memory */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

static void swap_begin(void)
{
	enum { SWAP_PAGES = 2048 };
	static struct {
		char boot[1024];
		uint32_t version, last_page, nr_bad;
		char rest[3072 - 12 - 10];
		char magic[10];
	} head = { .version = 1, .last_page = SWAP_PAGES - 1, .magic = "SWAPSPACE2" };
	static char zero[PAGE];
	int fd, i;

	_Static_assert(sizeof(head) == PAGE, "a page");
	/* of a test that has failed */
	swapoff(SWAPFILE);
	unlink(SWAPFILE);
	fd = open(SWAPFILE, O_RDWR | O_CREAT | O_EXCL, 0600);
	MUST(fd >= 0 && write(fd, &head, PAGE) == PAGE);
	for (i = 1; i < SWAP_PAGES; i++)
		MUST_EQ(write(fd, zero, PAGE), PAGE);
	MUST(!fsync(fd) && !close(fd));
	if (swapon(SWAPFILE, 0))
		subject_skip("swapon: %s", strerror(errno));
}

static void swap_end(void)
{
	MUST(!swapoff(SWAPFILE) && !unlink(SWAPFILE));
}

static void fill(char *p, char with)
{
	int i;

	for (i = 0; i < NR_PAGES; i++)
		memset(p + i * PAGE, with + i % 8, PAGE);
}

static bool is_filled(const char *p, char with)
{
	int i;

	for (i = 0; i < (int)(NR_PAGES * PAGE); i++)
		if (p[i] != (char)(with + i / (int)PAGE % 8))
			return false;
	return true;
}

static char *map(int flags)
{
	char *p = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

static unsigned long swapped_kb(const char *p)
{
	char *text = file_text("/proc/self/smaps"), start[32], *line;

	snprintf(start, sizeof(start), "\n%lx-", (unsigned long)p);
	line = strstr(text, start);
	MUST(line && (line = strstr(line, "\nSwap:")));
	return strtoul(line + 6, NULL, 10);
}

static void page_out(char *p)
{
	if (madvise(p, NR_PAGES * PAGE, MADV_PAGEOUT))
		subject_skip("MADV_PAGEOUT: %s", strerror(errno));
	WAIT_FOR(swapped_kb(p) >= NR_PAGES * PAGE / 1024 / 2 || (madvise(p, NR_PAGES * PAGE, MADV_PAGEOUT), false));
}

ROUNDTRIP(private)
{
	char *p;

	swap_begin();
	p = map(MAP_PRIVATE);
	fill(p, 'a');
	page_out(p);
	checkpoint_here();
	MUST(is_filled(p, 'a'));
	swap_end();
}

ROUNDTRIP(shared)
{
	pid_t pid;
	char *p;

	swap_begin();
	p = map(MAP_SHARED);
	fill(p, 'b');
	pid = fork_child();
	if (!pid) {
		event_wait("filled-again");
		_exit(is_filled(p, 'c') ? 0 : 1);
	}
	page_out(p);
	checkpoint_here();
	MUST(is_filled(p, 'b'));
	fill(p, 'c');
	event_set("filled-again");
	reap(pid);
	swap_end();
}

/* half of it the child's own */
ROUNDTRIP(of_parent_and_child)
{
	pid_t pid;
	char *p;

	swap_begin();
	p = map(MAP_PRIVATE);
	fill(p, 'd');
	pid = fork_child();
	if (!pid) {
		memset(p, 'x', NR_PAGES / 2 * PAGE);
		page_out(p);
		event_set("changed");
		event_wait("go-on");
		MUST(p[0] == 'x' && p[NR_PAGES / 2 * PAGE - 1] == 'x');
		memcpy(p, p + NR_PAGES / 2 * PAGE, NR_PAGES / 2 * PAGE);
		_exit(is_filled(p, 'd') ? 0 : 1);
	}
	event_wait("changed");
	page_out(p);
	checkpoint_here();
	MUST(is_filled(p, 'd'));
	event_set("go-on");
	reap(pid);
	swap_end();
}

TEST_HARNESS_MAIN
