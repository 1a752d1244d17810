/* SPDX-License-Identifier: GPL-2.0 */
/* Programs of the x32 ABI without a C library, which nobody has for it: their system calls, and how they begin. */
#ifndef _X32_H
#define _X32_H

#define X32	0x40000000	/* in the numbers of its calls */

static inline long long x32_call(int nr, long long a, long long b, long long c, long long d, long long e, long long f)
{
	register long long r10 __asm__("r10") = d;
	register long long r8 __asm__("r8") = e;
	register long long r9 __asm__("r9") = f;
	long long ret;

	__asm__ volatile ("syscall" : "=a" (ret) : "0" ((long long)(nr | X32)), "D" (a), "S" (b), "d" (c), "r" (r10),
			  "r" (r8), "r" (r9) : "rcx", "r11", "memory");
	return ret;
}

/* @function gets the stack as it was at the start: argc, argv, … are words of 32 bits */
#define X32_START(function)				\
	__asm__ ("	.globl	_start\n"		\
		 "_start:\n"				\
		 "	mov	%rsp, %rdi\n"		\
		 "	and	$-16, %rsp\n"		\
		 "	call	" #function "\n")

#endif
