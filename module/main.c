// SPDX-License-Identifier: GPL-2.0
/*
 * Load, unload, /dev/crk, the table of ioctls.  Checks here what is common to all calls: size, flags, capability,
 * opener and state of the job; what a call does is in the file of its noun.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "frozen.h"

union crk_cmd {
	struct { u32 size, flags; } head;
	struct crk_info info;
	struct crk_freeze freeze;
	struct crk_verify verify;
	struct crk_thaw thaw;
	struct crk_tasks tasks;
	struct crk_capture capture;
	struct crk_vmas vmas;
	struct crk_pagerun pages;
	struct crk_read read;
	struct crk_snapshot snapshot;
	struct crk_files files;
	struct crk_queue queue;
	struct crk_fd_get fd_get;
	struct crk_events events;
	struct crk_restore restore;
	struct crk_program program;
	struct crk_park park;
	struct crk_wait wait;
	struct crk_set set;
	struct crk_go go;
	struct crk_events_put events_put;
	struct crk_vdso vdso;
	struct crk_lazy lazy;
};

/* ---- the calls that are no file's own ---- */

static int run_info(struct crk_job *job, union crk_cmd *cmd, struct crk_log *log)
{
	cmd->info.out_abi = CRK_ABI;
	cmd->info.out_machine = crk_arch.machine;
	cmd->info.out_features = crk_arch.features;
	cmd->info.out_page_size = PAGE_SIZE;
	if (crk_guard_off())
		crk_log(log, 0, "guard against foreign thaws: %s", crk_guard_off());
	else
		cmd->info.out_features |= CRK_FEAT_FREEZE_GUARD;
	if (IS_ENABLED(CONFIG_RSEQ))
		cmd->info.out_features |= CRK_FEAT_RSEQ;
	if (IS_ENABLED(CONFIG_RSEQ) && CRK_HAVE_RSEQ_LEN)
		cmd->info.out_features |= CRK_FEAT_RSEQ_LEN;
	if (IS_ENABLED(CONFIG_RSEQ_SLICE_EXTENSION))
		cmd->info.out_features |= CRK_FEAT_RSEQ_SLICE;
	if (crk_events_can())
		cmd->info.out_features |= CRK_FEAT_INOTIFY;
	if (crk_snapshot_can())
		cmd->info.out_features |= CRK_FEAT_SNAPSHOT;
	if (IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
		cmd->info.out_features |= CRK_FEAT_SOFT_DIRTY;
	cmd->info.out_features |= CRK_FEAT_FILL_PIPE;
	if (crk_lazy_can())
		cmd->info.out_features |= CRK_FEAT_LAZY;
	crk_symbols_missing(log);
	return 0;
}

static int run_thaw(struct crk_job *job, union crk_cmd *cmd, struct crk_log *log)
{
	crk_freeze_end(job, cmd->thaw.flags & CRK_THAW_LEAVE_FROZEN, &cmd->thaw.out_frozen_ns);
	return 0;
}

static int run_restore(struct crk_job *job, union crk_cmd *cmd, struct crk_log *log)
{
	if (job->state != CRK_JOB_NEW)
		return -EBUSY;
	return crk_gate_create(job, &cmd->restore);
}

/* ---- the table ---- */

#define RUN(name, call)										\
	static int run_##name(struct crk_job *job, union crk_cmd *cmd, struct crk_log *log)	\
	{											\
		return call;									\
	}
RUN(freeze, crk_freeze(job, &cmd->freeze, log))
RUN(verify, crk_freeze_verify(job, &cmd->verify, log))
RUN(tasks, crk_tasks(job, &cmd->tasks))
RUN(capture, crk_capture(job, &cmd->capture, log))
RUN(vmas, crk_vmas(job, &cmd->vmas))
RUN(pages, crk_pages(job, &cmd->pages))
RUN(read, crk_read(job, &cmd->read, log))
RUN(snapshot, crk_snapshot(job, &cmd->snapshot, log))
RUN(files, crk_files(job, &cmd->files))
RUN(queue, crk_queue(&cmd->queue))
RUN(fd_get, crk_fd_get(job, &cmd->fd_get))
RUN(events, crk_events(&cmd->events))
RUN(program, crk_program(job, &cmd->program, log))
RUN(park, crk_park(job, &cmd->park))
RUN(wait, crk_wait(job, &cmd->wait, log))
RUN(set, crk_set(job, &cmd->set, log))
RUN(go, crk_go(job, &cmd->go, log))
RUN(events_put, crk_events_put(&cmd->events_put))
RUN(vdso, crk_vdso(&cmd->vdso))
RUN(lazy, crk_lazy(job))

#define OPENER	BIT(0)		/* the opener's process only, job->lock is held */
#define FROZEN	BIT(1)		/* the job holds a frozen cgroup */
#define GATE	BIT(2)		/* the job is a restore */
#define RESTORED BIT(3)		/* comes from a task that the opener made: it has its own credentials by then */

/**
 * struct crk_ioctl - one row of the table
 * @run: does it
 * @min: size of the first version of the struct
 * @size: its size now
 * @log: offset of log_uptr, which log_size follows; 0 if the call has none
 * @reserved: offset of a u32 that must be 0, 0 if there is none
 * @reserved2: another
 * @flags: known bits of flags
 * @need: OPENER, …
 */
struct crk_ioctl {
	int (*run)(struct crk_job *job, union crk_cmd *cmd, struct crk_log *log);
	u16 min, size, log, reserved, reserved2;
	u32 flags;
	u32 need;
};

#define ROW(NAME, func, type, VER0, needs, ...)							\
	[_IOC_NR(CRK_IOC_##NAME)] = { .run = func, .min = VER0, .size = sizeof(struct type),	\
				      .need = needs, __VA_ARGS__ }
#define LOG(type)	.log = offsetof(struct type, log_uptr)
#define RES(type)	.reserved = offsetof(struct type, __reserved)
#define RES2(type)	RES(type), .reserved2 = offsetof(struct type, __reserved2)
#define FLAGS(mask)	.flags = (mask)

static const struct crk_ioctl crk_ioctls[] = {
	ROW(INFO, run_info, crk_info, CRK_INFO_SIZE_VER0, 0, LOG(crk_info), RES2(crk_info)),
	ROW(FREEZE, run_freeze, crk_freeze, CRK_FREEZE_SIZE_VER0, OPENER, LOG(crk_freeze)),
	ROW(VERIFY, run_verify, crk_verify, CRK_VERIFY_SIZE_VER0, OPENER | FROZEN, LOG(crk_verify)),
	ROW(THAW, run_thaw, crk_thaw, CRK_THAW_SIZE_VER0, OPENER | FROZEN, FLAGS(CRK_THAW_LEAVE_FROZEN)),
	ROW(TASKS, run_tasks, crk_tasks, CRK_TASKS_SIZE_VER0, OPENER | FROZEN, RES(crk_tasks)),
	ROW(CAPTURE, run_capture, crk_capture, CRK_CAPTURE_SIZE_VER0, OPENER | FROZEN, LOG(crk_capture),
	    RES2(crk_capture)),
	ROW(VMAS, run_vmas, crk_vmas, CRK_VMAS_SIZE_VER0, OPENER | FROZEN),
	ROW(PAGES, run_pages, crk_pagerun, CRK_PAGERUN_SIZE_VER0, OPENER | FROZEN),
	/* a snapshot is read when nothing is frozen any more: checked there */
	ROW(READ, run_read, crk_read, CRK_READ_SIZE_VER0, OPENER, LOG(crk_read), FLAGS(CRK_READ_DROP),
	    .reserved2 = offsetof(struct crk_read, __reserved2)),
	ROW(SNAPSHOT, run_snapshot, crk_snapshot, CRK_SNAPSHOT_SIZE_VER0, OPENER | FROZEN, LOG(crk_snapshot),
	    RES(crk_snapshot), FLAGS(CRK_SNAPSHOT_LOCKED)),
	ROW(FILES, run_files, crk_files, CRK_FILES_SIZE_VER0, OPENER | FROZEN, RES(crk_files)),
	ROW(QUEUE, run_queue, crk_queue, CRK_QUEUE_SIZE_VER0, OPENER | FROZEN, RES(crk_queue)),
	ROW(FD_GET, run_fd_get, crk_fd_get, CRK_FD_GET_SIZE_VER0, OPENER | FROZEN, RES(crk_fd_get)),
	ROW(EVENTS, run_events, crk_events, CRK_EVENTS_SIZE_VER0, OPENER | FROZEN),
	ROW(RESTORE, run_restore, crk_restore, CRK_RESTORE_SIZE_VER0, OPENER, RES(crk_restore)),
	ROW(PROGRAM, run_program, crk_program, CRK_PROGRAM_SIZE_VER0, RESTORED, LOG(crk_program),
	    RES(crk_program), FLAGS(CRK_PROGRAM_SHARED)),
	ROW(PARK, run_park, crk_park, CRK_PARK_SIZE_VER0, RESTORED),
	ROW(WAIT, run_wait, crk_wait, CRK_WAIT_SIZE_VER0, OPENER | GATE, LOG(crk_wait)),
	ROW(SET, run_set, crk_set, CRK_SET_SIZE_VER0, OPENER | GATE, LOG(crk_set), FLAGS(CRK_SET_TIMES)),
	ROW(GO, run_go, crk_go, CRK_GO_SIZE_VER0, OPENER | GATE, LOG(crk_go), FLAGS(CRK_GO_PREPARE)),
	ROW(EVENTS_PUT, run_events_put, crk_events_put, CRK_EVENTS_PUT_SIZE_VER0, OPENER | GATE),
	ROW(LAZY, run_lazy, crk_lazy, CRK_LAZY_SIZE_VER0, OPENER),
	ROW(VDSO, run_vdso, crk_vdso, CRK_VDSO_SIZE_VER0, 0, RES2(crk_vdso)),
};

/* ---- the device ---- */

static bool is_opener(const struct crk_job *job)
{
	return task_tgid(current) == job->opener;
}

static u32 cmd_u32(const union crk_cmd *cmd, u16 off)
{
	return off ? *(const u32 *)((const u8 *)cmd + off) : 0;
}

static int job_run(struct crk_job *job, const struct crk_ioctl *row, union crk_cmd *cmd, struct crk_log *log)
{
	int ret;

	if (!(row->need & OPENER)) {
		/* set once, by crk_gate_create() in the opener's context */
		if (row->need & RESTORED && !READ_ONCE(job->gate))
			return -EBUSY;
		return row->run(job, cmd, log);
	}
	if (!is_opener(job))
		return -EPERM;
	ret = mutex_lock_interruptible(&job->lock);
	if (ret)
		return ret;
	if ((row->need & FROZEN && job->state != CRK_JOB_DUMP) || (row->need & GATE && job->state != CRK_JOB_RESTORE))
		ret = -EBUSY;
	else
		ret = row->run(job, cmd, log);
	mutex_unlock(&job->lock);
	return ret;
}

/*
 * The struct is copied in and out in the size that both sides know.  Results are given back after an error too: some
 * calls tell more that way, and the fields are as they came when a call set none.
 */
static long crk_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	void __user *uptr = (void __user *)arg;
	struct crk_job *job = file->private_data;
	const struct crk_ioctl *row;
	union crk_cmd cmd = {};
	struct crk_log log = {};
	u64 log_uptr = 0;
	u32 size, log_size = 0;
	int ret;

	if (_IOC_TYPE(nr) != CRK_IOC_MAGIC || _IOC_DIR(nr) != _IOC_NONE || _IOC_SIZE(nr) ||
	    _IOC_NR(nr) >= ARRAY_SIZE(crk_ioctls))
		return -ENOTTY;
	row = &crk_ioctls[array_index_nospec(_IOC_NR(nr), ARRAY_SIZE(crk_ioctls))];
	if (!row->run)
		return -ENOTTY;
	if (!(row->need & RESTORED) && !checkpoint_restore_ns_capable(current_user_ns()))
		return -EPERM;
	if (get_user(size, (u32 __user *)uptr))
		return -EFAULT;
	if (size < row->min || size > PAGE_SIZE)
		return size < row->min ? -EINVAL : -E2BIG;
	ret = copy_struct_from_user(&cmd, row->size, uptr, size);
	if (ret)
		return ret;
	cmd.head.size = size;
	if (cmd.head.flags & ~row->flags || cmd_u32(&cmd, row->reserved) || cmd_u32(&cmd, row->reserved2))
		return -EINVAL;
	if (row->log) {
		log_uptr = *(u64 *)((u8 *)&cmd + row->log);
		log_size = cmd_u32(&cmd, row->log + sizeof(u64));
		ret = crk_log_init(&log, log_uptr, log_size);
		if (ret)
			return ret;
	}
	ret = job_run(job, row, &cmd, &log);
	crk_log_flush(&log, log_uptr, log_size);
	if (copy_to_user(uptr, &cmd, min_t(u32, size, row->size)))
		return ret ?: -EFAULT;
	return ret;
}

static int crk_open(struct inode *inode, struct file *file)
{
	struct crk_job *job;

	if (!checkpoint_restore_ns_capable(current_user_ns()))
		return -EPERM;
	job = crk_job_create();
	if (IS_ERR(job))
		return PTR_ERR(job);
	file->private_data = job;
	return 0;
}

static int is_this_file(const void *this, struct file *file, unsigned int fd)
{
	return file == this;
}

/*
 * Called for every close().  Restored tasks inherit the file, so release() may come late or, when they are parked for
 * good, never: the opener's last close counts, the one of its exit included.
 */
static int crk_flush(struct file *file, fl_owner_t files)
{
	struct crk_job *job = file->private_data;

	if (!is_opener(job))
		return 0;
	/* a fork that fails closes its copies in the name of the parent */
	if (!(current->flags & PF_EXITING) && files != current->files)
		return 0;
	/* at exit the table is torn down as a whole, and its entries may still be there */
	if (!(current->flags & PF_EXITING) && (!files || iterate_fd(files, 0, is_this_file, file)))
		return 0;
	if (READ_ONCE(job->lazy) && files)
		crk_lazy_end(files);
	crk_job_close(job);
	return 0;
}

static int crk_release(struct inode *inode, struct file *file)
{
	struct crk_job *job = file->private_data;

	crk_job_close(job);
	crk_job_put(job);
	return 0;
}

static const struct file_operations crk_fops = {
	.owner = THIS_MODULE,
	.open = crk_open,
	.flush = crk_flush,
	.release = crk_release,
	.unlocked_ioctl = crk_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice crk_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "crk",
	.fops = &crk_fops,
	.mode = 0600,
};

static int __init crk_init(void)
{
	int ret;

	ret = crk_symbols_init();
	if (ret)
		return ret;
	ret = crk_snapshot_init();
	if (ret)
		return ret;
	crk_freeze_guard_init();	/* CRK_IOC_INFO tells when there is none */
	ret = misc_register(&crk_device);
	if (ret) {
		crk_freeze_guard_exit();
		crk_snapshot_exit();
	}
	return ret;
}

static void __exit crk_exit(void)
{
	misc_deregister(&crk_device);
	crk_freeze_guard_exit();
	crk_snapshot_exit();
	rcu_barrier();			/* memory of jobs */
}

module_init(crk_init);
module_exit(crk_exit);
MODULE_DESCRIPTION("Checkpoint and restore of process trees");
MODULE_LICENSE("GPL");
