/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the helper share: the options, the model of a dump, the model of a restore.
 * Kinds of files (files/), properties of tasks (task/) and memory (mem/) see only this header and image.h.
 */
#ifndef _CRK_HELPER_H
#define _CRK_HELPER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "crk.h"
#include "crk_regs.h"
#include "image.h"
#include "index.h"
#include "log.h"
#include "util.h"

/* exit status of crkhelper */
#define CRK_EXIT_DONE		0
#define CRK_EXIT_FAILED		1	/* target as before */
#define CRK_EXIT_USAGE		2
#define CRK_EXIT_DOUBT		3	/* target gone or in doubt */

/* what --inherit-fd names: "pipe:[12]", "tty:[8801]", … */
struct crk_inherit {
	int fd;
	const char *what;
};

/* filled once by opts.c, const afterwards */
struct crk_opts {
	const char *images_dir;		/* -D */
	const char *cgroup;		/* -g: path below the cgroup2 mount, or absolute */
	pid_t tree;			/* -t, 0 if not given */
	bool leave_running, leave_stopped, leave_frozen;
	bool pre_dump;			/* the subcommand: pages only; leave_running and track_mem come with it */
	bool track_mem;
	const char *prev_images;	/* --prev-images-dir, as seen from images_dir */
	enum crk_pack_algorithm compress;
	enum crk_snapshots { CRK_SNAPSHOTS_AUTO, CRK_SNAPSHOTS_ALWAYS, CRK_SNAPSHOTS_NEVER } snapshots;
	bool refuse_traced;
	bool restore_times;
	bool lazy_pages;
	bool detach;			/* -d */
	bool check_only;		/* --check */
	bool shell_job;			/* -j: session and terminal come from outside */
	bool link_remap;
	bool json;
	unsigned int timeout_ms;	/* --timeout, default 10 s */
	unsigned int retry;		/* --retry, times */
	uint64_t ghost_limit;	/* --ghost-limit, bytes; 0: any size */
	const char *pidfile;
	const char *fault;		/* --fault: what to do as if it were so, for tests */
	struct crk_inherit *inherit;
	size_t nr_inherit;
	int verbose;
};

/* ---- dump ---- */

/* shield.c: what @run returns, or -errno; a SIGKILL for the helper does not stop it, the helper waits for it */
int crk_shielded(int (*run)(void *arg), void *arg);

struct crk_dump;

/* a process of the frozen cgroup */
struct crk_dproc {
	const struct crk_task *leader;	/* and its other threads behind it */
	size_t nr_threads;
	const struct crk_task *live;	/* a thread that has memory and files: the leader, unless it has exited */
	pid_t pid;
	bool zombie;
	int pidfd;			/* -1 for zombies and those without a living leader */
	int procfd;			/* /proc/TID of @live, O_PATH */
	/* records of CRK_IOC_CAPTURE; one pointer and length per thread, the leader's with the process's records */
	const struct crk_rec **recs;
	size_t *recs_len;
	const struct crk_rec_mm *mm;
	const struct crk_rec_actions *actions;
	struct crk_fd *fds;		/* empty if files_of */
	size_t nr_fds;
	struct crk_dproc *files_of;	/* shares its table of open files with this earlier process; else NULL */
	struct crk_dproc *fs_of;	/* the same for cwd, root, umask */
	struct crk_dproc *mm_of;	/* the same for its memory */
	bool has_children;		/* in the dump, zombies not counted */
	struct crk_vma *vmas;
	size_t nr_vmas;
	struct crk_dproc *parent;	/* NULL if outside the dump */
};

/* a cgroup: the dump's or one below it */
struct crk_dcgroup {
	uint64_t id;			/* inode number of its directory */
	char *path;			/* below the dump's, "": that */
};

struct crk_dump {
	const struct crk_opts *opts;
	struct crk_imgdir *dir;
	int dev;			/* /dev/crk */
	int cgroup_fd;
	struct crk_task *tasks;
	size_t nr_tasks;
	struct crk_dproc *procs;	/* in the order of the kernel's list; parents come before children if alive */
	size_t nr_procs;
	struct crk_index index;		/* collect.c: processes by pid, and the first with each shared object */
	struct crk_dcgroup *cgroups;
	size_t nr_cgroups, room_cgroups;
	void *recs;			/* all records */
	size_t recs_len;
	struct crk_dump_files *files;	/* files_registry.c: struct file identity → image id */
	struct crk_dump_mem *mem;	/* mem/: inode identity → shared memory id, pages written */
	uint64_t frozen_ns;		/* length of the freeze */
	uint64_t pages_written;
	uint64_t pages_in_parent;	/* not written: the parent checkpoint has them */
	uint64_t pack_before, pack_after;	/* bytes of pages images that were compressed, and what they take */
	uint64_t pages_later;		/* of those written, by snapshots: when the cgroup ran again */
	size_t nr_snapshots;
	bool no_snapshots;		/* one was lost: this is the second try */
	bool snapshot_lost;
	bool frozen;
};

