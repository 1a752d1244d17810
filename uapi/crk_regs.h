/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Records of thread and process state, the same for every architecture and for 32- and 64-bit callers.
 * CRK_IOC_CAPTURE gives them, CRK_IOC_PROGRAM and CRK_IOC_SET take them back; crk-core images store them as they are.
 * A reader skips record types it doesn't know and treats missing trailing fields as 0, so that records can grow.
 * Nothing here is a raw kernel flag word or address: what differs between kernels is named.
 */
#ifndef _UAPI_CRK_REGS_H
#define _UAPI_CRK_REGS_H

#include <linux/types.h>

/* CRK_REC_*: struct crk_rec.type */
#define CRK_REC_NONE		0	/* to be passed over, as those that a reader does not know */
#define CRK_REC_TASK		1	/* struct crk_rec_task: what follows belongs to this thread */
#define CRK_REC_REGSET		2	/* struct crk_rec_regset */
#define CRK_REC_THREAD		3	/* struct crk_rec_thread */
#define CRK_REC_SIGINFO		4	/* struct crk_rec_siginfo: one pending signal, in order of delivery */
#define CRK_REC_MM		5	/* struct crk_rec_mm */
#define CRK_REC_ACTIONS		6	/* struct crk_rec_actions */
#define CRK_REC_ITIMER		7	/* struct crk_rec_itimer */
#define CRK_REC_POSIX_TIMER	8	/* struct crk_rec_posix_timer */
#define CRK_REC_CREDS		9	/* struct crk_rec_creds */
#define CRK_REC_STOP		10	/* struct crk_rec_stop */
#define CRK_REC_TRACE		11	/* struct crk_rec_trace */
#define CRK_REC_SETTINGS	16	/* struct crk_rec_settings */
#define CRK_REC_ARCH		17	/* struct crk_rec_arch */
#define CRK_REC_SEMUNDO		18	/* struct crk_rec_semundo */
#define CRK_REC_TIMES		19	/* struct crk_rec_times */

/**
 * struct crk_rec - head of every record
 * @type: CRK_REC_*
 * @size: bytes with this head, a multiple of 8
 */
struct crk_rec {
	__u32 type;
	__u32 size;
};

/**
 * struct crk_rec_task - CRK_REC_TASK: the records up to the next one of this type belong to this thread
 * @tid: in the caller's pid namespace
 * @tgid: its process
 * @flags: CRK_TASK_* of crk.h
 * @machine: ELF e_machine of the register view (EM_X86_64, EM_386, EM_ARM, …)
 * @exit_code: CRK_TASK_DEAD: how the leader ended, as wait4() encodes it
 * @__reserved: 0
 */
struct crk_rec_task {
	struct crk_rec rec;
	__s32 tid;
	__s32 tgid;
	__u32 flags;
	__u32 machine;
	__u32 exit_code;
	__u32 __reserved;
};

/**
 * struct crk_rec_regset - CRK_REC_REGSET: a register set as ptrace(PTRACE_GETREGSET) shows it
 * @note: NT_* of <linux/elf.h>
 * @len: bytes at @data; the rest of the record is padding
 * @data: the set in the view of the thread's machine
 */
struct crk_rec_regset {
	struct crk_rec rec;
	__u32 note;
	__u32 len;
	__u8 data[];
};

/* CRK_ABI_*: by which ABI a system call was entered */
#define CRK_ABI_NATIVE		0
#define CRK_ABI_COMPAT		1	/* ia32 on x86_64, ARM on arm64 */
#define CRK_ABI_X32		2
#define CRK_ABI_OABI		3

/* CRK_RESTART_*: struct crk_restart.kind */
#define CRK_RESTART_NONE	0	/* no restart block in use */
#define CRK_RESTART_NANOSLEEP	1
#define CRK_RESTART_POLL	2
#define CRK_RESTART_FUTEX	3
#define CRK_RESTART_CPU_NANOSLEEP 4
#define CRK_RESTART_ALARM_NANOSLEEP 5

