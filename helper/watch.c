// SPDX-License-Identifier: GPL-2.0
/*
 * What if the coordinator is killed: a small process of its own waits for that and takes down what was made so far,
 * the cgroup too.  Parked tasks are killed by the module anyway; those that still run helper code are found in
 * struct crk_sync.  A complete tree is only thawed.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restore.h"

/* how long to wait for the killed to be gone */
#define WATCH_GONE_MS	10000

void crk_watch_kill_all(struct crk_sync *s)
{
	bool left;
	size_t i;
	int ms;
	pid_t pid;

	/* orphans come to us, if we are above them, and don't wait for init */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* who is just being born sees this, or is seen below */
	__atomic_store_n(&s->abort, 1, __ATOMIC_SEQ_CST);
	for (ms = 0; ms < WATCH_GONE_MS; ms += 5) {
		left = false;
		for (i = 0; i < s->nr_births; i++) {
			pid = crk_sync_alive(&s->alive[i]);
			if (!pid)
				continue;
			kill(pid, SIGKILL);
			waitpid(pid, NULL, WNOHANG | __WALL);
			if ((kill(pid, 0) && errno == ESRCH) || (ms >= 20 && crk_pid_ended(pid)))
				crk_sync_gone(&s->alive[i]);
			else
				left = true;
		}
		/* one more look for births that were under way in the first */
		if (!left && ms)
			return;
		usleep(5000);
	}
}

static void clean_up(void *arg)
{
	struct crk_rst *r = arg;
	struct crk_sync *s = r->sync;
	int i, fd;

	switch (__atomic_load_n(&s->stage, __ATOMIC_SEQ_CST)) {
	case CRK_STAGE_MAKING:
		crk_watch_kill_all(s);
		crk_undo_run(s);
		crk_cgroups_undo(r);
		/* the last task may still be on its way out of the cgroup */
		for (i = 0; s->cgroup_made && i < WATCH_GONE_MS / 10 && crk_cgroup_remove(s->cgroup); i++)
			usleep(10000);
		break;
	case CRK_STAGE_RUNNING:
		if (!crk_cgroup_open(s->cgroup, &fd))
			crk_cgroup_freeze(fd, false);
		break;
	case CRK_STAGE_DONE:
		break;
	}
}

/*
 * Nothing of the coordinator's stays open: a copy of the device would keep the job alive, copies of the target's files
 * would be one more writer of a pipe when the target runs.
 */
void crk_watch_main(int pidfd, bool speaks, void (*run)(void *arg), void *arg)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, "crk-watch");
	setsid();
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (!speaks)
			dup2(null, STDERR_FILENO);
	}
	if (pidfd > STDERR_FILENO + 1)
		syscall(SYS_close_range, STDERR_FILENO + 1, pidfd - 1, 0);
	syscall(SYS_close_range, pidfd + 1, ~0U, 0);
	while (poll(&pfd, 1, -1) < 0)
		;
	run(arg);
	_exit(0);
}

int crk_watch_start(struct crk_rst *r)
{
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	sigset_t all, old;
	pid_t pid;

	if (pidfd < 0)
		return crk_err(-errno, "cannot open a pidfd");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	do {
		pid = fork();
		/* a number that the tree needs: the next one is another */
		if (!pid && crk_pid_planned(r, getpid()))
			_exit(1);
		if (!pid)
			crk_watch_main(pidfd, false, clean_up, r);
	} while (pid > 0 && crk_pid_planned(r, pid) && waitpid(pid, NULL, 0) == pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return crk_err(-errno, "cannot fork");
	r->sync->watcher = pid;
	crk_undo_keep(r->sync);
	return 0;
}

void crk_watch_stop(struct crk_rst *r)
{
	if (!r->sync || r->sync->watcher <= 0)
		return;
	kill(r->sync->watcher, SIGKILL);
	waitpid(r->sync->watcher, NULL, 0);
	r->sync->watcher = 0;
}
