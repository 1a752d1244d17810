// SPDX-License-Identifier: GPL-2.0
/*
 * What the bench dumps: a program with a given number of threads, processes, mappings, open files or dirty bytes.
 * Its first thread beats: it notes the longest time in which it did not run in a file shared with the bench, which
 * is how long a tool held it, seen from inside and the same for every tool.
 *
 * usage: load BEATFILE small | mem MIB | dirty MIB | threads N | tree N | maps N | files N | sparse N
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "beat.h"

static void *thread_sleep(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static char *make_memory(unsigned long mib)
{
	size_t i, len = mib << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	madvise(p, len, MADV_NOHUGEPAGE);
	for (i = 0; i < len; i += 64)
		*(size_t *)(p + i) = i * 0x9e3779b97f4a7c15UL;
	return p;
}

static size_t dirty_len;

static void *write_always(void *p)
{
	for (;;)
		for (size_t i = 0; i < dirty_len; i += 4096)
			((volatile char *)p)[i]++;
	return NULL;
}

/* the same with a thread that never stops to write to all of it */
static void make_dirty(unsigned long mib)
{
	char *p = make_memory(mib);
	pthread_t thread;

	dirty_len = mib << 20;
	if (pthread_create(&thread, NULL, write_always, p))
		exit(1);
}

static void make_threads(unsigned long nr)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (--nr)
		if (pthread_create(&thread, &attr, thread_sleep, NULL))
			exit(1);
}

static void make_tree(unsigned long nr)
{
	while (--nr) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (!pid)
			thread_sleep(NULL);
	}
}

static void make_maps(unsigned long nr)
{
	char *p = mmap(NULL, nr * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long i;

	if (p == MAP_FAILED)
		exit(1);
	for (i = 0; i < nr / 2; i++) {
		if (mprotect(p + i * 16384, 4096, PROT_READ | PROT_WRITE))
			exit(1);
		p[i * 16384] = (char)i;
	}
}

/* openings of one file, each at its own offset; pipes; eventfds */
static void make_files(const char *path, unsigned long nr)
{
	struct rlimit limit = { nr + 64, nr + 64 };
	unsigned long i;
	int fd, ends[2];

	if (setrlimit(RLIMIT_NOFILE, &limit))
		exit(1);
	for (i = 0; i < nr; i += 4) {
		fd = open(path, O_RDONLY);
		if (fd < 0 || lseek(fd, i, SEEK_SET) < 0 || open(path, O_RDONLY) < 0)
			exit(1);
		if (i % 8 ? eventfd(i, 0) < 0 || eventfd(i + 1, 0) < 0 : pipe(ends))
			exit(1);
	}
}

/* a TiB of address space with @nr pages written to */
static void make_sparse(unsigned long nr)
{
	size_t len = sizeof(long) == 8 ? (size_t)(1ULL << 40) : (size_t)1 << 30;
	unsigned long i;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || madvise(p, len, MADV_NOHUGEPAGE))
		exit(1);
	for (i = 0; i < nr; i++)
		p[len / nr * i] = (char)(i + 1);
}

static unsigned long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	const struct timespec pause_ns = { .tv_nsec = 1000000 };
	unsigned long nr = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	unsigned long long last;
	struct beat *beat;
	int fd;

	if (argc < 3)
		return 2;
	fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*beat)))
		return 1;
	beat = mmap(NULL, sizeof(*beat), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (beat == MAP_FAILED)
		return 1;
	if (!strcmp(argv[2], "mem"))
		make_memory(nr);
	else if (!strcmp(argv[2], "dirty"))
		make_dirty(nr);
	else if (!strcmp(argv[2], "threads"))
		make_threads(nr);
	else if (!strcmp(argv[2], "tree"))
		make_tree(nr);
	else if (!strcmp(argv[2], "maps"))
		make_maps(nr);
	else if (!strcmp(argv[2], "files"))
		make_files(argv[0], nr);
	else if (!strcmp(argv[2], "sparse"))
		make_sparse(nr);
	beat->pid = getpid();
	for (last = now();; last = now()) {
		unsigned long long gap;

		nanosleep(&pause_ns, NULL);
		gap = now() - last;
		if (gap > beat->longest_ns)
			beat->longest_ns = gap;
		beat->count++;
	}
}
