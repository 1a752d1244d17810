// SPDX-License-Identifier: GPL-2.0
/*
 * The open files of a frozen process as fixed records: numbers and identities.  What kind of file it is and what is
 * in it userspace finds out through pidfd_getfd(2); for the one thing that it can't see there is CRK_IOC_QUEUE.
 */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/kdev_t.h>
#include <linux/net.h>
#include <linux/sched/task.h>
#include <net/sock.h>

#include "frozen.h"

#define FD_BATCH	128

struct fd_walk {
	struct crk_job *job;
	struct files_struct *files;
	struct crk_fd *batch;
	u32 nr;
	u32 max;
};

/* a glance: those of the frozen tasks do not change */
static bool has_locks(const struct inode *inode)
{
	const struct file_lock_context *ctx = locks_inode_context(inode);

	return ctx && (!list_empty_careful(&ctx->flc_flock) || !list_empty_careful(&ctx->flc_posix) ||
		       !list_empty_careful(&ctx->flc_lease));
}

static bool is_watched(const struct file *file)
{
#ifdef CONFIG_EPOLL
	return READ_ONCE(file->f_ep);
#else
	return false;
#endif
}

/* called under files->file_lock; not 0 stops the walk and is handed on: the number of the file, plus one */
static int fd_get(const void *arg, struct file *file, unsigned int fd)
{
	struct fd_walk *walk = (struct fd_walk *)arg;
	struct inode *inode = file_inode(file);
	struct crk_fd *out;

	if (walk->nr == walk->max)
		return fd + 1;
	out = &walk->batch[walk->nr++];
	memset(out, 0, sizeof(*out));
	out->fd = fd;
	if (test_bit(fd, files_fdtable(walk->files)->close_on_exec))
		out->flags |= CRK_FD_CLOEXEC;
	if (has_locks(inode))
		out->flags |= CRK_FD_LOCKS;
	if (is_watched(file))
		out->flags |= CRK_FD_WATCHED;
	out->file_id = crk_job_id(walk->job, file);
	out->inode_id = crk_job_id(walk->job, inode);
	out->ino = inode->i_ino;
	out->dev = new_encode_dev(inode->i_sb->s_dev);
	out->mode = inode->i_mode;
	out->f_flags = file->f_flags;
	out->f_mode = (file->f_mode & FMODE_READ ? BIT(0) : 0) | (file->f_mode & FMODE_WRITE ? BIT(1) : 0) |
		      (file->f_mode & FMODE_PATH ? BIT(2) : 0);
	out->pos = file->f_pos;
	return 0;
}

int crk_files(struct crk_job *job, struct crk_files *cmd)
{
	struct crk_fd *batch __free(kvfree) = NULL;
	struct fd_walk walk = { .job = job };
	u32 first = cmd->first_fd;
	struct task_struct *t;
	int ret = 0;

	cmd->out_nr = 0;
	if (cmd->flags || cmd->__reserved || cmd->entry_size < CRK_FD_SIZE_VER0)
		return -EINVAL;
	batch = kvmalloc_array(FD_BATCH, sizeof(*batch), GFP_KERNEL_ACCOUNT);
	if (!batch)
		return -ENOMEM;
	t = cmd->pid ? crk_frozen_task_get(job, cmd->pid) : get_task_struct(current);
	if (IS_ERR(t))
		return PTR_ERR(t);
	walk.batch = batch;
	while (!ret && first != CRK_FD_END && cmd->out_nr < cmd->nr) {
		int next = 0;

		walk.nr = 0;
		walk.max = min_t(u32, FD_BATCH, cmd->nr - cmd->out_nr);
		task_lock(t);
		walk.files = t->files;
		if (walk.files)
			next = iterate_fd(walk.files, first, fd_get, &walk);
		else
			ret = -ESRCH;
		task_unlock(t);
		first = next ? next - 1 : CRK_FD_END;
		if (!ret)
			ret = crk_copy_records(cmd->fds_uptr, cmd->entry_size, cmd->out_nr, batch, sizeof(*batch),
					       walk.nr);
		cmd->out_nr += walk.nr;
	}
	put_task_struct(t);
	cmd->first_fd = first;
	return ret;
}

struct fd_wanted {
	unsigned int fd;
	struct file *file;
};

/* under files->file_lock; the walk begins at the number that is wanted, and ends with the first that is there */
static int file_get(const void *arg, struct file *file, unsigned int fd)
{
	struct fd_wanted *wanted = (struct fd_wanted *)arg;

	if (fd == wanted->fd)
		wanted->file = get_file(file);
	return 1;
}

int crk_fd_get(struct crk_job *job, struct crk_fd_get *cmd)
{
	struct fd_wanted wanted = { .fd = cmd->fd };
	struct task_struct *t;
	int ret;

	cmd->out_fd = -1;
	if (cmd->flags || cmd->fd > INT_MAX)
		return -EINVAL;
	t = crk_frozen_task_get(job, cmd->pid);
	if (IS_ERR(t))
		return PTR_ERR(t);
	task_lock(t);
	if (t->files)
		iterate_fd(t->files, cmd->fd, file_get, &wanted);
	task_unlock(t);
	put_task_struct(t);
	if (!wanted.file)
		return -EBADF;
	ret = crk_receive_fd(wanted.file, O_CLOEXEC);
	fput(wanted.file);
	if (ret < 0)
		return ret;
	cmd->out_fd = ret;
	return 0;
}

int crk_queue(struct crk_queue *cmd)
{
	u32 *lens __free(kvfree) = NULL;
	struct sk_buff_head *queue;
	struct socket *sock;
	struct sk_buff *skb;
	u32 nr = 0;
	int ret;

	cmd->out_nr = 0;
	sock = sockfd_lookup(cmd->fd, &ret);
	if (!sock)
		return ret;
	ret = sock->sk->sk_family == AF_UNIX && sock->type == SOCK_STREAM ? 0 : -EINVAL;
	queue = &sock->sk->sk_receive_queue;
	/* what comes now from a sender that is not frozen is left out */
	if (!ret)
		nr = min(cmd->nr, skb_queue_len_lockless(queue));
	if (nr) {
		lens = kvmalloc_array(nr, sizeof(*lens), GFP_KERNEL_ACCOUNT);
		ret = lens ? 0 : -ENOMEM;
	}
	if (!ret) {
		spin_lock(&queue->lock);
		skb_queue_walk(queue, skb) {
			if (cmd->out_nr < nr)
				lens[cmd->out_nr] = skb->len;
			cmd->out_nr++;
		}
		spin_unlock(&queue->lock);
		if (copy_to_user(u64_to_user_ptr(cmd->lens_uptr), lens,
				 min(nr, cmd->out_nr) * sizeof(*lens)))
			ret = -EFAULT;
	}
	sockfd_put(sock);
	return ret;
}
