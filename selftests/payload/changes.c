// SPDX-License-Identifier: GPL-2.0
/*
 * Changes its memory in all the ways there are, on order, and checks all of it after each: what an incremental dump has
 * left out, or taken from the wrong place, is found when a restored copy goes on.  Between orders it writes to
 * nothing but its stack.
 *
 * usage: changes FILE ORDERS [NUMBER]
 *	FILE	"G0000000012 P00000345\n": the last order that was carried out, by whom; the child's line follows; then
 *		"BAD what" if anything is wrong
 *	ORDERS	"G0000000013 w 100\n": the number of the order, what to do (a letter, see orders[]), an argument
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define TABLE		(2UL << 20)	/* what a page table covers, or a multiple */
#define LINE		22		/* bytes of each line of FILE */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

static char **args;
static int out;
static unsigned int done;
static bool is_child;
static uint64_t random_state, last_value;

static void __attribute__((format(printf, 1, 2), noreturn)) bad(const char *fmt, ...)
{
	char text[128] = "BAD ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + 4, sizeof(text) - 5, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	if (pwrite(out, text, strlen(text), 2 * LINE) < 0)
		_exit(2);
	_exit(1);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static size_t any(size_t below)
{
	random_state += 0x9e3779b97f4a7c15ULL;
	return mix(random_state) % below;
}

/* ---- memory, and what must be in it ---- */

struct region {
	const char *name;
	size_t nr;
	char *p;
	uint64_t *want;		/* of each page: its value; 0: zeros */
};

enum { PLAIN, LEFT, RIGHT, HUGE, FILED, SHARED, ALIKE, NR_REGIONS };

static struct region regions[NR_REGIONS] = {
	[PLAIN]	 = { "plain",	2048 },
	[LEFT]	 = { "left",	TABLE / PAGE },	/* these two change places */
	[RIGHT]	 = { "right",	TABLE / PAGE },
	[HUGE]	 = { "huge",	2 * TABLE / PAGE },
	[FILED]	 = { "filed",	16 },		/* of a file of zeros */
	[SHARED] = { "shared",	64 },
	[ALIKE]	 = { "alike",	64 },		/* may be merged by the kernel */
};

static const unsigned int places[] = { 0, 100, 511 };

static void page_write(struct region *r, size_t i, uint64_t value)
{
	volatile uint64_t *p = (void *)(r->p + i * PAGE);
	size_t k;

	r->want[i] = value;
	for (k = 0; k < 3; k++)
		p[places[k]] = value ? mix(value + k) : 0;
}

static void page_change(struct region *r, size_t i)
{
	page_write(r, i, mix(++last_value ^ (uint64_t)getpid() << 40) | 1);
}

static void check_all(void)
{
	const struct region *r;
	size_t i, k;

	for (r = regions; r < regions + NR_REGIONS; r++) {
		for (i = 0; i < r->nr; i++) {
			const volatile uint64_t *p = (void *)(r->p + i * PAGE);

			/* what two processes share is not for one to know */
			for (k = 0; k < 3 && r != &regions[SHARED]; k++)
				if (p[places[k]] != (r->want[i] ? mix(r->want[i] + k) : 0))
					bad("%s page %zu: %#llx", r->name, i, (unsigned long long)p[places[k]]);
		}
	}
}

static char *map(void *at, size_t len, int flags, int fd)
{
	char *p = mmap(at, len, PROT_READ | PROT_WRITE, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (p == MAP_FAILED)
		bad("mmap");
	return p;
}

/* at a multiple of TABLE, and free for TABLE behind it */
static char *reserve(size_t len)
{
	char *p = mmap(NULL, len + 2 * TABLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		bad("mmap");
	return (char *)(((uintptr_t)p + TABLE - 1) & ~(TABLE - 1));
}

static char *spare;	/* TABLE bytes of addresses that nothing is at */

static void regions_make(void)
{
	int fd, i;

	fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, regions[FILED].nr * PAGE))
		bad("file");
	for (i = 0; i < NR_REGIONS; i++) {
		struct region *r = &regions[i];
		int flags = i == SHARED ? MAP_SHARED : MAP_PRIVATE;

		r->want = calloc(r->nr, sizeof(*r->want));
		if (!r->want)
			bad("no memory");
		r->p = map(reserve(r->nr * PAGE), r->nr * PAGE, flags | MAP_FIXED, i == FILED ? fd : -1);
		madvise(r->p, r->nr * PAGE, i == HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	}
	spare = reserve(TABLE);
	madvise(regions[ALIKE].p, regions[ALIKE].nr * PAGE, MADV_MERGEABLE);
	for (i = 0; i < NR_REGIONS; i++) {
		size_t k;

		for (k = 0; k < regions[i].nr; k++)
			if (k % 8)
				page_change(&regions[i], k);
	}
}

/* ---- orders ---- */

static void write_some(unsigned int nr)
{
	while (nr--) {
		struct region *r = &regions[any(NR_REGIONS)];

		page_change(r, any(r->nr));
	}
}

/* to one region, a few pages in all */
static void write_plain(unsigned int nr)
{
	while (nr--)
		page_change(&regions[PLAIN], any(regions[PLAIN].nr));
}

static void drop(unsigned int nr)
{
	while (nr--) {
		struct region *r = &regions[any(2) ? PLAIN : HUGE];
		size_t i = any(r->nr);

		if (madvise(r->p + i * PAGE, PAGE, MADV_DONTNEED))
			bad("MADV_DONTNEED");
		r->want[i] = 0;
		/* every second one is there again, as a zero page */
		if (nr % 2 && *(volatile char *)(r->p + i * PAGE))
			bad("a dropped page is not zero");
	}
}

/* other memory at the same place: some pages untouched, some read, some written */
static void replace(unsigned int nr)
{
	struct region *r = &regions[PLAIN];
	size_t first = r->nr / 4, i;

	if (munmap(r->p + first * PAGE, nr * PAGE))
		bad("munmap");
	map(r->p + first * PAGE, nr * PAGE, MAP_PRIVATE | MAP_FIXED, -1);
	for (i = first; i < first + nr; i++) {
		r->want[i] = 0;
		if (i % 3 == 1 && *(volatile char *)(r->p + i * PAGE))
			bad("a new page is not zero");
		if (i % 3 == 2)
			page_change(r, i);
	}
}

static void move(char *from, char *to)
{
	if (mremap(from, TABLE, TABLE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		bad("mremap");
}

/* not a byte is written */
static void swap_sides(unsigned int arg)
{
	struct region *l = &regions[LEFT], *r = &regions[RIGHT];
	uint64_t *want = l->want;

	(void)arg;
	move(l->p, spare);
	move(r->p, l->p);
	move(spare, r->p);
	if (mmap(spare, TABLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != spare)
		bad("mmap");
	l->want = r->want;
	r->want = want;
}

/* read-only and back; without a write nothing has changed, and with one it has */
static void protect(unsigned int nr)
{
	struct region *r = &regions[PLAIN];

	if (mprotect(r->p, r->nr * PAGE, PROT_READ) || mprotect(r->p, r->nr * PAGE, PROT_READ | PROT_WRITE))
		bad("mprotect");
	write_plain(nr);
}

static void make_alike(unsigned int arg)
{
	size_t i;

	for (i = 0; i < regions[ALIKE].nr; i++)
		page_write(&regions[ALIKE], i, 4711 + arg);
}

static void page_out(unsigned int nr)
{
	struct region *r = &regions[PLAIN];

	write_plain(nr);
	madvise(r->p, r->nr * PAGE, MADV_PAGEOUT);
}

/* pages of an ancestor, then its own */
static void make_child(unsigned int nr)
{
	pid_t pid;

	if (is_child)
		return;
	pid = fork();
	if (pid < 0)
		bad("fork");
	is_child = !pid;
	random_state ^= (uint64_t)getpid() << 32;
	write_some(nr);
}

static void nothing(unsigned int arg)
{
	(void)arg;
}

static const struct order {
	char letter;
	void (*run)(unsigned int arg);
} orders[] = {
	{ 'w', write_some }, { 'W', write_plain }, { 'd', drop }, { 'u', replace }, { 's', swap_sides }, { 'p', protect },
	{ 'a', make_alike }, { 'o', page_out }, { 'f', make_child }, { 'z', nothing },
};

/* the same process, another program */
static void run_again(void)
{
	char number[16];

	if (is_child)
		return;
	snprintf(number, sizeof(number), "%u", done);
	execl("/proc/self/exe", args[0], args[1], args[2], number, NULL);
	bad("exec");
}

static void carry_out(char letter, unsigned int arg)
{
	size_t i;

	if (letter == 'x')
		run_again();
	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (orders[i].letter == letter)
			orders[i].run(arg);
}

static void say(void)
{
	char line[LINE + 8];
	int n = snprintf(line, sizeof(line), "G%010u P%08d\n", done, getpid());

	if (pwrite(out, line, n, is_child ? LINE : 0) != n)
		bad("file");
}

int main(int argc, char **argv)
{
	const struct timespec doze = { .tv_nsec = 5000000 };
	unsigned int number, arg;
	char line[64] = "", letter;
	int in;

	args = argv;
	out = argc > 2 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	in = out < 0 ? -1 : open(argv[2], O_RDONLY | O_CREAT, 0600);
	if (in < 0)
		return 2;
	done = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	random_state = getpid() + done;
	last_value = done * 1000000ULL;
	signal(SIGCHLD, SIG_IGN);
	regions_make();
	check_all();
	say();
	for (;;) {
		nanosleep(&doze, NULL);
		if (pread(in, line, sizeof(line) - 1, 0) <= 0 || sscanf(line, "G%u %c %u", &number, &letter, &arg) != 3 ||
		    number == done)
			continue;
		done = number;
		check_all();
		carry_out(letter, arg);
		check_all();
		say();
	}
}
