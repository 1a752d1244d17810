// SPDX-License-Identifier: GPL-2.0
/*
 * The processes of a restore, from clone3() to the memory program: each is made by its parent with the pid it had,
 * makes its children, takes its place in session and group, gets properties, files and threads, and gives itself to
 * the module.  Who makes whom was decided by birth.c.  All signals are blocked until the module opens the gate.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../arch/host.h"
#include "restore.h"

/* of a process that is made in the memory of another; untouched pages of it cost nothing */
#define SHARER_STACK	(1 << 20)

/* pids for stand-ins that need none in particular are looked for from here */
#define TREE_SPARE_PID	300

static int proc_create(struct crk_rst *r, struct crk_rproc *p);
static int sharer_create(struct crk_rst *r, struct crk_rproc *p);

long crk_clone3(void *args, size_t size)
{
	return syscall(SYS_clone3, args, size);
}

/* at the bottom of its stack */
struct sharer_start {
	struct crk_rst *r;
	struct crk_rproc *p;
};

static pid_t *alive_slot(struct crk_rst *r, struct crk_rproc *p)
{
	return &r->sync->alive[crk_birth_of(r, p) - r->sync->births];
}

/* ---- in a process of the tree ---- */

static int create_children(struct crk_rst *r, struct crk_rproc *p, bool before_setsid)
{
	size_t i;
	int ret;

	for (i = 0; i < p->nr_children; i++) {
		if (p->children[i]->mm_of || crk_birth_of(r, p->children[i])->before_setsid != before_setsid)
			continue;
		ret = proc_create(r, p->children[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* one after the other, each until it is in the kernel: they use this memory, and so does this process */
static int create_sharers(struct crk_rst *r, struct crk_rproc *p)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < p->nr_children && !ret; i++)
		if (p->children[i]->mm_of)
			ret = sharer_create(r, p->children[i]);
	return ret;
}

static int make_session(struct crk_rproc *p)
{
	if (p->sid == p->pid && setsid() < 0)
		return crk_err(-errno, "pid %d: cannot make its session", p->pid);
	if (p->sid != p->pid && p->pgid == p->pid && setpgid(0, 0))
		return crk_err(-errno, "pid %d: cannot make its process group", p->pid);
	if (p->sid && getsid(0) != p->sid)
		return crk_fail(-EPROTO, "pid %d: is in session %d instead of %d", p->pid, getsid(0), p->sid);
	return 0;
}

static int join_group(struct crk_rproc *p)
{
	if (p->stand_in || !p->pgid || getpgrp() == p->pgid)
		return 0;
	if (setpgid(0, p->pgid))
		return crk_err(-errno, "pid %d: cannot enter process group %d", p->pid, p->pgid);
	return 0;
}

static int reap_stand_ins(struct crk_rproc **procs, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (procs[i]->stand_in && waitpid(procs[i]->pid, NULL, __WALL) < 0)
			return crk_err(-errno, "cannot wait for pid %d", procs[i]->pid);
	return 0;
}

static int await_zombies(struct crk_rproc *p)
{
	siginfo_t info;
	size_t i;

	for (i = 0; i < p->nr_children; i++)
		if (p->children[i]->zombie &&
		    waitid(P_PID, p->children[i]->pid, &info, WEXITED | WNOWAIT | __WALL))
			return crk_err(-errno, "pid %d: cannot wait for its zombie %d", p->pid, p->children[i]->pid);
	return 0;
}

/* what helpers' deaths and the terminal sent meanwhile; saved signals are queued after this */
static void drain_signals(void)
{
	struct timespec none = {};
	sigset_t all;

	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &none) > 0 || errno == EINTR)
		;
}

