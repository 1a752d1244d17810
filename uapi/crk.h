/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The contract of /dev/crk: ioctls, their structs, constants.  Those that read a frozen cgroup are in crk_dump.h,
 * those of a restore in crk_restore.h, which this file includes.  Thread and process state travels in the records of
 * crk_regs.h.  API.md says the same with examples.
 *
 * One open of /dev/crk is one job: either a dump (CRK_IOC_FREEZE comes first) or a restore (CRK_IOC_RESTORE comes
 * first).  Closing the last fd of the opener undoes what the job holds: the cgroup is thawed, half-restored tasks
 * are killed.  Dump calls come from the opener's process; restore calls from it and from the tasks it made.
 *
 * Every struct begins with its size as the caller knows it and grows at the end only; zero means the old behaviour.
 * 32- and 64-bit callers share one layout.  Pids are in the caller's pid namespace.  Times are nanoseconds unless
 * the name ends in _ms.
 *
 * Errors with one meaning everywhere: ENOTTY no such ioctl; E2BIG bytes beyond what this module knows are not zero;
 * EINVAL a field is wrong (unknown flag, reserved not 0, misaligned); EFAULT a pointer is wrong; EPERM not the
 * job's opener or no CAP_CHECKPOINT_RESTORE; EACCES no ptrace access to a task; EBADF, ESRCH no such fd, task;
 * EBUSY wrong state of the job; ESTALE the target changed; EOPNOTSUPP understood, not supported here;
 * ENOSPC the buffer is too small; ENOMEM, EINTR as always.
 */
#ifndef _UAPI_CRK_H
#define _UAPI_CRK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define CRK_DEVICE		"/dev/crk"
#define CRK_ABI			1	/* raised when a call or a record is added */
#define CRK_IOC_MAGIC		0xCB
#define CRK_MAX_PID_LEVELS	32

/* The log of a call: text that says which task, fd or record and why, NUL-terminated, cut at the end if too long. */

/* CRK_FEAT_*: struct crk_info.out_features */
#define CRK_FEAT_FREEZE_GUARD	(1ULL << 0)	/* foreign thaws are held off while a job is frozen */
#define CRK_FEAT_COMPAT		(1ULL << 1)	/* 32-bit tasks of this architecture can be restored */
#define CRK_FEAT_X32		(1ULL << 2)
#define CRK_FEAT_RSEQ		(1ULL << 3)
#define CRK_FEAT_RSEQ_LEN	(1ULL << 4)	/* rseq areas other than 32 bytes */
#define CRK_FEAT_SHMAT		(1ULL << 5)	/* CRK_OP_SHMAT */
#define CRK_FEAT_RSEQ_SLICE	(1ULL << 6)	/* CRK_THREAD_RSEQ_SLICE can be set */
#define CRK_FEAT_INOTIFY	(1ULL << 7)	/* CRK_IOC_EVENTS, CRK_IOC_EVENTS_PUT */
#define CRK_FEAT_OABI		(1ULL << 8)	/* system calls by CRK_ABI_OABI */
#define CRK_FEAT_SNAPSHOT	(1ULL << 9)	/* CRK_IOC_SNAPSHOT, struct crk_read.snapshot */
#define CRK_FEAT_SOFT_DIRTY	(1ULL << 10)	/* this kernel tracks writes to pages: CRK_PAGE_SOFT_DIRTY */
#define CRK_FEAT_FILL_PIPE	(1ULL << 11)	/* CRK_OP_FILL reads from pipes, too */
#define CRK_FEAT_LAZY		(1ULL << 12)	/* CRK_IOC_LAZY */

/**
 * struct crk_info - CRK_IOC_INFO: what this module can do
 * @size: sizeof(struct crk_info) as the caller knows it
 * @flags: 0
 * @out_abi: CRK_ABI of the module
 * @out_machine: ELF e_machine of the kernel's native tasks
 * @out_features: CRK_FEAT_*
 * @out_page_size: bytes
 * @__reserved: 0
 * @log_uptr: features that are off and why, as text, one per line; may be 0
 * @log_size: bytes at @log_uptr
 * @__reserved2: 0
 *
 * Allowed at any time.
 */
struct crk_info {
	__u32 size;
	__u32 flags;
	__u32 out_abi;
	__u32 out_machine;
	__aligned_u64 out_features;
	__u32 out_page_size;
	__u32 __reserved;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 __reserved2;
};
#define CRK_INFO_SIZE_VER0	48
#define CRK_IOC_INFO		_IO(CRK_IOC_MAGIC, 0x00)

#define CRK_VDSO_NATIVE		0
#define CRK_VDSO_COMPAT		1
#define CRK_VDSO_X32		2

