// SPDX-License-Identifier: GPL-2.0
/*
 * x86: gives back what kern.c reads.  Address limit and personality of native, ia32 and x32 tasks, what a register
 * set may hold, the order of the sets, the interrupted system call, the vDSO, system calls from inside the kernel.
 * README says where the kernel keeps what, and why the order is as it is.
 */
#include <linux/binfmts.h>
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/regset.h>
#include <linux/sched/task_stack.h>

#include <asm/compat.h>
#include <asm/elf.h>
#include <asm/fpu/types.h>
#include <asm/mmu.h>
#include <asm/prctl.h>
#include <asm/segment.h>
#include <asm/signal.h>
#include <asm/user.h>
#include <asm/user32.h>

#include "arch.h"

#define CRK_MM_KNOWN	(CRK_MM_COMPAT | CRK_MM_X32 | CRK_MM_VSYSCALL | CRK_MM_UPROBE_IA32 | CRK_MM_THP_DISABLE | \
			 CRK_MM_LOCK_FUTURE | CRK_MM_LOCK_ONFAULT | CRK_MM_NEVER_MERGE | CRK_MM_THP_ADVISED | \
			 CRK_MM_MERGE_ANY | CRK_MM_MDWE | CRK_MM_MDWE_NO_INHERIT | CRK_MM_BARRIER_GLOBAL | \
			 CRK_MM_BARRIER_PRIVATE | CRK_MM_BARRIER_SYNC_CORE | CRK_MM_BARRIER_RSEQ | \
			 CRK_MM_BOTTOM_UP | CRK_MM_VDSO_COMPAT | CRK_MM_VDSO_X32)

#define CALL(name, ...)	crk_call(__x64_sys_##name)(&(const struct pt_regs){ __VA_ARGS__ })

/* ---- processes ---- */

static int abi_check(bool compat, bool x32, struct crk_log *log)
{
	if (compat && !IS_ENABLED(CONFIG_IA32_EMULATION))
		return crk_log(log, -EOPNOTSUPP, "this kernel has no CONFIG_IA32_EMULATION");
	if (x32 && !IS_ENABLED(CONFIG_X86_X32_ABI))
		return crk_log(log, -EOPNOTSUPP, "this kernel has no CONFIG_X86_X32_ABI");
	return 0;
}

int crk_x86_check_mm(const struct crk_rec_mm *in, struct crk_log *log)
{
	bool compat = in->flags & CRK_MM_COMPAT, x32 = in->flags & CRK_MM_X32;

	if (in->flags & ~CRK_MM_KNOWN || (compat && x32))
		return crk_log(log, -EINVAL, "address space: flags %#x", in->flags);
	if (in->mmap_compat_base > U32_MAX || in->mmap_compat_legacy_base > U32_MAX)
		return crk_log(log, -EINVAL, "address space: 32-bit mappings at %#llx", in->mmap_compat_base);
	/* x32 keeps the 64-bit size in mm->task_size; only ia32 has its own */
	if (compat && in->task_size > U32_MAX)
		return crk_log(log, -EINVAL, "address space: %#llx bytes for 32 bit", in->task_size);
	return abi_check(compat, x32, log);
}

static void context_flag_set(struct mm_struct *mm, int flag, bool on)
{
	if (on)
		mm->context.flags |= crk_x86_context_mask(flag);
	else
		mm->context.flags &= ~crk_x86_context_mask(flag);
}

/* exec's loader of the program, which writes its core dumps */
static void set_loader(bool narrow)
{
	unsigned long format = narrow ? crk_addr(compat_elf_format) : crk_addr(elf_format);

	if (format)
		set_binfmt((struct linux_binfmt *)format);
}

