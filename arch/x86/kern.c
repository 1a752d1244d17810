// SPDX-License-Identifier: GPL-2.0
/*
 * x86: what a frozen task shows, for native, ia32 and x32 code and tasks that mix them.  The other direction is in
 * restore.c.
 *
 * A task is no longer of one kind: bitness is that of its code segment at this moment, the address limit is a flag of
 * the thread, and each system call says for itself by which ABI it was made.
 */
#include <linux/elf.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <asm/cpufeature.h>
#include <asm/ptrace.h>
#include <asm/sighandling.h>
#include <asm/syscall.h>
#include <asm/unistd.h>
#include <asm/vdso.h>

#include "arch.h"

CRK_ARCH_SYMBOLS(CRK_SYMBOL_DEFINE_CALL, CRK_SYMBOL_DEFINE_CALL, CRK_SYMBOL_DEFINE_ADDR, CRK_SYMBOL_DEFINE_ADDR)

const struct crk_symbol crk_arch_symbols[] = {
	CRK_ARCH_SYMBOLS(CRK_SYMBOL_NEED, CRK_SYMBOL_WANT, CRK_SYMBOL_ADDR, CRK_SYMBOL_SEEK)
	{}
};

int crk_arch_init(void)
{
	return 0;
}

static unsigned long *x86_kernel_arg(struct pt_regs *regs, unsigned int n)
{
	unsigned long *const args[] = { &regs->di, &regs->si, &regs->dx, &regs->cx, &regs->r8, &regs->r9 };

	return n < ARRAY_SIZE(args) ? args[n] : NULL;
}
NOKPROBE_SYMBOL(x86_kernel_arg);

static u32 x86_view_machine(struct task_struct *t)
{
	return user_64bit_mode(task_pt_regs(t)) ? EM_X86_64 : EM_386;
}

/* the older forms of the FPU state are parts of NT_X86_XSTATE; I/O ports have a record of their own */
static bool x86_want_regset(struct task_struct *t, const struct user_regset *rs)
{
	switch (rs->core_note_type) {
	case NT_PRFPREG:
	case NT_PRXFPREG:
		return !boot_cpu_has(X86_FEATURE_XSAVE);
	case NT_386_IOPERM:
		return false;
	default:
		return true;
	}
}

/* ---- the interrupted system call ---- */

/*
 * Calls that end with EINTR when a freeze interrupts them, though no signal is handled, and that may just begin again:
 * nothing has been taken or done, and a timeout among the arguments is relative.  -1 pads.
 */
static const struct {
	s16 native, compat, x32;
} eintr_calls[] = {
	{ 232, 256, 232 },	/* epoll_wait */
	{ 281, 319, 281 },	/* epoll_pwait */
	{ 441, 441, 441 },	/* epoll_pwait2 */
	{ 65, -1, 65 },		/* semop */
	{ 220, 420, 220 },	/* semtimedop, _time64 */
	{ -1, 117, -1 },	/* ipc: semop, semtimedop, msgrcv */
	{ 128, 177, 523 },	/* rt_sigtimedwait */
	{ -1, 421, -1 },	/* rt_sigtimedwait_time64 */
	{ 208, 247, 208 },	/* io_getevents */
	{ 333, 385, 333 },	/* io_pgetevents */
	{ -1, 416, -1 },	/* io_pgetevents_time64 */
	{ 0, 3, 0 },		/* read, from a socket with SO_RCVTIMEO */
	{ 19, 145, 515 },	/* readv */
	{ 45, 371, 517 },	/* recvfrom */
	{ 47, 372, 519 },	/* recvmsg */
	{ 43, -1, 43 },		/* accept */
	{ 288, 364, 288 },	/* accept4 */
	{ 299, 337, 537 },	/* recvmmsg */
	{ -1, 417, -1 },	/* recvmmsg_time64 */
	{ 1, 4, 1 },		/* write, to a socket with SO_SNDTIMEO */
	{ 20, 146, 516 },	/* writev */
	{ 44, 369, 44 },	/* sendto */
	{ 46, 370, 518 },	/* sendmsg */
	{ 307, 345, 538 },	/* sendmmsg */
	{ 42, 362, 42 },	/* connect, of a unix socket */
	{ -1, 102, -1 },	/* socketcall */
	{ 23, 142, 23 },	/* select, whose timeout can't be written back */
	{ -1, 82, -1 },		/* old select */
	{ 270, 308, 270 },	/* pselect6 */
	{ -1, 413, -1 },	/* pselect6_time64 */
	{ 271, 309, 271 },	/* ppoll */
	{ -1, 414, -1 },	/* ppoll_time64 */
};

