// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper dump: the phases in their order, and what a failure undoes.  Read the table first.  Whatever fails, the
 * target goes on as before and the image directory is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dump.h"

#define END_WAIT_MS	1000

/* what the phases need beside the model */
struct dump_run {
	struct crk_dump d;
	char *cgroup;			/* path below the mount */
	pid_t watcher;			/* for -t: the cgroup was made, and they leave it if they live on */
	struct crk_freeze freeze;
	uint32_t nr_thaws;
	bool in_doubt;			/* the target may be half gone */
};

/* ---- phases ---- */

static int phase_images(struct dump_run *run)
{
	const struct crk_opts *opts = run->d.opts;
	int err = crk_imgdir_create(opts->images_dir, &run->d.dir);

	return err || !opts->prev_images ? err : crk_imgdir_set_parent(run->d.dir, opts->prev_images);
}

static int phase_device(struct dump_run *run)
{
	return crk_dev_open(&run->d.dev);
}

static int phase_earlier(struct dump_run *run)
{
	return crk_mem_dump_prepare(&run->d);
}

static int phase_cgroup(struct dump_run *run)
{
	const struct crk_opts *opts = run->d.opts;
	int err;

	if (opts->tree) {
		err = crk_cgroup_for_tree(opts->tree, &run->cgroup, &run->watcher);
		if (err)
			return err;
	} else {
		run->cgroup = strdup(opts->cgroup);
		if (!run->cgroup)
			return crk_oom();
	}
	return crk_cgroup_open(run->cgroup, &run->d.cgroup_fd);
}

static int phase_freeze(struct dump_run *run)
{
	struct crk_dump *d = &run->d;
	int err = crk_dev_freeze(d->dev, d->cgroup_fd, d->opts->timeout_ms, &run->freeze);

	d->frozen = !err;
	if (err == -EDEADLK)
		crk_hint("start crkhelper from outside cgroup %s", run->cgroup);
	return err;
}

static int phase_tasks(struct dump_run *run)
{
	return crk_collect_tasks(&run->d);
}

static int phase_capture(struct dump_run *run)
{
	return crk_collect_capture(&run->d);
}

static int phase_files(struct dump_run *run)
{
	return crk_files_dump(&run->d);
}

static int phase_memory(struct dump_run *run)
{
	int err;

	crk_progress("memory", 0);
	if (run->d.opts->pre_dump)
		return crk_mem_pre_dump(&run->d);
	err = crk_mem_dump(&run->d);
	return err ?: crk_files_dump_end(&run->d);
}

static int phase_state(struct dump_run *run)
{
	int err = crk_cgroups_dump(&run->d);

	return err ?: crk_task_dump(&run->d);
}

static int phase_inventory(struct dump_run *run)
{
	CrkInventoryEntry inv = CRK_INVENTORY_ENTRY__INIT;
	struct crk_dump *d = &run->d;
	_cleanup_free_ uint32_t *roots = calloc(d->nr_procs, sizeof(*roots));
	struct crk_info info = {};
	size_t i;
	int err;

	if (!roots)
		return crk_oom();
	err = crk_dev_info(d->dev, &info);
	if (err)
		return err;
	for (i = 0; i < d->nr_procs; i++)
		if (!d->procs[i].parent)
			roots[inv.n_roots++] = d->procs[i].pid;
	if (d->opts->compress)
		inv.format = CRK_IMG_FORMAT_PACKED;
	inv.roots = roots;
	inv.cgroup = run->cgroup;
	inv.has_nr_tasks = 1;
	inv.nr_tasks = d->nr_tasks;
	inv.has_module_features = 1;
	inv.module_features = info.out_features;
	inv.has_module_abi = 1;
	inv.module_abi = info.out_abi;
	crk_frames_inventory(&inv);
	err = crk_tracking_inventory(d, &inv);
	return err ?: crk_inventory_write(d->dir, &inv, NULL);
}

static int phase_verify(struct dump_run *run)
{
	return crk_dev_verify(run->d.dev, &run->nr_thaws);
}

static int phase_tracking(struct dump_run *run)
{
	return crk_tracking_start(&run->d);
}

static int thaw(struct dump_run *run, bool leave_frozen)
{
	int err = crk_dev_thaw(run->d.dev, leave_frozen, &run->d.frozen_ns);

	if (!err)
		run->d.frozen = false;
	return err;
}

/* a target that goes on is held no longer than needed; one that is ended or stopped is held until its images are complete */
static int phase_thaw(struct dump_run *run)
{
	return run->d.opts->leave_running ? thaw(run, false) : 0;
}

static int phase_pages(struct dump_run *run)
{
	crk_progress("memory", 0);
	return crk_mem_dump_later(&run->d);
}