/**
 * struct crk_vdso - CRK_IOC_VDSO: what this kernel's vDSO of a kind is
 * @size: sizeof(struct crk_vdso) as the caller knows it
 * @flags: 0
 * @kind: CRK_VDSO_*
 * @__reserved: 0
 * @text_uptr: where a copy of its code goes, which begins with an ELF header; may be 0
 * @text_len: bytes at @text_uptr
 * @__reserved2: 0
 * @out_text_len: bytes of the code; no more than @text_len are copied
 * @out_data_len: bytes of the data mappings before the code
 *
 * The caller has no vDSO for a moment: a process with one thread, which best is one made for this call.  Allowed at any
 * time.
 *
 * Errors: EBUSY the caller has other threads; EOPNOTSUPP this kernel has none of this kind; another one: the caller may
 * be left without vDSO.
 */
struct crk_vdso {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 __reserved;
	__aligned_u64 text_uptr;
	__u32 text_len;
	__u32 __reserved2;
	__aligned_u64 out_text_len;
	__aligned_u64 out_data_len;
};
#define CRK_VDSO_SIZE_VER0	48
#define CRK_IOC_VDSO		_IO(CRK_IOC_MAGIC, 0x27)

/* ---- dump ---- */

/**
 * struct crk_freeze - CRK_IOC_FREEZE: stop every task of a cgroup and of the cgroups below it
 * @size: sizeof(struct crk_freeze) as the caller knows it
 * @flags: 0
 * @cgroup_fd: fd of a cgroup v2 directory
 * @timeout_ms: how long to wait; 0 waits until a signal
 * @log_uptr: where to write the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @out_nr_tasks: threads now frozen
 * @out_frozen_ns: CLOCK_BOOTTIME at which the freeze was complete
 *
 * Returns when every thread is off its CPU.  Foreign thaws of the cgroup do nothing from then on (where
 * CRK_FEAT_FREEZE_GUARD is set).  If the cgroup was frozen before, it is left frozen by CRK_IOC_THAW and by close.
 * Once per job; undone by CRK_IOC_THAW or by closing the fd.
 *
 * Errors: EBADF not a cgroup v2 directory; EBUSY the job already is a dump or a restore, or another job holds this
 * cgroup; EDEADLK the caller is in the cgroup; EOPNOTSUPP the root cgroup, or a kernel thread in the cgroup;
 * ETIMEDOUT some task did not stop, named in the log with its kernel stack; EACCES no ptrace access to a task, named
 * in the log.
 */
struct crk_freeze {
	__u32 size;
	__u32 flags;
	__s32 cgroup_fd;
	__u32 timeout_ms;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_nr_tasks;
	__aligned_u64 out_frozen_ns;
};
#define CRK_FREEZE_SIZE_VER0	40
#define CRK_IOC_FREEZE		_IO(CRK_IOC_MAGIC, 0x01)

/**
 * struct crk_verify - CRK_IOC_VERIFY: has any task of the frozen cgroup run, come or gone since the freeze?
 * @size: sizeof(struct crk_verify) as the caller knows it
 * @flags: 0
 * @log_uptr: names the tasks that ran, came or went; may be 0
 * @log_size: bytes at @log_uptr
 * @out_nr_thaws: thaws by others since the freeze, of the cgroup or of one above it; they left it frozen
 *
 * Errors: EBUSY not frozen by this job; ESTALE yes, the log says which.
 */
struct crk_verify {
	__u32 size;
	__u32 flags;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 out_nr_thaws;
};
#define CRK_VERIFY_SIZE_VER0	24
#define CRK_IOC_VERIFY		_IO(CRK_IOC_MAGIC, 0x02)

#define CRK_THAW_LEAVE_FROZEN	(1U << 0)	/* give the freeze away: cgroup.freeze stays 1 */

/**
 * struct crk_thaw - CRK_IOC_THAW: end the freeze; the job is finished
 * @size: sizeof(struct crk_thaw) as the caller knows it
 * @flags: CRK_THAW_*
 * @out_frozen_ns: length of the freeze
 *
 * Errors: EBUSY not frozen by this job.
 */
struct crk_thaw {
	__u32 size;
	__u32 flags;
	__aligned_u64 out_frozen_ns;
};
#define CRK_THAW_SIZE_VER0	16
#define CRK_IOC_THAW		_IO(CRK_IOC_MAGIC, 0x03)

/* ---- what a frozen cgroup is: numbers 0x04 to 0x0D ---- */

#include "crk_dump.h"

/* ---- restore: numbers 0x20 to 0x26 ---- */

#include "crk_restore.h"

#endif /* _UAPI_CRK_H */