#define CRK_RESTART_HAS_TIME	(1U << 0)	/* @remaining_ns is valid */
#define CRK_RESTART_FUTEX_SHARED (1U << 1)
#define CRK_RESTART_FUTEX_REALTIME (1U << 2)
#define CRK_RESTART_COMPAT_TIME	(1U << 3)	/* @uaddr is a 32-bit timespec (nanosleep) */
#define CRK_RESTART_WANT_REM	(1U << 4)	/* nanosleep: the remaining time is to be written to @uaddr */

/**
 * struct crk_restart - what restart_syscall(2) would go on with
 * @kind: CRK_RESTART_*
 * @flags: CRK_RESTART_HAS_TIME, …
 * @remaining_ns: time left at the freeze
 * @clockid: CLOCK_* of a sleep
 * @val: expected value of a futex; number of entries of a poll
 * @uaddr: struct pollfd array, futex word, or where a sleep writes the remaining time
 * @bitset: futex bitset
 * @__reserved: 0
 */
struct crk_restart {
	__u32 kind;
	__u32 flags;
	__s64 remaining_ns;
	__s32 clockid;
	__u32 val;
	__aligned_u64 uaddr;
	__u32 bitset;
	__u32 __reserved;
};

/* CRK_SYSCALL_*: struct crk_rec_thread.syscall */
#define CRK_SYSCALL_NONE	0	/* in user mode */
#define CRK_SYSCALL_DONE	1	/* finished, its result is in the registers */
#define CRK_SYSCALL_RESTART	2	/* interrupted: begins again with its arguments (ERESTARTSYS, ERESTARTNOINTR) */
#define CRK_SYSCALL_NOHAND	3	/* interrupted: begins again unless a handler runs (ERESTARTNOHAND) */
#define CRK_SYSCALL_BLOCK	4	/* interrupted: goes on with @restart (ERESTART_RESTARTBLOCK) */
#define CRK_SYSCALL_EINTR	5	/* ended with EINTR by the freeze itself, can begin again */
#define CRK_SYSCALL_ENTRY	6	/* stopped by a tracer before it began */
#define CRK_SYSCALL_VFORK	7	/* asleep in vfork */

#define CRK_THREAD_RESTORE_MASK	(1U << 0)	/* @saved_mask is to be restored on return (sigsuspend, ppoll, …) */
#define CRK_THREAD_COMPAT	(1U << 1)	/* 32-bit code segment */
#define CRK_THREAD_ADDR32	(1U << 2)	/* 32-bit address limit */
/* bit 3 has no meaning any more */
#define CRK_THREAD_STOPPED	(1U << 4)	/* sleeps in a group stop */
#define CRK_THREAD_STOPPING	(1U << 5)	/* a group stop waits for it: asleep where it can't stop yet (vfork) */
#define CRK_THREAD_NO_TSC	(1U << 6)	/* may not read the CPU's time stamp counter: prctl(PR_SET_TSC) */
#define CRK_THREAD_NO_CPUID	(1U << 7)	/* may not ask the CPU what it is: arch_prctl(ARCH_SET_CPUID) */
#define CRK_THREAD_OWN_SEMUNDO	(1U << 8)	/* does not share the process's list of SysV semaphore undos */
#define CRK_THREAD_RSEQ_SLICE	(1U << 9)	/* prctl(PR_RSEQ_SLICE_EXTENSION): enabled */
#define CRK_THREAD_XCOMP_PERM	(1U << 10)	/* may use AMX tiles: arch_prctl(ARCH_REQ_XCOMP_PERM) */

