/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes older kernels look like the newest one of scripts/kernels.list, and hides where the kernels keep things that
 * have moved.  Only this file and kcompat-mm.h, its half about memory, know kernel versions; force-included into
 * every object.  Sections are named after the kernel's header, in alphabetical order; the newest kernel comes first in
 * each.
 */
#ifndef _CRK_KCOMPAT_H
#define _CRK_KCOMPAT_H

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt	/* here, since the headers below would set another */

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/ipc.h>
#include <linux/mm.h>
#include <linux/posix-timers.h>
#include <linux/restart_block.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>

#define CRK_SINCE(major, minor)	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

#if !CRK_SINCE(6, 1)
#error "crk: Linux 6.1 is the oldest kernel supported"
#endif

/* ---- asm/processor.h ---- */

/* x86's struct fpu is no member of thread_struct any more, but lies behind task_struct (v6.16) */
#define CRK_HAVE_THREAD_FPU	(!CRK_SINCE(6, 16))

/* ---- asm/vvar.h ---- */

/* x86's own storage of the vDSO's data gave way to the generic one (v6.15) */
#define CRK_HAVE_ASM_VVAR_H	(!CRK_SINCE(6, 15))

/* so did struct vdso_data to struct vdso_time_data */
#define CRK_HAVE_VDSO_DATA	(!CRK_SINCE(6, 15))

/* ---- linux/auxvec.h ---- */

/* 317c8194e6ae ("rseq: Introduce feature size and alignment ELF auxiliary vector entries") (v6.3) */
#define CRK_AT_RSEQ_FEATURE_SIZE	27
#define CRK_AT_RSEQ_ALIGN		28

/* ---- linux/capability.h ---- */

/* f122a08b197d ("capability: just use a 'u64' instead of a 'u32[2]' array") (v6.3) */
static inline u64 crk_cap_bits(const kernel_cap_t *cap)
{
#if CRK_SINCE(6, 3)
	return cap->val;
#else
	return cap->cap[0] | (u64)cap->cap[1] << 32;
#endif
}

/* ---- linux/cleanup.h ---- */

/* 54da6a092431 ("locking: Introduce __cleanup() based infrastructure") (v6.5, also 6.1.y) */
#ifndef __CHECKER__	/* sparse cannot parse it */
#if !__has_include(<linux/cleanup.h>)
#error "crk: this kernel has no <linux/cleanup.h>; update to a current 6.1.y or newer"
#endif
#endif
#include <linux/cleanup.h>

/* ---- linux/fdtable.h ---- */

/* a88c955fcfb4 ("file: s/close_fd_get_file()/file_close_fd()/g") (v6.8) */
#if !CRK_SINCE(6, 8)
#define file_close_fd	close_fd_get_file
#endif

/* ---- linux/file.h ---- */

/* 4e94ddfe2aab ("file: remove __receive_fd()") (v6.8) gave it a place for the number */
#include <linux/file.h>
#if CRK_SINCE(6, 8)
#define crk_receive_fd(file, flags)	receive_fd(file, NULL, flags)
#else
#define crk_receive_fd(file, flags)	receive_fd(file, flags)
#endif

/* v6.10's fput, which came to 6.1.y between 6.1.176 and 6.1.192; nothing says whether it is there */
DEFINE_FREE(crk_fput, struct file *, IS_ERR_OR_NULL(_T) ? (void)0 : fput(_T))

/* ---- linux/filelock.h ---- */

/* 5970e15dbcfe ("filelock: move file locking definitions to separate header file") (v6.3) */
#if CRK_SINCE(6, 3)
#include <linux/filelock.h>
#endif

/* ---- linux/fs.h ---- */

/* a mapping of overlayfs has the file below as its own; stat() and /proc/PID/maps show the one above (v6.8) */
static inline const struct inode *crk_mapped_inode(const struct file *file)
{
#if CRK_SINCE(6, 8)
	return file_user_inode(file);
#else
	return file_inode(file);
#endif
}

