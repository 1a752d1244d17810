/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses of the kernel in what the device gives back (issue "what only the kernel can see", point 6): looked for after
 * every call that a test makes.
 */
#ifndef _LEAK_H
#define _LEAK_H

#include <stdbool.h>
#include <stdint.h>

/* never true of a 32-bit kernel, where half of all numbers look like addresses */
bool is_kernel_address(uint64_t word);

/* one that the test itself has given, and may read in a log */
extern uint64_t leak_own;

/* in the struct of call @nr and in its log, after the call came back with errno @err: exits and says where */
void must_not_leak(unsigned long nr, const void *cmd, int err);

#endif /* _LEAK_H */
