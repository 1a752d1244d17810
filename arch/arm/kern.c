// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: what a frozen task shows, for ARM and Thumb code, EABI and OABI.  The other direction is in restore.c.
 *
 * A task that sleeps in the freezer, a group stop or a signal stop was rewound before: pc is at the instruction that
 * makes the call, r0 is its first argument again, and what the kernel wanted to do with it (ERESTART*) is in a
 * local variable of the function that handles signals, out of reach.  But the call itself tells: which it is, by
 * its number and, where that is not enough, its arguments.  The number is taken from the instruction, not from
 * the kernel's word of the call in progress, which loses the ABI, and the number too, when a call is restarted.
 */
#include <linux/elf.h>
#include <linux/futex.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/time.h>

#include <asm/opcodes.h>
#include <asm/ptrace.h>
#include <asm/user.h>

#include "arch.h"

#define OABI_BASE	0x900000

CRK_ARCH_SYMBOLS(CRK_SYMBOL_DEFINE_CALL, CRK_SYMBOL_DEFINE_CALL)

const struct crk_symbol crk_arch_symbols[] = {
	CRK_ARCH_SYMBOLS(CRK_SYMBOL_NEED, CRK_SYMBOL_WANT)
	{}
};

int crk_arch_init(void)
{
	return 0;
}

static unsigned long *arm_kernel_arg(struct pt_regs *regs, unsigned int n)
{
	return n < 4 ? &regs->uregs[n] : NULL;
}
NOKPROBE_SYMBOL(arm_kernel_arg);

static u32 arm_view_machine(struct task_struct *t)
{
	return EM_ARM;
}

#define FPSR_OF_EXEC	0x01001000	/* an emulator, BIT_AC */

/* each exec gives a program the state of an FPA that was not used: only another one takes a kernel with the emulator */
static bool fpa_is_used(struct task_struct *t)
{
	const struct user_fp *fp = (const struct user_fp *)&task_thread_info(t)->fpstate;

	return fp->init_flag && (fp->fpsr != FPSR_OF_EXEC || fp->fpcr ||
				 memchr_inv(fp->fpregs, 0, sizeof(fp->fpregs)) ||
				 memchr_inv(fp->ftype, 0, sizeof(fp->ftype)));
}

static bool arm_want_regset(struct task_struct *t, const struct user_regset *rs)
{
	return rs->core_note_type != NT_PRFPREG || fpa_is_used(t);
}

/* ---- the interrupted system call ---- */

/* numbers of EABI and OABI, which are the same but for the calls that only one of them has */
enum {
	NR_READ = 3, NR_WRITE = 4, NR_PAUSE = 29, NR_SIGSUSPEND = 72, NR_OLD_SELECT = 82, NR_SOCKETCALL = 102,
	NR_IPC = 117, NR_SELECT = 142, NR_READV = 145, NR_WRITEV = 146, NR_NANOSLEEP = 162, NR_POLL = 168,
	NR_RT_SIGTIMEDWAIT = 177, NR_RT_SIGSUSPEND = 179, NR_FUTEX = 240, NR_IO_GETEVENTS = 245, NR_EPOLL_WAIT = 252,
	NR_CLOCK_NANOSLEEP = 265, NR_CONNECT = 283, NR_ACCEPT = 285, NR_SEND = 289, NR_SENDTO = 290, NR_RECV = 291,
	NR_RECVFROM = 292, NR_SENDMSG = 296, NR_RECVMSG = 297, NR_SEMOP = 298, NR_MSGSND = 301, NR_MSGRCV = 302,
	NR_SEMTIMEDOP = 312, NR_PSELECT6 = 335, NR_PPOLL = 336, NR_EPOLL_PWAIT = 346, NR_RECVMMSG = 365,
	NR_ACCEPT4 = 366, NR_SENDMMSG = 374, NR_IO_PGETEVENTS = 399, NR_CLOCK_NANOSLEEP_TIME64 = 407,
	NR_PSELECT6_TIME64 = 413, NR_PPOLL_TIME64 = 414, NR_IO_PGETEVENTS_TIME64 = 416, NR_RECVMMSG_TIME64 = 417,
	NR_SEMTIMEDOP_TIME64 = 420, NR_RT_SIGTIMEDWAIT_TIME64 = 421, NR_FUTEX_TIME64 = 422, NR_EPOLL_PWAIT2 = 441,
};

/*
 * Calls that end with EINTR when a freeze interrupts them, though no signal is handled, and that may just begin again:
 * nothing has been taken or done, and a timeout among the arguments is relative.
 */