/* dump: a signal asked to give up; looked at between phases and while memory is copied */
extern volatile sig_atomic_t crk_dump_interrupted;

/* next record of @type in a thread's records, after @prev (NULL: the first); NULL if there is none */
const void *crk_rec_find(const struct crk_rec *recs, size_t len, uint32_t type, const void *prev);
/* an open file of @p: our duplicate, or -1 and errno */
int crk_dump_getfd(const struct crk_dump *d, const struct crk_dproc *p, int fd);
struct crk_dproc *crk_dump_proc(struct crk_dump *d, pid_t pid);	/* NULL if not in the dump */
pid_t crk_dump_owner(struct crk_dump *d, pid_t tid);	/* process of a thread of the dump, 0 if outside */

/* ---- files ---- */

/* one open file of a dump, and how it was found */
struct crk_dfile {
	struct crk_dproc *proc;		/* first process that has it */
	const struct crk_fd *facts;	/* from the module */
	uint32_t id;			/* in files.img */
	int fd;				/* our duplicate of it: pidfd_getfd(2); not for O_PATH tricks */
	const char *link;		/* /proc/PID/fd/N as readlink(2) gives it, 4095 bytes at most */
	struct stat st;
	const char *fdinfo;		/* text of /proc/PID/fdinfo/N */
};

struct crk_rst;
struct crk_rproc;

/**
 * struct crk_file_ops - a kind of open file; one per file in files/, listed in files/kinds.def
 * @name: as messages call it
 * @type: FD_TYPES__* in files.img
 * @early: for each descriptor in the dump, before any file is read: what that would change.  NULL: nothing
 * @probe: is this file mine?  First match in the order of kinds.def wins
 * @dump: fill @fe (its fields are freed by the caller with the arena of files_registry.c) and write the kind's other
 *	images; refuse with one sentence what can't be carried
 * @finish: after all files of the dump; checks that need all of them (both ends of a pipe).  NULL: nothing to do
 * @late: is there nothing to be opened before all processes exist?  Then @open is called when they do.  NULL: no
 * @plan: before anything is created: refuse what can't be opened here.  NULL: nothing to do
 * @open: make the file in the coordinating process; the new fd (O_CLOEXEC, any number) in @ret.  May call
 *	crk_rfile_get() for files it needs first
 * @connect: in the restored process when all its fds are in place, for kinds that name other fds or the process
 *	(epoll, controlling terminal); once per file.  NULL: nothing to do
 * @process: in each restored process, after all connects: what belongs to a process rather than to one of its
 *	descriptors (controlling terminal).  NULL: nothing to do
 * @complete: in the coordinator, for each file that was opened, when all processes and threads exist and are parked.
 *	NULL: nothing to do
 * @completes_last: when the coordinator has closed all others
 */
struct crk_file_ops {
	const char *name;
	int type;
	int (*early)(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts);
	bool (*probe)(const struct crk_dfile *f);
	int (*dump)(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe);
	int (*finish)(struct crk_dump *d);
	bool (*late)(struct crk_rst *r, const FileEntry *fe);
	int (*plan)(struct crk_rst *r, const FileEntry *fe);
	int (*open)(struct crk_rst *r, const FileEntry *fe, int *ret);
	int (*connect)(struct crk_rst *r, struct crk_rproc *p, const FileEntry *fe, int fd);
	int (*process)(struct crk_rst *r, struct crk_rproc *p);
	int (*complete)(struct crk_rst *r, const FileEntry *fe, int fd);
	bool completes_last;
};

/* files.c, files_registry.c: the dump, called by dump.c */
int crk_files_dump(struct crk_dump *d);			/* files.img, fdinfo-N.img, fs-PID.img of all processes */
/* id in files.img of a file that is not a descriptor (mapping, cwd, root, exe): kind reg or dir by path */
int crk_files_dump_path(struct crk_dump *d, struct crk_dproc *p, int fd, const char *link, uint32_t flags, uint32_t *id_ret);
/* when no file can come any more (after the memory): checks that need all of them, and closes files.img */
int crk_files_dump_end(struct crk_dump *d);
void crk_files_dump_free(struct crk_dump *d);
void crk_ghost_links_undo(struct crk_dump *d);	/* names of --link-remap, after a failure */
/* id of a struct file already seen, 0 if none (passed descriptors, epoll targets) */
uint32_t crk_files_id(struct crk_dump *d, uint64_t file_id);

