// SPDX-License-Identifier: GPL-2.0
/*
 * Writes to all of its memory at full speed, and checks each word before it writes the next one: memory that is of
 * another moment than the registers, or than other memory, is found when a restored copy goes on.  Nothing of a dump may
 * be seen by it either: no child, no signal, no call that fails.
 *
 * usage: writers FILE MIB THREADS [tree]
 *	FILE	"G0000000012 P00000345\n": how often all memory was written, by whom; then "BAD what" if anything is wrong
 *	tree	a child with the same memory writes to it too, and the two count by pipes
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define MAX_THREADS	64
#define AREA_PAGES	4
#define LINE		22		/* bytes of the first line of the file */

static int out;
static int nr_threads;
static char *memory;
static size_t nr_pages;
static volatile unsigned int rounds[MAX_THREADS + 2];	/* of writers, of the areas, of the pipes */
static volatile int nr_rounds;

static void __attribute__((format(printf, 1, 2), noreturn)) bad(const char *fmt, ...)
{
	char text[128] = "BAD ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + 4, sizeof(text) - 5, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	if (pwrite(out, text, strlen(text), LINE) < 0)
		_exit(2);
	kill(0, SIGKILL);
	_exit(1);
}

static void check(uint64_t have, uint64_t want, const char *what, size_t i)
{
	if (have != want)
		bad("%s %zu: %#llx, not %#llx", what, i, (unsigned long long)have, (unsigned long long)want);
}

static uint64_t word(uint64_t round, size_t page, size_t k)
{
	return (round * 0x9e3779b97f4a7c15ULL) ^ (page * 0xc2b2ae3d27d4eb4fULL) ^ k;
}

static const unsigned int places[] = { 0, 100, 300, 511 };

static void *write_all(void *arg)
{
	size_t id = (size_t)arg, first = nr_pages * id / nr_threads, end = nr_pages * (id + 1) / nr_threads, i, k;
	uint64_t round;

	for (round = 1;; round++) {
		for (i = first; i < end; i++) {
			volatile uint64_t *p = (void *)(memory + i * PAGE);

			for (k = 0; k < 4; k++)
				check(p[places[k]], word(round - 1, i, k), "page", i);
			for (k = 0; k < 4; k++)
				p[places[k]] = word(round, i, k);
		}
		rounds[id] = round;
	}
	return NULL;
}

/* ---- memory of other kinds ---- */

static struct area {
	const char *name;
	char *p;
} areas[16];
static size_t nr_areas;

static void area_add(const char *name, void *p)
{
	size_t i;

	if (p == MAP_FAILED)
		return;		/* huge pages need not be there */
	for (i = 0; i < AREA_PAGES; i++)
		*(volatile uint64_t *)((char *)p + i * PAGE + 64) = 0;
	areas[nr_areas++] = (struct area){ name, p };
}