static const u16 eintr_calls[] = {
	NR_EPOLL_WAIT, NR_EPOLL_PWAIT, NR_EPOLL_PWAIT2,
	NR_SEMOP, NR_SEMTIMEDOP, NR_SEMTIMEDOP_TIME64, NR_IPC,
	NR_RT_SIGTIMEDWAIT, NR_RT_SIGTIMEDWAIT_TIME64,
	NR_IO_GETEVENTS, NR_IO_PGETEVENTS, NR_IO_PGETEVENTS_TIME64,
	/* of sockets with SO_RCVTIMEO or SO_SNDTIMEO */
	NR_READ, NR_READV, NR_RECV, NR_RECVFROM, NR_RECVMSG, NR_RECVMMSG, NR_RECVMMSG_TIME64, NR_ACCEPT, NR_ACCEPT4,
	NR_WRITE, NR_WRITEV, NR_SEND, NR_SENDTO, NR_SENDMSG, NR_SENDMMSG, NR_CONNECT, NR_SOCKETCALL,
	/* whose timeout can't be written back */
	NR_SELECT, NR_OLD_SELECT, NR_PSELECT6, NR_PSELECT6_TIME64, NR_PPOLL, NR_PPOLL_TIME64,
};

/* calls that begin again unless a handler runs: ERESTARTNOHAND */
static const u16 nohand_calls[] = {
	NR_PAUSE, NR_SIGSUSPEND, NR_RT_SIGSUSPEND, NR_SELECT, NR_OLD_SELECT, NR_PSELECT6, NR_PSELECT6_TIME64,
	NR_PPOLL, NR_PPOLL_TIME64, NR_MSGSND, NR_MSGRCV,
};

static bool is_one_of(const u16 *calls, u32 nr_calls, s32 nr)
{
	u32 i;

	for (i = 0; i < nr_calls; i++)
		if (calls[i] == nr)
			return true;
	return false;
}

/* ---- the instruction ---- */

static bool insn_read(struct task_struct *t, unsigned long addr, bool thumb, u32 *insn)
{
	u16 half;
	u32 word;

	if (thumb) {
		if (access_process_vm(t, addr, &half, sizeof(half), FOLL_FORCE) != sizeof(half))
			return false;
		*insn = __mem_to_opcode_thumb16(half);
		return true;
	}
	if (access_process_vm(t, addr, &word, sizeof(word), FOLL_FORCE) != sizeof(word))
		return false;
	*insn = __mem_to_opcode_arm(word);
	return true;
}

/* does the instruction at @addr make a system call, and which one? */
static bool call_at(struct task_struct *t, unsigned long addr, struct crk_rec_thread *rec)
{
	const struct pt_regs *regs = task_pt_regs(t);
	bool thumb = thumb_mode(regs);
	u32 insn;

	if (!insn_read(t, addr, thumb, &insn))
		return false;
	if (thumb ? (insn & 0xff00) != 0xdf00 : (insn & 0x0f000000) != 0x0f000000)
		return false;
	rec->syscall_abi = CRK_ABI_NATIVE;
	rec->syscall_nr = regs->ARM_r7;
	/* without this option the kernel does not look at the instruction */
	if (!thumb && IS_ENABLED(CONFIG_OABI_COMPAT) && insn & 0x00ffffff) {
		rec->syscall_abi = CRK_ABI_OABI;
		rec->syscall_nr = (insn & 0x00ffffff) ^ OABI_BASE;
	}
	return true;
}

/* ---- how it goes on ---- */

static bool futex_has_block(const struct pt_regs *regs, const struct restart_block *rb)
{
	int cmd = regs->ARM_r1 & FUTEX_CMD_MASK;

	return (cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET) && regs->ARM_r3 &&
	       (unsigned long)rb->futex.uaddr == regs->ARM_r0;
}

/* the kernel never clears a block: it counts only for a call that leaves one whenever it is interrupted */
static bool has_block(struct task_struct *t, s32 nr)
{
	const struct pt_regs *regs = task_pt_regs(t);
	const struct restart_block *rb = &t->restart_block;
	unsigned long fn = (unsigned long)rb->fn;

	switch (nr) {
	case NR_POLL:
		return fn == crk_addr(do_restart_poll);
	case NR_FUTEX:
	case NR_FUTEX_TIME64:
		return fn == crk_addr(futex_wait_restart) && futex_has_block(regs, rb);
	case NR_CLOCK_NANOSLEEP:
	case NR_CLOCK_NANOSLEEP_TIME64:
		if (regs->ARM_r1 & TIMER_ABSTIME)
			return false;
		fallthrough;
	case NR_NANOSLEEP:
		return fn == crk_addr(hrtimer_nanosleep_restart) ||
		       (fn && (fn == crk_addr(posix_cpu_nsleep_restart) ||
			       fn == crk_addr(alarm_timer_nsleep_restart)));
	}
	return false;
}