/* files_restore.c, files_install.c, files/fs.c: the restore */
int crk_files_plan(struct crk_rst *r);		/* reads files.img; refuses what can't be opened here */
int crk_files_open_all(struct crk_rst *r);		/* in the coordinator, before any process is made */
int crk_rfile_get(struct crk_rst *r, uint32_t id, int *ret);	/* the coordinator's fd of file @id; borrowed */
const FileEntry *crk_rfile_entry(struct crk_rst *r, uint32_t id);	/* NULL if unknown */
int crk_files_open_late(struct crk_rst *r);		/* in the coordinator, when all processes exist */
/* in the restored process: puts every descriptor at its number, then connects; helper fds are >= r->fd_base */
int crk_files_install(struct crk_rst *r, struct crk_rproc *p);
int crk_fs_install(struct crk_rst *r, struct crk_rproc *p);		/* cwd, root, umask */
/* in the coordinator when all tasks are parked: owners of O_ASYNC, seals; closes the coordinator's copies */
int crk_files_complete(struct crk_rst *r);
void crk_ghost_links_remove(struct crk_rst *r);	/* names of --link-remap, when nothing can fail any more */
void crk_files_free(struct crk_rst *r);

/* ---- restore ---- */

struct crk_rthread {
	pid_t tid;
	CoreEntry *core;
	const struct crk_rec *recs;	/* from crk-core-TID.img */
	size_t recs_len;
};

/* a process to restore, or a helper that stands in for a session leader long gone */
struct crk_rproc {
	pid_t pid, ppid, pgid, sid;
	bool zombie;
	bool stand_in;			/* only there to create a session or group; exits when its children are made */
	uint32_t exit_code;		/* zombie: as wait4() encodes it */
	struct crk_rthread *threads;	/* leader first */
	size_t nr_threads;
	struct crk_rproc *parent;	/* NULL: child of the coordinator */
	struct crk_rproc **children;
	size_t nr_children;
	CrkTaskEntry *task;		/* crk-task-PID.img */
	FsEntry *fs;
	FdinfoEntry **fds;		/* in order of their numbers */
	size_t nr_fds;
	uint32_t files_img;		/* number of its fdinfo image */
	struct crk_rproc *files_of, *fs_of;
	bool files_shared;		/* is files_of of others */
	struct crk_rproc *mm_of;	/* has the memory of this earlier process, which brings it */
	uint32_t parking;		/* if so: it is on its way into the module, its maker may go on */
	struct crk_rmem *mem;		/* mem/: mappings, memory program */
};

/* a cgroup to restore: that of the tree first, then those below it, parents before children */
struct crk_rcgroup {
	CrkCgroupEntry *e;
	bool made;			/* by this restore: it did not exist */
	int fd;				/* its directory; -1 before it is there */
};

struct crk_rst {
	const struct crk_opts *opts;
	struct crk_imgdir *dir;
	int dev;
	int cgroup_fd;			/* where the restored tasks go */
	struct crk_rcgroup *cgroups;	/* empty if the images say nothing of them */
	size_t nr_cgroups;
	bool births_killed;		/* tasks can't be born in these cgroups: they have to go there */
	bool said_why;			/* why it fails: what its processes say then only follows from it */
	struct crk_rproc *procs;	/* parents before children */
	size_t nr_procs;
	struct crk_index index;		/* plan.c: processes by pid, and the first with each shared object */
	size_t nr_tasks;		/* threads that will park */
	int fd_base;			/* target descriptors are below, the helper's own at or above */
	struct crk_rst_files *files;
	struct crk_rst_mem *mem;
	struct crk_sync *sync;		/* tree.c: shared between all processes of the restore */
};

struct crk_rproc *crk_restore_proc(struct crk_rst *r, pid_t pid);	/* NULL if not in the images */

/* ---- memory (mem/) ---- */

