// SPDX-License-Identifier: GPL-2.0
/*
 * Many of one thing, all looked at again and again: threads, processes, mappings, open files, pages far apart, memory.
 * Ends with status 1 and "BAD what" in FILE when one is not as it was made.
 *
 * usage: many FILE threads|processes|maps|files|sparse|mem N	FILE holds "ROUNDS\n" in a fixed column, rewritten in place
 *	  many FILE peak CMD [ARG]...	runs CMD; the most memory that it used goes to FILE, in KiB
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define SPARSE_LEN	(sizeof(long) == 8 ? (size_t)(1ULL << 40) : (size_t)1 << 30)

static int out;
static unsigned long nr;

static void bad(const char *what, unsigned long n)
{
	dprintf(out, "BAD %s %lu\n", what, n);
	_exit(1);
}

/* ---- threads, processes: each answers every round ---- */

struct crowd {
	uint32_t round;			/* a futex */
	volatile uint32_t answers[];
};

static struct crowd *crowd;

static void answer(unsigned long n)
{
	uint32_t round = 0, now;

	for (;; round = now) {
		while ((now = __atomic_load_n(&crowd->round, __ATOMIC_SEQ_CST)) == round)
			syscall(SYS_futex, &crowd->round, FUTEX_WAIT, round, NULL, NULL, 0);
		crowd->answers[n] = now;
	}
}

static void *thread_main(void *arg)
{
	answer((unsigned long)arg);
	return NULL;
}

static int make_crowd(int processes)
{
	pid_t parent = getpid();
	pthread_attr_t attr;
	pthread_t thread;
	unsigned long i;

	crowd = mmap(NULL, sizeof(*crowd) + nr * sizeof(crowd->answers[0]), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd == MAP_FAILED || pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 65536))
		return -1;
	for (i = 0; i < nr; i++) {
		pid_t pid = processes ? fork() : 1;

		if (pid < 0 || (!processes && pthread_create(&thread, &attr, thread_main, (void *)i)))
			return -1;
		if (!pid) {
			if (getppid() != parent)
				_exit(2);
			answer(i);
		}
	}
	return 0;
}

static int make_threads(void)
{
	return make_crowd(0);
}

static int make_processes(void)
{
	return make_crowd(1);
}

static void look_at_crowd(void)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	uint32_t round = __atomic_add_fetch(&crowd->round, 1, __ATOMIC_SEQ_CST);
	unsigned long i, tries = 0;

	syscall(SYS_futex, &crowd->round, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
	for (i = 0; i < nr; i++)
		for (; crowd->answers[i] != round; nanosleep(&nap, NULL))
			if (tries++ == 60000)
				bad("no answer of", i);
}

/* ---- mappings: each with a page of its own and a gap behind it ---- */

static char *memory;

static int make_maps(void)
{
	unsigned long i;

	memory = mmap(NULL, nr * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	for (i = 0; i < nr; i += 2) {
		if (mprotect(memory + i * PAGE, PAGE, PROT_READ | PROT_WRITE))
			return -1;
		*(unsigned long *)(memory + i * PAGE) = i + 1;
	}
	return 0;
}

static void look_at_maps(void)
{
	unsigned long i;

	for (i = 0; i < nr; i += 2)
		if (*(unsigned long *)(memory + i * PAGE) != i + 1)
			bad("mapping", i);
	/* they can still be told apart */
	if (!mprotect(memory, 2 * PAGE, PROT_NONE) && mprotect(memory, PAGE, PROT_READ | PROT_WRITE))
		bad("protection of mapping", 0);
}

/* ---- files: openings of one file, eventfds, pipes, unix sockets ---- */

static int first_fd;

static int make_files(void)
{
	struct rlimit limit = { nr + 64, nr + 64 };
	unsigned long i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	first_fd = dup(out);
	close(first_fd);
	for (i = 0; i < nr; i += 8) {
		int base = first_fd + i, ends[2], socks[2];

		if (open("/proc/self/exe", O_RDONLY) != base || open("/proc/self/exe", O_RDONLY) != base + 1 ||
		    eventfd(i + 1, EFD_NONBLOCK) != base + 2 || eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK) != base + 3 ||
		    pipe2(ends, O_NONBLOCK) || ends[0] != base + 4 || ends[1] != base + 5 ||
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, socks) || socks[0] != base + 6 || socks[1] != base + 7)
			return -1;
		if (lseek(base, i, SEEK_SET) < 0 || lseek(base + 1, 2 * i, SEEK_SET) < 0 ||
		    write(base + 5, &i, sizeof(i)) != sizeof(i))
			return -1;
	}
	return 0;
}

