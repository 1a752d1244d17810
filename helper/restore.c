// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper restore: the phases in their order, what a failure undoes, and what the command does while the tree runs.
 * Read the table first.  Until the last phase but one nothing of the target runs; whatever fails, all of it is
 * killed and the cgroup goes away if it was made here.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restore.h"

/* how often the coordinator looks whether a process died before it parked */
#define WAIT_LOOK_MS	100

volatile sig_atomic_t crk_restore_interrupted;
static volatile sig_atomic_t root_pid;

/* ---- phases ---- */

static int phase_images(struct crk_rst *r)
{
	/* page contents later, while the tree reads them */
	enum crk_img_verify verify = r->opts->check_only ? CRK_VERIFY_ALL : CRK_VERIFY_RESTORE;
	int ret = crk_imgdir_open(r->opts->images_dir, verify, &r->dir);

	if (ret)
		return ret;
	if (crk_imgdir_inventory(r->dir)->pre_dump)
		return crk_fail(-EINVAL, "'%s' is a pre-dump, which has pages only: restore a dump that was made with --prev-images-dir on top of it",
				r->opts->images_dir);
	ret = crk_imgdir_refuse_dead(r->dir);
	ret = ret ?: crk_imgdir_open_parents(r->dir, verify);
	return ret ?: crk_imgdir_verify_packed(r->dir);
}

static int phase_device(struct crk_rst *r)
{
	return crk_dev_open(&r->dev);
}

static int phase_plan(struct crk_rst *r)
{
	return crk_plan(r);
}

static int phase_files(struct crk_rst *r)
{
	int ret = crk_files_open_all(r);

	return ret ?: crk_mem_open_all(r);
}

/* which cgroups exist, without a complaint if none does; told to the watcher before they are made */
static void cgroups_look(struct crk_rst *r, const char *path)
{
	_cleanup_close_ int fd = -1;

	crk_log_fd(-1);
	crk_cgroup_open(path, &fd);
	crk_log_fd(STDERR_FILENO);
	r->sync->cgroup_made = fd < 0;
	crk_cgroups_look(r, fd);
}

static int cgroup_in_use(const struct crk_rst *r, const char *path)
{
	_cleanup_free_ char *procs = NULL, *events = NULL;
	int ret;

	ret = read_file_at(r->cgroup_fd, "cgroup.procs", &procs, NULL);
	ret = ret ?: read_file_at(r->cgroup_fd, "cgroup.events", &events, NULL);
	if (ret)
		return crk_err(ret, "cgroup %s", path);
	if (*procs)
		crk_fail(-EBUSY, "cgroup %s is in use (pid %d)", path, atoi(procs));
	else if (strstr(events, "populated 1"))
		crk_fail(-EBUSY, "cgroup %s is in use, by a process in a cgroup below it", path);
	else
		return 0;
	crk_hint("the restored tree is frozen for a moment, so it needs a cgroup of its own: name another with -g");
	return -EBUSY;
}

/* where the tree lives from its birth, the cgroup of the dump unless told otherwise, is what the watcher must know first */
static int phase_watch(struct crk_rst *r)
{
	const CrkInventoryEntry *inv = crk_imgdir_inventory(r->dir);
	const char *path = r->opts->cgroup ?: inv->cgroup;
	struct crk_sync *s = r->sync;

	if (!path || !*path || !strcmp(path, "/")) {
		crk_fail(-EINVAL, "the images name no cgroup to restore to");
		crk_hint("name one with -g");
		return -EINVAL;
	}
	snprintf(s->cgroup, sizeof(s->cgroup), "%s", path);
	cgroups_look(r, path);
	return crk_watch_start(r);
}

static int phase_cgroup(struct crk_rst *r)
{
	const char *path = r->sync->cgroup;
	_cleanup_free_ char *text = NULL;
	int fd = -1, ret;

	ret = crk_cgroup_create(path, &fd);
	if (ret)
		return ret;
	r->cgroup_fd = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	close(fd);
	if (r->cgroup_fd < 0)
		return crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	ret = cgroup_in_use(r, path);
	if (ret)
		return ret;
	if (!read_file_at(r->cgroup_fd, "cgroup.freeze", &text, NULL) && *text != '0')
		return crk_fail(-EBUSY, "cgroup %s is frozen", path);
	return crk_cgroups_make(r);
}

static int phase_tree(struct crk_rst *r)
{
	int ret = crk_dev_restore(r->dev, r->nr_tasks);

	/* what the images were read with; each process would have it, and give it up again */
	malloc_trim(0);
	return ret ?: crk_tree_create(r);
}