int crk_mem_dump_prepare(struct crk_dump *d);	/* before the freeze */
int crk_mem_dump(struct crk_dump *d);		/* mm-PID, pagemap-PID, pages-N, shared memory, crk-vma, crk-cow; frozen */
int crk_mem_pre_dump(struct crk_dump *d);	/* pagemap-PID, pages-N; frozen */
void crk_frames_inventory(CrkInventoryEntry *inv);	/* frames.c: what the kernel's signal frames look like */
int crk_mem_dump_later(struct crk_dump *d);	/* the rest of pages-N, from snapshots; thawed */
/* tracking.c, in this order, frozen: what the inventory says of it; then writes are tracked, for the dump that follows */
int crk_tracking_inventory(struct crk_dump *d, CrkInventoryEntry *inv);
int crk_tracking_start(struct crk_dump *d);
void crk_mem_dump_free(struct crk_dump *d);

int crk_mem_plan(struct crk_rst *r);	/* reads mm, pagemap, crk-vma, crk-cow; refuses what can't be mapped here */
int crk_mem_open_all(struct crk_rst *r);	/* coordinator: files to map, shared memory made and filled */
/* in process @p, in this order: */
int crk_mem_stage(struct crk_rst *r, struct crk_rproc *p);	/* before its children are made: pages they share with it */
/* the last thing a process does: CRK_IOC_PROGRAM; returns only on failure */
int crk_mem_run(struct crk_rst *r, struct crk_rproc *p);
/* lazy.c: coordinator, when all are parked: registers what comes later, and starts crkhelper lazy-pages, which brings it */
pid_t crk_lazy_find(void);		/* a crkhelper lazy-pages that runs; 0: none does */
const char *crk_lazy_off(void);		/* why userfaultfd can't be used here; NULL: it can */
int crk_lazy_start(struct crk_rst *r);
int crk_lazy_collect(struct crk_rst *r);	/* now and then before: processes may be waiting to be heard */
/* in process @p, as long as it has all rights: hands over its userfaultfd */
int crk_lazy_hand_over(struct crk_rst *r, struct crk_rproc *p);
int crk_frames_convert(struct crk_rst *r);	/* frames.c: coordinator, when all are parked: signal frames of another kernel */
void crk_mem_free(struct crk_rst *r);
/*
 * feed.c: coordinator, from when the tree stands (it makes no processes meanwhile) until all are parked; _check() and _stop()
 * give what went wrong, said
 */
int crk_feeders_start(struct crk_rst *r);
int crk_feeders_check(struct crk_rst *r);
int crk_feeders_stop(struct crk_rst *r);

/* ---- properties of tasks (task/) ---- */

/**
 * struct crk_prop_ops - one property of processes or threads; one per file in task/, listed in task/props.def
 * @name: as messages call it
 * @dump: facts of a live process @p into @te and the threads' @cores (p->nr_threads of them)
 * @check: before anything is created.  NULL: nothing to check
 * @restore_early: in the process's leader, still with all privileges, before its threads are made
 * @restore_thread: in each thread (leader included) just before it parks; runs in the order of props.def
 * @restore_outside: by the coordinator when all are parked, for what another process may set (limits, scheduling, …)
 */
struct crk_prop_ops {
	const char *name;
	int (*dump)(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores);
	int (*check)(struct crk_rst *r, const struct crk_rproc *p);
	int (*restore_early)(struct crk_rst *r, struct crk_rproc *p);
	int (*restore_thread)(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t);
	int (*restore_outside)(struct crk_rst *r, struct crk_rproc *p);
};

int crk_task_dump(struct crk_dump *d);		/* core-TID, crk-core-TID, crk-task-PID, pstree, ids of all processes */
/*
 * Before a dump kills its processes: ends those first that hold SysV semaphores (SEM_UNDO), where others have given some.
 * Values stop at 0, so what was given must not be taken back before what was taken of it has come back.
 */
void crk_semundo_end(struct crk_dump *d);

/* ---- dev.c: the only file that calls the module; 0 or negative errno, the module's reason already printed ---- */

