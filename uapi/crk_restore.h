/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The restore half of the contract of /dev/crk: memory programs, threads that park and get their state, the gate.
 * Part of crk.h, which says what is true of all calls.
 */
#ifndef _UAPI_CRK_RESTORE_H
#define _UAPI_CRK_RESTORE_H

#ifndef _UAPI_CRK_H
#error "include crk.h"
#endif

/**
 * struct crk_restore - CRK_IOC_RESTORE: make this job a restore
 * @size: sizeof(struct crk_restore) as the caller knows it
 * @flags: 0
 * @nr_tasks: threads that will park: all threads of all processes, zombies not counted
 * @__reserved: 0
 *
 * Called by the opener before it creates tasks.  From now on closing the opener's fd, or its death, kills every
 * task that came with CRK_IOC_PROGRAM or CRK_IOC_PARK and has not been let go.
 *
 * Errors: EBUSY the job already is a dump or a restore.
 */
struct crk_restore {
	__u32 size;
	__u32 flags;
	__u32 nr_tasks;
	__u32 __reserved;
};
#define CRK_RESTORE_SIZE_VER0	16
#define CRK_IOC_RESTORE		_IO(CRK_IOC_MAGIC, 0x20)

/* CRK_OP_*: struct crk_op.op; @prot is PROT_*, @off and @fd are those of mmap() unless said otherwise */
#define CRK_OP_MOVE		1	/* move the mapping at @arg, made before the call, to @addr; runs first */
#define CRK_OP_MAP		2	/* mmap() with CRK_MAP_* in @flags; @page_shift for CRK_MAP_HUGETLB */
#define CRK_OP_FILL		3	/* read @len bytes at @off of file @fd, or out of a pipe; past all protection */
#define CRK_OP_PROTECT		4	/* mprotect() to @prot */
#define CRK_OP_ADVISE		5	/* madvise(); @arg: an advice that sets a flag, DONTNEED, GUARD_INSTALL */
#define CRK_OP_LOCK		6	/* mlock2(); @arg 1: on fault */
/*
 * the kernel's vDSO of kind @arg (CRK_VDSO_*) at @addr, data first, @len in all or 0; where the kernel has a page of
 * signal trampolines too, this goes to @off
 */
#define CRK_OP_VDSO		7
#define CRK_OP_SHMAT		8	/* attach the SysV segment @arg at @addr, @prot as mapped */
#define CRK_OP_EXE		9	/* the executable is @fd */
#define CRK_OP_NAME		10	/* name the anonymous memory: text of at most 79 bytes at @arg in the caller */
#define CRK_OP_MLOCKALL		11	/* MCL_FUTURE of new mappings; @arg 1: on fault */
#define CRK_OP_SEAL		12	/* mseal() */

#define CRK_MAP_SHARED		(1U << 0)	/* else private */
#define CRK_MAP_ANON		(1U << 1)	/* else a file */
#define CRK_MAP_GROWSDOWN	(1U << 2)
#define CRK_MAP_NORESERVE	(1U << 3)
#define CRK_MAP_HUGETLB		(1U << 4)
#define CRK_MAP_POPULATE	(1U << 5)
#define CRK_MAP_DROPPABLE	(1U << 6)

/**
 * struct crk_op - one record of a memory program
 * @op: CRK_OP_*
 * @flags: CRK_MAP_* for CRK_OP_MAP, else 0
 * @addr: page-aligned
 * @len: bytes, whole pages
 * @off: file offset, bytes
 * @fd: descriptor of the calling process, else -1
 * @prot: PROT_READ, PROT_WRITE, PROT_EXEC
 * @arg: see CRK_OP_*
 * @page_shift: log2 of the huge page size
 * @__reserved: 0
 */
struct crk_op {
	__u32 op;
	__u32 flags;
	__aligned_u64 addr;
	__aligned_u64 len;
	__aligned_u64 off;
	__s32 fd;
	__u32 prot;
	__aligned_u64 arg;
	__u32 page_shift;
	__u32 __reserved;
};
#define CRK_OP_SIZE_VER0	56

#define CRK_PROGRAM_SHARED	(1U << 0)	/* the memory is another process's, which brings it */

