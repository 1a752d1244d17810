// SPDX-License-Identifier: GPL-2.0
/*
 * x86 for the helper: what C can't say, a thread on a stack of its own and system calls by another ABI than the helper's
 */
#include <stddef.h>
#include <stdint.h>

#include "user.h"

#if defined(__x86_64__) || defined(__i386__)

/* ---- threads ---- */

/* the new thread has nothing on its stack to return to, and the old one's registers but for the stack pointer */
#ifdef __x86_64__
__asm__ (
	"	.text\n"
	"	.globl	crk_x86_clone_thread\n"
	"	.type	crk_x86_clone_thread, @function\n"
	"crk_x86_clone_thread:\n"
	"	mov	%rdx, %r8\n"
	"	mov	%rcx, %r9\n"
	"	mov	$435, %eax\n"		/* clone3 */
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	jz	1f\n"
	"	ret\n"
	"1:	xor	%ebp, %ebp\n"
	"	mov	%r9, %rdi\n"
	"	call	*%r8\n"
	"	hlt\n"
	"	.size	crk_x86_clone_thread, . - crk_x86_clone_thread\n"
);
#elif defined(__i386__)
__asm__ (
	"	.text\n"
	"	.globl	crk_x86_clone_thread\n"
	"	.type	crk_x86_clone_thread, @function\n"
	"crk_x86_clone_thread:\n"
	"	push	%ebx\n"
	"	push	%esi\n"
	"	push	%edi\n"
	"	mov	16(%esp), %ebx\n"
	"	mov	20(%esp), %ecx\n"
	"	mov	24(%esp), %esi\n"
	"	mov	28(%esp), %edi\n"
	"	mov	$435, %eax\n"
	"	int	$0x80\n"
	"	test	%eax, %eax\n"
	"	jz	1f\n"
	"	pop	%edi\n"
	"	pop	%esi\n"
	"	pop	%ebx\n"
	"	ret\n"
	"1:	xor	%ebp, %ebp\n"
	"	and	$-16, %esp\n"
	"	sub	$12, %esp\n"
	"	push	%edi\n"
	"	call	*%esi\n"
	"	hlt\n"
	"	.size	crk_x86_clone_thread, . - crk_x86_clone_thread\n"
);
#endif

/* ---- calls by the kernel's own ABI ---- */

/*
 * Structs with pointers in them differ between the ABIs of a kernel: what belongs to a 64-bit program goes by the
 * 64-bit call whatever the helper is.  A 32-bit helper jumps to 64-bit code for that.
 */
#define NR_IOCTL		16
#define NR_GETPID		39
#define NR_RT_SIGQUEUEINFO	129
#define NR_TIMER_CREATE		222
#define NR_RT_TGSIGQUEUEINFO	297
#define X32_CALL		0x40000000

#ifdef __x86_64__
static long native_call(long nr, const uint64_t args[4])
{
	register uint64_t r10 __asm__("r10") = args[3];
	long ret;

	__asm__ volatile ("syscall" : "=a" (ret) : "0" (nr), "D" (args[0]), "S" (args[1]), "d" (args[2]), "r" (r10)
			  : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__i386__)
long crk_x86_native_call(long nr, const uint64_t args[4]);
#define native_call crk_x86_native_call
__asm__ (
	"	.text\n"
	"	.globl	crk_x86_native_call\n"
	"	.type	crk_x86_native_call, @function\n"
	"crk_x86_native_call:\n"
	"	push	%ebx\n"
	"	push	%esi\n"
	"	push	%edi\n"
	"	push	%ebp\n"
	"	mov	20(%esp), %eax\n"
	"	mov	24(%esp), %ebx\n"
	"	ljmp	$0x33, $1f\n"
	"	.code64\n"
	"1:	mov	%eax, %eax\n"		/* the upper halves are anything here */
	"	mov	%ebx, %ebx\n"
	"	mov	%esp, %esp\n"
	"	mov	0(%rbx), %rdi\n"
	"	mov	8(%rbx), %rsi\n"
	"	mov	16(%rbx), %rdx\n"
	"	mov	24(%rbx), %r10\n"
	"	syscall\n"
	"	ljmp	*2f(%rip)\n"
	"	.code32\n"
	"3:	pop	%ebp\n"
	"	pop	%edi\n"
	"	pop	%esi\n"
	"	pop	%ebx\n"
	"	ret\n"
	"2:	.long	3b\n"
	"	.word	0x23\n"
	"	.size	crk_x86_native_call, . - crk_x86_native_call\n"
);
#endif

int crk_x86_ioctl(int fd, unsigned long cmd, void *arg)
{
	return native_call(NR_IOCTL, (uint64_t[]){ fd, cmd, (uintptr_t)arg, 0 });
}

long crk_x86_call_x32(void)
{
	static const uint64_t none[4];

	return native_call(X32_CALL | NR_GETPID, none);
}

long crk_x86_call_compat(void)
{
	long ret = 20;			/* getpid of i386 */

#ifdef __x86_64__
	__asm__ volatile ("int $0x80" : "+a" (ret) : : "r8", "r9", "r10", "r11", "memory");
#else
	__asm__ volatile ("int $0x80" : "+a" (ret) : : "memory");
#endif
	return ret;
}

int crk_x86_signal_queue(pid_t pid, pid_t tid, uint32_t signo, const void *info)
{
	if (tid)
		return native_call(NR_RT_TGSIGQUEUEINFO,
				   (uint64_t[]){ pid, tid, signo, (uintptr_t)info });
	return native_call(NR_RT_SIGQUEUEINFO, (uint64_t[]){ pid, signo, (uintptr_t)info, 0 });
}

int crk_x86_timer_create(const struct crk_rec_posix_timer *rec, int *id)
{
	struct {
		uint64_t value;
		uint32_t signo, notify;
		int32_t tid;
		uint8_t padding[44];
	} event = { .value = rec->value, .signo = rec->signo, .notify = rec->notify, .tid = rec->notify_tid };

	return native_call(NR_TIMER_CREATE, (uint64_t[]){ (int64_t)rec->clockid, (uintptr_t)&event, (uintptr_t)id, 0 });
}
#endif