static int phase_compress(struct dump_run *run)
{
	struct crk_dump *d = &run->d;

	if (!d->opts->compress)
		return 0;
	return crk_imgdir_pack(d->dir, d->opts->compress, &crk_dump_interrupted, &d->pack_before, &d->pack_after);
}

static int phase_commit(struct dump_run *run)
{
	return crk_imgdir_commit(run->d.dir);
}

/* a task leaves its cgroup before its parent can wait for it, and a restore right after the dump needs its pid */
static void wait_for_ends(const struct crk_dump *d)
{
	struct pollfd pfd = { .events = POLLIN };
	size_t i;
	int ended;

	for (i = 0; i < d->nr_procs; i++) {
		pfd.fd = d->procs[i].pidfd;
		if (pfd.fd < 0)
			pfd.fd = syscall(SYS_pidfd_open, d->procs[i].pid, 0);
		ended = pfd.fd < 0 ? 1 : poll(&pfd, 1, END_WAIT_MS);
		if (pfd.fd >= 0 && pfd.fd != d->procs[i].pidfd)
			close(pfd.fd);
		if (ended <= 0)
			return;
	}
}

static int phase_end(struct dump_run *run)
{
	struct crk_dump *d = &run->d;
	const struct crk_opts *opts = d->opts;
	size_t i;
	int err;

	if (opts->leave_frozen)
		return thaw(run, true);
	if (opts->leave_running)
		return 0;
	if (opts->leave_stopped) {
		for (i = 0; i < d->nr_procs; i++)
			if (!d->procs[i].zombie)
				kill(d->procs[i].pid, SIGSTOP);
		return thaw(run, false);
	}
	/* SIGKILL reaches frozen tasks; they are not thawed, so that none runs again */
	run->in_doubt = true;
	crk_semundo_end(d);
	/* the kernel's way for all kills leaders, and what has exited cannot be killed */
	for (i = 0; i < d->nr_procs; i++)
		if (d->procs[i].live != d->procs[i].leader)
			kill(d->procs[i].pid, SIGKILL);
	err = crk_cgroup_kill(d->cgroup_fd);
	if (err)
		return err;
	wait_for_ends(d);
	run->in_doubt = false;
	return thaw(run, false);
}

static const struct phase {
	const char *name;
	int (*run)(struct dump_run *run);
	bool pre_dump;			/* a phase of pre-dump too, which saves pages only */
} phases[] = {
	{ "images",	phase_images,	true },		/* the directory, before anything is held */
	{ "device",	phase_device,	true },
	{ "earlier",	phase_earlier,	true },		/* what the parent checkpoint has */
	{ "cgroup",	phase_cgroup,	true },
	{ "freeze",	phase_freeze,	true },
	{ "tasks",	phase_tasks,	true },
	{ "capture",	phase_capture,	true },	/* most refusals */
	{ "files",	phase_files,	false },	/* before memory, which refers to open files */
	{ "memory",	phase_memory,	true },		/* what is not in a snapshot, and makes these */
	{ "state",	phase_state,	false },
	{ "inventory",	phase_inventory, true },
	{ "verify",	phase_verify,	true },		/* nobody ran: after all that was read from the target */
	{ "tracking",	phase_tracking,	true },		/* from here on a failure costs: the next dump saves all */
	{ "thaw",	phase_thaw,	true },
	{ "pages",	phase_pages,	true },		/* from snapshots: what there are of them was made while frozen */
	{ "compress",	phase_compress,	true },		/* when those run that are to go on */
	{ "commit",	phase_commit,	true },		/* before the end: the images must be complete */
	{ "end",	phase_end,	true },
};

volatile sig_atomic_t crk_dump_interrupted;

static int run_phases(struct dump_run *run)
{
	const struct phase *phase;

	for (phase = phases; phase < phases + ARRAY_SIZE(phases); phase++) {
		uint64_t start = now_ns();
		int err;

		if (run->d.opts->pre_dump && !phase->pre_dump)
			continue;
		if (crk_dump_interrupted)
			return crk_fail(-ECANCELED, "interrupted");
		err = phase->run(run);
		if (err)
			return err;
		crk_info("%-10s %9.3f ms", phase->name, (now_ns() - start) / 1e6);
	}
	return 0;
}

/* ---- around them ---- */

static void on_signal(int signo)
{
	(void)signo;
	crk_dump_interrupted = 1;
}

