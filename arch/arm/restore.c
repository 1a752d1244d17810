// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: gives back what kern.c reads: what a register set may hold, TLS words, the interrupted system call,
 * system calls from inside the kernel.  README says why it is done so.
 */
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>

#include <asm/hwcap.h>
#include <asm/ptrace.h>
#include <asm/tls.h>
#include <asm/user.h>

#include "arch.h"

#define CRK_MM_KNOWN	(CRK_MM_THP_DISABLE | CRK_MM_LOCK_FUTURE | CRK_MM_LOCK_ONFAULT | CRK_MM_NEVER_MERGE | \
			 CRK_MM_THP_ADVISED | CRK_MM_MERGE_ANY | CRK_MM_MDWE | CRK_MM_MDWE_NO_INHERIT | \
			 CRK_MM_BARRIER_GLOBAL | CRK_MM_BARRIER_PRIVATE | CRK_MM_BARRIER_SYNC_CORE | \
			 CRK_MM_BARRIER_RSEQ | CRK_MM_BOTTOM_UP)

/* ---- on the way to the gate ---- */

/*
 * A restored thread can go on with a restart block only if the kernel looks for an interrupted call behind the work that
 * parks it.  It does so once on its way out of a call, and before that work if a signal is pending then.  Here none is,
 * all are blocked; what else sets this flag, the freezer, comes again behind the gate.
 */
void crk_arm_park_prepare(void)
{
	clear_thread_flag(TIF_SIGPENDING);
	smp_mb__after_atomic();		/* pairs with the flag being set behind the signal */
	if (__fatal_signal_pending(current))
		set_thread_flag(TIF_SIGPENDING);
}

/* the flag is cleared where works run in their own right, not by those who only run them too */
bool crk_arm_park_ok(void)
{
	return !test_thread_flag(TIF_NOTIFY_RESUME);
}

/* ---- processes ---- */

int crk_arm_check_mm(const struct crk_rec_mm *in, struct crk_log *log)
{
	if (in->flags & ~CRK_MM_KNOWN)
		return crk_log(log, -EINVAL, "address space: flags %#x", in->flags);
	return 0;
}

void crk_arm_set_mm(struct mm_struct *mm, const struct crk_rec_mm *in)
{
	if (in->vdso)
		return;
	/* the helper's are not there any more */
	mm->context.sigpage = 0;
#ifdef CONFIG_VDSO
	mm->context.vdso = 0;
#endif
}

unsigned long crk_arm_set_action_abi(u32 abi)
{
	return 0;
}

void crk_arm_enter_abi(u32 mm_flags)
{
}

/* ---- threads ---- */

int crk_arm_check_thread(const struct crk_rec_thread *in, u32 machine, struct crk_log *log)
{
	if (machine != EM_ARM)
		return crk_log(log, -EOPNOTSUPP, "registers of machine %u", machine);
	if (in->flags & (CRK_THREAD_COMPAT | CRK_THREAD_ADDR32 | CRK_THREAD_NO_TSC | CRK_THREAD_NO_CPUID))
		return crk_log(log, -EINVAL, "thread flags %#x", in->flags);
	if (in->syscall > CRK_SYSCALL_VFORK ||
	    (in->syscall_abi != CRK_ABI_NATIVE && in->syscall_abi != CRK_ABI_OABI))
		return crk_log(log, -EINVAL, "system call state %u, ABI %u", in->syscall, in->syscall_abi);
	if (in->syscall_abi == CRK_ABI_OABI && !IS_ENABLED(CONFIG_OABI_COMPAT))
		return crk_log(log, -EOPNOTSUPP, "this kernel has no CONFIG_OABI_COMPAT");
	if (in->tp[0] > ULONG_MAX || in->tp[1] > ULONG_MAX)
		return crk_log(log, -EINVAL, "thread pointers %#llx, %#llx", in->tp[0], in->tp[1]);
	return 0;
}