static void __attribute__((noreturn)) end_as_zombie(const struct crk_rproc *p)
{
	const CoreEntry *core = p->nr_threads ? p->threads[0].core : NULL;
	int sig = p->exit_code & 0x7f;
	sigset_t set;

	if (core && core->tc && core->tc->comm)
		prctl(PR_SET_NAME, core->tc->comm);
	if (sig) {
		/* no core file of the helper; the bit that says there was one is lost */
		prctl(PR_SET_DUMPABLE, 0);
		signal(sig, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, sig);
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	_exit(p->exit_code >> 8 & 0xff);
}

static int check_parent(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_rproc *want = crk_birth_of(r, p)->final_parent;

	if (want && getppid() != want->pid)
		return crk_fail(-EPROTO, "pid %d: is a child of %d instead of %d", p->pid, getppid(), want->pid);
	return 0;
}

/* from birth to the place in the tree */
static int proc_settle(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_birth *b = crk_birth_of(r, p);
	int ret;

	if (b->adopts && prctl(PR_SET_CHILD_SUBREAPER, 1))
		return crk_err(-errno, "pid %d: cannot become a subreaper", p->pid);
	if (!p->stand_in && !p->zombie) {
		ret = crk_mem_stage(r, p);
		if (ret)
			return ret;
	}
	ret = create_children(r, p, true);
	ret = ret ?: make_session(p);
	ret = ret ?: create_children(r, p, false);
	ret = ret ?: crk_sync_arrive(r->sync, CRK_BARRIER_CREATED);
	ret = ret ?: join_group(p);
	ret = ret ?: crk_sync_arrive(r->sync, CRK_BARRIER_GROUPED);
	ret = ret ?: reap_stand_ins(p->children, p->nr_children);
	if (ret || p->stand_in)
		return ret;
	return crk_sync_arrive(r->sync, CRK_BARRIER_ADOPTED);
}

/* from the place in the tree to the gate; returns only on failure */
static int proc_complete(struct crk_rst *r, struct crk_rproc *p)
{
	int ret;

	ret = check_parent(r, p);
	ret = ret ?: crk_lazy_hand_over(r, p);
	ret = ret ?: await_zombies(p);
	if (ret)
		return ret;
	drain_signals();
	ret = create_sharers(r, p);
	ret = ret ?: crk_props_run(r, p, CRK_PROP_EARLY);
	ret = ret ?: crk_files_install(r, p);
	ret = ret ?: crk_fs_install(r, p);
	ret = ret ?: crk_threads_create(r, p);
	ret = ret ?: crk_props_thread(r, p, &p->threads[0]);
	if (ret)
		return ret;
	/* a leader that exits again gets no state from the module, which would name it */
	if (((const struct crk_rec_task *)p->threads[0].recs)->flags & CRK_TASK_DEAD)
		prctl(PR_SET_NAME, crk_rproc_comm(p));
	crk_sync_close_last(r, p);
	return crk_mem_run(r, p);
}

static void __attribute__((noreturn)) proc_main(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_sync *s = r->sync;
	int ret;

	p->pid = getpid();
	crk_sync_born(alive_slot(r, p), p->pid);
	if (__atomic_load_n(&s->abort, __ATOMIC_SEQ_CST))
		_exit(CRK_EXIT_FAILED);
	crk_log_fd(s->log_fd);
	ret = crk_cgroups_enter(r, p, 0) ?: proc_settle(r, p);
	if (!ret && (p->stand_in || p->zombie)) {
		crk_sync_gone(alive_slot(r, p));
		if (p->zombie)
			end_as_zombie(p);
		_exit(0);
	}
	if (!ret)
		ret = proc_complete(r, p);
	/* the coordinator kills all, this process too */
	(void)ret;
	crk_sync_fail(s);
	for (;;)
		pause();
}

/* for the other ones this is the work of before, in one go: all that they could wait for is there */
static void sharer_main(void *arg)
{
	struct crk_rproc *p = ((struct sharer_start *)arg)->p;
	struct crk_rst *r = ((struct sharer_start *)arg)->r;

	crk_sync_born(alive_slot(r, p), getpid());
	if (__atomic_load_n(&r->sync->abort, __ATOMIC_SEQ_CST))
		_exit(CRK_EXIT_FAILED);
	if (!crk_cgroups_enter(r, p, 0) && !make_session(p) && !join_group(p))
		proc_complete(r, p);
	crk_sync_fail(r->sync);
	for (;;)
		pause();
}

/* ---- births ---- */

/* stand-ins without a number of their own take one that nobody will need; others have to have theirs */
static long clone_with_pid(struct crk_rst *r, struct crk_rproc *p, struct clone_args *args)
{
	pid_t pid = p->pid, spare = TREE_SPARE_PID;
	long ret;

	args->set_tid = (uintptr_t)&pid;
	args->set_tid_size = 1;
	for (;;) {
		if (!p->pid) {
			while (crk_pid_planned(r, spare) || !kill(spare, 0))
				spare++;
			pid = spare++;
		}
		ret = crk_clone3(args, sizeof(*args));
		if (ret < 0 && errno == EEXIST && !p->pid)
			continue;
		return ret < 0 ? -errno : ret;
	}
}

static void clone_args_fill(const struct crk_rproc *p, struct clone_args *args)
{
	args->exit_signal = p->task && p->task->has_exit_signal ? p->task->exit_signal : SIGCHLD;
	if (p->files_of)
		args->flags |= CLONE_FILES;
	if (p->fs_of)
		args->flags |= CLONE_FS;
}

static int clone_refused(const struct crk_rproc *p, long pid)
{
	char comm[17];

	if (pid == -EEXIST) {
		crk_pid_comm(p->pid, comm);
		return crk_fail(-EEXIST, "pid %d: cannot be made again, the number is taken (%s)", p->pid, comm);
	}
	if (pid == -EPERM) {
		crk_fail(-EPERM, "pid %d: not allowed to choose the pid of a new process", p->pid);
		crk_hint("run as root or with CAP_CHECKPOINT_RESTORE");
		return -EPERM;
	}
	return crk_err(pid, "pid %d: cannot make the process", p->pid);
}

static int proc_create(struct crk_rst *r, struct crk_rproc *p)
{
	struct clone_args args = {};
	long pid;

	clone_args_fill(p, &args);
	crk_cgroups_birth(r, p, 0, &args);
	pid = clone_with_pid(r, p, &args);
	if (!pid)
		proc_main(r, p);
	if (pid < 0)
		return clone_refused(p, pid);
	p->pid = pid;
	crk_sync_born(alive_slot(r, p), pid);
	return 0;
}

static int sharer_create(struct crk_rst *r, struct crk_rproc *p)
{
	/* never unmapped: the memory program does that */
	struct sharer_start *start = mmap(NULL, SHARER_STACK, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct clone_args args = {
		.flags = CLONE_VM,
		.stack = (uintptr_t)start,
		.stack_size = SHARER_STACK,
		.set_tid = (uintptr_t)&p->pid,
		.set_tid_size = 1,
	};
	long pid;

	if (start == MAP_FAILED)
		return crk_err(-errno, "pid %d: cannot make a stack", p->pid);
	*start = (struct sharer_start){ .r = r, .p = p };
	clone_args_fill(p, &args);
	crk_cgroups_birth(r, p, 0, &args);
	pid = crk_host->clone_thread(&args, sizeof(args), sharer_main, start);
	if (pid < 0)
		return clone_refused(p, pid);
	crk_sync_born(alive_slot(r, p), pid);
	crk_sync_sleep(&p->parking);
	return 0;
}

/* ---- in the coordinator ---- */

static int log_create(struct crk_rst *r)
{
	_cleanup_close_ int fd = memfd_create("crk-log", MFD_CLOEXEC);
	int high;

	if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND))
		return crk_err(-errno, "cannot make a file in memory");
	high = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	if (high < 0)
		return crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	r->sync->log_fd = high;
	return 0;
}

