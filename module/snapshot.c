// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a frozen process, duplicated as fork does it and kept when the process runs again.  A duplicate belongs
 * to a task, its holder, that never runs user code: the OOM killer must find it, or it would take the process itself.
 *
 * Only fork duplicates memory, and only that of the caller.  So a worker adopts the frozen memory and forks the holder,
 * which thus is a child of kthreadd as the kernel's own helpers are, and nobody's that could notice.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/userfaultfd_k.h>
#include <linux/workqueue.h>

#include "frozen.h"
#include "symbols.h"

#define POLL_US		100

/**
 * struct crk_snap - a snapshot and its holder
 * @node: in job->snapshots
 * @id: for the caller
 * @holder: referenced
 * @mm: its memory; the struct is referenced, what is in it lives as long as the holder
 * @dropped: below this address there is nothing any more
 */
struct crk_snap {
	struct list_head node;
	u32 id;
	struct task_struct *holder;
	struct mm_struct *mm;
	unsigned long dropped;
};

/* what decides what fork makes of a mapping */
#define FORK_FLAGS	(VM_DONTCOPY | VM_WIPEONFORK)

#ifdef VM_SEALED
#define SEALED		VM_SEALED	/* or crk_snap_drop() could not unmap it */
#else
#define SEALED		VM_NONE
#endif

/**
 * struct fork_flags - a mapping that has other flags while it is duplicated
 * @start: its address
 * @flags: what it has of FORK_FLAGS | SEALED
 */
struct fork_flags {
	unsigned long start;
	vm_flags_t flags;
};

/**
 * struct snap_work - the making of a snapshot, for the worker
 * @work: of crk_snap_queue
 * @mm: to be duplicated
 * @flags: CRK_SNAPSHOT_*
 * @snap: result
 * @ready: the holder is there
 * @changed: mappings of @mm
 * @nr_changed: entries of @changed
 * @ret: 0 or an error
 * @log: its reason
 */
struct snap_work {
	struct work_struct work;
	struct mm_struct *mm;
	u32 flags;
	struct crk_snap *snap;
	struct completion ready;
	struct fork_flags *changed;
	u32 nr_changed;
	int ret;
	struct crk_log *log;
};

static struct workqueue_struct *crk_snap_queue;

bool crk_snapshot_can(void)
{
	return crk_have(kernel_clone) && crk_arch.sys_exit;
}

/* ---- the holder ---- */

/* kthreads ignore all signals, SIGKILL too, and their children inherit that */
static void holder_signals(void)
{
	struct sighand_struct *sighand;

	if (WARN_ON_ONCE(!crk_sighand_lock(current, &sighand)))
		return;
	sighand->action[SIGKILL - 1].sa.sa_handler = SIG_DFL;
	siginitsetinv(&current->blocked, sigmask(SIGKILL));
	recalc_sigpending();
	crk_sighand_unlock(sighand);
}

/* or ps and pidof would show the program twice */
static void holder_name(void)
{
	struct mm_struct *mm = current->mm;

	task_lock(current);
	strscpy(current->comm, "crk-snapshot", sizeof(current->comm));
	task_unlock(current);
	spin_lock(&mm->arg_lock);
	mm->arg_start = 0;
	mm->arg_end = 0;
	mm->env_start = 0;
	mm->env_end = 0;
	spin_unlock(&mm->arg_lock);
	crk_call(set_mm_exe_file)(mm, NULL);
}

