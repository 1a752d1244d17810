// SPDX-License-Identifier: GPL-2.0
/*
 * Page contents of a frozen process or of a snapshot, written straight into a file: one copy, from its pages to the
 * page cache.
 * Pages are pinned by batches, so that neither a system call nor a lock is paid per page, and protections do not
 * matter: /proc/PID/mem may refuse PROT_NONE pages (CONFIG_PROC_MEM_FORCE_PTRACE).
 */
#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "frozen.h"

#define READ_BATCH	512	/* pages */
#define RANGE_BATCH	256
#define DROP_PAGES	4096	/* are given back at once: fewer would be more work than they are worth */

/**
 * struct read_batch - pages that are held, to be written together
 * @pages: referenced
 * @vecs: the same as segments
 * @nr: entries of @pages
 * @snap: what they are of, NULL: a process
 * @end: address after the last of them
 * @nr_written: pages of @snap that were written and are not yet given back
 */
struct read_batch {
	struct page *pages[READ_BATCH];
	struct bio_vec vecs[READ_BATCH];
	u32 nr;
	struct crk_snap *snap;
	u64 end;
	u32 nr_written;
};

static void batch_put(struct read_batch *b)
{
	while (b->nr)
		put_page(b->pages[--b->nr]);
}

/* neighbours in memory become one segment */
static u32 batch_vecs(struct read_batch *b)
{
	u32 i, nr = 0;

	for (i = 0; i < b->nr; i++) {
		if (i && b->pages[i] == b->pages[i - 1] + 1 &&
		    page_to_pfn(b->pages[i]) == page_to_pfn(b->pages[i - 1]) + 1)
			b->vecs[nr - 1].bv_len += PAGE_SIZE;
		else
			b->vecs[nr++] = (struct bio_vec){ .bv_page = b->pages[i], .bv_len = PAGE_SIZE };
	}
	return nr;
}

static int batch_drop(struct read_batch *b, const struct crk_read *cmd, u32 min_pages)
{
	int ret;

	if (!(cmd->flags & CRK_READ_DROP) || b->nr_written < min_pages)
		return 0;
	ret = crk_snap_drop(b->snap, b->end);
	b->nr_written = 0;
	return ret;
}

static int batch_write(struct read_batch *b, struct file *file, struct crk_read *cmd)
{
	size_t len = (size_t)b->nr << PAGE_SHIFT;
	u32 nr_vecs = batch_vecs(b);
	loff_t pos = cmd->file_off + cmd->out_len;
	struct iov_iter iter;
	ssize_t ret = 0;

	iov_iter_bvec(&iter, ITER_SOURCE, b->vecs, nr_vecs, len);
	while (iov_iter_count(&iter)) {
		ret = crk_vfs_iter_write(file, &iter, &pos);
		if (ret <= 0)
			break;
		cmd->out_len += ret;
	}
	b->nr_written += b->nr;
	batch_put(b);
	if (iov_iter_count(&iter))
		return ret < 0 ? ret : -ENOSPC;
	return batch_drop(b, cmd, DROP_PAGES);
}

/* the kernel's, since to find it by the process makes it one of its pages; how many */
static long vdso_get(struct mm_struct *mm, unsigned long addr, struct page **page_ret)
{
	struct page *page = crk_arch.vdso_page ? crk_arch.vdso_page(mm, addr) : NULL;

	if (!page)
		return 0;
	get_page(page);
	*page_ret = page;
	return 1;
}

static int range_read(struct mm_struct *mm, const struct crk_range *r, struct read_batch *b, struct file *file,
		      struct crk_read *cmd, struct crk_log *log)
{
	u64 addr = r->addr, end = r->addr + r->len;
	int ret = 0;

