/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The dump half of the contract of /dev/crk: tasks, their records, mappings, pages and descriptors, after
 * CRK_IOC_FREEZE.  Part of crk.h, which says what is true of all calls.
 */
#ifndef _UAPI_CRK_DUMP_H
#define _UAPI_CRK_DUMP_H

#ifndef _UAPI_CRK_H
#error "include crk.h"
#endif

/* CRK_TASK_*: struct crk_task.flags */
#define CRK_TASK_LEADER		(1U << 0)	/* thread group leader */
#define CRK_TASK_ZOMBIE		(1U << 1)	/* exited, not yet waited for; exit_code is valid */
#define CRK_TASK_STOPPED	(1U << 2)	/* in group stop */
#define CRK_TASK_TRACED		(1U << 3)	/* has a tracer */
#define CRK_TASK_VFORK		(1U << 4)	/* asleep in vfork until its child execs or exits */
#define CRK_TASK_WORKER		(1U << 5)	/* io_uring or vhost worker */
#define CRK_TASK_SECCOMP	(1U << 6)	/* has a seccomp filter or strict mode */
#define CRK_TASK_SUBREAPER	(1U << 7)	/* the process is a child subreaper */
#define CRK_TASK_SESSION_TTY	(1U << 8)	/* the session has a controlling terminal */
#define CRK_TASK_DEAD		(1U << 9)	/* exited leader with live threads */
#define CRK_TASK_NO_NEW_PRIVS	(1U << 10)
#define CRK_TASK_MEMPOLICY	(1U << 11)	/* has a NUMA memory policy: set_mempolicy() */

/**
 * struct crk_task - one thread of the frozen cgroup
 * @tid: thread id; equals @tgid for the leader
 * @tgid: process id
 * @ppid: process id of the real parent; 0 if it has none in the caller's pid namespace
 * @pgid: process group, 0 if not visible to the caller
 * @sid: session, 0 if not visible to the caller
 * @flags: CRK_TASK_*
 * @exit_code: as wait4() encodes it, for CRK_TASK_ZOMBIE and CRK_TASK_DEAD
 * @exit_signal: signal to the parent at exit; -1 for a thread
 * @start_ns: CLOCK_BOOTTIME of its start
 * @mm_id: identity of its address space, 0 if it has none
 * @files_id: identity of its table of open files
 * @fs_id: identity of its cwd, root and umask
 * @sighand_id: identity of its signal actions
 * @sysvsem_id: identity of its SysV semaphore undo list, 0 if none
 * @utime_ns: user CPU time
 * @stime_ns: system CPU time
 * @tracer_tid: thread id of the tracer, 0 if none or not visible
 * @oom_score_adj: of the process
 * @pdeath_signal: signal at death of the parent
 * @nr_levels: valid entries of @ns_tid, 1 to CRK_MAX_PID_LEVELS
 * @ns_tid: thread id in its own pid namespace first, then in each ancestor
 * @comm: name, NUL-terminated
 * @pid_ns_id: identity of its pid namespace
 * @cgroup_id: kernfs id of its cgroup
 * @ns_id: equal: in the same namespaces, all kinds
 * @paths_id: equal: the same root, working directory and umask
 * @program_id: equal: the same executable (/proc/PID/exe)
 * @limits_id: equal: the same resource limits
 * @sched_id: equal: the same policy with its parameters, affinity and I/O priority
 *
 * Identities are keyed hashes of kernel addresses: equal within a job if and only if the object is the same.  Those
 * from @ns_id on are of contents: equal ones say that what could be asked for is the same, different ones nothing; 0
 * of what has exited, and from modules that do not tell.  Those of a process are of its leader, or of all threads if
 * that has exited.
 */
