// SPDX-License-Identifier: GPL-2.0
/*
 * A job for the fault tests: two threads count in a file that both the job and the test see, and check memory, a
 * pipe and a timer on the way.  Ends with status 1 and "BAD what" in the file when anything is not as it left it.
 *
 * usage: counter FILE [MIB]	FILE holds "COUNT1 COUNT2 PID\n" in fixed columns, rewritten in place
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long counts[2];
static unsigned long *memory;
static size_t nr_words;
static int out, queue[2];

static void bad(const char *what)
{
	dprintf(out, "BAD %s\n", what);
	_exit(1);
}

static unsigned long pattern(size_t i)
{
	return i * 0x9e3779b97f4a7c15ULL;
}

static void doze(void)
{
	const struct timespec ts = { .tv_nsec = 2000000 };

	if (nanosleep(&ts, NULL))
		bad("nanosleep was interrupted");
}

static void *count(void *arg)
{
	size_t i, k = (size_t)arg;

	for (;;) {
		for (i = k; i < nr_words; i += 512)
			if (memory[i] != pattern(i))
				bad("memory changed");
		counts[k]++;
		doze();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long seen = 0, got;
	char line[64];
	pthread_t thread;
	size_t i;
	int n;

	out = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	if (out < 0)
		return 2;
	nr_words = (argc > 2 ? strtoul(argv[2], NULL, 0) : 1) * ((1 << 20) / sizeof(*memory));
	memory = malloc(nr_words * sizeof(*memory));
	if (!memory || pipe(queue))
		return 2;
	for (i = 0; i < nr_words; i++)
		memory[i] = pattern(i);
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, count, (void *)i))
			return 2;
	for (;; seen++) {
		if (write(queue[1], &seen, sizeof(seen)) != sizeof(seen))
			bad("pipe can't be written");
		n = snprintf(line, sizeof(line), "%012lu %012lu %08d\n", counts[0], counts[1], getpid());
		if (pwrite(out, line, n, 0) != n)
			bad("file can't be written");
		doze();
		if (read(queue[0], &got, sizeof(got)) != sizeof(got) || got != seen)
			bad("pipe changed");
	}
}