/**
 * struct crk_rec_thread - CRK_REC_THREAD: what a register set can't tell of a thread
 * @flags: CRK_THREAD_*
 * @personality: personality(2)
 * @syscall: CRK_SYSCALL_*
 * @syscall_abi: CRK_ABI_*, by which the call was entered
 * @syscall_nr: number, -1 if CRK_SYSCALL_NONE
 * @blocked: blocked signals, bit 0 is signal 1
 * @saved_mask: the mask that CRK_THREAD_RESTORE_MASK puts back
 * @altstack_sp: sigaltstack(2)
 * @altstack_size: bytes
 * @altstack_flags: SS_*
 * @jobctl_stop: signal of the group stop, 0 if neither CRK_THREAD_STOPPED nor CRK_THREAD_STOPPING
 * @set_child_tid: pointer given to clone with CLONE_CHILD_SETTID
 * @clear_child_tid: set_tid_address(2)
 * @robust_list: set_robust_list(2)
 * @compat_robust_list: the same by the 32-bit call
 * @rseq: address of the registered struct rseq, 0 if none
 * @rseq_len: bytes
 * @rseq_sig: signature
 * @rseq_version: 0 not registered, 1 original, 2 extended registration
 * @__reserved: 0
 * @restart: the restart block
 * @tp: TLS words that no register set of the machine holds (ARM: TPIDRURO, TPIDRURW)
 * @timer_slack_ns: prctl(PR_SET_TIMERSLACK)
 * @utime_ns: user CPU time
 * @stime_ns: system CPU time
 * @comm: name, NUL-terminated
 * @vfork_tid: CRK_SYSCALL_VFORK: the child that it waits for
 * @__reserved2: 0
 */
struct crk_rec_thread {
	struct crk_rec rec;
	__u32 flags;
	__u32 personality;
	__u32 syscall;
	__u32 syscall_abi;
	__s32 syscall_nr;
	__u32 jobctl_stop;
	__aligned_u64 blocked;
	__aligned_u64 saved_mask;
	__aligned_u64 altstack_sp;
	__aligned_u64 altstack_size;
	__u32 altstack_flags;
	__u32 rseq_version;
	__aligned_u64 set_child_tid;
	__aligned_u64 clear_child_tid;
	__aligned_u64 robust_list;
	__aligned_u64 compat_robust_list;
	__aligned_u64 rseq;
	__u32 rseq_len;
	__u32 rseq_sig;
	struct crk_restart restart;
	__aligned_u64 tp[2];
	__aligned_u64 timer_slack_ns;
	__aligned_u64 utime_ns;
	__aligned_u64 stime_ns;
	__u8 comm[16];
	__s32 vfork_tid;
	__u32 __reserved2;
};

#define CRK_STOP_STOPPED	(1U << 0)	/* all threads have stopped */
#define CRK_STOP_CONTINUED	(1U << 1)	/* was continued, the parent has not waited for it with WCONTINUED */
#define CRK_STOP_TELL_STOPPED	(1U << 2)	/* the parent's SIGCHLD for it is still to be sent */
#define CRK_STOP_TELL_CONTINUED	(1U << 3)

/**
 * struct crk_rec_stop - CRK_REC_STOP: job control of a process; there is none if all is 0
 * @flags: CRK_STOP_*
 * @report: signal that waitpid() with WUNTRACED gives the parent; 0 if it has had it
 */
struct crk_rec_stop {
	struct crk_rec rec;
	__u32 flags;
	__u32 report;
};

/**
 * struct crk_rec_semundo - CRK_REC_SEMUNDO: what the end of a thread, or of all that share its list, will add to a SysV
 *	semaphore set (SEM_UNDO of semop(2)); only read by crk, the restored thread takes its own
 * @semid: the set, in the thread's ipc namespace
 * @key: of the set
 * @nr: semaphores of the set
 * @__reserved: 0
 * @adj: for each of them; there is no record for a set where all are 0
 *
 * The threads of a process share one list unless they have CRK_THREAD_OWN_SEMUNDO; its records are those of the first
 * of them that is alive.
 */
struct crk_rec_semundo {
	struct crk_rec rec;
	__s32 semid;
	__s32 key;
	__u32 nr;
	__u32 __reserved;
	__s16 adj[];
};

