// SPDX-License-Identifier: GPL-2.0
/*
 * peer: the same small program for each ABI of the machine.  Reads words from fd 3, answers on fd 4, has the shared
 * memory of fd 5 mapped.  Word 0: the answer is what a two-second sleep returned.  Else the first shared word is
 * incremented and the answer is the word plus one.  Ends with status 0 when fd 3 does.
 *
 * For x32, which has no C library here, with system calls of its own.
 */
#include <stdint.h>

#if defined(__x86_64__) && defined(__ILP32__)

#include "x32/x32.h"

static long word_read(uint32_t *w)
{
	return x32_call(0, 3, (uintptr_t)w, sizeof(*w), 0, 0, 0);
}

static long word_write(const uint32_t *w)
{
	return x32_call(1, 4, (uintptr_t)w, sizeof(*w), 0, 0, 0);
}

static volatile uint32_t *shared_map(void)
{
	return (void *)(uintptr_t)x32_call(9, 0, 4096, 3 /* read, write */, 1 /* shared */, 5, 0);
}

static long sleep_two(void)
{
	struct { long long sec, nsec; } ts = { 2, 0 };

	return x32_call(35, (uintptr_t)&ts, 0, 0, 0, 0, 0);
}

static void leave(int status)
{
	for (;;)
		x32_call(60, status, 0, 0, 0, 0, 0);
}

#else

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static long word_read(uint32_t *w)
{
	return read(3, w, sizeof(*w));
}

static long word_write(const uint32_t *w)
{
	return write(4, w, sizeof(*w));
}

static volatile uint32_t *shared_map(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 5, 0);
}

static long sleep_two(void)
{
	struct timespec ts = { .tv_sec = 2 };

	return nanosleep(&ts, NULL);
}

static void leave(int status)
{
	_exit(status);
}

#endif

static void serve(void)
{
	volatile uint32_t *shared = shared_map();
	uint32_t w;
	long got;

	while ((got = word_read(&w)) == sizeof(w)) {
		if (w) {
			__atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
			w++;
		} else {
			w = sleep_two();
		}
		if (word_write(&w) != sizeof(w))
			leave(2);
	}
	leave(got ? 1 : 0);
}

#if defined(__x86_64__) && defined(__ILP32__)
void __attribute__((force_align_arg_pointer)) _start(void)
#else
int main(void)
#endif
{
	serve();
	__builtin_unreachable();
}