/* after crk_x86_enter_abi(), whose idea of these flags depends on the kernel */
void crk_x86_set_mm(struct mm_struct *mm, const struct crk_rec_mm *in)
{
	mm->mmap_compat_base = in->mmap_compat_base;
	mm->mmap_compat_legacy_base = in->mmap_compat_legacy_base;
	if (!in->vdso) {	/* the helper's is not there any more */
		mm->context.vdso = NULL;
		crk_futex_unlock_reset(mm);
	}
	set_loader(in->flags & (CRK_MM_COMPAT | CRK_MM_X32));
	context_flag_set(mm, MM_CONTEXT_HAS_VSYSCALL, in->flags & CRK_MM_VSYSCALL);
	context_flag_set(mm, MM_CONTEXT_UPROBE_IA32, in->flags & CRK_MM_UPROBE_IA32);
}

unsigned long crk_x86_set_action_abi(u32 abi)
{
	switch (abi) {
	case CRK_ACTION_COMPAT:
		return SA_IA32_ABI;
	case CRK_ACTION_X32:
		return SA_X32_ABI;
	default:
		return 0;
	}
}

/* what a native exec does: the limit of mmap(), and the system call it seems to be in, which says 32 bit to mmap() */
void crk_x86_enter_abi(u32 mm_flags)
{
	if (mm_flags & (CRK_MM_COMPAT | CRK_MM_X32)) {
		set_personality_ia32(mm_flags & CRK_MM_X32);
		return;
	}
	clear_thread_flag(TIF_ADDR32);
	current_thread_info()->status &= ~TS_COMPAT;
}

/* ---- threads ---- */

int crk_x86_check_thread(const struct crk_rec_thread *in, u32 machine, struct crk_log *log)
{
	bool compat = in->flags & CRK_THREAD_COMPAT;

	if (machine != EM_X86_64 && machine != EM_386)
		return crk_log(log, -EOPNOTSUPP, "registers of machine %u", machine);
	if (compat != (machine == EM_386))
		return crk_log(log, -EINVAL, "32-bit code and registers of machine %u", machine);
	if (in->syscall > CRK_SYSCALL_VFORK || in->syscall_abi > CRK_ABI_X32 || in->tp[0] || in->tp[1])
		return crk_log(log, -EINVAL, "system call state %u, ABI %u", in->syscall, in->syscall_abi);
	if (in->flags & CRK_THREAD_NO_CPUID && !(boot_cpu_has(X86_FEATURE_CPUID_FAULT) &&
						 crk_have(__x64_sys_arch_prctl)))
		return crk_log(log, -EOPNOTSUPP, "this CPU can't keep programs from asking what it is");
	return abi_check(compat || in->syscall_abi == CRK_ABI_COMPAT, in->syscall_abi == CRK_ABI_X32, log);
}

/*
 * The segments of the GDT that every task has, its TLS entries, and those of the local table, which the process has
 * set up by now.  One that doesn't exist faults when it is loaded, and the kernel is prepared for that.
 */
static int selector_check(u32 sel, struct crk_log *log)
{
	if (!sel)
		return 0;
	if ((sel & SEGMENT_RPL_MASK) != USER_RPL || sel > U16_MAX)
		return crk_log(log, -EINVAL, "selector %#x is not for user mode", sel);
	return 0;
}

/* code of the local table is 32-bit code, or narrower */
static int selectors_check(const u32 *sel, int nr, u32 cs, u32 need_cs, struct crk_log *log)
{
	int i, ret;

	for (i = 0; i < nr; i++) {
		ret = selector_check(sel[i], log);
		if (ret)
			return ret;
	}
	if (cs == need_cs)
		return 0;
	if (need_cs == __USER32_CS && cs & SEGMENT_TI_MASK)
		return selector_check(cs, log);
	return crk_log(log, -EOPNOTSUPP, "code segment %#x, here it is %#x", cs, need_cs);
}

static int prstatus64_check(const struct user_regs_struct *r, struct crk_log *log)
{
	const u32 sel[] = { r->ss, r->ds, r->es, r->fs, r->gs };

	if (r->fs_base >= TASK_SIZE_MAX || r->gs_base >= TASK_SIZE_MAX || !r->ss)
		return crk_log(log, -EINVAL, "fs base %#lx, gs base %#lx, ss %#lx", r->fs_base, r->gs_base, r->ss);
	return selectors_check(sel, ARRAY_SIZE(sel), r->cs, __USER_CS, log);
}