static void look_at_files(void)
{
	unsigned long i;

	for (i = 0; i < nr; i += 8) {
		unsigned long was;
		int base = first_fd + i;
		uint64_t count;

		if (lseek(base, 0, SEEK_CUR) != (off_t)i || lseek(base + 1, 0, SEEK_CUR) != (off_t)(2 * i))
			bad("offset of file", i);
		if (read(base + 2, &count, 8) != 8 || count != i + 1 || write(base + 2, &count, 8) != 8)
			bad("eventfd", i);
		if (read(base + 3, &count, 8) != -1 || errno != EAGAIN)
			bad("semaphore", i);
		if (read(base + 4, &was, sizeof(was)) != sizeof(was) || was != i || write(base + 5, &i, sizeof(i)) != sizeof(i))
			bad("pipe", i);
		if (write(base + 6, &i, sizeof(i)) != sizeof(i) || read(base + 7, &was, sizeof(was)) != sizeof(was) || was != i)
			bad("socket", i);
	}
}

/* ---- pages far apart ---- */

static int make_sparse(void)
{
	unsigned long i;

	memory = mmap(NULL, SPARSE_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, SPARSE_LEN, MADV_NOHUGEPAGE))
		return -1;
	for (i = 0; i < nr; i++)
		*(unsigned long *)(memory + SPARSE_LEN / nr * i) = i + 1;
	return 0;
}

/* and no page more than those */
static void look_at_sparse(void)
{
	unsigned long i, size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	for (i = 0; i < nr; i++)
		if (*(unsigned long *)(memory + SPARSE_LEN / nr * i) != i + 1)
			bad("page", i);
	if (!f || fscanf(f, "%lu %lu", &size, &resident) != 2 || resident > nr + 4096)
		bad("resident pages:", resident);
	fclose(f);
}

/* ---- memory, N in MiB ---- */

static int make_mem(void)
{
	unsigned long i;

	memory = mmap(NULL, nr << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	for (i = 0; i < nr << 20; i += PAGE)
		*(unsigned long *)(memory + i) = i + 1;
	return 0;
}

static void look_at_mem(void)
{
	unsigned long i;

	for (i = 0; i < nr << 20; i += PAGE)
		if (*(unsigned long *)(memory + i) != i + 1)
			bad("page", i / PAGE);
}

static const struct {
	const char *name;
	int (*make)(void);
	void (*look)(void);
} kinds[] = {
	{ "threads",	make_threads,	look_at_crowd },
	{ "processes",	make_processes,	look_at_crowd },
	{ "maps",	make_maps,	look_at_maps },
	{ "files",	make_files,	look_at_files },
	{ "sparse",	make_sparse,	look_at_sparse },
	{ "mem",	make_mem,	look_at_mem },
};

static int peak(char **argv)
{
	struct rusage usage;
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return 2;
	dprintf(out, "%ld\n", usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int main(int argc, char **argv)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	unsigned long rounds;
	size_t i;

	if (argc < 4)
		return 2;
	out = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		return 2;
	if (!strcmp(argv[2], "peak"))
		return peak(argv + 3);
	nr = strtoul(argv[3], NULL, 0);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && strcmp(argv[2], kinds[i].name); i++)
		;
	if (i == sizeof(kinds) / sizeof(kinds[0]) || !nr || kinds[i].make()) {
		dprintf(out, "BAD start: %s\n", strerror(errno));
		return 2;
	}
	for (rounds = 1;; rounds++) {
		char line[32];
		int len;

		kinds[i].look();
		len = snprintf(line, sizeof(line), "%012lu\n", rounds);
		if (pwrite(out, line, len, 0) != len)
			return 2;
		nanosleep(&nap, NULL);
	}
}