struct crk_task {
	__s32 tid;
	__s32 tgid;
	__s32 ppid;
	__s32 pgid;
	__s32 sid;
	__u32 flags;
	__u32 exit_code;
	__s32 exit_signal;
	__aligned_u64 start_ns;
	__aligned_u64 mm_id;
	__aligned_u64 files_id;
	__aligned_u64 fs_id;
	__aligned_u64 sighand_id;
	__aligned_u64 sysvsem_id;
	__aligned_u64 utime_ns;
	__aligned_u64 stime_ns;
	__s32 tracer_tid;
	__s32 oom_score_adj;
	__u32 pdeath_signal;
	__u32 nr_levels;
	__s32 ns_tid[CRK_MAX_PID_LEVELS];
	__u8 comm[16];
	__aligned_u64 pid_ns_id;
	__aligned_u64 cgroup_id;
	__aligned_u64 ns_id;
	__aligned_u64 paths_id;
	__aligned_u64 program_id;
	__aligned_u64 limits_id;
	__aligned_u64 sched_id;
};
#define CRK_TASK_SIZE_VER0	272
#define CRK_TASK_SIZE_VER1	312	/* ns_id and what follows */

/**
 * struct crk_tasks - CRK_IOC_TASKS: list the threads of the frozen cgroup
 * @size: sizeof(struct crk_tasks) as the caller knows it
 * @flags: 0
 * @tasks_uptr: array of struct crk_task
 * @nr: entries at @tasks_uptr; 0 only counts
 * @entry_size: sizeof(struct crk_task) as the caller knows it
 * @out_nr: threads there are
 * @__reserved: 0
 *
 * Order: the threads of one process follow each other, leader first; processes in the order of the kernel's list,
 * which is the order of their creation.
 *
 * Errors: EBUSY not frozen by this job; ENOSPC @nr is less than @out_nr, nothing was written but @out_nr.
 */
struct crk_tasks {
	__u32 size;
	__u32 flags;
	__aligned_u64 tasks_uptr;
	__u32 nr;
	__u32 entry_size;
	__u32 out_nr;
	__u32 __reserved;
};
#define CRK_TASKS_SIZE_VER0	32
#define CRK_IOC_TASKS		_IO(CRK_IOC_MAGIC, 0x04)

/**
 * struct crk_capture - CRK_IOC_CAPTURE: state of threads and processes as records of crk_regs.h
 * @size: sizeof(struct crk_capture) as the caller knows it
 * @flags: 0
 * @tid: one thread; 0 all threads of the frozen cgroup, in the order of CRK_IOC_TASKS
 * @__reserved: 0
 * @buf_uptr: where the records go
 * @buf_len: bytes at @buf_uptr
 * @cursor: in: 0, or @cursor of the call before; out: where to go on, or CRK_CURSOR_END
 * @out_len: bytes written; the records of one task are never split over two calls
 * @log_uptr: the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @__reserved2: 0
 *
 * Each task begins with CRK_REC_TASK.  Zombies have no other record.  A leader carries the records of the process.
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such thread; ENOSPC not even one task fits.
 */
struct crk_capture {
	__u32 size;
	__u32 flags;
	__s32 tid;
	__u32 __reserved;
	__aligned_u64 buf_uptr;
	__aligned_u64 buf_len;
	__aligned_u64 cursor;
	__aligned_u64 out_len;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 __reserved2;
};
#define CRK_CURSOR_END		(~0ULL)
#define CRK_CAPTURE_SIZE_VER0	64
#define CRK_IOC_CAPTURE		_IO(CRK_IOC_MAGIC, 0x05)