/**
 * struct crk_program - CRK_IOC_PROGRAM: turn the calling process into the restored one and park
 * @size: sizeof(struct crk_program) as the caller knows it
 * @flags: CRK_PROGRAM_*
 * @ops_uptr: array of struct crk_op
 * @nr_ops: entries at @ops_uptr
 * @op_size: sizeof(struct crk_op) as the caller knows it
 * @nr_threads: threads of the calling process, the caller included; the others come with CRK_IOC_PARK
 * @close_from: descriptors with this number and above are closed in the end; ~0 keeps all
 * @recs_uptr: records of the process: CRK_REC_MM (needed), CRK_REC_ACTIONS, CRK_REC_ITIMER, CRK_REC_POSIX_TIMER
 * @recs_len: bytes at @recs_uptr
 * @log_uptr: the reason of a refusal as text; may be 0
 * @log_size: bytes at @log_uptr
 * @out_bad_op: index of the record that was refused, ~0 if none
 * @nr_sharers: other processes with this memory; they come with CRK_PROGRAM_SHARED
 * @__reserved: 0
 *
 * Called by the leader of a process made by the opener (or by such a process).  The program is checked whole; if it
 * is good the call does not return to userspace: when all other threads are parked everything is unmapped that is
 * not the source of a CRK_OP_MOVE, then the records run in order, moves first, then the process waits for CRK_IOC_GO.
 * With CRK_PROGRAM_SHARED there are no ops and no threads: only the rest is done.
 * A failure after the check kills all tasks of the restore; CRK_IOC_WAIT tells which record it was and why.  Needs no
 * capability: the process has the credentials by then that it will have.
 *
 * Errors: EBUSY the job is not a restore or was given up, has all its tasks, or the process is parked
 *	already; EPERM the
 * caller is the opener or shares its memory; EINVAL, EBADF, EOPNOTSUPP a record is wrong, see @out_bad_op
 *	and the log.
 */
struct crk_program {
	__u32 size;
	__u32 flags;
	__aligned_u64 ops_uptr;
	__u32 nr_ops;
	__u32 op_size;
	__u32 nr_threads;
	__u32 close_from;
	__aligned_u64 recs_uptr;
	__aligned_u64 recs_len;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_bad_op;
	__u32 nr_sharers;
	__u32 __reserved;
};
#define CRK_PROGRAM_SIZE_VER0	64
#define CRK_PROGRAM_SIZE_VER1	72
#define CRK_IOC_PROGRAM		_IO(CRK_IOC_MAGIC, 0x21)

/**
 * struct crk_park - CRK_IOC_PARK: a thread other than the leader waits to become the restored one
 * @size: sizeof(struct crk_park) as the caller knows it
 * @flags: 0
 *
 * Does not return to userspace unless it fails.  Needs no capability.
 *
 * Errors: EBUSY, EPERM as CRK_IOC_PROGRAM; EINVAL the caller is a leader.
 */
struct crk_park {
	__u32 size;
	__u32 flags;
};
#define CRK_PARK_SIZE_VER0	8
#define CRK_IOC_PARK		_IO(CRK_IOC_MAGIC, 0x22)

/**
 * struct crk_wait - CRK_IOC_WAIT: wait until all tasks of the restore are parked, or one has failed
 * @size: sizeof(struct crk_wait) as the caller knows it
 * @flags: 0
 * @timeout_ms: 0 waits until a signal
 * @out_nr_parked: tasks parked
 * @out_pid: process that failed, 0 if none
 * @out_bad_op: index of its record that failed, ~0 if it was none of them
 * @log_uptr: the reason of its failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @out_err: positive errno of the failure, 0 if none
 *
 * Called by the opener.  Errors: EBUSY not a restore; ETIMEDOUT; EINTR; ECHILD a task failed, see @out_pid.
 */
struct crk_wait {
	__u32 size;
	__u32 flags;
	__u32 timeout_ms;
	__u32 out_nr_parked;
	__s32 out_pid;
	__u32 out_bad_op;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_err;
};
#define CRK_WAIT_SIZE_VER0	40
#define CRK_IOC_WAIT		_IO(CRK_IOC_MAGIC, 0x23)

#define CRK_SET_TIMES	(1U << 0)	/* CRK_REC_TIMES too, which is skipped otherwise */