#ifdef CONFIG_IA32_EMULATION
static int prstatus32_check(const struct user_regs_struct32 *r, struct crk_log *log)
{
	const u32 sel[] = { r->ss, r->ds, r->es, r->fs, r->gs };

	if (!r->ss)
		return crk_log(log, -EINVAL, "ss is 0");
	return selectors_check(sel, ARRAY_SIZE(sel), r->cs, __USER32_CS, log);
}
#endif

static int prstatus_check(u32 machine, const void *data, u32 len, struct crk_log *log)
{
	if (machine == EM_X86_64 && len == sizeof(struct user_regs_struct))
		return prstatus64_check(data, log);
#ifdef CONFIG_IA32_EMULATION
	if (machine == EM_386 && len == sizeof(struct user_regs_struct32))
		return prstatus32_check(data, log);
#endif
	return crk_log(log, -EINVAL, "general registers of %u bytes", len);
}

/* what XRSTOR would fault on; the kernel checks the same when the set is applied, here it can be named */
static int xstate_check(const void *data, u32 len, struct crk_log *log)
{
	const struct xstate_header *head = data + offsetof(struct xregs_state, header);

	if (len < sizeof(struct xregs_state))
		return crk_log(log, -EINVAL, "extended state of %u bytes", len);
	if (head->xcomp_bv || memchr_inv(head->reserved, 0, sizeof(head->reserved)))
		return crk_log(log, -EINVAL, "extended state is not in the standard format");
	return 0;
}

int crk_x86_check_regset(u32 machine, u32 note, const void *data, u32 len, struct crk_log *log)
{
	switch (note) {
	case NT_PRSTATUS:
		return prstatus_check(machine, data, len, log);
	case NT_X86_XSTATE:
		return xstate_check(data, len, log);
	case NT_PRFPREG:
	case NT_PRXFPREG:
	case NT_386_TLS:
		return 0;
	default:
		return crk_log(log, -EOPNOTSUPP, "sets of this kind can't be restored yet");
	}
}

/*
 * putreg32() takes the bases of fs and gs from the TLS entries.  FP sets overlap; XSTATE, which has all of them, is the
 * one to win.
 */
int crk_x86_set_order(u32 note)
{
	switch (note) {
	case NT_386_TLS:
		return 0;
	case NT_PRFPREG:
	case NT_PRXFPREG:
		return 1;
	case NT_X86_XSTATE:
		return 2;
	default:
		return 3;
	}
}

/*
 * The code segment decides which view a task has.  All other registers are the helper's: none of them may show through
 * where a view has no place for them (r8 to r15 of a 32-bit task).  cs and ss are changed as 16-bit
 * fields: with FRED the rest of their words tells the CPU how to return.
 */
void crk_x86_set_prepare(struct task_struct *t, u32 machine)
{
	struct pt_regs *regs = task_pt_regs(t);

	memset(regs, 0, offsetof(struct pt_regs, orig_ax));
	regs->orig_ax = -1;
	regs->ip = 0;
	regs->sp = 0;
	regs->flags = X86_EFLAGS_FIXED | X86_EFLAGS_IF;
	regs->cs = machine == EM_386 ? __USER32_CS : __USER_CS;
	regs->ss = __USER_DS;
	t->thread_info.status &= ~(TS_COMPAT | TS_I386_REGS_POKED);
	crk_x86_breakpoints_clear(t);
	memset(t->thread.tls_array, 0, sizeof(t->thread.tls_array));
	/* until it leaves, its own mappings (for timers) shall be where 32-bit code would have them */
	if (machine == EM_386)
		t->thread_info.status |= TS_COMPAT;
}

/* the one flag that programs may change and ptrace may not: whether it can be is how they ask for CPUID */
void crk_x86_set_rest(struct task_struct *t, u32 machine, u32 note, const void *data)
{
	unsigned long flags;

	if (note != NT_PRSTATUS)
		return;
	flags = ((const struct user_regs_struct *)data)->flags;
#ifdef CONFIG_IA32_EMULATION
	if (machine == EM_386)
		flags = ((const struct user_regs_struct32 *)data)->eflags;
#endif
	task_pt_regs(t)->flags |= flags & X86_EFLAGS_ID;
}