/* CRK_VMA_*: struct crk_vma.flags; the kernel's VM_* by name, since their numbers differ between kernels */
#define CRK_VMA_READ		(1ULL << 0)
#define CRK_VMA_WRITE		(1ULL << 1)
#define CRK_VMA_EXEC		(1ULL << 2)
#define CRK_VMA_SHARED		(1ULL << 3)
#define CRK_VMA_MAYREAD		(1ULL << 4)
#define CRK_VMA_MAYWRITE	(1ULL << 5)
#define CRK_VMA_MAYEXEC		(1ULL << 6)
#define CRK_VMA_MAYSHARE	(1ULL << 7)
#define CRK_VMA_GROWSDOWN	(1ULL << 8)
#define CRK_VMA_LOCKED		(1ULL << 9)
#define CRK_VMA_LOCKONFAULT	(1ULL << 10)
#define CRK_VMA_SEQ_READ	(1ULL << 11)	/* MADV_SEQUENTIAL */
#define CRK_VMA_RAND_READ	(1ULL << 12)	/* MADV_RANDOM */
#define CRK_VMA_DONTCOPY	(1ULL << 13)	/* MADV_DONTFORK */
#define CRK_VMA_WIPEONFORK	(1ULL << 14)	/* MADV_WIPEONFORK */
#define CRK_VMA_DONTDUMP	(1ULL << 15)	/* MADV_DONTDUMP */
#define CRK_VMA_HUGEPAGE	(1ULL << 16)	/* MADV_HUGEPAGE */
#define CRK_VMA_NOHUGEPAGE	(1ULL << 17)	/* MADV_NOHUGEPAGE */
#define CRK_VMA_MERGEABLE	(1ULL << 18)	/* MADV_MERGEABLE */
#define CRK_VMA_NORESERVE	(1ULL << 19)
#define CRK_VMA_ACCOUNT		(1ULL << 20)	/* counted for overcommit: private and writable once */
#define CRK_VMA_HUGETLB		(1ULL << 21)
#define CRK_VMA_IO		(1ULL << 22)	/* device memory (VM_IO or VM_PFNMAP) */
#define CRK_VMA_SPECIAL		(1ULL << 23)	/* made by the kernel: vdso, vvar, …; @name says which */
#define CRK_VMA_UFFD		(1ULL << 24)	/* registered with userfaultfd */
#define CRK_VMA_SEALED		(1ULL << 25)	/* mseal() */
#define CRK_VMA_SYSV_SHM	(1ULL << 26)	/* SysV shared memory; @ino is the shmid */
#define CRK_VMA_SHADOW_STACK	(1ULL << 27)
#define CRK_VMA_DROPPABLE	(1ULL << 28)
#define CRK_VMA_NAMED		(1ULL << 29)	/* anonymous, named by PR_SET_VMA_ANON_NAME; @name is its start */
#define CRK_VMA_ANON_VMA	(1ULL << 30)	/* private pages were or are present */
#define CRK_VMA_SHMEM		(1ULL << 31)	/* the file is on tmpfs's internal mount or a tmpfs */
#define CRK_VMA_SECRETMEM	(1ULL << 32)
#define CRK_VMA_AIO_RING	(1ULL << 33)
#define CRK_VMA_MEMPOLICY	(1ULL << 34)	/* has a NUMA memory policy: mbind() */

/**
 * struct crk_vma - one mapping
 * @start: first address
 * @end: address after the last
 * @flags: CRK_VMA_*
 * @pgoff: offset into the file, bytes
 * @file_id: identity of the struct file, 0 for anonymous memory
 * @inode_id: identity of the inode, 0 for anonymous memory
 * @ino: inode number, or the shmid
 * @dev: device of the inode, as makedev() encodes it in userspace (new_encode_dev)
 * @page_shift: log2 of the page size, for CRK_VMA_HUGETLB
 * @pkey: protection key
 * @file_flags: f_flags of the file
 * @name: name of a special or named mapping ("[vdso]", "[vvar]", …), NUL-terminated; [stack] and [heap] are not named
 * @anon_vma_id: identity of the mapping's anon_vma; neighbours that differ here only were not merged
 */
struct crk_vma {
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 flags;
	__aligned_u64 pgoff;
	__aligned_u64 file_id;
	__aligned_u64 inode_id;
	__aligned_u64 ino;
	__u32 dev;
	__u16 page_shift;
	__u16 pkey;
	__u32 file_flags;
	__u32 __reserved;
	__u8 name[80];
	__aligned_u64 anon_vma_id;
};
#define CRK_VMA_SIZE_VER0	160

/**
 * struct crk_vmas - CRK_IOC_VMAS: the mappings of a frozen process, in order of address
 * @size: sizeof(struct crk_vmas) as the caller knows it
 * @flags: 0
 * @pid: process or thread
 * @entry_size: sizeof(struct crk_vma) as the caller knows it
 * @vmas_uptr: array of struct crk_vma
 * @nr: entries at @vmas_uptr
 * @out_nr: entries written
 * @start: in: first address to look at; out: where to go on, or CRK_CURSOR_END
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such task in the cgroup.
 */
