/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private types of the module, every prototype that crosses a file, and the lock order.
 *
 * Lock order: job->lock, then restore->lock, then what the kernel takes inside the functions called.
 * job->lock serialises the opener's calls; restored tasks never take it.
 */
#ifndef _CRK_PRIVATE_H
#define _CRK_PRIVATE_H

#include <linux/cgroup.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/ptrace.h>
#include <linux/regset.h>
#include <linux/sched.h>
#include <linux/siphash.h>
#include <linux/types.h>

#include "crk.h"
#include "crk_regs.h"

enum crk_job_state {
	CRK_JOB_NEW,		/* opened, neither dump nor restore yet */
	CRK_JOB_DUMP,		/* holds a frozen cgroup */
	CRK_JOB_RESTORE,	/* collects half-restored tasks */
	CRK_JOB_LAZY,		/* the opener fills memory of others */
	CRK_JOB_DONE,		/* thawed, or all tasks let go */
};

struct crk_frozen;		/* freeze.c: what a dump holds */
struct crk_out;			/* out.h: the buffer of a capture */
struct crk_gate;		/* threads.c: what a restore holds */

/**
 * struct crk_job - one open of /dev/crk
 * @ref: the open file and every parked task hold one
 * @lock: serialises the opener's calls
 * @opener: the process that opened the device; its exit ends the job
 * @key: for the identities given to userspace
 * @state: under @lock
 * @frozen: under @lock; set in CRK_JOB_DUMP
 * @snapshots: under @lock: struct crk_snap, kept beyond the thaw
 * @nr_snapshots: that were ever made
 * @gate: set once by CRK_IOC_RESTORE, freed with the job
 * @lazy: set once by CRK_IOC_LAZY
 */
struct crk_job {
	struct kref ref;
	struct mutex lock;
	struct pid *opener;
	siphash_key_t key;
	enum crk_job_state state;
	struct crk_frozen *frozen;
	struct list_head snapshots;
	u32 nr_snapshots;
	struct crk_gate *gate;
	bool lazy;
};

/* text for the caller: what errno can't tell */
struct crk_log {
	char *buf;		/* NUL-terminated, may be NULL */
	size_t size, len;
};

/* job.c */
struct crk_job *crk_job_create(void);
void crk_job_get(struct crk_job *job);
void crk_job_put(struct crk_job *job);
void crk_job_close(struct crk_job *job);	/* the opener is gone: thaw, kill the half-restored */
u64 crk_job_id(struct crk_job *job, const void *object);	/* opaque identity, 0 for NULL */

/* log.c: crk_log() returns @ret */
int crk_log_init(struct crk_log *log, u64 uptr, u32 size);
void crk_log_flush(struct crk_log *log, u64 uptr, u32 size);	/* copies out and frees */
__printf(3, 4) int crk_log(struct crk_log *log, int ret, const char *fmt, ...);

/* freeze.c, guard.c, tasks.c, capture.c, memory.c, pages.c, files.c: dump, called with job->lock held */
int crk_freeze(struct crk_job *job, struct crk_freeze *cmd, struct crk_log *log);
int crk_freeze_verify(struct crk_job *job, struct crk_verify *cmd, struct crk_log *log);
void crk_freeze_end(struct crk_job *job, bool leave_frozen, u64 *frozen_ns);
int crk_freeze_guard_init(void);
void crk_freeze_guard_exit(void);
/* a referenced task of the frozen cgroup by the caller's tid, off its CPU; or ERR_PTR(-ESRCH) */
struct task_struct *crk_frozen_task_get(struct crk_job *job, s32 tid);
struct mm_struct *crk_frozen_mm_get(struct crk_job *job, s32 tid);	/* its memory, for mmput(); -ESRCH: has none */
int crk_tasks(struct crk_job *job, struct crk_tasks *cmd);
int crk_capture(struct crk_job *job, struct crk_capture *cmd, struct crk_log *log);
/* @nr records of @size bytes into an array of @entry_size at @uptr, from entry @index on */
int crk_copy_records(u64 uptr, u32 entry_size, u32 index, const void *entries, u32 size, u32 nr);
int crk_vmas(struct crk_job *job, struct crk_vmas *cmd);
int crk_pages(struct crk_job *job, struct crk_pagerun *cmd);
int crk_read(struct crk_job *job, struct crk_read *cmd, struct crk_log *log);
int crk_files(struct crk_job *job, struct crk_files *cmd);
int crk_queue(struct crk_queue *cmd);
int crk_fd_get(struct crk_job *job, struct crk_fd_get *cmd);