/**
 * struct crk_rec_times - CRK_REC_TIMES: when a thread began, and the CPU time that it has used
 * @start_boottime_ns: CLOCK_BOOTTIME of its start
 * @start_monotonic_ns: CLOCK_MONOTONIC of its start
 * @utime_ns: in user mode, as the kernel has sampled it
 * @stime_ns: in the kernel, as sampled
 * @runtime_ns: on a CPU, exactly: the clock CLOCK_THREAD_CPUTIME_ID
 * @shown_utime_ns: the least that getrusage(2) may show from now on, since it never goes back
 * @shown_stime_ns: the same in the kernel
 * @dead_utime_ns: of threads that have exited; this and all that follows is of the process, and 0 but for a leader
 * @dead_stime_ns: the same in the kernel
 * @dead_runtime_ns: the same on a CPU
 * @process_shown_utime_ns: as @shown_utime_ns, of the process
 * @process_shown_stime_ns: as @shown_stime_ns, of the process
 * @children_utime_ns: of children that were waited for
 * @children_stime_ns: the same in the kernel
 *
 * CRK_IOC_SET with CRK_SET_TIMES puts these in place of what the thread that took its place has used.  A start that is
 * later than now (of a longer uptime) is left as it is.
 */
struct crk_rec_times {
	struct crk_rec rec;
	__aligned_u64 start_boottime_ns;
	__aligned_u64 start_monotonic_ns;
	__aligned_u64 utime_ns;
	__aligned_u64 stime_ns;
	__aligned_u64 runtime_ns;
	__aligned_u64 shown_utime_ns;
	__aligned_u64 shown_stime_ns;
	__aligned_u64 dead_utime_ns;
	__aligned_u64 dead_stime_ns;
	__aligned_u64 dead_runtime_ns;
	__aligned_u64 process_shown_utime_ns;
	__aligned_u64 process_shown_stime_ns;
	__aligned_u64 children_utime_ns;
	__aligned_u64 children_stime_ns;
};

/* CRK_TRACE_STOP_*: struct crk_rec_trace.stop: where the tracer holds a thread, in the words of ptrace(2) */
#define CRK_TRACE_STOP_NONE	0	/* nowhere */
#define CRK_TRACE_STOP_SIGNAL	1	/* signal-delivery-stop */
#define CRK_TRACE_STOP_GROUP	2	/* group-stop, or stopped by PTRACE_INTERRUPT */
#define CRK_TRACE_STOP_ENTRY	3	/* syscall-enter-stop */
#define CRK_TRACE_STOP_EXIT	4	/* syscall-exit-stop */
#define CRK_TRACE_STOP_EVENT	5	/* PTRACE_EVENT stop */

#define CRK_TRACE_SEIZED	(1U << 0)	/* by PTRACE_SEIZE */
#define CRK_TRACE_SYSCALL	(1U << 1)	/* stops at system calls (PTRACE_SYSCALL) */
#define CRK_TRACE_EMU		(1U << 2)	/* PTRACE_SYSEMU */
#define CRK_TRACE_STEP		(1U << 3)	/* does one instruction (PTRACE_SINGLESTEP) */
#define CRK_TRACE_LISTENING	(1U << 4)	/* PTRACE_LISTEN */
#define CRK_TRACE_INTERRUPT	(1U << 5)	/* is to stop as by PTRACE_INTERRUPT, and has not yet */

/**
 * struct crk_rec_trace - CRK_REC_TRACE: a thread that has a tracer
 * @tracer_tid: the tracer's thread; 0: not visible, or (CRK_IOC_SET) it is to have none, and goes on as if let go
 * @flags: CRK_TRACE_*
 * @options: PTRACE_O_*
 * @stop: CRK_TRACE_STOP_*
 * @code: CRK_TRACE_STOP_SIGNAL: the signal; _GROUP: the stop signal, or SIGTRAP; else si_code, so that the event is
 *	@code >> 8
 * @report: status that the tracer's wait will give, in the form of @code; 0 if it has had it
 * @message: as PTRACE_GETEVENTMSG gives it
 * @info: as PTRACE_GETSIGINFO gives it, zeroes where that fails
 */
struct crk_rec_trace {
	struct crk_rec rec;
	__s32 tracer_tid;
	__u32 flags;
	__u32 options;
	__u32 stop;
	__u32 code;
	__u32 report;
	__aligned_u64 message;
	__u8 info[128];
};

