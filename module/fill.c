// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_OP_FILL: reads a range of an open file, or what comes out of a pipe, into memory of the restored process,
 * whatever its protection.  Knows no image format.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include "restore.h"

#define BOUNCE_SIZE	SZ_256K
#define CREW_MIN	SZ_16M	/* less is done before the others have started */
#define PARTS_MAX	8
#define PART_STEP	((size_t)SZ_16M)	/* between looks at whether it is still wanted */

static bool is_pipe(const struct file *file)
{
	return S_ISFIFO(file_inode(file)->i_mode);
}

int crk_fill_check(struct crk_prog *prog, struct crk_step *step)
{
	const struct crk_op *op = &step->op;
	u64 end;

	if (!step->file)
		return crk_step_err(prog, step, -EBADF, "no file");
	if (is_pipe(step->file)) {
		if (!(step->file->f_mode & FMODE_READ) || step->file->f_flags & O_NONBLOCK)
			return crk_step_err(prog, step, -EINVAL, "fd %d is not the end of a pipe that a read waits at",
					    op->fd);
		if (op->off)
			return crk_step_err(prog, step, -EINVAL, "fd %d is a pipe, and has no offsets", op->fd);
		return 0;
	}
	if (!S_ISREG(file_inode(step->file)->i_mode) || !(step->file->f_mode & FMODE_READ))
		return crk_step_err(prog, step, -EINVAL, "fd %d is not a regular file open for reading", op->fd);
	if (check_add_overflow(op->off, op->len, &end) || end > i_size_read(file_inode(step->file)))
		return crk_step_err(prog, step, -EINVAL, "image truncated: fd %d ends at %lld", op->fd,
				    i_size_read(file_inode(step->file)));
	return 0;
}

/* straight from the page cache to where it belongs */
static ssize_t read_direct(struct file *file, loff_t *pos, unsigned long addr, size_t len)
{
	struct iov_iter to;

	iov_iter_ubuf(&to, ITER_DEST, (void __user *)addr, min_t(size_t, len, MAX_RW_COUNT));
	return vfs_iter_read(file, &to, pos, 0);
}

/*
 * Through a buffer, past the protection.  access_process_vm() also does what an architecture needs to make
 * code executable, so it is the way for all that can be executed.
 */
static ssize_t read_bounced(struct file *file, loff_t *pos, unsigned long addr, size_t len)
{
	void *buf __free(kvfree) = kvmalloc(min_t(size_t, len, BOUNCE_SIZE), GFP_KERNEL_ACCOUNT);
	ssize_t ret;

	if (!buf)
		return -ENOMEM;
	ret = kernel_read(file, buf, min_t(size_t, len, BOUNCE_SIZE), pos);
	if (ret <= 0)
		return ret;
	if (access_process_vm(current, addr, buf, ret, FOLL_FORCE | FOLL_WRITE) != ret)
		return -EFAULT;
	return ret;
}

/*
 * What wakes a reader of a pipe and does not end it (a stop, work for the way back to user mode) must wait until the
 * program is through: with nothing to read, a read fails as long as that is pending.
 */
static bool read_again(const struct file *file, ssize_t ret)
{
	if (ret != -ERESTARTSYS || !is_pipe(file) || fatal_signal_pending(current))
		return false;
	usleep_range(1000, 2000);
	return true;
}

/* how much of [@addr, @addr + @len) has one protection, and may it be written to directly? */
static size_t stretch(unsigned long addr, size_t len, bool *direct)
{
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = find_vma(current->mm, addr);
	if (!vma || vma->vm_start > addr) {
		len = 0;
	} else {
		len = min_t(size_t, len, vma->vm_end - addr);
		*direct = (vma->vm_flags & (VM_WRITE | VM_EXEC)) == VM_WRITE;
	}
	mmap_read_unlock(current->mm);
	return len;
}

/* ---- much of it, by several CPUs: to make the pages takes longer than to read them ---- */

struct fill_part {
	struct work_struct work;
	struct fill_crew *crew;
	unsigned long addr;
	size_t len;
	loff_t pos;
	ssize_t ret;		/* bytes, or an error */
};

struct fill_crew {
	struct task_struct *task;	/* whose memory it is; waits */
	struct file *file;
	struct fill_part parts[PARTS_MAX];
};