static void *anon(int flags)
{
	/* a hole behind each, so that no two become one */
	char *p = mmap(NULL, 2 * AREA_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mmap(p, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
}

static void *of_file(int fd, int flags)
{
	return mmap(NULL, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static void areas_make(void)
{
	int memfd = memfd_create("writers", MFD_CLOEXEC), shm = shmget(IPC_PRIVATE, AREA_PAGES * PAGE, IPC_CREAT | 0600);
	void *p;

	if (memfd < 0 || ftruncate(memfd, 2 * AREA_PAGES * PAGE))
		bad("memfd");
	area_add("private", anon(MAP_PRIVATE));
	area_add("dontfork", p = anon(MAP_PRIVATE));
	if (madvise(p, AREA_PAGES * PAGE, MADV_DONTFORK))
		bad("MADV_DONTFORK");
	area_add("wipeonfork", p = anon(MAP_PRIVATE));
	if (madvise(p, AREA_PAGES * PAGE, MADV_WIPEONFORK))
		bad("MADV_WIPEONFORK");
	area_add("locked", p = anon(MAP_PRIVATE));
	if (mlock(p, AREA_PAGES * PAGE))
		bad("mlock");
	area_add("shared", anon(MAP_SHARED));
	area_add("memfd", of_file(memfd, MAP_SHARED));
	area_add("private memfd", of_file(memfd, MAP_PRIVATE));
	if (shm >= 0) {
		area_add("sysv", shmat(shm, NULL, 0));
		shmctl(shm, IPC_RMID, NULL);
	}
	area_add("huge", mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
	area_add("no access", anon(MAP_PRIVATE));
}

static void *write_areas(void *arg)
{
	size_t i, k, id = (size_t)arg;
	uint64_t round;

	for (round = 1;; round++) {
		for (i = 0; i < nr_areas; i++) {
			char *p = areas[i].p;

			/* the last one: no access but here */
			if (i == nr_areas - 1 && mprotect(p, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE))
				bad("mprotect");
			for (k = 0; k < AREA_PAGES; k++) {
				volatile uint64_t *w = (void *)(p + k * PAGE + 64);

				check(*w, round - 1, areas[i].name, k);
				*w = round;
			}
			if (i == nr_areas - 1 && mprotect(p, AREA_PAGES * PAGE, PROT_NONE))
				bad("mprotect");
		}
		rounds[id] = round;
		if (round % 64 == 0 && (waitpid(-1, NULL, WNOHANG | __WALL) != (nr_rounds > nr_threads + 1 ? 0 : -1)))
			bad("there is a child");
	}
	return NULL;
}

/* ---- a tree ---- */

static int to_child[2], to_parent[2];

static void *count_with_child(void *arg)
{
	size_t id = (size_t)arg;
	uint64_t n, got;

	for (n = 1;; n++) {
		if (write(to_child[1], &n, sizeof(n)) != sizeof(n) || read(to_parent[0], &got, sizeof(got)) != sizeof(got))
			bad("pipe");
		check(got, n, "answer", 0);
		rounds[id] = n;
	}
	return NULL;
}

static void *count_with_parent(void *arg)
{
	uint64_t last = 0, got;

	(void)arg;
	for (;;) {
		if (read(to_child[0], &got, sizeof(got)) != sizeof(got))
			bad("pipe");
		check(got, last + 1, "question", 0);
		last = got;
		if (write(to_parent[1], &got, sizeof(got)) != sizeof(got))
			bad("pipe");
	}
	return NULL;
}

/* ---- all ---- */

static void start(void *(*fn)(void *), size_t id)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, (void *)id))
		bad("pthread_create");
}

static unsigned int slowest(void)
{
	unsigned int ret = ~0U;
	int i;

	for (i = 0; i < nr_rounds; i++)
		if (rounds[i] < ret)
			ret = rounds[i];
	return ret;
}

int main(int argc, char **argv)
{
	bool tree = argc > 4 && !strcmp(argv[4], "tree");
	size_t i, k, len;
	char *p;
	pid_t child = 0;

	if (argc < 4)
		return 2;
	out = open(argv[1], O_RDWR | O_CREAT, 0600);
	len = strtoul(argv[2], NULL, 0) << 20;
	nr_threads = atoi(argv[3]);
	if (out < 0 || nr_threads < 1 || nr_threads > MAX_THREADS)
		return 2;
	nr_pages = len / PAGE;
	p = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		bad("mmap");
	/* half of it in huge pages where there are some */
	memory = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(memory, len / 2, MADV_HUGEPAGE);
	madvise(memory + len / 2, len / 2, MADV_NOHUGEPAGE);
	for (i = 0; i < nr_pages; i++)
		for (k = 0; k < 4; k++)
			((uint64_t *)(memory + i * PAGE))[places[k]] = word(0, i, k);
	if (tree) {
		if (pipe(to_child) || pipe(to_parent))
			bad("pipe");
		child = fork();
		if (child < 0)
			bad("fork");
	}
	if (tree && !child) {
		nr_threads = 1;
		start(count_with_parent, 0);
		write_all(NULL);
	}
	areas_make();
	nr_rounds = nr_threads + 1 + tree;
	for (i = 0; i < (size_t)nr_threads; i++)
		start(write_all, i);
	start(write_areas, nr_threads);
	if (tree)
		start(count_with_child, nr_threads + 1);
	for (;;) {
		char text[32];
		int n = snprintf(text, sizeof(text), "G%010u P%08d\n", slowest(), getpid());

		if (pwrite(out, text, n, 0) != n)
			_exit(3);
		usleep(20000);
	}
}