#define CRK_SETTING_DISPATCH	(1U << 0)	/* system calls from outside of a range give SIGSYS */
#define CRK_SETTING_IO_FLUSHER	(1U << 1)	/* prctl(PR_SET_IO_FLUSHER) */

/**
 * struct crk_rec_settings - CRK_REC_SETTINGS: what a thread has set by prctl(2)
 * @flags: CRK_SETTING_*
 * @mce_kill: prctl(PR_MCE_KILL_GET)
 * @spec_store_bypass, @spec_indirect_branch, @spec_l1d_flush: prctl(PR_GET_SPECULATION_CTRL), 0 where that fails
 * @__reserved: 0
 * @default_slack_ns: timer slack that prctl(PR_SET_TIMERSLACK, 0) goes back to; 0 to leave it
 * @dispatch_offset: CRK_SETTING_DISPATCH: start of the range whose system calls are let through
 * @dispatch_len: bytes of the range; PR_SYS_DISPATCH_INCLUSIVE_ON makes it wrap around the end of the address space
 * @dispatch_selector: address of a byte that says whether others are let through too; 0: they are not
 *
 * CRK_IOC_SET gives a thread the slack and the dispatch; the rest the restored thread sets before it parks.
 */
struct crk_rec_settings {
	struct crk_rec rec;
	__u32 flags;
	__u32 mce_kill;
	__u32 spec_store_bypass;
	__u32 spec_indirect_branch;
	__u32 spec_l1d_flush;
	__u32 __reserved;
	__aligned_u64 default_slack_ns;
	__aligned_u64 dispatch_offset;
	__aligned_u64 dispatch_len;
	__aligned_u64 dispatch_selector;
};

#define CRK_SIGINFO_PROCESS	(1U << 0)	/* pending for the process, else for the thread */
#define CRK_SIGINFO_NO_INFO	(1U << 1)	/* the bit is set but the kernel keeps no siginfo for it */
#define CRK_SIGINFO_TIMER	(1U << 2)	/* a POSIX timer's own: it stands still until this is taken */

/**
 * struct crk_rec_siginfo - CRK_REC_SIGINFO: one pending signal
 * @flags: CRK_SIGINFO_*
 * @signo: number
 * @info: the native siginfo_t as rt_sigtimedwait(2) would give it
 */
struct crk_rec_siginfo {
	struct crk_rec rec;
	__u32 flags;
	__u32 signo;
	__u8 info[128];
};

/* CRK_ACTION_*: struct crk_action.abi: which sigaction call installed the handler and so which frame it gets */
#define CRK_ACTION_NATIVE	0
#define CRK_ACTION_COMPAT	1
#define CRK_ACTION_X32		2

/**
 * struct crk_action - one signal action
 * @handler: address, or 0 SIG_DFL, 1 SIG_IGN
 * @flags: SA_*
 * @restorer: address
 * @mask: bit 0 is signal 1
 * @abi: CRK_ACTION_*
 * @__reserved: 0
 */
struct crk_action {
	__aligned_u64 handler;
	__aligned_u64 flags;
	__aligned_u64 restorer;
	__aligned_u64 mask;
	__u32 abi;
	__u32 __reserved;
};

/**
 * struct crk_rec_actions - CRK_REC_ACTIONS: the signal actions of a process
 * @nr: entries of @actions; entry 0 is signal 1
 * @__reserved: 0
 * @actions: one for each signal
 */
struct crk_rec_actions {
	struct crk_rec rec;
	__u32 nr;
	__u32 __reserved;
	struct crk_action actions[];
};

/**
 * struct crk_rec_itimer - CRK_REC_ITIMER: one armed interval timer
 * @which: ITIMER_*
 * @__reserved: 0
 * @remaining_ns: until it expires
 * @interval_ns: 0 if it fires once
 */
struct crk_rec_itimer {
	struct crk_rec rec;
	__u32 which;
	__u32 __reserved;
	__s64 remaining_ns;
	__s64 interval_ns;
};