static int reap_own_stand_ins(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	struct crk_rproc *p;
	size_t i;
	int ret;

	for (i = 0; i < s->nr_stand_ins; i++) {
		p = &s->stand_ins[i];
		ret = p->parent ? 0 : reap_stand_ins(&p, 1);
		if (ret)
			return ret;
	}
	return 0;
}

int crk_tree_create(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	sigset_t all, old;
	size_t nr_sharers = 0, i;
	int ret;

	for (i = 0; i < r->nr_procs; i++)
		nr_sharers += r->procs[i].mm_of != NULL;
	s->barrier_nr[CRK_BARRIER_CREATED] = s->nr_births - nr_sharers;
	s->barrier_nr[CRK_BARRIER_GROUPED] = s->nr_births - nr_sharers;
	s->barrier_nr[CRK_BARRIER_ADOPTED] = r->nr_procs - nr_sharers;
	ret = log_create(r);
	if (ret)
		return ret;
	/* the root must come back to us if a stand-in made it */
	if (r->procs[0].parent && !r->opts->detach && prctl(PR_SET_CHILD_SUBREAPER, 1))
		return crk_err(-errno, "cannot become a subreaper");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	for (i = 0; i < s->nr_births && !ret; i++)
		if (!s->births[i].proc->parent)
			ret = proc_create(r, s->births[i].proc);
	sigprocmask(SIG_SETMASK, &old, NULL);
	ret = ret ?: crk_sync_wait(r, CRK_BARRIER_CREATED);
	ret = ret ?: crk_files_open_late(r);
	ret = ret ?: crk_sync_wait(r, CRK_BARRIER_GROUPED);
	ret = ret ?: reap_own_stand_ins(r);
	return ret ?: crk_sync_wait(r, CRK_BARRIER_ADOPTED);
}

void crk_tree_kill(struct crk_rst *r)
{
	if (!r->sync)
		return;
	crk_watch_kill_all(r->sync);
	/* children that were never told apart: none but ours are left */
	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
	crk_watch_stop(r);
}