static int wait_parked(struct crk_rst *r)
{
	struct crk_wait out;
	int ret;

	/* the tree fills its memory by itself, and may do so with what is damaged: it has not run before all is known */
	ret = crk_imgdir_verify_pages(r->dir);
	r->said_why = ret;
	if (ret)
		return ret;
	for (;;) {
		ret = crk_dev_wait(r->dev, WAIT_LOOK_MS, &out);
		if (ret != -ETIMEDOUT && ret != -EINTR)
			return ret;
		crk_sync_parked(r, out.out_nr_parked);
		ret = crk_lazy_collect(r);
		ret = ret ?: crk_feeders_check(r);
		ret = ret ?: crk_sync_check(r);
		if (ret)
			return ret;
	}
}

static int phase_wait(struct crk_rst *r)
{
	int ret = crk_feeders_start(r), err;

	ret = ret ?: wait_parked(r);
	err = crk_feeders_stop(r);
	r->said_why |= err;
	return ret ?: err;
}

static int phase_lazy(struct crk_rst *r)
{
	return crk_lazy_start(r);
}

static int phase_state(struct crk_rst *r)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, i, j;
	int err = crk_frames_convert(r);
	char *pos;

	if (err)
		return err;
	for (i = 0; i < r->nr_procs; i++)
		for (j = 0; j < r->procs[i].nr_threads; j++)
			len += r->procs[i].threads[j].recs_len;
	buf = malloc(len + 1);
	if (!buf)
		return crk_oom();
	pos = buf;
	for (i = 0; i < r->nr_procs; i++) {
		for (j = 0; j < r->procs[i].nr_threads; j++) {
			struct crk_rthread *t = &r->procs[i].threads[j];

			if (t->recs_len)
				memcpy(pos, t->recs, t->recs_len);
			pos += t->recs_len;
		}
	}
	return crk_dev_set(r->dev, buf, len, r->opts->restore_times);
}

static int phase_properties(struct crk_rst *r)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < r->nr_procs && !ret; i++)
		if (!r->procs[i].zombie)
			ret = crk_props_run(r, &r->procs[i], CRK_PROP_OUTSIDE);
	return ret ?: crk_cgroups_settings(r);
}

/* what needs every process to exist, and what must not happen before they have put themselves in order */
static int phase_complete(struct crk_rst *r)
{
	return crk_files_complete(r);
}

/*
 * All pass the gate into the freezer, so that the start is one moment; nothing of the target has run yet.  A tracee goes
 * to where it was held before there is a freezer on its way.
 */
static int phase_gate(struct crk_rst *r)
{
	int ret = crk_dev_go(r->dev, true);

	if (ret)
		return ret;
	ret = write_file_at(r->cgroup_fd, "cgroup.freeze", "1");
	if (ret)
		return crk_err(ret, "cannot freeze cgroup %s", r->sync->cgroup);
	ret = crk_dev_go(r->dev, false);
	ret = ret ?: crk_cgroup_freeze(r->cgroup_fd, true);
	return ret ?: crk_cgroups_freeze(r);
}

