// SPDX-License-Identifier: GPL-2.0
/*
 * ARM for the helper: what C can't say, a thread on a stack of its own, and calls whose arguments are the kernel's own.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user.h"

#ifdef __arm__

/*
 * The new thread has nothing on its stack to return to, and the old one's registers but for the stack pointer.  ARM
 * code of the oldest kind, whatever the rest is built as.
 */
__asm__ (
	"	.text\n"
	"	.arm\n"
	"	.align	2\n"
	"	.globl	crk_arm_clone_thread\n"
	"	.type	crk_arm_clone_thread, %function\n"
	"crk_arm_clone_thread:\n"
	"	push	{r4, r5, r7, lr}\n"
	"	mov	r4, r2\n"
	"	mov	r5, r3\n"
	"	mov	r7, #432\n"
	"	add	r7, r7, #3\n"		/* clone3 */
	"	svc	#0\n"
	"	cmp	r0, #0\n"
	"	beq	1f\n"
	"	pop	{r4, r5, r7, pc}\n"
	"1:	mov	fp, #0\n"
	"	mov	lr, #0\n"
	"	mov	r0, r5\n"
	"	blx	r4\n"
	"	.inst	0xe7f000f0\n"		/* udf */
	"	.size	crk_arm_clone_thread, . - crk_arm_clone_thread\n"
);

/* the number is part of the instruction; kernels that know only the other way end who does that with SIGILL */
__asm__ (
	"	.text\n"
	"	.arm\n"
	"	.align	2\n"
	"	.globl	crk_arm_call_oabi\n"
	"	.type	crk_arm_call_oabi, %function\n"
	"crk_arm_call_oabi:\n"
	"	svc	#0x900014\n"		/* getpid */
	"	bx	lr\n"
	"	.size	crk_arm_call_oabi, . - crk_arm_call_oabi\n"
);

int crk_arm_signal_queue(pid_t pid, pid_t tid, uint32_t signo, const void *info)
{
	long ret;

	if (tid)
		ret = syscall(SYS_rt_tgsigqueueinfo, pid, tid, signo, info);
	else
		ret = syscall(SYS_rt_sigqueueinfo, pid, signo, info);
	return ret ? -errno : 0;
}

int crk_arm_timer_create(const struct crk_rec_posix_timer *rec, int *id)
{
	struct {
		uint32_t value, signo, notify;
		int32_t tid;
		uint8_t padding[48];
	} event = { .value = rec->value, .signo = rec->signo, .notify = rec->notify, .tid = rec->notify_tid };

	return syscall(SYS_timer_create, rec->clockid, &event, id) ? -errno : 0;
}
#endif