static u32 rewound_state(struct task_struct *t, s32 nr)
{
	const struct pt_regs *regs = task_pt_regs(t);

	if (has_block(t, nr))
		return CRK_SYSCALL_BLOCK;
	if (nr == NR_CLOCK_NANOSLEEP || nr == NR_CLOCK_NANOSLEEP_TIME64)
		return regs->ARM_r1 & TIMER_ABSTIME ? CRK_SYSCALL_NOHAND : CRK_SYSCALL_RESTART;
	if (is_one_of(nohand_calls, ARRAY_SIZE(nohand_calls), nr))
		return CRK_SYSCALL_NOHAND;
	return CRK_SYSCALL_RESTART;
}

/*
 * ORIG_r0 is the first argument of a call, and -1 when something else brought the thread into the kernel.  wait4(-1)
 * looks like both; then it is the call, if the other registers fit.
 */
static void get_syscall(struct task_struct *t, struct crk_rec_thread *rec)
{
	const struct pt_regs *regs = task_pt_regs(t);
	unsigned long pc = regs->ARM_pc, behind = pc - crk_arm_insn_size(regs);
	bool given = rec->syscall != CRK_SYSCALL_NONE;

	if (!given && regs->ARM_r0 == regs->ARM_ORIG_r0 && call_at(t, pc, rec)) {
		rec->syscall = rewound_state(t, rec->syscall_nr);
		return;
	}
	if ((!given && (long)regs->ARM_ORIG_r0 == -1) || !call_at(t, behind, rec))
		return;
	if (given)
		return;
	rec->syscall = CRK_SYSCALL_DONE;
	/* whether a handler is due, and here, is looked at when it is restored: see call_again() */
	if ((long)regs->ARM_r0 == -EINTR && is_one_of(eintr_calls, ARRAY_SIZE(eintr_calls), rec->syscall_nr))
		rec->syscall = CRK_SYSCALL_EINTR;
}

static void arm_get_thread(struct task_struct *t, struct crk_rec_thread *rec)
{
	const struct thread_info *ti = task_thread_info(t);

	rec->tp[0] = ti->tp_value[0];
	rec->tp[1] = ti->tp_value[1];
	get_syscall(t, rec);
}

static u32 arm_get_action_abi(unsigned long sa_flags)
{
	return CRK_ACTION_NATIVE;
}

const struct crk_arch_ops crk_arch = {
	.name = "arm",
	.machine = EM_ARM,
	.features = (IS_ENABLED(CONFIG_OABI_COMPAT) ? CRK_FEAT_OABI : 0) |
		    (IS_ENABLED(CONFIG_SYSVIPC) ? CRK_FEAT_SHMAT : 0),
	.kernel_arg = arm_kernel_arg,
	.view_machine = arm_view_machine,
	.want_regset = arm_want_regset,
	.get_thread = arm_get_thread,
	.get_mm = crk_arm_get_vdso,
	.get_action_abi = arm_get_action_abi,
	.capture_thread = crk_arm_capture_thread,
	.park_prepare = crk_arm_park_prepare,
	.park_ok = crk_arm_park_ok,
	.check_mm = crk_arm_check_mm,
	.set_mm = crk_arm_set_mm,
	.set_action_abi = crk_arm_set_action_abi,
	.enter_abi = crk_arm_enter_abi,
	.check_thread = crk_arm_check_thread,
	.check_regset = crk_arm_check_regset,
	.set_prepare = crk_arm_set_prepare,
	.check_record = crk_arm_check_record,
	.set_record = crk_arm_set_record,
	.set_finish = crk_arm_set_finish,
	.sys_mremap = crk_arm_sys_mremap,
	.sys_mprotect = crk_arm_sys_mprotect,
	.sys_madvise = crk_arm_sys_madvise,
	.sys_mlock2 = crk_arm_sys_mlock2,
	.sys_mlockall = crk_arm_sys_mlockall,
	.sys_shmat = crk_arm_sys_shmat,
	.sys_prctl = crk_arm_sys_prctl,
	.sys_setitimer = crk_arm_sys_setitimer,
	.sys_timer_settime = crk_arm_sys_timer_settime,
	.sys_ptrace = crk_arm_sys_ptrace,
	.sys_exit = crk_arm_sys_exit,
	.map_vdso = crk_arm_map_vdso,
};