struct crk_vmas {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 entry_size;
	__aligned_u64 vmas_uptr;
	__u32 nr;
	__u32 out_nr;
	__aligned_u64 start;
};
#define CRK_VMAS_SIZE_VER0	40
#define CRK_IOC_VMAS		_IO(CRK_IOC_MAGIC, 0x06)

/* CRK_PAGE_*: struct crk_pages.flags */
#define CRK_PAGE_ANON		(1U << 0)	/* private to the process, or copied on write: to be saved */
#define CRK_PAGE_FILE		(1U << 1)	/* page cache, shared memory included */
#define CRK_PAGE_ZERO		(1U << 2)	/* the shared zero page */
#define CRK_PAGE_MAYSHARE	(1U << 3)	/* anonymous and not exclusive: may be shared copy-on-write */
#define CRK_PAGE_SWAP		(1U << 4)	/* not in memory, has contents */
#define CRK_PAGE_HUGE		(1U << 5)	/* mapped by a huge page table entry */
#define CRK_PAGE_SOFT_DIRTY	(1U << 6)	/* may have been written since "4" went to /proc/PID/clear_refs */
#define CRK_PAGE_GUARD		(1U << 7)	/* no page: MADV_GUARD_INSTALL */
#define CRK_PAGE_POISONED	(1U << 8)	/* no page: UFFDIO_POISON, or what was in it is lost */
#define CRK_PAGE_UNTRACKED	(1U << 9)	/* may change without CRK_PAGE_SOFT_DIRTY, then and from now on */

/**
 * struct crk_pages - a run of equal pages; absent pages are in no run
 * @addr: first address
 * @nr: number of pages
 * @flags: CRK_PAGE_*
 */
struct crk_pages {
	__aligned_u64 addr;
	__u32 nr;
	__u32 flags;
};
#define CRK_PAGES_SIZE_VER0	16

/**
 * struct crk_pagerun - CRK_IOC_PAGES: page facts of a range of a frozen process
 * @size: sizeof(struct crk_pagerun) as the caller knows it
 * @flags: 0
 * @pid: process or thread
 * @entry_size: sizeof(struct crk_pages) as the caller knows it
 * @start: in: first address; out: where to go on, or @end
 * @end: address after the last
 * @pages_uptr: array of struct crk_pages
 * @nr: entries at @pages_uptr
 * @out_nr: entries written
 * @ids_uptr: array of u64, one for each page of the CRK_PAGE_MAYSHARE runs written, in their order: identity of the
 *	physical page; may be 0
 * @nr_ids: entries at @ids_uptr
 * @out_nr_ids: entries written
 *
 * The range may span mappings; addresses without one, special and device mappings are skipped.  Nothing is
 *	faulted in.
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such task in the cgroup.
 */
struct crk_pagerun {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 entry_size;
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 pages_uptr;
	__u32 nr;
	__u32 out_nr;
	__aligned_u64 ids_uptr;
	__u32 nr_ids;
	__u32 out_nr_ids;
};
#define CRK_PAGERUN_SIZE_VER0	64
#define CRK_IOC_PAGES		_IO(CRK_IOC_MAGIC, 0x07)

/**
 * struct crk_range - addresses in a process
 * @addr: page-aligned
 * @len: bytes, whole pages
 */
struct crk_range {
	__aligned_u64 addr;
	__aligned_u64 len;
};

#define CRK_SNAPSHOT_LOCKED	(1U << 0)	/* memory that is locked (CRK_VMA_LOCKED), too */