int crk_arm_check_regset(u32 machine, u32 note, const void *data, u32 len, struct crk_log *log)
{
	struct pt_regs regs;

	switch (note) {
	case NT_PRSTATUS:
		if (len != sizeof(regs))
			return crk_log(log, -EINVAL, "general registers of %u bytes", len);
		memcpy(&regs, data, sizeof(regs));
		if (!valid_user_regs(&regs))
			return crk_log(log, -EINVAL, "cpsr %#lx is not of user mode", regs.ARM_cpsr);
		return 0;
	case NT_ARM_VFP:
		if (!(elf_hwcap & HWCAP_VFP))
			return crk_log(log, -EOPNOTSUPP, "this CPU has no VFP");
		return 0;
	case NT_PRFPREG:
		return IS_ENABLED(CONFIG_FPE_NWFPE) ? 0 :
		       crk_log(log, -EOPNOTSUPP, "this kernel has no CONFIG_FPE_NWFPE");
	default:
		return crk_log(log, -EOPNOTSUPP, "sets of this kind can't be restored yet");
	}
}

/* all that is there is the helper's */
void crk_arm_set_prepare(struct task_struct *t, u32 machine)
{
	struct pt_regs *regs = task_pt_regs(t);

	memset(regs, 0, sizeof(*regs));
	regs->ARM_cpsr = USR_MODE;
	regs->ARM_ORIG_r0 = -1;
#ifndef CONFIG_IWMMXT
	memset(&task_thread_info(t)->fpstate, 0, sizeof(task_thread_info(t)->fpstate));
#endif
	crk_arm_records_clear(t);
}

/* ---- the interrupted system call ---- */

/* the first of @pending that has a handler, 0 if there is none; its flags in *@flags */
static int find_handled(struct sigpending *pending, unsigned long *flags)
{
	const struct k_sigaction *action = current->sighand->action;
	int sig;

	for (sig = 1; sig <= _NSIG; sig++) {
		if (!sigismember(&pending->signal, sig) || sigismember(&current->blocked, sig))
			continue;
		if (action[sig - 1].sa.sa_handler == SIG_IGN || action[sig - 1].sa.sa_handler == SIG_DFL)
			continue;
		*flags = action[sig - 1].sa.sa_flags;
		return sig;
	}
	return 0;
}

/*
 * A signal for the process is taken by the first of its threads that looks.  One whose call ends for it must be that one:
 * it takes the signal now.  That of a timer stays, since the kernel looks for it where it has put it.
 */
static void take_from_process(int sig)
{
	struct sigpending *shared = &current->signal->shared_pending;
	struct sigqueue *q, *first = NULL;
	bool more = false;

	list_for_each_entry(q, &shared->list, list) {
		if (q->info.si_signo != sig)
			continue;
		more = first != NULL;
		first = first ?: q;
	}
	if (first && first->flags & SIGQUEUE_PREALLOC)
		return;
	if (first)
		list_move_tail(&first->list, &current->pending.list);
	if (!more)
		sigdelset(&shared->signal, sig);
	sigaddset(&current->pending.signal, sig);
}

/* is the call over, since a handler is going to run? */
static bool ends_call(u32 syscall)
{
	struct sigpending *shared = &current->signal->shared_pending;
	unsigned long flags = 0;
	int own, sig;
	bool ends;

	spin_lock_irq(&current->sighand->siglock);
	own = find_handled(&current->pending, &flags);
	sig = own ?: find_handled(shared, &flags);
	ends = sig && !(syscall == CRK_SYSCALL_RESTART && flags & SA_RESTART);
	if (ends && !own)
		take_from_process(sig);
	spin_unlock_irq(&current->sighand->siglock);
	return ends;
}

/*
 * The call begins again by its own instruction, or is over.  A signal that comes from now on is as one that came just
 * before the call; calls that let through for their time what is blocked before must not have begun then.
 */
