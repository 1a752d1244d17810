/* SPDX-License-Identifier: GPL-2.0 */
/*
 * x86: system calls by the other ABI than the program's.  Pointers among the arguments must be below 4 GiB.
 */
#ifndef _FAR_H
#define _FAR_H

#include <stdint.h>

#ifdef __i386__
/* a 64-bit call, by 64-bit code */
long far_call64(long nr, const uint64_t args[6]);
#define far_call64(nr, ...) far_call64(nr, (const uint64_t[6]){ __VA_ARGS__ })
#else
/* a 32-bit call; the result, or -errno */
long far_call32(long nr, const uint32_t args[5]);
#define far_call32(nr, ...) far_call32(nr, (const uint32_t[5]){ __VA_ARGS__ })
#endif

/* the low half of a pointer, which must be all of it */
#define LOW(p)	((uint32_t)(uintptr_t)(p))

#endif /* _FAR_H */