/**
 * struct crk_snapshot - CRK_IOC_SNAPSHOT: duplicate the memory of a frozen process copy-on-write
 * @size: sizeof(struct crk_snapshot) as the caller knows it
 * @flags: CRK_SNAPSHOT_*
 * @pid: process or thread
 * @out_id: names the duplicate in struct crk_read, never 0
 * @log_uptr: the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @__reserved: 0
 *
 * The duplicate keeps what the memory was at the freeze, also after CRK_IOC_THAW, until the job ends.  In it are all
 * private mappings, those with CRK_VMA_DONTCOPY and CRK_VMA_WIPEONFORK included; not CRK_VMA_SHARED, MAYSHARE,
 * HUGETLB, IO and SPECIAL ones, nor without CRK_SNAPSHOT_LOCKED those with CRK_VMA_LOCKED: these are read before the
 * thaw.
 *
 * A kernel thread in all but name ("crk-snapshot") has the duplicate as its memory.  It is no child of the process, and
 * it is the first to be killed when memory runs out.  From the thaw on each page that the process writes to is copied
 * once, at the expense of its own memory cgroup.  A failure changes nothing.
 *
 * Errors: EBUSY not frozen by this job, or the memory is shared with a task outside of the cgroup; ESRCH no such task
 * in the cgroup, or it has no memory; EOPNOTSUPP without CRK_FEAT_SNAPSHOT, or a mapping is registered with
 * userfaultfd; ENOMEM for page tables or, with vm.overcommit_memory 2, beyond the limit; EAGAIN no more tasks can be
 * made.
 */
struct crk_snapshot {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 out_id;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 __reserved;
};
#define CRK_SNAPSHOT_SIZE_VER0	32
#define CRK_IOC_SNAPSHOT	_IO(CRK_IOC_MAGIC, 0x0D)

#define CRK_READ_DROP		(1U << 0)	/* of a snapshot: give back the memory up to the last page written */

/**
 * struct crk_read - CRK_IOC_READ: write pages of a frozen process, or of a snapshot, to a file
 * @size: sizeof(struct crk_read) as the caller knows it
 * @flags: CRK_READ_*
 * @pid: process or thread; 0 with @snapshot
 * @file_fd: a regular file open for writing
 * @file_off: where to write, bytes; the ranges follow each other without gaps
 * @ranges_uptr: array of struct crk_range; the pages should be present, absent ones are faulted in
 * @nr: entries at @ranges_uptr
 * @snapshot: read this one, of CRK_IOC_SNAPSHOT, and not a process; 0: none
 * @out_len: bytes written, also after an error
 * @log_uptr: the reason of a failure as text; may be 0
 * @log_size: bytes at @log_uptr
 * @__reserved2: 0
 *
 * One copy, from the target's pages into the file.  Protections do not matter: PROT_NONE pages are read too.
 * A snapshot can be read after CRK_IOC_THAW too; with CRK_READ_DROP in the order of addresses only, since all below the
 * last page that was written is gone then.
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such task or snapshot; ESTALE the snapshot is lost, since memory ran
 * out or somebody killed its holder; EFAULT a page can't be read, the log says which; those of write(2).
 */
struct crk_read {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__s32 file_fd;
	__aligned_u64 file_off;
	__aligned_u64 ranges_uptr;
	__u32 nr;
	__u32 snapshot;
	__aligned_u64 out_len;
	__aligned_u64 log_uptr;
	__u32 log_size;
	__u32 __reserved2;
};
#define CRK_READ_SIZE_VER0	64
#define CRK_IOC_READ		_IO(CRK_IOC_MAGIC, 0x08)

#define CRK_FD_CLOEXEC		(1U << 0)
#define CRK_FD_LOCKS		(1U << 1)	/* somebody holds locks or leases on its inode */
#define CRK_FD_WATCHED		(1U << 2)	/* some epoll(7) file watches it, whosever */

/**
 * struct crk_fd - one open file descriptor
 * @fd: number
 * @flags: CRK_FD_*
 * @file_id: identity of the struct file
 * @inode_id: identity of its inode
 * @ino: inode number
 * @dev: device, as struct crk_vma.dev
 * @mode: i_mode: type and permissions
 * @f_flags: open(2) flags
 * @f_mode: bit 0 readable, bit 1 writable, bit 2 O_PATH
 * @pos: file offset
 */
struct crk_fd {
	__u32 fd;
	__u32 flags;
	__aligned_u64 file_id;
	__aligned_u64 inode_id;
	__aligned_u64 ino;
	__u32 dev;
	__u32 mode;
	__u32 f_flags;
	__u32 f_mode;
	__aligned_u64 pos;
};
#define CRK_FD_SIZE_VER0	56