/* snapshot.c: memory that outlives the freeze; called with job->lock held */
struct crk_snap;
bool crk_snapshot_can(void);
int crk_snapshot(struct crk_job *job, struct crk_snapshot *cmd, struct crk_log *log);
void crk_snapshots_end(struct crk_job *job);
struct crk_snap *crk_snap_find(struct crk_job *job, u32 id);	/* NULL if there is none */
struct mm_struct *crk_snap_get_mm(struct crk_snap *snap);	/* NULL if it is lost; mmput() it */
bool crk_snap_lost(const struct crk_snap *snap);		/* what was read since is not to be trusted */
int crk_snap_drop(struct crk_snap *snap, unsigned long end);	/* all below @end */
int crk_snapshot_init(void);
void crk_snapshot_exit(void);

/* inotify.c: both ways */
bool crk_events_can(void);
int crk_events(struct crk_events *cmd);
int crk_events_put(struct crk_events_put *cmd);

/* restart.c: restart blocks by name, both ways */
void crk_restart_get(struct task_struct *t, struct crk_restart *out);
int crk_restart_check(const struct crk_restart *in, struct crk_log *log);
void crk_restart_set(const struct crk_restart *in);	/* current, at the gate */

/* gate.c, program.c, threads.c, set.c: restore */
int crk_gate_create(struct crk_job *job, const struct crk_restore *cmd);	/* job->lock held */
void crk_gate_kill(struct crk_job *job);	/* kill all that has not been let go; idempotent */
void crk_gate_destroy(struct crk_gate *gate);
int crk_program(struct crk_job *job, struct crk_program *cmd, struct crk_log *log);	/* restored task */
int crk_park(struct crk_job *job, struct crk_park *cmd);				/* restored task */
int crk_wait(struct crk_job *job, struct crk_wait *cmd, struct crk_log *log);
int crk_set(struct crk_job *job, struct crk_set *cmd, struct crk_log *log);
int crk_go(struct crk_job *job, struct crk_go *cmd, struct crk_log *log);
int crk_vdso(struct crk_vdso *cmd);	/* any task */

/* lazy.c */
bool crk_lazy_can(void);
int crk_lazy(struct crk_job *job);			/* job->lock held */
void crk_lazy_end(struct files_struct *files);		/* returns when nobody waits for memory any more */

/* symbols.c: unexported kernel functions, see the table there */
int crk_symbols_init(void);		/* -ENOENT with the name in the kernel log when one that is needed is missing */
void crk_symbols_missing(struct crk_log *log);	/* optional ones that are missing, and what is off for it */

/**
 * struct crk_arch_ops - all that the module knows of an architecture
 *
 * Porting guide: (1) fill @name, @machine and @view_machine, the module loads and CRK_IOC_CAPTURE shows registers;
 * (2) @get_syscall, dumps tell interrupted calls; (3) the sys_* and @map_vdso members, memory programs run;
 * (4) @set_prepare, @set_finish, threads run again; (5) TLS and FP order in @set_order; (6) 32-bit tasks.
 */