static bool begins_again(u32 abi, s32 nr)
{
	s16 known;
	int i;

	for (i = 0; i < ARRAY_SIZE(eintr_calls); i++) {
		known = abi == CRK_ABI_COMPAT ? eintr_calls[i].compat :
			abi == CRK_ABI_X32 ? eintr_calls[i].x32 : eintr_calls[i].native;
		if (known >= 0 && known == nr)
			return true;
	}
	return false;
}

static u32 syscall_state(struct task_struct *t, const struct crk_rec_thread *rec, long result)
{
	switch (result) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
		return CRK_SYSCALL_RESTART;
	case -ERESTARTNOHAND:
		return CRK_SYSCALL_NOHAND;
	case -ERESTART_RESTARTBLOCK:
		return CRK_SYSCALL_BLOCK;
	case -EINTR:
		/*
		 * A signal that waits may be another thread's to take.  Who has to run a handler gets EINTR from the
		 * kernel, see crk_x86_set_finish().
		 */
		if (begins_again(rec->syscall_abi, rec->syscall_nr))
			return CRK_SYSCALL_EINTR;
		break;
	}
	return CRK_SYSCALL_DONE;
}

/* of a process, kept with its leader; x86_task_fpu() is not exported where CONFIG_X86_DEBUG_FPU makes it a function */
static bool has_xcomp_perm(struct task_struct *t)
{
#if CRK_HAVE_THREAD_FPU
	const struct fpu *fpu = &t->group_leader->thread.fpu;
#else
	const struct fpu *fpu = (const struct fpu *)(t->group_leader + 1);
#endif

	return READ_ONCE(fpu->perm.__state_perm) & XFEATURE_MASK_XTILE_DATA;
}

/*
 * orig_ax is 32 bits wide for a 32-bit entry, and a 32-bit register view gives it back without its sign; so -1,
 * "no system call", is looked for in the low half.
 */
static void x86_get_thread(struct task_struct *t, struct crk_rec_thread *rec)
{
	struct pt_regs *regs = task_pt_regs(t);
	u32 status = READ_ONCE(task_thread_info(t)->status);
	long result = regs->ax;

	if (!user_64bit_mode(regs))
		rec->flags |= CRK_THREAD_COMPAT;
	if (test_tsk_thread_flag(t, TIF_ADDR32))
		rec->flags |= CRK_THREAD_ADDR32;
	if (test_tsk_thread_flag(t, TIF_NOTSC))
		rec->flags |= CRK_THREAD_NO_TSC;
	if (test_tsk_thread_flag(t, TIF_NOCPUID))
		rec->flags |= CRK_THREAD_NO_CPUID;
	if (has_xcomp_perm(t))
		rec->flags |= CRK_THREAD_XCOMP_PERM;
	if ((s32)regs->orig_ax == -1) {
		rec->syscall = CRK_SYSCALL_NONE;
		return;
	}
	rec->syscall_nr = regs->orig_ax;
	if (status & (TS_COMPAT | TS_I386_REGS_POKED)) {
		rec->syscall_abi = CRK_ABI_COMPAT;
		result = (s32)result;
	} else if (regs->orig_ax & __X32_SYSCALL_BIT) {
		rec->syscall_abi = CRK_ABI_X32;
		rec->syscall_nr &= ~__X32_SYSCALL_BIT;
	}
	if (rec->syscall == CRK_SYSCALL_NONE)
		rec->syscall = syscall_state(t, rec, result);
}