/**
 * struct crk_files - CRK_IOC_FILES: the open files of a frozen process or of the caller, in order of number
 * @size: sizeof(struct crk_files) as the caller knows it
 * @flags: 0
 * @pid: process or thread; 0: the caller, to tell which of its files are also a frozen process's
 * @entry_size: sizeof(struct crk_fd) as the caller knows it
 * @fds_uptr: array of struct crk_fd
 * @nr: entries at @fds_uptr
 * @out_nr: entries written
 * @first_fd: in: first number to look at; out: where to go on, or CRK_FD_END
 * @__reserved: 0
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such task in the cgroup.
 */
struct crk_files {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 entry_size;
	__aligned_u64 fds_uptr;
	__u32 nr;
	__u32 out_nr;
	__u32 first_fd;
	__u32 __reserved;
};
#define CRK_FD_END		(~0U)
#define CRK_FILES_SIZE_VER0	40
#define CRK_IOC_FILES		_IO(CRK_IOC_MAGIC, 0x09)

/**
 * struct crk_queue - CRK_IOC_QUEUE: the pieces in which a unix stream socket's unread bytes came
 * @size: sizeof(struct crk_queue) as the caller knows it
 * @flags: 0
 * @fd: a unix stream socket, open in the caller
 * @nr: entries at @lens_uptr
 * @lens_uptr: array of __u32: bytes of each piece, oldest first
 * @out_nr: pieces there are; if more than @nr, the first @nr are given
 * @__reserved: 0
 *
 * The first piece is as long as it came, though a part of it may have been read since: the sum of all, less what
 * SIOCINQ says, is that part.  recvmsg(MSG_PEEK) does not tell where pieces end, and says of passed descriptors that
 * they belong to bytes before theirs.  Source: sk_receive_queue of the socket.
 *
 * Errors: EBUSY nothing is frozen by this job; EBADF no such descriptor; ENOTSOCK, EINVAL not a unix stream socket.
 */
struct crk_queue {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 nr;
	__aligned_u64 lens_uptr;
	__u32 out_nr;
	__u32 __reserved;
};
#define CRK_QUEUE_SIZE_VER0	32
#define CRK_IOC_QUEUE		_IO(CRK_IOC_MAGIC, 0x0A)

/**
 * struct crk_fd_get - CRK_IOC_FD_GET: a descriptor of a frozen process becomes one of the caller's too
 * @size: sizeof(struct crk_fd_get) as the caller knows it
 * @flags: 0
 * @pid: process or thread
 * @fd: its number there
 * @out_fd: its number here, close-on-exec
 * @__reserved: 0
 *
 * As pidfd_getfd(2), which knows no way to the threads of a process whose leader has exited.
 *
 * Errors: EBUSY not frozen by this job; ESRCH no such task in the cgroup; EBADF no such descriptor; EMFILE.
 */
struct crk_fd_get {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 fd;
	__s32 out_fd;
	__u32 __reserved;
};
#define CRK_FD_GET_SIZE_VER0	24
#define CRK_IOC_FD_GET		_IO(CRK_IOC_MAGIC, 0x0B)

/**
 * struct crk_events - CRK_IOC_EVENTS: what waits in an inotify descriptor, without taking it
 * @size: sizeof(struct crk_events) as the caller knows it
 * @flags: 0
 * @fd: an inotify descriptor, open in the caller
 * @out_next_wd: where the kernel begins to look for the number of the next new watch; at least 1
 * @buf_uptr: where the events go: struct inotify_event with names, oldest first, as read(2) gives them
 * @buf_len: bytes at @buf_uptr
 * @out_len: bytes that all events take; if more than @buf_len, those that fit are given
 *
 * Source: notification list of the descriptor's fsnotify group.
 *
 * Errors: EBUSY nothing is frozen by this job; EBADF no such descriptor; EINVAL not one of inotify; EOPNOTSUPP no
 * CRK_FEAT_INOTIFY.
 */
struct crk_events {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 out_next_wd;
	__aligned_u64 buf_uptr;
	__aligned_u64 buf_len;
	__aligned_u64 out_len;
};
#define CRK_EVENTS_SIZE_VER0	40
#define CRK_IOC_EVENTS		_IO(CRK_IOC_MAGIC, 0x0C)

#endif /* _UAPI_CRK_DUMP_H */
