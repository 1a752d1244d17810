/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the load tells the bench, in a file that both map.
 */
#ifndef _BENCH_BEAT_H
#define _BENCH_BEAT_H

/**
 * struct beat - the pulse of a load
 * @pid: of the load, set when it is complete
 * @count: beats so far
 * @longest_ns: longest time between two beats; the bench sets it to 0
 */
struct beat {
	volatile int pid;
	volatile unsigned long long count;
	volatile unsigned long long longest_ns;
};

#endif /* _BENCH_BEAT_H */