static void call_again(struct pt_regs *regs, const struct crk_rec_thread *in)
{
	if (ends_call(in->syscall)) {
		if (in->syscall != CRK_SYSCALL_EINTR)
			regs->ARM_pc += crk_arm_insn_size(regs);
		regs->ARM_r0 = -EINTR;
		return;
	}
	if (in->syscall == CRK_SYSCALL_EINTR)
		regs->ARM_pc -= crk_arm_insn_size(regs);
	regs->ARM_r0 = regs->ARM_ORIG_r0;
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}

/* would the kernel take what is in r0 for the end of an interrupted call? */
static bool looks_interrupted(const struct pt_regs *regs)
{
	switch ((long)regs->ARM_r0) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return true;
	default:
		return false;
	}
}

/*
 * Of the ways in which the kernel goes on with an interrupted call only the restart block is open: for all others it
 * would begin the call again by a number that is still the ioctl's.
 */
void crk_arm_set_finish(const struct crk_rec_thread *in)
{
	struct pt_regs *regs = task_pt_regs(current);

	set_tls(in->tp[0]);
	set_tpuser(in->tp[1]);
	switch (in->syscall) {
	case CRK_SYSCALL_BLOCK:
		regs->ARM_pc += crk_arm_insn_size(regs);
		regs->ARM_r0 = -ERESTART_RESTARTBLOCK;
		break;
	case CRK_SYSCALL_RESTART:
	case CRK_SYSCALL_NOHAND:
	case CRK_SYSCALL_EINTR:
		call_again(regs, in);
		break;
	case CRK_SYSCALL_ENTRY:
		regs->ARM_pc -= crk_arm_insn_size(regs);
		regs->ARM_r0 = regs->ARM_ORIG_r0;
		break;
	default:
		if (looks_interrupted(regs))
			return;
	}
	set_thread_flag(TIF_SIGPENDING);
}

/* ---- system calls ---- */

long crk_arm_sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
			unsigned long new_addr)
{
	return crk_call(sys_mremap)(addr, old_len, new_len, flags, new_addr);
}

long crk_arm_sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot)
{
	return crk_call(sys_mprotect)(addr, len, prot);
}

long crk_arm_sys_madvise(unsigned long addr, unsigned long len, int advice)
{
	return crk_call(sys_madvise)(addr, len, advice);
}

long crk_arm_sys_mlock2(unsigned long addr, unsigned long len, int flags)
{
	return crk_call(sys_mlock2)(addr, len, flags);
}

long crk_arm_sys_mlockall(int flags)
{
	return crk_call(sys_mlockall)(flags);
}

long crk_arm_sys_shmat(int shmid, unsigned long addr, int flags)
{
	unsigned long ret_addr;
	long ret;

	if (!crk_have(do_shmat))
		return -EOPNOTSUPP;
	/* shmat(2) finds any page by itself, but takes only multiples of SHMLBA, even where caches need none */
	ret = crk_call(do_shmat)(shmid, (char __user *)addr, flags, &ret_addr, PAGE_SIZE);
	return ret ?: ret_addr;
}

long crk_arm_sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
	return crk_call(sys_prctl)(option, a2, a3, a4, a5);
}

long crk_arm_sys_setitimer(int which, unsigned long new_uptr)
{
	return crk_call(sys_setitimer)(which, (struct __kernel_old_itimerval __user *)new_uptr, NULL);
}

long crk_arm_sys_timer_settime(int id, int flags, unsigned long new_uptr)
{
	return crk_call(sys_timer_settime)(id, flags, (const struct __kernel_itimerspec __user *)new_uptr, NULL);
}

long crk_arm_sys_ptrace(long request, long pid, unsigned long addr, unsigned long data)
{
	return crk_call(sys_ptrace)(request, pid, addr, data);
}

long crk_arm_sys_exit(int code)
{
	return crk_call(sys_exit)(code);
}