/* ---- kernel/futex/futex.h ---- */

/* flags of struct restart_block.futex; "futex: Flag conversion" (v6.7) moved all of them */
#if CRK_SINCE(6, 7)
#define CRK_FUTEX_BASE		0x0002	/* FLAGS_SIZE_32 */
#define CRK_FUTEX_SHARED	0x0010
#define CRK_FUTEX_CLOCKRT	0x0020
#define CRK_FUTEX_HAS_TIMEOUT	0x0040
#else
#define CRK_FUTEX_BASE		0x00
#define CRK_FUTEX_SHARED	0x01
#define CRK_FUTEX_CLOCKRT	0x02
#define CRK_FUTEX_HAS_TIMEOUT	0x04
#endif

/* ---- linux/futex.h ---- */

/* where a robust unlock in the vDSO may be interrupted: 7.2's futex_reset_cs_ranges(), which is not exported */
#include <linux/futex.h>
static inline void crk_futex_unlock_reset(struct mm_struct *mm)
{
#ifdef CONFIG_FUTEX_ROBUST_UNLOCK
	int i;

	for (i = 0; i < FUTEX_ROBUST_MAX_CS_RANGES; i++)
		mm->futex.unlock.cs_ranges[i] = (struct futex_unlock_cs_range){ .start_ip = ~0UL };
#endif
}

/* struct futex_sched_data: there in v7.2, not in v6.12 */
#if CRK_SINCE(7, 0)
#define crk_robust_list(t)		((t)->futex.robust_list)
#define crk_compat_robust_list(t)	((t)->futex.compat_robust_list)
#else
#define crk_robust_list(t)		((t)->robust_list)
#define crk_compat_robust_list(t)	((t)->compat_robust_list)
#endif

/* ---- linux/posix-timers.h ---- */

/* struct k_itimer: it_active became it_status, the sigqueue part of it (v6.14), the list an hlist (v6.12) */
#if CRK_SINCE(6, 14)
#define crk_timer_active(timer)		((timer)->it_status != 0)
#define crk_timer_sigqueue(timer)	(&(timer)->sigq)
#else
#define crk_timer_active(timer)		((timer)->it_active != 0)
#define crk_timer_sigqueue(timer)	((timer)->sigq)
#endif

/* a timer that is being created or deleted marks its it_signal (v6.16) or has none */
#if CRK_SINCE(6, 16)
#define crk_timer_valid(timer)		((timer)->it_signal && posixtimer_valid(timer))
#else
#define crk_timer_valid(timer)		(!!(timer)->it_signal)
#endif

#if CRK_SINCE(6, 12)
#define crk_for_each_posix_timer(timer, signal)	hlist_for_each_entry(timer, &(signal)->posix_timers, list)
#else
#define crk_for_each_posix_timer(timer, signal)	list_for_each_entry(timer, &(signal)->posix_timers, list)
#endif

/* ---- linux/restart_block.h ---- */

/* the deadline of a poll: seconds and nanoseconds became a timespec64 (v6.19) */
#if CRK_SINCE(6, 19)
static inline u64 crk_restart_poll_get(const struct restart_block *rb)
{
	return timespec64_to_ns(&rb->poll.end_time);
}

static inline void crk_restart_poll_set(struct restart_block *rb, u64 ns)
{
	rb->poll.end_time = ns_to_timespec64(ns);
}
#else
static inline u64 crk_restart_poll_get(const struct restart_block *rb)
{
	return rb->poll.tv_sec * (u64)NSEC_PER_SEC + rb->poll.tv_nsec;
}

static inline void crk_restart_poll_set(struct restart_block *rb, u64 ns)
{
	struct timespec64 ts = ns_to_timespec64(ns);

	rb->poll.tv_sec = ts.tv_sec;
	rb->poll.tv_nsec = ts.tv_nsec;
}
#endif

/* ---- linux/rseq.h ---- */

