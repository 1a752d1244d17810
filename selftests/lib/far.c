// SPDX-License-Identifier: GPL-2.0
/* See far.h. */
#include "far.h"

#ifdef __i386__
#undef far_call64
__asm__ (
	"	.text\n"
	"	.globl	far_call64\n"
	"	.type	far_call64, @function\n"
	"far_call64:\n"
	"	push	%ebx\n"
	"	push	%esi\n"
	"	push	%edi\n"
	"	push	%ebp\n"
	"	mov	20(%esp), %eax\n"
	"	mov	24(%esp), %ebx\n"
	"	ljmp	$0x33, $1f\n"
	"	.code64\n"
	"1:	mov	%eax, %eax\n"		/* the upper halves may be anything */
	"	mov	%ebx, %ebx\n"
	"	mov	%esp, %esp\n"
	"	mov	(%rbx), %rdi\n"
	"	mov	8(%rbx), %rsi\n"
	"	mov	16(%rbx), %rdx\n"
	"	mov	24(%rbx), %r10\n"
	"	mov	32(%rbx), %r8\n"
	"	mov	40(%rbx), %r9\n"
	"	syscall\n"
	"	ljmp	*2f(%rip)\n"
	"2:	.long	3f\n"
	"	.word	0x23\n"
	"	.code32\n"
	"3:	pop	%ebp\n"
	"	pop	%edi\n"
	"	pop	%esi\n"
	"	pop	%ebx\n"
	"	ret\n"
	"	.size	far_call64, . - far_call64\n"
);
#elif defined(__x86_64__)
#undef far_call32
long far_call32(long nr, const uint32_t args[5])
{
	long ret;

	__asm__ volatile ("int $0x80" : "=a" (ret) : "0" (nr), "b" ((long)args[0]), "c" ((long)args[1]),
			  "d" ((long)args[2]), "S" ((long)args[3]), "D" ((long)args[4])
			  : "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}
#endif