static void report(const struct dump_run *run, double seconds)
{
	const struct crk_dump *d = &run->d;
	double frozen = d->frozen_ns / 1e9;
	unsigned long long page = sysconf(_SC_PAGESIZE), bytes = d->pages_written * page;
	unsigned long long bytes_frozen = (d->pages_written - d->pages_later) * page, in_parent = d->pages_in_parent * page;
	unsigned long long stored = d->opts->compress ? d->pack_after : bytes;

	if (d->opts->json)
		printf("{ \"processes\": %zu, \"threads\": %zu, \"pages_bytes\": %llu, \"pages_bytes_stored\": %llu, \"pages_bytes_frozen\": %llu, \"pages_bytes_parent\": %llu, \"snapshots\": %zu, \"seconds\": %.6f, \"frozen_seconds\": %.6f, \"thaws_held_off\": %u }\n",
		       d->nr_procs, d->nr_tasks, bytes, stored, bytes_frozen, in_parent, d->nr_snapshots, seconds, frozen, run->nr_thaws);
	else if (isatty(STDOUT_FILENO) || d->opts->verbose)
		printf("%zu processes, %zu threads, %.1f MiB in %.3f s, frozen for %.3f s while %.1f MiB were copied\n",
		       d->nr_procs, d->nr_tasks, bytes / 1048576.0, seconds, frozen, bytes_frozen / 1048576.0);
	if (!d->opts->json && d->opts->compress && (isatty(STDOUT_FILENO) || d->opts->verbose))
		printf("%.1f MiB of pages take %.1f MiB (%s)\n", d->pack_before / 1048576.0, d->pack_after / 1048576.0,
		       crk_pack_names[d->opts->compress]);
	if (!d->opts->json && in_parent && (isatty(STDOUT_FILENO) || d->opts->verbose))
		printf("%.1f MiB did not change and are left to the parent checkpoint\n", in_parent / 1048576.0);
	if (run->nr_thaws)
		crk_warn("%u attempts of others to thaw cgroup %s were held off", run->nr_thaws, run->cgroup);
}

/* the order of undoing: the target first */
static void finish(struct dump_run *run, int err)
{
	struct crk_dump *d = &run->d;

	if (err && d->frozen && !run->in_doubt)
		thaw(run, false);
	if (err && !run->in_doubt)
		crk_ghost_links_undo(d);
	if (d->dev >= 0)
		close(d->dev);
	if (run->watcher && (err || d->opts->leave_running || d->opts->leave_stopped))
		crk_cgroup_home(run->cgroup, run->watcher);
	else if (run->watcher)
		crk_cgroup_leave(run->cgroup, run->watcher, d->opts->leave_frozen);
	if (d->cgroup_fd >= 0)
		close(d->cgroup_fd);
	crk_mem_dump_free(d);
	crk_files_dump_free(d);
	crk_cgroups_dump_free(d);
	crk_collect_free(d);
	crk_imgdir_close(d->dir);
	free(run->cgroup);
}

/* @no_snapshots: in, to do without them; out: one was lost, and the dump with it */
static int dump_once(const struct crk_opts *opts, bool *no_snapshots, int *status_ret)
{
	struct dump_run run = { .d = { .opts = opts, .dev = -1, .cgroup_fd = -1, .no_snapshots = *no_snapshots } };
	uint64_t start = now_ns();
	int err;

	err = run_phases(&run);
	crk_progress(NULL, 0);
	/* what failed for want of a process that is gone, or was changed while it was read */
	if (err && err != -ESTALE && run.d.frozen && !run.in_doubt && crk_dev_verify(run.d.dev, &run.nr_thaws) == -ESTALE)
		err = -ESTALE;
	*status_ret = !err ? CRK_EXIT_DONE : run.in_doubt ? CRK_EXIT_DOUBT : CRK_EXIT_FAILED;
	if (!err)
		report(&run, (now_ns() - start) / 1e9);
	*no_snapshots |= run.d.snapshot_lost;
	finish(&run, err);
	return err;
}

/* the target went on meanwhile: somebody moved, traced or woke one of its tasks */
static bool may_succeed_later(int err)
{
	return err == -ESTALE || err == -EAGAIN;
}

int crk_cmd_dump(const struct crk_opts *opts)
{
	struct sigaction sa = { .sa_handler = on_signal };
	bool no_snapshots = false;
	int err, status;
	unsigned int i;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* of each process two are held; fewer may be enough */
	crk_limit_raise_files(0);
	crk_progress_on();
	for (i = 0;;) {
		bool had = !no_snapshots;

		err = dump_once(opts, &no_snapshots, &status);
		if (err && no_snapshots && had) {
			crk_warn("dumping again, with all memory copied while frozen");
			continue;
		}
		if (status != CRK_EXIT_FAILED || !may_succeed_later(err) || i++ == opts->retry)
			return status;
		crk_warn("trying again, %u of %u", i, opts->retry);
		usleep(10000);
	}
}