static void instructions_permit(const struct crk_rec_thread *in)
{
	bool tsc = !(in->flags & CRK_THREAD_NO_TSC), cpuid = !(in->flags & CRK_THREAD_NO_CPUID);

	if (tsc == test_thread_flag(TIF_NOTSC))
		crk_x86_sys_prctl(PR_SET_TSC, tsc ? PR_TSC_ENABLE : PR_TSC_SIGSEGV, 0, 0, 0);
	if (cpuid == test_thread_flag(TIF_NOCPUID) && crk_have(__x64_sys_arch_prctl))
		CALL(arch_prctl, .di = ARCH_SET_CPUID, .si = cpuid);
}

/*
 * The kernel's own code for interrupted calls does the rest: it runs after us, because TIF_SIGPENDING says so, and
 * finds the frame just as the freezer had left it.
 */
void crk_x86_set_finish(const struct crk_rec_thread *in)
{
	bool compat_call = in->syscall != CRK_SYSCALL_NONE && in->syscall_abi == CRK_ABI_COMPAT;
	struct thread_info *ti = current_thread_info();
	struct pt_regs *regs = task_pt_regs(current);

	if (in->flags & CRK_THREAD_ADDR32)
		set_thread_flag(TIF_ADDR32);
	else
		clear_thread_flag(TIF_ADDR32);
	/* by these it knows how far results are sign-extended, and which restart_syscall() to call */
	if (compat_call)
		ti->status |= TS_COMPAT;
	else
		ti->status &= ~TS_COMPAT;
	current->restart_block.arch_data = compat_call ? TS_COMPAT : 0;
	instructions_permit(in);

	if (in->syscall == CRK_SYSCALL_EINTR)
		regs->ax = -ERESTARTNOHAND;	/* again, or EINTR if a handler runs */
	else if (in->syscall == CRK_SYSCALL_ENTRY)
		regs->ax = -ERESTARTNOINTR;	/* it has not begun */
	set_thread_flag(TIF_SIGPENDING);
}

/* ---- system calls ---- */

long crk_x86_sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
			unsigned long new_addr)
{
	return CALL(mremap, .di = addr, .si = old_len, .dx = new_len, .r10 = flags, .r8 = new_addr);
}

long crk_x86_sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot)
{
	return CALL(mprotect, .di = addr, .si = len, .dx = prot);
}

long crk_x86_sys_madvise(unsigned long addr, unsigned long len, int advice)
{
	return CALL(madvise, .di = addr, .si = len, .dx = advice);
}

long crk_x86_sys_mlock2(unsigned long addr, unsigned long len, int flags)
{
	return CALL(mlock2, .di = addr, .si = len, .dx = flags);
}

long crk_x86_sys_mlockall(int flags)
{
	return CALL(mlockall, .di = flags);
}

long crk_x86_sys_mseal(unsigned long addr, unsigned long len)
{
	return crk_have(__x64_sys_mseal) ? CALL(mseal, .di = addr, .si = len) : -EOPNOTSUPP;
}

long crk_x86_sys_shmat(int shmid, unsigned long addr, int flags)
{
	return crk_have(__x64_sys_shmat) ? CALL(shmat, .di = shmid, .si = addr, .dx = flags) : -EOPNOTSUPP;
}

long crk_x86_sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
	return CALL(prctl, .di = option, .si = a2, .dx = a3, .r10 = a4, .r8 = a5);
}

long crk_x86_sys_setitimer(int which, unsigned long new_uptr)
{
	return CALL(setitimer, .di = which, .si = new_uptr);
}

long crk_x86_sys_timer_settime(int id, int flags, unsigned long new_uptr)
{
	return CALL(timer_settime, .di = id, .si = flags, .dx = new_uptr);
}

long crk_x86_sys_ptrace(long request, long pid, unsigned long addr, unsigned long data)
{
	return CALL(ptrace, .di = request, .si = pid, .dx = addr, .r10 = data);
}

long crk_x86_sys_exit(int code)
{
	return CALL(exit, .di = code);
}