/**
 * struct crk_set - CRK_IOC_SET: give parked threads their state
 * @size: sizeof(struct crk_set) as the caller knows it
 * @flags: CRK_SET_*
 * @recs_uptr: per thread CRK_REC_TASK, then CRK_REC_REGSET and CRK_REC_THREAD, as CRK_IOC_CAPTURE gave them, and
 *	CRK_REC_STOP of a leader; other records of the process among them are skipped; CRK_REC_TASK with
 *	CRK_TASK_DEAD alone for a leader that is to exit before its threads go on
 * @recs_len: bytes at @recs_uptr
 * @log_uptr: the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @out_nr: threads that have their state
 *
 * Called by the opener after CRK_IOC_WAIT, once for all threads or in parts.  All records are checked
 *	before one is applied.
 * Each thread needs CRK_REC_THREAD and the general registers (NT_PRSTATUS).
 *
 * Errors: EBUSY not all are parked; ESRCH a record names no parked thread; EINVAL a record is wrong; EOPNOTSUPP
 * a register set this kernel or CPU doesn't have or does not take.  The log names thread and set.
 */
struct crk_set {
	__u32 size;
	__u32 flags;
	__aligned_u64 recs_uptr;
	__aligned_u64 recs_len;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_nr;
};
#define CRK_SET_SIZE_VER0	40
#define CRK_IOC_SET		_IO(CRK_IOC_MAGIC, 0x24)

#define CRK_GO_PREPARE	(1U << 0)	/* all that comes before, but do not open the gate */

/**
 * struct crk_go - CRK_IOC_GO: open the gate
 * @size: sizeof(struct crk_go) as the caller knows it
 * @flags: CRK_GO_*
 * @log_uptr: the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @out_nr: tasks let go; 0 with CRK_GO_PREPARE
 *
 * Called by the opener after every thread got its state.  Returns when every task has left the gate and is on its way
 * to userspace (or to the freezer, if its cgroup is frozen).  The job is finished: closing the fd kills nobody.
 *
 * With CRK_GO_PREPARE timers start, leaders that had exited do so, tracers attach and tracees go to where they are
 * held; a second call opens.  The cgroup of a tracee that is held must not be frozen before that is over.
 *
 * Errors: EBUSY some thread has no state yet; ESRCH a task died meanwhile, a tracer can't attach or a tracee does not
 * come to where it is held: all others are killed.
 */
struct crk_go {
	__u32 size;
	__u32 flags;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_nr;
};
#define CRK_GO_SIZE_VER0	24
#define CRK_IOC_GO		_IO(CRK_IOC_MAGIC, 0x25)

/**
 * struct crk_events_put - CRK_IOC_EVENTS_PUT: queue events in an inotify descriptor
 * @size: sizeof(struct crk_events_put) as the caller knows it
 * @flags: 0
 * @fd: an inotify descriptor, open in the caller
 * @out_nr: events queued
 * @buf_uptr: what CRK_IOC_EVENTS gave
 * @buf_len: bytes at @buf_uptr
 *
 * They come behind those that wait there.  All are queued, or none.  Nobody gets a signal for them (O_ASYNC); who
 * waits in read(2) or poll(2) is woken.
 *
 * Errors: EBUSY the job is not a restore; EBADF no such descriptor; EINVAL not one of inotify, or the bytes are no
 * events; ENOSPC more than the descriptor queues (fs.inotify.max_queued_events); EOPNOTSUPP no CRK_FEAT_INOTIFY.
 */
struct crk_events_put {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 out_nr;
	__aligned_u64 buf_uptr;
	__aligned_u64 buf_len;
};
#define CRK_EVENTS_PUT_SIZE_VER0	32
#define CRK_IOC_EVENTS_PUT	_IO(CRK_IOC_MAGIC, 0x26)

/**
 * struct crk_lazy - CRK_IOC_LAZY: the caller fills memory of others, by userfaultfd(2)
 * @size: sizeof(struct crk_lazy) as the caller knows it
 * @flags: 0
 *
 * From now on, when the opener closes the device or dies: every process with memory that is registered with a
 * userfaultfd among the opener's descriptors is killed, before any of these goes.  Without this the kernel would let
 * them go on, with zeros for what is missing.  Only descriptors with a higher number than the device count.
 *
 * Errors: EBUSY the job is something else already; EOPNOTSUPP this kernel has no userfaultfd.
 */
struct crk_lazy {
	__u32 size;
	__u32 flags;
};
#define CRK_LAZY_SIZE_VER0	8
#define CRK_IOC_LAZY		_IO(CRK_IOC_MAGIC, 0x28)

#endif /* _UAPI_CRK_RESTORE_H */