#define CRK_TIMER_ARMED		(1U << 0)
#define CRK_TIMER_ABSTIME	(1U << 1)	/* of a clock that can be set: @remaining_ns is the time on it */
#define CRK_TIMER_PENDING	(1U << 2)	/* its signal is queued */

/**
 * struct crk_rec_posix_timer - CRK_REC_POSIX_TIMER: one timer of timer_create(2)
 * @id: timer id
 * @clockid: CLOCK_*
 * @notify: SIGEV_*
 * @signo: signal
 * @notify_tid: thread for SIGEV_THREAD_ID, else 0
 * @flags: CRK_TIMER_*
 * @value: sigev_value
 * @remaining_ns: until it expires
 * @interval_ns: 0 if it fires once
 * @overrun: overruns not yet reported
 * @__reserved: 0
 */
struct crk_rec_posix_timer {
	struct crk_rec rec;
	__s32 id;
	__s32 clockid;
	__u32 notify;
	__u32 signo;
	__s32 notify_tid;
	__u32 flags;
	__aligned_u64 value;
	__s64 remaining_ns;
	__s64 interval_ns;
	__s32 overrun;
	__u32 __reserved;
};

#define CRK_CREDS_NO_NEW_PRIVS	(1U << 0)

/**
 * struct crk_rec_creds - CRK_REC_CREDS: credentials of a thread; only read by crk, the restored thread sets its own
 * @flags: CRK_CREDS_*
 * @securebits: prctl(PR_GET_SECUREBITS)
 * @uid, @euid, @suid, @fsuid, @gid, @egid, @sgid, @fsgid: ids in the caller's user namespace
 * @cap_inheritable, @cap_permitted, @cap_effective, @cap_bset, @cap_ambient: capability sets, bit 0 is CAP_CHOWN
 * @user_ns_id: identity of the user namespace
 * @nr_groups: entries of @groups
 * @__reserved: 0
 * @groups: supplementary groups
 */
struct crk_rec_creds {
	struct crk_rec rec;
	__u32 flags;
	__u32 securebits;
	__u32 uid, euid, suid, fsuid;
	__u32 gid, egid, sgid, fsgid;
	__aligned_u64 cap_inheritable;
	__aligned_u64 cap_permitted;
	__aligned_u64 cap_effective;
	__aligned_u64 cap_bset;
	__aligned_u64 cap_ambient;
	__aligned_u64 user_ns_id;
	__u32 nr_groups;
	__u32 __reserved;
	__u32 groups[];
};

#define CRK_AUXV_MAX		64	/* words: 32 pairs */

#define CRK_MM_COMPAT		(1U << 0)	/* made by a 32-bit exec */
#define CRK_MM_X32		(1U << 1)
#define CRK_MM_VSYSCALL		(1U << 2)	/* shows [vsyscall] */
#define CRK_MM_UPROBE_IA32	(1U << 3)
#define CRK_MM_THP_DISABLE	(1U << 4)	/* prctl(PR_SET_THP_DISABLE) */
#define CRK_MM_LOCK_FUTURE	(1U << 5)	/* mlockall(MCL_FUTURE) */
#define CRK_MM_LOCK_ONFAULT	(1U << 6)
#define CRK_MM_NEVER_MERGE	(1U << 7)
#define CRK_MM_THP_ADVISED	(1U << 8)	/* PR_SET_THP_DISABLE with PR_THP_DISABLE_EXCEPT_ADVISED */
#define CRK_MM_MERGE_ANY	(1U << 9)	/* prctl(PR_SET_MEMORY_MERGE) */
#define CRK_MM_MDWE		(1U << 10)	/* prctl(PR_SET_MDWE): nothing becomes executable */
#define CRK_MM_MDWE_NO_INHERIT	(1U << 11)
/* membarrier(2): which MEMBARRIER_CMD_REGISTER_* have been called */
#define CRK_MM_BARRIER_GLOBAL	(1U << 12)	/* GLOBAL_EXPEDITED */
#define CRK_MM_BARRIER_PRIVATE	(1U << 13)	/* PRIVATE_EXPEDITED */
#define CRK_MM_BARRIER_SYNC_CORE (1U << 14)	/* PRIVATE_EXPEDITED_SYNC_CORE */
#define CRK_MM_BARRIER_RSEQ	(1U << 15)	/* PRIVATE_EXPEDITED_RSEQ */
#define CRK_MM_BOTTOM_UP	(1U << 16)	/* mmap looks upwards from @mmap_legacy_base: ADDR_COMPAT_LAYOUT, … */
#define CRK_MM_TAGGED_ADDR	(1U << 17)	/* pointers may have tags: arch_prctl(ARCH_ENABLE_TAGGED_ADDR) */
#define CRK_MM_PKEYS		(1U << 18)	/* has protection keys of its own: pkey_alloc() */
/* of which kind its vDSO is, which a program may choose: arch_prctl(ARCH_MAP_VDSO_*); neither: the native one */
#define CRK_MM_VDSO_COMPAT	(1U << 19)
#define CRK_MM_VDSO_X32		(1U << 20)

