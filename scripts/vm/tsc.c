// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how many thousand ticks a second the CPU's time stamp counter makes, 0 if it can't be told.  The emulated CPU
 * has the host's counter, and a guest's kernel that measures it on a busy host may find a quarter of that: all its
 * clocks are wrong then.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define TRIES	50
#define SPAN_NS	50000000

struct point {
	uint64_t ticks, ns;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* of several readings the one that took least: nobody else ran in between */
static struct point point(void)
{
	uint64_t best = UINT64_MAX, before, after, ns;
	struct point p = { 0 };
	int i;

	for (i = 0; i < TRIES; i++) {
		before = __rdtsc();
		ns = now();
		after = __rdtsc();
		if (after - before < best) {
			best = after - before;
			p = (struct point){ before + best / 2, ns };
		}
	}
	return p;
}

int main(void)
{
	struct point a = point(), b;

	nanosleep(&(struct timespec){ .tv_nsec = SPAN_NS }, NULL);
	b = point();
	printf("%llu\n", (unsigned long long)(b.ns > a.ns ? (b.ticks - a.ticks) * 1000000 / (b.ns - a.ns) : 0));
	return 0;
}