/* ---- the address space ---- */

static void x86_get_mm(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	bool ia32 = mm->context.flags & crk_x86_context_mask(MM_CONTEXT_UPROBE_IA32);
	bool vsyscall = mm->context.flags & crk_x86_context_mask(MM_CONTEXT_HAS_VSYSCALL);

	/* an exec of x32 leaves no flag, one of a native program always HAS_VSYSCALL */
	if (ia32)
		rec->flags |= CRK_MM_COMPAT | CRK_MM_UPROBE_IA32;
	else if (!vsyscall)
		rec->flags |= CRK_MM_X32;
	if (vsyscall)
		rec->flags |= CRK_MM_VSYSCALL;
#ifdef CONFIG_ADDRESS_MASKING
	if (mm->context.lam_cr3_mask)
		rec->flags |= CRK_MM_TAGGED_ADDR;
#endif
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
	/* key 0 is everyone's */
	if (mm->context.pkey_allocation_map & ~1)
		rec->flags |= CRK_MM_PKEYS;
#endif
#ifdef CONFIG_HAVE_ARCH_COMPAT_MMAP_BASES
	rec->mmap_compat_base = mm->mmap_compat_base;
	rec->mmap_compat_legacy_base = mm->mmap_compat_legacy_base;
#endif
	crk_x86_get_vdso(mm, rec);
}

static u32 x86_get_action_abi(unsigned long sa_flags)
{
	if (sa_flags & SA_IA32_ABI)
		return CRK_ACTION_COMPAT;
	return sa_flags & SA_X32_ABI ? CRK_ACTION_X32 : CRK_ACTION_NATIVE;
}

const struct crk_arch_ops crk_arch = {
	.name = "x86",
	.machine = EM_X86_64,
	.features = (IS_ENABLED(CONFIG_IA32_EMULATION) ? CRK_FEAT_COMPAT : 0) |
		    (IS_ENABLED(CONFIG_X86_X32_ABI) ? CRK_FEAT_X32 : 0) |
		    (IS_ENABLED(CONFIG_SYSVIPC) ? CRK_FEAT_SHMAT : 0),
	.kernel_arg = x86_kernel_arg,
	.view_machine = x86_view_machine,
	.want_regset = x86_want_regset,
	.get_thread = x86_get_thread,
	.get_mm = x86_get_mm,
	.get_action_abi = x86_get_action_abi,
	.capture_thread = crk_x86_capture_thread,
	.capture_mm = crk_x86_capture_mm,
	.vdso_page = crk_x86_vdso_page,
	.check_mm = crk_x86_check_mm,
	.set_mm = crk_x86_set_mm,
	.set_action_abi = crk_x86_set_action_abi,
	.enter_abi = crk_x86_enter_abi,
	.check_thread = crk_x86_check_thread,
	.check_regset = crk_x86_check_regset,
	.set_prepare = crk_x86_set_prepare,
	.set_order = crk_x86_set_order,
	.set_rest = crk_x86_set_rest,
	.check_record = crk_x86_check_record,
	.set_record = crk_x86_set_record,
	.set_finish = crk_x86_set_finish,
	.sys_mremap = crk_x86_sys_mremap,
	.sys_mprotect = crk_x86_sys_mprotect,
	.sys_madvise = crk_x86_sys_madvise,
	.sys_mlock2 = crk_x86_sys_mlock2,
	.sys_mlockall = crk_x86_sys_mlockall,
	.sys_mseal = crk_x86_sys_mseal,
	.sys_shmat = crk_x86_sys_shmat,
	.sys_prctl = crk_x86_sys_prctl,
	.sys_setitimer = crk_x86_sys_setitimer,
	.sys_timer_settime = crk_x86_sys_timer_settime,
	.sys_ptrace = crk_x86_sys_ptrace,
	.sys_exit = crk_x86_sys_exit,
	.map_vdso = crk_x86_map_vdso,
};