/* before anyone runs: a restore that fails, or is killed, has done nothing, and leaves no file */
static int write_pidfile(struct crk_rst *r)
{
	_cleanup_close_ int fd = -1;
	char text[16];
	int len, ret;

	if (!r->opts->pidfile)
		return 0;
	fd = open(r->opts->pidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return crk_err(-errno, "cannot make '%s'", r->opts->pidfile);
	ret = crk_undo_name(r, r->opts->pidfile);	/* ours, now that it was made */
	if (ret)
		return ret;
	len = snprintf(text, sizeof(text), "%d", r->procs[0].pid);
	ret = write_all(fd, text, len);
	return ret ? crk_err(ret, "cannot write '%s'", r->opts->pidfile) : 0;
}

static int phase_run(struct crk_rst *r)
{
	size_t i;
	int ret;

	if (crk_restore_interrupted)
		return crk_fail(-ECANCELED, "interrupted");
	ret = write_pidfile(r);
	if (ret)
		return ret;
	for (i = 0; i < r->nr_procs; i++)
		if (r->opts->leave_stopped && !r->procs[i].zombie)
			kill(r->procs[i].pid, SIGSTOP);
	crk_ghost_links_remove(r);
	if (r->opts->leave_frozen)
		return 0;
	__atomic_store_n(&r->sync->stage, CRK_STAGE_RUNNING, __ATOMIC_SEQ_CST);
	ret = crk_cgroup_freeze(r->cgroup_fd, false);
	if (ret)
		__atomic_store_n(&r->sync->stage, CRK_STAGE_MAKING, __ATOMIC_SEQ_CST);
	return ret;
}

static const struct phase {
	const char *name;
	int (*run)(struct crk_rst *r);
	bool check;			/* part of --check */
} phases[] = {
	{ "images",	phase_images,	true },
	{ "device",	phase_device,	true },
	{ "plan",	phase_plan,	true },		/* all refusals; nothing is created before this is over */
	{ "watch",	phase_watch,	false },	/* from here on a killed coordinator is noticed */
	{ "files",	phase_files,	false },
	{ "cgroup",	phase_cgroup,	false },
	{ "tree",	phase_tree,	false },	/* tasks are born in the cgroup and go on by themselves until they park */
	{ "memory",	phase_wait,	false },	/* and by now every byte of the images is verified */
	{ "lazy",	phase_lazy,	false },	/* from here on memory may be read and written: what is missing comes */
	{ "state",	phase_state,	false },	/* registers, when all are parked */
	{ "properties",	phase_properties, false },
	{ "complete",	phase_complete,	false },	/* timers run from here: late */
	{ "gate",	phase_gate,	false },
	{ "run",	phase_run,	false },
};

static int run_phases(struct crk_rst *r)
{
	uint64_t start, begin = now_ns();
	const struct phase *phase;
	int ret;

	for (phase = phases; phase < phases + ARRAY_SIZE(phases); phase++) {
		if (r->opts->check_only && !phase->check)
			return crk_imgdir_verify_pages(r->dir);
		if (crk_restore_interrupted)
			return crk_fail(-ECANCELED, "interrupted");
		start = now_ns();
		ret = phase->run(r);
		if (ret)
			return ret;
		crk_info("%-10s %9.3f ms", phase->name, (now_ns() - start) / 1e6);
	}
	crk_info("%zu processes, %zu threads in %.3f ms", r->nr_procs, r->nr_tasks, (now_ns() - begin) / 1e6);
	return 0;
}

/* ---- around them ---- */

static void undo(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;

	/* parked tasks go with the device, the others by name */
	if (r->dev >= 0)
		close(r->dev);
	r->dev = -1;
	if (!s)
		return;
	if (s->watcher > 0)
		crk_tree_kill(r);
	crk_undo_run(s);
	crk_sync_drain_log(r, true);
	if (r->cgroup_fd >= 0) {
		crk_cgroups_undo(r);
		if (s->cgroup_made)
			crk_cgroup_remove(s->cgroup);
		else
			write_file_at(r->cgroup_fd, "cgroup.freeze", "0");
	}
}

static void on_signal(int signo)
{
	if (root_pid > 0)
		kill(root_pid, signo);
	else
		crk_restore_interrupted = 1;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };
	struct sigaction sa = { .sa_handler = on_signal };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void report(const struct crk_rst *r, uint64_t begin)
{
	if (!r->opts->json)
		return;
	printf("{ \"pid\": %d, \"processes\": %zu, \"threads\": %zu, \"restored\": %s, \"seconds\": %.6f }\n", r->procs[0].pid,
	       r->nr_procs, r->nr_tasks, r->opts->check_only ? "false" : "true", (now_ns() - begin) / 1e9);
	fflush(stdout);
}

/* ends as the root of the tree ends */
static int wait_root(const struct crk_rst *r)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return CRK_EXIT_DOUBT;
		/* orphans may have come to us */
		if (pid != r->procs[0].pid)
			continue;
		root_pid = 0;
		return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

/* what the tree was made of is the tree's now; the helper must not hold its files open, nor the module */
static void let_go(struct crk_rst *r)
{
	__atomic_store_n(&r->sync->stage, CRK_STAGE_DONE, __ATOMIC_SEQ_CST);
	crk_watch_stop(r);
	crk_sync_drain_log(r, false);
	crk_files_free(r);
	crk_mem_free(r);
	close(r->dev);
	r->dev = -1;
}

int crk_cmd_restore(const struct crk_opts *opts)
{
	struct crk_rst r = { .opts = opts, .dev = -1, .cgroup_fd = -1 };
	int ret, status = CRK_EXIT_DONE;
	uint64_t begin = now_ns();

	catch_signals();
	crk_progress_on();
	ret = run_phases(&r);
	crk_progress(NULL, 0);
	if (!ret)
		report(&r, begin);
	if (ret) {
		undo(&r);
		status = CRK_EXIT_FAILED;
	} else if (!opts->check_only) {
		root_pid = r.procs[0].pid;
		let_go(&r);
		if (!opts->detach) {
			status = wait_root(&r);
			crk_cgroups_remove(&r);
			if (r.sync->cgroup_made)
				crk_cgroup_remove(r.sync->cgroup);	/* stays if others are in it */
		}
	}
	crk_files_free(&r);
	crk_mem_free(&r);
	crk_plan_free(&r);
	crk_sync_destroy(&r);
	crk_imgdir_close(r.dir);
	if (r.dev >= 0)
		close(r.dev);
	if (r.cgroup_fd >= 0)
		close(r.cgroup_fd);
	return status;
}