	while (!ret && addr < end) {
		long got, want = min_t(u64, (end - addr) >> PAGE_SHIFT, READ_BATCH - b->nr);

		if (mmap_read_lock_killable(mm))
			return -EINTR;
		got = vdso_get(mm, addr, b->pages + b->nr) ?:
		      get_user_pages_remote(mm, addr, want, FOLL_FORCE, b->pages + b->nr, NULL);
		mmap_read_unlock(mm);
		if (b->snap && crk_snap_lost(b->snap)) {
			b->nr += max(got, 0L);
			return crk_log(log, -ESTALE, "snapshot %u is lost", cmd->snapshot);
		}
		if (got <= 0)
			return crk_log(log, -EFAULT, "address %llx can't be read (%ld)", addr, got);
		b->nr += got;
		addr += (u64)got << PAGE_SHIFT;
		b->end = addr;
		if (b->nr == READ_BATCH)
			ret = batch_write(b, file, cmd);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	return ret;
}

static bool range_valid(const struct crk_range *r)
{
	u64 end;

	return PAGE_ALIGNED(r->addr) && PAGE_ALIGNED(r->len) && !check_add_overflow(r->addr, r->len, &end) &&
	       end <= TASK_SIZE_MAX;
}

static int ranges_read(struct mm_struct *mm, struct read_batch *b, struct file *file, struct crk_read *cmd,
		       struct crk_log *log)
{
	struct crk_range *ranges __free(kvfree) = NULL;
	u32 done, n, i;
	int ret = 0;

	ranges = kvmalloc_array(RANGE_BATCH, sizeof(*ranges), GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return -ENOMEM;
	for (done = 0; !ret && done < cmd->nr; done += n) {
		n = min_t(u32, cmd->nr - done, RANGE_BATCH);
		if (copy_from_user(ranges, u64_to_user_ptr(cmd->ranges_uptr) + (u64)done * sizeof(*ranges),
				   n * sizeof(*ranges)))
			return -EFAULT;
		for (i = 0; !ret && i < n; i++) {
			if (!range_valid(&ranges[i]))
				return crk_log(log, -EINVAL, "range %u: %llx, %llx bytes: not whole pages of a process",
					       done + i, ranges[i].addr, ranges[i].len);
			ret = range_read(mm, &ranges[i], b, file, cmd, log);
		}
	}
	if (!ret && b->nr)
		ret = batch_write(b, file, cmd);
	return ret ?: batch_drop(b, cmd, 1);
}

static int read_to_file(struct mm_struct *mm, struct crk_snap *snap, struct file *file, struct crk_read *cmd,
			struct crk_log *log)
{
	struct read_batch *b;
	int ret;

	if (!(file->f_mode & FMODE_WRITE) || !S_ISREG(file_inode(file)->i_mode) || !file->f_op->write_iter)
		return crk_log(log, -EBADF, "file_fd %d: not a regular file open for writing", cmd->file_fd);
	b = kvzalloc(sizeof(*b), GFP_KERNEL_ACCOUNT);
	if (!b)
		return -ENOMEM;
	b->snap = snap;
	ret = ranges_read(mm, b, file, cmd, log);
	batch_put(b);
	kvfree(b);
	return ret;
}

int crk_read(struct crk_job *job, struct crk_read *cmd, struct crk_log *log)
{
	struct crk_snap *snap = NULL;
	struct mm_struct *mm;
	struct file *file;
	int ret;

	cmd->out_len = 0;
	if (cmd->file_off > S64_MAX || (cmd->snapshot ? cmd->pid : cmd->flags))
		return -EINVAL;
	if (cmd->snapshot) {
		snap = crk_snap_find(job, cmd->snapshot);
		if (!snap)
			return -ESRCH;
		mm = crk_snap_get_mm(snap);
		if (!mm)
			return crk_log(log, -ESTALE, "snapshot %u is lost", cmd->snapshot);
	} else {
		mm = job->state == CRK_JOB_DUMP ? crk_frozen_mm_get(job, cmd->pid) : ERR_PTR(-EBUSY);
		if (IS_ERR(mm))
			return PTR_ERR(mm);
	}
	file = fget(cmd->file_fd);
	ret = file ? read_to_file(mm, snap, file, cmd, log) : -EBADF;
	if (file)
		fput(file);
	mmput(mm);
	return ret;
}