int crk_module_insert(void);
int crk_dev_open(int *ret);			/* loads the module if needed */
int crk_dev_info(int dev, struct crk_info *out);
int crk_dev_lazy(int dev);	/* from now on, who waits for memory from this process dies with it */
int crk_dev_freeze(int dev, int cgroup_fd, unsigned int timeout_ms, struct crk_freeze *out);
int crk_dev_verify(int dev, uint32_t *nr_thaws_ret);
int crk_dev_thaw(int dev, bool leave_frozen, uint64_t *frozen_ns_ret);
int crk_dev_tasks(int dev, struct crk_task **ret, size_t *nr_ret);		/* malloc'ed */
int crk_dev_capture(int dev, void **ret, size_t *len_ret);			/* malloc'ed: all threads */
int crk_dev_vmas(int dev, pid_t pid, struct crk_vma **ret, size_t *nr_ret);	/* malloc'ed */
int crk_dev_pages(int dev, struct crk_pagerun *cmd);				/* one call, cursor in cmd->start */
int crk_dev_read(int dev, pid_t pid, int file_fd, uint64_t off, const struct crk_range *ranges, uint32_t nr);
/* *@id_ret names it; silent: why not in @why */
int crk_dev_snapshot(int dev, pid_t pid, bool locked_too, uint32_t *id_ret, char *why, size_t size);
/* gives back what was written, so call it in the order of addresses; -ESTALE, silently: the snapshot is lost */
int crk_dev_read_snapshot(int dev, uint32_t id, pid_t pid, int file_fd, uint64_t off, const struct crk_range *ranges,
			  uint32_t nr);
int crk_dev_files(int dev, pid_t pid, struct crk_fd **ret, size_t *nr_ret);	/* malloc'ed */
int crk_dev_file_id(int dev, int fd, uint64_t *ret);	/* of a descriptor of ours; silent */
int crk_dev_fd_get(int dev, pid_t tid, int fd);				/* here, or negative errno */
int crk_dev_queue(int dev, int fd, uint32_t **ret, size_t *nr_ret);		/* malloc'ed */
/* what waits in an inotify descriptor, malloc'ed; without a word if it is none (-EINVAL), or by -EOPNOTSUPP */
int crk_dev_events(int dev, int fd, void **ret, size_t *len_ret, uint32_t *next_wd_ret);
/* call it in a process of its own */
int crk_dev_vdso(int dev, uint32_t kind, void *text, uint32_t len, uint64_t *text_len_ret, uint64_t *data_len_ret);
int crk_dev_restore(int dev, uint32_t nr_tasks);
int crk_dev_program(int dev, struct crk_program *cmd);				/* returns only on failure */
int crk_dev_park(int dev);							/* returns only on failure */
int crk_dev_wait(int dev, unsigned int timeout_ms, struct crk_wait *out);
int crk_dev_set(int dev, const void *recs, size_t len, bool times);
int crk_dev_events_put(int dev, int fd, const void *buf, size_t len);	/* the caller says it */
int crk_dev_go(int dev, bool prepare);

/* ---- cgroup.c ---- */

int crk_cgroup_open(const char *path, int *ret);	/* O_PATH-less directory fd, by -g syntax */
int crk_cgroup_of(pid_t pid, char **path_ret);		/* path below the mount */
int crk_cgroup_create(const char *path, int *ret);
int crk_cgroup_add(int cgroup_fd, pid_t pid);
int crk_cgroup_kill(int cgroup_fd);			/* cgroup.kill, waits until it is empty */
int crk_cgroup_freeze(int cgroup_fd, bool freeze);	/* plain cgroup.freeze, waits for "frozen 1" when freezing */
int crk_cgroup_remove(const char *path);

/* watch.c: a watcher's life: when the process of @pidfd has ended it calls @run, with no descriptor but that */
void crk_watch_main(int pidfd, bool speaks, void (*run)(void *arg), void *arg) __attribute__((noreturn));

/* ---- what works here (probe.c) ---- */

struct crk_host_abi;
const struct crk_host_abi *crk_abi_find(uint32_t abi);	/* of this machine, by CRK_ABI_*; NULL: it has no such */
bool crk_abi_works(const struct crk_host_abi *a);	/* the kernel may have it and not allow it */

/* ---- cgroups.c ---- */

int crk_cgroups_dump(struct crk_dump *d);		/* crk-cgroup.img */
const char *crk_cgroups_path(const struct crk_dump *d, uint64_t id);	/* NULL if there is none with that kernel id */
void crk_cgroups_dump_free(struct crk_dump *d);
int crk_cgroups_plan(struct crk_rst *r);		/* reads crk-cgroup.img */
bool crk_cgroups_known(const struct crk_rst *r, const char *path);
void crk_cgroups_free(struct crk_rst *r);

/* ---- subcommands; return the exit status ---- */

int crk_cmd_dump(const struct crk_opts *opts);
int crk_cmd_restore(const struct crk_opts *opts);
int crk_cmd_run(const struct crk_opts *opts, char **argv);
int crk_cmd_check(const struct crk_opts *opts);
int crk_cmd_show(const struct crk_opts *opts);
int crk_cmd_dedup(const struct crk_opts *opts);

#endif /* _CRK_HELPER_H */