/**
 * struct crk_rec_mm - CRK_REC_MM: an address space without its mappings
 * @flags: CRK_MM_*
 * @dumpable: prctl(PR_GET_DUMPABLE)
 * @coredump_filter: bits of /proc/PID/coredump_filter
 * @nr_auxv: valid words of @auxv
 * @start_code, @end_code, @start_data, @end_data, @start_brk, @brk, @start_stack: as in /proc/PID/stat
 * @arg_start, @arg_end, @env_start, @env_end: as in /proc/PID/stat
 * @mmap_base: where mmap looks first, top-down
 * @mmap_legacy_base: the same, bottom-up
 * @mmap_compat_base: for 32-bit calls
 * @mmap_compat_legacy_base: for 32-bit calls, bottom-up
 * @task_size: address limit
 * @vdso: address of the vDSO, 0 if none
 * @vdso_len: bytes from @vvar to the end of the vDSO
 * @vvar: first mapping of the vDSO's data, 0 if none
 * @auxv: the auxiliary vector as words of the process's size, widened to 64 bit; where this kernel has no room for all
 *	of it /proc/PID/auxv will lack AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN
 * @vvar_times: offset from @vvar of the vDSO's times: { u64 seconds, nanoseconds } by CLOCK_*, up to CLOCK_TAI; 0 if
 *	there is no vDSO or the module does not know
 * @vvar_zone: the same of { s32 minutes west, s32 kind of summer time, u32 resolution in nanoseconds }
 * @vvar_random: the same of the u64 generation of random numbers; 0 if this vDSO has none
 * @__reserved: 0
 *
 * What a restore on another kernel needs to know of the vDSO's data, for threads that were about to read it.  Source:
 * the kernel's struct vdso_data.
 */
struct crk_rec_mm {
	struct crk_rec rec;
	__u32 flags;
	__u32 dumpable;
	__u32 coredump_filter;
	__u32 nr_auxv;
	__aligned_u64 start_code;
	__aligned_u64 end_code;
	__aligned_u64 start_data;
	__aligned_u64 end_data;
	__aligned_u64 start_brk;
	__aligned_u64 brk;
	__aligned_u64 start_stack;
	__aligned_u64 arg_start;
	__aligned_u64 arg_end;
	__aligned_u64 env_start;
	__aligned_u64 env_end;
	__aligned_u64 mmap_base;
	__aligned_u64 mmap_legacy_base;
	__aligned_u64 mmap_compat_base;
	__aligned_u64 mmap_compat_legacy_base;
	__aligned_u64 task_size;
	__aligned_u64 vdso;
	__aligned_u64 vdso_len;
	__aligned_u64 vvar;
	__aligned_u64 auxv[CRK_AUXV_MAX];
	__u32 vvar_times;
	__u32 vvar_zone;
	__u32 vvar_random;
	__u32 __reserved;
};

#include "crk_arch.h"

#endif /* _UAPI_CRK_REGS_H */
