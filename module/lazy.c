// SPDX-License-Identifier: GPL-2.0
/*
 * Restored memory that comes later, by userfaultfd(2), from the opener of a job: whoever still waits for some when the
 * opener dies is killed.  The kernel would have them find zeros instead.
 */
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "private.h"

#define LOOK_MS	10	/* between looks whether the killed are gone */

#ifdef CONFIG_USERFAULTFD

bool crk_lazy_can(void)
{
	return true;
}

/* what a mapping has of the userfaultfd that it is registered with is the file's own data */
static int is_of(const void *ctx, struct file *file, unsigned int fd)
{
	return file->private_data == ctx;
}

/* is memory of @mm registered with a userfaultfd among @files? */
static bool mm_waits(struct mm_struct *mm, struct files_struct *files)
{
	VMA_ITERATOR(vmi, mm, 0);
	struct vm_area_struct *vma;
	const void *seen = NULL;
	bool ret = false;

	mmap_read_lock(mm);
	for_each_vma(vmi, vma) {
		const void *ctx = vma->vm_userfaultfd_ctx.ctx;

		if (!ctx || ctx == seen)
			continue;
		seen = ctx;
		ret = iterate_fd(files, 0, is_of, ctx);
		if (ret)
			break;
	}
	mmap_read_unlock(mm);
	return ret;
}

/* that of any thread: the leader may have exited */
static struct mm_struct *process_mm_get(struct task_struct *p)
{
	struct mm_struct *mm = NULL;
	struct task_struct *t;

	rcu_read_lock();
	for_each_thread(p, t) {
		mm = get_task_mm(t);
		if (mm)
			break;
	}
	rcu_read_unlock();
	return mm;
}

static bool process_waits(struct task_struct *p, struct files_struct *files)
{
	struct mm_struct *mm = process_mm_get(p);
	bool ret = mm && mm_waits(mm, files);

	if (mm)
		mmput(mm);
	return ret;
}

/* nothing is allocated: it may be lack of memory that the opener dies of */
static bool kill_waiting(struct files_struct *files)
{
	bool found = false, alive = true;
	struct task_struct *p;

	do {
		rcu_read_lock();
		for_each_process(p) {
			get_task_struct(p);
			rcu_read_unlock();
			if (process_waits(p, files)) {
				kill_pid(task_tgid(p), SIGKILL, 1);
				found = true;
			}
			cond_resched();
			rcu_read_lock();
			/* the list leads on from those that are in it only; else it is gone through again */
			alive = pid_alive(p);
			put_task_struct(p);
			if (!alive)
				break;
		}
		rcu_read_unlock();
	} while (!alive);
	return found;
}

/*
 * @files: the opener's, in the midst of being closed.  A userfaultfd with a higher number than the device is still in
 * there, and none is released before this returns, the exit's being put off until all are closed.
 */
void crk_lazy_end(struct files_struct *files)
{
	while (kill_waiting(files))
		msleep(LOOK_MS);
}

#else

bool crk_lazy_can(void)
{
	return false;
}

void crk_lazy_end(struct files_struct *files)
{
}

#endif

int crk_lazy(struct crk_job *job)
{
	if (!crk_lazy_can())
		return -EOPNOTSUPP;
	if (job->state != CRK_JOB_NEW)
		return -EBUSY;
	job->state = CRK_JOB_LAZY;
	WRITE_ONCE(job->lazy, true);
	return 0;
}