/* the first thing that the new task does; its memory is the duplicate */
static int holder_run(void *arg)
{
	struct snap_work *w = arg;

	current->flags &= ~PF_DUMPCORE;
	holder_signals();
	holder_name();
	current->signal->oom_score_adj = OOM_SCORE_ADJ_MAX;
	w->snap->mm = current->mm;
	mmgrab(w->snap->mm);
	w->snap->holder = get_task_struct(current);
	complete(&w->ready);

	for (;;) {
		set_current_state(TASK_KILLABLE | TASK_NOLOAD);
		if (fatal_signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	/* nothing of the module is needed from here on: snap_destroy() waits until it is so */
	crk_arch.sys_exit(0);
	WARN_ON_ONCE(1);
	for (;;)
		schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
}

static void snap_destroy(struct crk_snap *snap)
{
	list_del(&snap->node);
	while (!READ_ONCE(snap->holder->exit_state))
		usleep_range(POLL_US, 2 * POLL_US);
	put_task_struct(snap->holder);
	mmdrop(snap->mm);
	kfree(snap);
}

void crk_snapshots_end(struct crk_job *job)
{
	struct crk_snap *snap, *next;

	lockdep_assert_held(&job->lock);
	/* all at once: to free their memory takes time */
	list_for_each_entry(snap, &job->snapshots, node)
		send_sig(SIGKILL, snap->holder, 1);
	list_for_each_entry_safe(snap, next, &job->snapshots, node)
		snap_destroy(snap);
}

/* ---- which mappings are duplicated ---- */

static bool vma_is_taken(const struct vm_area_struct *vma, u32 flags)
{
	if (vma->vm_flags & (VM_SHARED | VM_MAYSHARE | VM_HUGETLB | VM_IO | VM_PFNMAP))
		return false;
	if (!vma->vm_file && vma->vm_ops)
		return false;		/* made by the kernel */
	return flags & CRK_SNAPSHOT_LOCKED || !(vma->vm_flags & VM_LOCKED);
}

/* the flags that make fork take it or leave it */
static vm_flags_t vma_fork_flags(const struct vm_area_struct *vma, u32 flags)
{
	if (vma_is_taken(vma, flags))
		return vma->vm_flags & ~(FORK_FLAGS | SEALED);
	return vma->vm_flags | VM_DONTCOPY;
}

static void vma_flags_put(struct vm_area_struct *vma, vm_flags_t flags)
{
	vm_flags_clear(vma, (FORK_FLAGS | SEALED) & ~flags);
	vm_flags_set(vma, (FORK_FLAGS | SEALED) & flags);
}

/* how many mappings have to be changed, or an error */
static int mappings_check(struct snap_work *w)
{
	struct vm_area_struct *vma;
	int ret = 0;

	mmap_read_lock(w->mm);
	VMA_ITERATOR(vmi, w->mm, 0);

	for_each_vma(vmi, vma) {
		/* with events of forks the worker would wait for a monitor that is frozen too */
		if (userfaultfd_armed(vma)) {
			ret = crk_log(w->log, -EOPNOTSUPP, "mapping %lx-%lx is registered with userfaultfd",
				      vma->vm_start, vma->vm_end);
			break;
		}
		ret += vma_fork_flags(vma, w->flags) != vma->vm_flags;
	}
	mmap_read_unlock(w->mm);
	return ret;
}

/* the mappings stay as they are between the two: whoever could change them is frozen */
static void mappings_prepare(struct snap_work *w, u32 max)
{
	struct vm_area_struct *vma;

	mmap_write_lock(w->mm);
	VMA_ITERATOR(vmi, w->mm, 0);

	for_each_vma(vmi, vma) {
		vm_flags_t flags = vma_fork_flags(vma, w->flags);

		if (flags == vma->vm_flags || WARN_ON_ONCE(w->nr_changed == max))
			continue;
		w->changed[w->nr_changed++] = (struct fork_flags){ vma->vm_start, vma->vm_flags };
		vma_flags_put(vma, flags);
	}
	mmap_write_unlock(w->mm);
}

static void mappings_restore(struct snap_work *w)
{
	struct vm_area_struct *vma;
	u32 i = 0;

	if (!w->nr_changed)
		return;
	mmap_write_lock(w->mm);
	VMA_ITERATOR(vmi, w->mm, 0);

	for_each_vma(vmi, vma)
		if (i < w->nr_changed && vma->vm_start == w->changed[i].start)
			vma_flags_put(vma, w->changed[i++].flags);
	mmap_write_unlock(w->mm);
	WARN_ON_ONCE(i != w->nr_changed);
}

/* ---- making one ---- */

/* page tables and mappings, and an eighth; far from sure, but it keeps the kernel from complaining in its log */
static int check_room(const struct snap_work *w)
{
	long need = mm_pgtables_bytes(w->mm) / PAGE_SIZE + w->mm->map_count / 8 + 256, have = si_mem_available();

	need += need / 8;
	if (have >= need)
		return 0;
	return crk_log(w->log, -ENOMEM, "its page tables need %ld MiB, %ld are available", need >> (20 - PAGE_SHIFT),
		       have >> (20 - PAGE_SHIFT));
}

static int holder_create(struct snap_work *w)
{
	struct kernel_clone_args args = {
		.flags = CLONE_FS | CLONE_FILES | CLONE_PARENT | CLONE_UNTRACED,
		.exit_signal = SIGCHLD,		/* kthreadd ignores it: no zombie */
		.fn = holder_run,
		.fn_arg = w,
	};
	pid_t ret;

	kthread_use_mm(w->mm);
	/*
	 * No OOM killer for allocations of a task that dumps core: they fail.  It would choose the process itself,
	 * which could not go away while its memory is locked for duplication, nor could the worker: the machine would
	 * be dead.
	 */
	current->flags |= PF_DUMPCORE;
	ret = crk_call(kernel_clone)(&args);
	current->flags &= ~PF_DUMPCORE;
	kthread_unuse_mm(w->mm);
	if (ret < 0)
		return crk_log(w->log, ret, "the kernel does not duplicate its memory: %s (%d)",
			       ret == -ENOMEM ? "too little memory, or beyond the limit of vm.overcommit_memory" :
			       ret == -EAGAIN ? "too many tasks" : "fork failed", ret);
	wait_for_completion(&w->ready);
	return 0;
}

static void snap_make(struct work_struct *work)
{
	struct snap_work *w = container_of(work, struct snap_work, work);
	int nr;

	w->ret = check_room(w);
	if (w->ret)
		return;
	nr = mappings_check(w);
	if (nr < 0) {
		w->ret = nr;
		return;
	}
	w->changed = kvmalloc_array(nr + 1, sizeof(*w->changed), GFP_KERNEL_ACCOUNT);
	if (!w->changed) {
		w->ret = -ENOMEM;
		return;
	}
	mappings_prepare(w, nr);
	w->ret = holder_create(w);
	mappings_restore(w);
	kvfree(w->changed);
}

/* threads of a process share their memory */
static bool process_has(struct task_struct *p, const struct mm_struct *mm)
{
	struct task_struct *t;

	for_each_thread(p, t) {
		const struct mm_struct *its = READ_ONCE(t->mm);

		if (its)
			return its == mm;
	}
	return false;
}

/* one who has this memory and could change it */
static int check_users(struct crk_job *job, const struct mm_struct *mm, struct crk_log *log)
{
	struct task_struct *p;
	int ret = 0;

	rcu_read_lock();
	for_each_process(p)
		if (!(p->flags & PF_KTHREAD) && process_has(p, mm) && !crk_frozen_find(job->frozen, p))
			ret = crk_log(log, -EBUSY, "task %d (%s) has the same memory and is not in the cgroup",
				      task_tgid_vnr(p), p->comm);
	rcu_read_unlock();
	return ret;
}

static int snap_create(struct crk_job *job, struct mm_struct *mm, struct crk_snapshot *cmd, struct crk_log *log)
{
	struct snap_work w = { .mm = mm, .flags = cmd->flags, .log = log };

	w.ret = check_users(job, mm, log);
	if (w.ret)
		return w.ret;
	w.snap = kzalloc(sizeof(*w.snap), GFP_KERNEL_ACCOUNT);
	if (!w.snap)
		return -ENOMEM;
	init_completion(&w.ready);
	INIT_WORK_ONSTACK(&w.work, snap_make);
	queue_work(crk_snap_queue, &w.work);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	if (w.ret) {
		kfree(w.snap);
		return w.ret;
	}
	w.snap->id = ++job->nr_snapshots;
	list_add_tail(&w.snap->node, &job->snapshots);
	cmd->out_id = w.snap->id;
	return 0;
}

int crk_snapshot(struct crk_job *job, struct crk_snapshot *cmd, struct crk_log *log)
{
	struct mm_struct *mm;
	int ret;

	lockdep_assert_held(&job->lock);
	cmd->out_id = 0;
	if (!crk_snapshot_can())
		return crk_log(log, -EOPNOTSUPP, "this kernel does not show what snapshots need");
	mm = crk_frozen_mm_get(job, cmd->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	ret = snap_create(job, mm, cmd, log);
	mmput(mm);
	return ret;
}

/* ---- reading one ---- */

struct crk_snap *crk_snap_find(struct crk_job *job, u32 id)
{
	struct crk_snap *snap;

	lockdep_assert_held(&job->lock);
	list_for_each_entry(snap, &job->snapshots, node)
		if (snap->id == id)
			return snap;
	return NULL;
}

/*
 * Ask when the pages have been taken hold of: the OOM killer, which takes pages away while others still have the
 * memory, kills first.
 */
bool crk_snap_lost(const struct crk_snap *snap)
{
	return fatal_signal_pending(snap->holder) || READ_ONCE(snap->holder->exit_state) ||
	       READ_ONCE(snap->holder->flags) & PF_EXITING;
}

struct mm_struct *crk_snap_get_mm(struct crk_snap *snap)
{
	if (!mmget_not_zero(snap->mm))
		return NULL;
	if (!crk_snap_lost(snap))
		return snap->mm;
	mmput(snap->mm);
	return NULL;
}

/**
 * struct drop_work - for the worker: memory of a snapshot to be unmapped
 * @work: of crk_snap_queue
 * @mm: held
 * @start: first address
 * @end: address after the last
 * @ret: result
 */
struct drop_work {
	struct work_struct work;
	struct mm_struct *mm;
	unsigned long start, end;
	int ret;
};

static void drop_run(struct work_struct *work)
{
	struct drop_work *w = container_of(work, struct drop_work, work);

	kthread_use_mm(w->mm);
	w->ret = vm_munmap(w->start, w->end - w->start);
	kthread_unuse_mm(w->mm);
}

int crk_snap_drop(struct crk_snap *snap, unsigned long end)
{
	struct drop_work w = { .mm = snap->mm, .start = snap->dropped, .end = end };

	if (end <= snap->dropped)
		return 0;
	INIT_WORK_ONSTACK(&w.work, drop_run);
	queue_work(crk_snap_queue, &w.work);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	if (!w.ret)
		snap->dropped = end;
	return w.ret;
}

/* ---- load and unload ---- */

int __init crk_snapshot_init(void)
{
	crk_snap_queue = alloc_workqueue("crk-snapshot", WQ_UNBOUND | WQ_CPU_INTENSIVE, 0);
	return crk_snap_queue ? 0 : -ENOMEM;
}

void crk_snapshot_exit(void)
{
	destroy_workqueue(crk_snap_queue);
}
