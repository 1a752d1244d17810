// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that fork made common to parent and child are one physical page again after a restore, until one of them
 * writes; and each has its own contents (requirement 1.13).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

static unsigned long long pfn(pid_t pid, const volatile void *p)
{
	unsigned long long entry = 0;
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	MUST(fd >= 0 && pread(fd, &entry, 8, (unsigned long)p / PAGE * 8) == 8);
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static int shared_pages(pid_t a, pid_t b, const char *p, int nr)
{
	int i, same = 0;

	for (i = 0; i < nr; i++)
		same += pfn(a, p + i * PAGE) && pfn(a, p + i * PAGE) == pfn(b, p + i * PAGE);
	return same;
}

static char *map(size_t nr)
{
	char *p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

static void fill(char *p, int from, int to, int what)
{
	for (; from < to; from++)
		memset(p + from * PAGE, what + from, PAGE);
}

static void must_have(const char *p, int from, int to, int what)
{
	for (; from < to; from++)
		MUST(p[from * PAGE] == (char)(what + from) && p[from * PAGE + PAGE - 1] == (char)(what + from));
}

/* the child waits and then checks */
static pid_t child_with(char *p, void (*change)(char *p), void (*check)(char *p))
{
	pid_t pid = fork_child();

	if (!pid) {
		if (change)
			change(p);
		event_set("ready");
		event_wait("restored");
		check(p);
		event_set("checked");
		event_wait("end");
		_exit(0);
	}
	event_wait("ready");
	return pid;
}

static void end(pid_t pid)
{
	event_set("restored");
	event_wait("checked");
	event_set("end");
	reap(pid);
}

static void check_same(char *p)
{
	must_have(p, 0, 100, 1);
}

ROUNDTRIP(child_unchanged)
{
	char *p = map(100);
	pid_t pid;

	fill(p, 0, 100, 1);
	pid = child_with(p, NULL, check_same);
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 100);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 100);
	p[0] = 77;
	end(pid);
	MUST(p[0] == 77);
}

static void change_some(char *p)
{
	fill(p, 10, 20, 50);
	MUST(!madvise(p + 30 * PAGE, 10 * PAGE, MADV_DONTNEED));
	MUST(!mprotect(p + 60 * PAGE, 10 * PAGE, PROT_READ));
	MUST(!munmap(p + 80 * PAGE, 5 * PAGE));
}

static void check_some(char *p)
{
	int i;

	must_have(p, 0, 10, 1);
	must_have(p, 10, 20, 50);
	must_have(p, 20, 30, 1);
	for (i = 30; i < 40; i++)
		MUST(p[i * PAGE] == 0);
	must_have(p, 40, 80, 1);
	must_have(p, 85, 100, 1);
}

ROUNDTRIP(child_changed)
{
	char *p = map(100);
	pid_t pid;

	fill(p, 0, 100, 1);
	pid = child_with(p, change_some, check_some);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 100 - 10 - 10 - 5);
	must_have(p, 0, 100, 1);
	end(pid);
}

/* what the parent writes after the fork is its own; the rest stays common */
ROUNDTRIP(parent_changed)
{
	char *p = map(100);
	pid_t pid;

	fill(p, 0, 100, 1);
	pid = child_with(p, NULL, check_same);
	fill(p, 40, 60, 9);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 80);
	must_have(p, 40, 60, 9);
	end(pid);
}

static void grandchild(char *p)
{
	pid_t pid = fork_child();

	if (!pid) {
		fill(p, 20, 30, 70);
		event_set("grandchild");
		event_wait("restored");
		must_have(p, 0, 20, 1);
		must_have(p, 20, 30, 70);
		must_have(p, 30, 100, 1);
		event_wait("end");
		_exit(0);
	}
	event_wait("grandchild");
	fill(p, 50, 60, 80);
	MUST(!munmap(p + 90 * PAGE, 10 * PAGE));
}

static void check_grandchild(char *p)
{
	must_have(p, 0, 50, 1);
	must_have(p, 50, 60, 80);
	must_have(p, 60, 90, 1);
}

ROUNDTRIP(three_generations)
{
	char *p = map(100);
	pid_t pid, third;

	fill(p, 0, 100, 1);
	pid = child_with(p, grandchild, check_grandchild);
	third = atoi(file_text("/proc/%d/task/%d/children", pid, pid));
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 80);
	MUST_EQ(shared_pages(getpid(), third, p, 100), 90);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 100), 80);
	MUST_EQ(shared_pages(getpid(), third, p, 100), 90);
	end(pid);
}

static char data[20 * PAGE] = "not bss";

static void check_data(char *p)
{
	must_have(p, 0, 10, 3);
}

/* a private mapping of a file: data of the program and of its libraries */
ROUNDTRIP(file_data)
{
	char *p = (char *)(((unsigned long)data + PAGE - 1) & ~(PAGE - 1));
	pid_t pid;

	fill(p, 0, 10, 3);
	pid = child_with(p, NULL, check_data);
	MUST_EQ(shared_pages(getpid(), pid, p, 10), 10);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 10), 10);
	end(pid);
}

static void check_heap(char *p)
{
	must_have(p, 0, 20, 4);
	MUST(sbrk(8 * PAGE) == p + 28 * PAGE);
}

static void change_heap(char *p)
{
	MUST(sbrk(8 * PAGE) == p + 20 * PAGE);
	p[21 * PAGE] = 1;
}

/* the child's grew, so that it is larger than what is common */
ROUNDTRIP(heap)
{
	char *p = sbrk(0);
	pid_t pid;

	p = sbrk((PAGE - (unsigned long)p % PAGE) + 20 * PAGE);
	p = (char *)sbrk(0) - 20 * PAGE;
	fill(p, 0, 20, 4);
	pid = child_with(p, change_heap, check_heap);
	checkpoint_here();
	MUST_EQ(shared_pages(getpid(), pid, p, 20), 20);
	MUST(sbrk(0) == p + 20 * PAGE);
	end(pid);
}

static void check_stack(char *p)
{
	must_have(p, 0, 8, 6);
}

ROUNDTRIP(stack)
{
	char frame[10 * PAGE], *p = (char *)(((unsigned long)frame + PAGE - 1) & ~(PAGE - 1));
	pid_t pid;

	fill(p, 0, 8, 6);
	pid = child_with(p, NULL, check_stack);
	checkpoint_here();
	MUST(shared_pages(getpid(), pid, p, 8) >= 7);
	must_have(p, 0, 8, 6);
	end(pid);
}

TEST_HARNESS_MAIN
