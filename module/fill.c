// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_OP_FILL: reads a range of an open file into memory of the restored process, whatever its protection.  Knows no
 * image format.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/uio.h>

#include "restore.h"

#define BOUNCE_SIZE	SZ_256K

int crk_fill_check(struct crk_prog *prog, struct crk_step *step)
{
	const struct crk_op *op = &step->op;
	u64 end;

	if (!step->file)
		return crk_step_err(prog, step, -EBADF, "no file");
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

int crk_fill_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long addr = step->op.addr;
	size_t left = step->op.len, len = 0;
	loff_t pos = step->op.off;
	bool direct = false;
	ssize_t ret;

	for (; left; addr += ret, left -= ret, len -= ret) {
		if (!len)
			len = stretch(addr, left, &direct);
		if (!len)
			return crk_step_err(prog, step, -EFAULT, "nothing is mapped at %#lx", addr);
		ret = direct ? read_direct(step->file, &pos, addr, len) : read_bounced(step->file, &pos, addr, len);
		if (ret < 0)
			return crk_step_err(prog, step, ret, "cannot fill %#lx from offset %lld of fd %d", addr, pos,
					    step->op.fd);
		if (!ret)
			return crk_step_err(prog, step, -EIO, "image truncated: fd %d ends at %lld", step->op.fd, pos);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}