struct crk_arch_ops {
	const char *name;
	u32 machine;					/* e_machine of native tasks */
	u64 features;					/* CRK_FEAT_* of the architecture */
	/* e_machine of the view of @t; the view itself is task_user_regset_view(t) */
	u32 (*view_machine)(struct task_struct *t);
	/* should this set travel?  NULL: all that can be read and written */
	bool (*want_regset)(struct task_struct *t, const struct user_regset *rs);
	/* the register that holds argument @n of a kernel function at its entry; NULL: no guard of frozen cgroups */
	unsigned long *(*kernel_arg)(struct pt_regs *regs, unsigned int n);
	/*
	 * fills syscall, syscall_abi, syscall_nr, CRK_THREAD_COMPAT, CRK_THREAD_ADDR32, tp of a frozen @t.
	 * @out->syscall holds CRK_SYSCALL_ENTRY or CRK_SYSCALL_VFORK when the core knows that it is so, else NONE.
	 */
	void (*get_thread)(struct task_struct *t, struct crk_rec_thread *out);
	/* fills flags, vdso, mmap bases and what else is the architecture's */
	void (*get_mm)(struct mm_struct *mm, struct crk_rec_mm *out);
	u32 (*get_action_abi)(unsigned long sa_flags);	/* CRK_ACTION_* */
	/* CRK_REC_ARCH records of a frozen thread, and of an address space (mmap lock not held); NULL: none */
	int (*capture_thread)(struct task_struct *t, struct crk_out *out);
	int (*capture_mm)(struct mm_struct *mm, struct crk_out *out);
	/* the kernel's page at @addr of the vDSO's code, no reference taken; NULL: none.  mmap lock held */
	struct page *(*vdso_page)(struct mm_struct *mm, unsigned long addr);
	/*
	 * current: in a call that is about to queue the work in which it waits at the gate, and at the start of that
	 * work: can @set_finish go on from here with an interrupted system call?  It can't if a signal came in between
	 * and the kernel has looked for such a call by then.  NULL: it always can
	 */
	void (*park_prepare)(void);
	bool (*park_ok)(void);
	/* the other way; check functions run before anything is changed */
	int (*check_mm)(const struct crk_rec_mm *in, struct crk_log *log);
	void (*set_mm)(struct mm_struct *mm, const struct crk_rec_mm *in);	/* mmap lock held for writing */
	unsigned long (*set_action_abi)(u32 abi);	/* kernel-internal sa_flags */
	/* current, before new mappings are made: address limit and personality bits of the process and thread */
	void (*enter_abi)(u32 mm_flags);
	int (*check_thread)(const struct crk_rec_thread *in, u32 machine, struct crk_log *log);
	/* refuse a register set that user mode may not own */
	int (*check_regset)(u32 machine, u32 note, const void *data, u32 len, struct crk_log *log);
	/* @t is parked and off its CPU: make task_user_regset_view(t) the view of @machine */
	void (*set_prepare)(struct task_struct *t, u32 machine);
	int (*set_order)(u32 note);		/* sets with a lower number are applied first; NULL: any order */
	/* what ptrace leaves out of a set that was applied; NULL: nothing */
	void (*set_rest)(struct task_struct *t, u32 machine, u32 note, const void *data);
	/* CRK_REC_ARCH, of the right length; @t is parked, and has its register sets when it gets these.  NULL: none */
	int (*check_record)(const struct crk_rec_arch *in, struct crk_log *log);
	int (*set_record)(struct task_struct *t, const struct crk_rec_arch *in);
	/* current at the gate, after all sets: rseq, TLS words, and arrange for the interrupted call to be restarted */
	void (*set_finish)(const struct crk_rec_thread *in);
	/* system calls in current's context; negative errno or the result */
	long (*sys_mremap)(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
			   unsigned long new_addr);
	long (*sys_mprotect)(unsigned long addr, unsigned long len, unsigned long prot);
	long (*sys_madvise)(unsigned long addr, unsigned long len, int advice);
	long (*sys_mlock2)(unsigned long addr, unsigned long len, int flags);
	long (*sys_mlockall)(int flags);
	long (*sys_mseal)(unsigned long addr, unsigned long len);	/* may be NULL */
	long (*sys_shmat)(int shmid, unsigned long addr, int flags);
	long (*sys_prctl)(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);
	long (*sys_setitimer)(int which, unsigned long new_uptr);
	long (*sys_timer_settime)(int id, int flags, unsigned long new_uptr);
	long (*sys_ptrace)(long request, long pid, unsigned long addr, unsigned long data);	/* may be NULL */
	long (*sys_exit)(int code);	/* does not return; NULL or an error: it can't */
	/*
	 * map the vDSO of @kind so that its first mapping starts at @addr; bytes in all, its code at *@vdso_ret;
	 * -EOPNOTSUPP: no such kind.  @tramp: for a page of signal trampolines, if the kernel has one; 0: without
	 */
	long (*map_vdso)(u32 kind, unsigned long addr, unsigned long tramp, unsigned long *vdso_ret);
};

extern const struct crk_arch_ops crk_arch;	/* arch/$(SRCARCH)/kern.c */
int crk_arch_init(void);			/* resolve what the architecture needs; called by crk_symbols_init() */

#endif /* _CRK_PRIVATE_H */