static void part_run(struct work_struct *work)
{
	struct fill_part *part = container_of(work, struct fill_part, work);
	struct fill_crew *crew = part->crew;
	size_t done = 0;
	ssize_t ret = 1;

	kthread_use_mm(crew->task->mm);
	while (done < part->len && ret > 0) {
		ret = fatal_signal_pending(crew->task) ? -EINTR :
		      read_direct(crew->file, &part->pos, part->addr + done, min(part->len - done, PART_STEP));
		if (ret > 0)
			done += ret;
		cond_resched();
	}
	kthread_unuse_mm(crew->task->mm);
	part->ret = done ?: ret;
}

/* as read_direct(): all, or up to the first that could not be read */
static ssize_t read_by_crew(struct file *file, loff_t *pos, unsigned long addr, size_t len)
{
	struct fill_crew *crew __free(kfree) = kzalloc(sizeof(*crew), GFP_KERNEL_ACCOUNT);
	u32 i, nr = min_t(u32, num_online_cpus(), PARTS_MAX);
	size_t done, size = ALIGN(DIV_ROUND_UP(len, nr), PMD_SIZE);
	ssize_t ret = 0;

	if (!crew)
		return -ENOMEM;
	crew->task = current;
	crew->file = file;
	for (i = 0, done = 0; done < len; i++, done += size) {
		struct fill_part *part = &crew->parts[i];

		*part = (struct fill_part){ .crew = crew, .addr = addr + done, .len = min(size, len - done),
					    .pos = *pos + done };
		INIT_WORK(&part->work, part_run);
		queue_work(crk_unbound_wq, &part->work);
	}
	for (nr = i, i = 0; i < nr; i++)
		flush_work(&crew->parts[i].work);
	for (i = 0; i < nr; i++) {
		const struct fill_part *part = &crew->parts[i];

		if (part->ret > 0)
			ret += part->ret;
		if (part->ret != part->len) {
			ret = ret ?: part->ret;
			break;
		}
	}
	if (ret > 0)
		*pos += ret;
	return ret;
}

/* ---- a range ---- */

/*
 * The first part of a range that may be filled with huge pages, or may not: these only where a whole one is filled,
 * or memory would come with it that the process never touched.
 */
static size_t one_kind(unsigned long addr, size_t left, bool *huge)
{
	size_t edge = ALIGN(addr, PMD_SIZE) - addr;

	*huge = !edge && left >= PMD_SIZE;
	return *huge ? round_down(left, PMD_SIZE) : min(left, edge ?: PMD_SIZE);
}

static ssize_t fill_some(struct crk_prog *prog, struct crk_step *step, unsigned long addr, size_t left, loff_t *pos)
{
	bool direct = false;
	size_t len = stretch(addr, left, &direct);
	ssize_t ret;

	if (!len)
		return crk_step_err(prog, step, -EFAULT, "nothing is mapped at %#lx", addr);
	do {
		if (direct && len >= CREW_MIN && num_online_cpus() > 1 && !is_pipe(step->file))
			ret = read_by_crew(step->file, pos, addr, len);
		else if (direct)
			ret = read_direct(step->file, pos, addr, len);
		else
			ret = read_bounced(step->file, pos, addr, len);
	} while (read_again(step->file, ret));
	if (ret < 0)
		return crk_step_err(prog, step, ret, "cannot fill %#lx from offset %lld of fd %d", addr, *pos,
				    step->op.fd);
	if (!ret && is_pipe(step->file))
		return crk_step_err(prog, step, -EIO, "nothing more came out of the pipe, fd %d", step->op.fd);
	if (!ret)
		return crk_step_err(prog, step, -EIO, "image truncated: fd %d ends at %lld", step->op.fd, *pos);
	return ret;
}

int crk_fill_run(struct crk_prog *prog, struct crk_step *step)
{
	bool was_disabled = crk_mm_thp_disabled(current->mm);
	unsigned long addr = step->op.addr;
	size_t left = step->op.len, len = 0;
	loff_t pos = step->op.off;
	ssize_t ret = 0;
	bool huge;

	for (; left; addr += ret, left -= ret, len -= ret) {
		if (!len) {
			len = one_kind(addr, left, &huge);
			crk_mm_thp_disable(current->mm, was_disabled || !huge);
		}
		ret = fatal_signal_pending(current) ? -EINTR : fill_some(prog, step, addr, len, &pos);
		if (ret < 0)
			break;
		cond_resched();
	}
	crk_mm_thp_disable(current->mm, was_disabled);
	return ret < 0 ? ret : 0;
}