/* struct rseq_data (v6.19); rseq_len: ee3e3ac05c26 ("rseq: Introduce extensible rseq ABI") (v6.3) */
struct crk_rseq_state {
	unsigned long addr;
	u32 len, sig, version;
	bool slice;	/* PR_RSEQ_SLICE_EXTENSION: enabled */
};

#define CRK_HAVE_RSEQ_LEN	CRK_SINCE(6, 3)

static inline struct crk_rseq_state crk_rseq_get(struct task_struct *t)
{
	struct crk_rseq_state s = {};

#if !defined(CONFIG_RSEQ)
#elif CRK_SINCE(6, 19)
	s.addr = (unsigned long)t->rseq.usrptr;
	s.len = t->rseq.len;
	s.sig = t->rseq.sig;
	s.version = t->rseq.event.has_rseq;
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	s.slice = t->rseq.slice.state.enabled;
#endif
#else
	s.addr = (unsigned long)t->rseq;
	s.sig = t->rseq_sig;
#if CRK_SINCE(6, 3)
	s.len = t->rseq_len;
#else
	s.len = t->rseq ? 32 : 0;
#endif
	s.version = !!t->rseq;
#endif
	return s;
}

/*
 * Registers an area for current as it was registered once, or none.  Not by rseq(2): that clears rseq_cs in the area.
 * The kernel then looks at it before it returns to userspace.  Since v6.19 it looks for a sequence only when an
 * interrupt has brought the task into the kernel (@user: it was in user mode, and not in a system call), and it kills a
 * task with an extended area that does not hold what the kernel has written last.
 */
static inline void crk_rseq_set(const struct crk_rseq_state *s, bool user)
{
#ifdef CONFIG_RSEQ
	struct rseq __user *area = (void __user *)s->addr;
	unsigned long irq;

	rseq_execve(current);
	if (!area)
		return;
#if CRK_SINCE(6, 19)
	/* what can't be read is found out by the kernel when it comes to write there */
	if (get_user(current->rseq.ids.cpu_id, &area->cpu_id_start) ||
	    get_user(current->rseq.ids.node_id, &area->node_id) ||
	    get_user(current->rseq.ids.mm_cid, &area->mm_cid))
		current->rseq.ids = (struct rseq_ids){};
#endif
	local_irq_save(irq);
#if CRK_SINCE(6, 19)
	current->rseq.usrptr = area;
	current->rseq.len = s->len;
	current->rseq.sig = s->sig;
	current->rseq.event.has_rseq = s->version;
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	current->rseq.slice.state.enabled = s->slice;	/* a grant ends when its thread leaves its CPU */
#endif
	current->rseq.event.user_irq = user;
	local_irq_restore(irq);
	rseq_force_update();
#else
	current->rseq = area;
	current->rseq_sig = s->sig;
#if CRK_SINCE(6, 3)
	current->rseq_len = s->len;
#endif
	current->rseq_event_mask |= RSEQ_EVENT_PREEMPT;
	local_irq_restore(irq);
	rseq_set_notify_resume(current);
#endif
#endif
}

/* ---- linux/sched.h ---- */

/* 54e6842d0775 ("fork/vm: Move common PF_IO_WORKER behavior to new flag") (v6.4) */
#ifndef PF_USER_WORKER
#define PF_USER_WORKER	PF_IO_WORKER
#endif

/* on_cpu is there without CONFIG_SMP too (v6.17) */
static inline bool crk_task_on_cpu(struct task_struct *t)
{
#if CRK_SINCE(6, 17) || defined(CONFIG_SMP)
	return smp_load_acquire(&t->on_cpu);	/* with the scheduler's release: what it saved is there */
#else
	return t == current;
#endif
}

/* 152e11f6df29 ("sched/fair: Implement delayed dequeue") (v6.12): asleep, though on a run queue until next looked at */
static inline bool crk_task_dequeued(struct task_struct *t)
{
#if CRK_SINCE(6, 12)
	return !READ_ONCE(t->on_rq) || READ_ONCE(t->se.sched_delayed);
#else
	return !READ_ONCE(t->on_rq);
#endif
}

/* how long a turn of a thread that is no real-time one lasts (v6.6); 0: not its own to say */
static inline u64 crk_sched_slice(const struct task_struct *t)
{
#if CRK_SINCE(6, 6)
	return t->se.slice;
#else
	return 0;
#endif
}

/* ---- linux/sched/exec_state.h ---- */

/* prctl(PR_GET_DUMPABLE) moved from the mm to the task (v7.2) */
#if CRK_SINCE(7, 2)
#include <linux/sched/exec_state.h>
static inline u32 crk_task_dumpable(struct task_struct *t, const struct mm_struct *mm)
{
	struct task_exec_state *state;
	u32 dumpable;

	rcu_read_lock();
	state = rcu_dereference(t->exec_state);
	dumpable = state ? state->dumpable : 0;
	rcu_read_unlock();
	return dumpable;
}
#else
static inline u32 crk_task_dumpable(struct task_struct *t, const struct mm_struct *mm)
{
	return mm->flags & MMF_DUMPABLE_MASK;
}
#endif

/* ---- linux/signal.h ---- */

/* bit 0 is signal 1, whatever the word is */
static inline u64 crk_sigset(const sigset_t *set)
{
#if _NSIG_WORDS == 1
	return set->sig[0];
#else
	return set->sig[0] | (u64)set->sig[1] << 32;
#endif
}

/* ---- ipc/sem.c ---- */

/*
 * Its private types, as far as they are needed.  The adjustments are behind the struct in all of them; until
 * "ipc/sem: Use flexible array in 'struct sem_undo'" (v6.6) a pointer says so.
 */
#define CRK_IPC_SEM_IDS	0

struct crk_sem_undo_list {
	refcount_t ref;
	spinlock_t lock;
	struct list_head sets;		/* of struct crk_sem_undo.by_list */
};

struct crk_sem_undo {
	struct list_head by_list;
	struct rcu_head rcu;
	struct crk_sem_undo_list *list;
	struct list_head by_set;
	int semid;			/* -1: the set is gone */
#if CRK_SINCE(6, 6)
	short adj[];
#else
	short *adj;
#endif
};

static inline const short *crk_sem_adj(const struct crk_sem_undo *undo)
{
	return undo->adj;
}

struct crk_sem_array {
	struct kern_ipc_perm perm;
	time64_t ctime;
	struct list_head pending_alter;
	struct list_head pending_const;
	struct list_head undos;
	int nr;				/* semaphores */
};

/* ---- linux/slab.h ---- */

/* a67d74a4b163 ("mm/util: add kvfree scoped-based cleanup") (v6.9) */
#if !CRK_SINCE(6, 9)
DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
#endif

/* ---- linux/overflow.h ---- */

/* d67790ddf021 ("overflow: Add struct_size_t() helper") (v6.5, also newer 6.1.y) */
#include <linux/overflow.h>
#ifndef struct_size_t
#define struct_size_t(type, member, count)	struct_size((type *)NULL, member, count)
#endif

/* ---- linux/uio.h ---- */

/* vfs_iter_write() takes the superblock's write access itself (v6.8) */
static inline ssize_t crk_vfs_iter_write(struct file *file, struct iov_iter *iter, loff_t *pos)
{
	ssize_t ret;

	if (!CRK_SINCE(6, 8))
		file_start_write(file);
	ret = vfs_iter_write(file, iter, pos, 0);
	if (!CRK_SINCE(6, 8))
		file_end_write(file);
	return ret;
}

/* ---- linux/workqueue.h ---- */

/* system_unbound_wq is deprecated, and says so, where system_dfl_wq has taken its place (seen in v7.2, not in v6.12) */
#include <linux/workqueue.h>
#if CRK_SINCE(7, 0)
#define crk_unbound_wq	system_dfl_wq
#else
#define crk_unbound_wq	system_unbound_wq
#endif

#include "kcompat-mm.h"

#endif /* _CRK_KCOMPAT_H */
