// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper run: starts a command in a cgroup and a session of its own, so that it can be dumped alone.
 * Waits for it, passes signals on, and ends as the command ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

static volatile sig_atomic_t child_pid;

static void forward(int signo)
{
	if (child_pid > 0)
		kill(child_pid, signo);
}

static void forward_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };
	struct sigaction sa = { .sa_handler = forward, .sa_flags = SA_RESTART };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

/* the child waits for a byte until it is in its cgroup */
static void __attribute__((noreturn)) child_exec(const struct crk_opts *opts, int go_fd, char **argv)
{
	char byte;

	if (read(go_fd, &byte, 1) != 1)
		_exit(CRK_EXIT_FAILED);
	if (!opts->shell_job && setsid() < 0 && errno != EPERM)
		_exit(crk_err(-errno, "cannot make a session") ? CRK_EXIT_FAILED : 0);
	execvp(argv[0], argv);
	crk_err(-errno, "cannot start '%s'", argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

static int wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return CRK_EXIT_FAILED;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int crk_cmd_run(const struct crk_opts *opts, char **argv)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int cgroup = -1;
	struct sigaction sa = { .sa_handler = SIG_DFL }, sigchld;
	sigset_t all, old;
	int go[2], ret;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC))
		return crk_err(-errno, "cannot make a pipe"), CRK_EXIT_FAILED;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	/* ignored, it would take the command's status from us */
	sigaction(SIGCHLD, &sa, &sigchld);
	pid = fork();
	if (pid < 0)
		return crk_err(-errno, "cannot fork"), CRK_EXIT_FAILED;
	if (!pid) {
		sigaction(SIGCHLD, &sigchld, NULL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		close(go[1]);
		child_exec(opts, go[0], argv);
	}
	child_pid = pid;
	close(go[0]);
	if (opts->cgroup)
		path = strdup(opts->cgroup);
	else if (asprintf(&path, "crk-%d", pid) < 0)
		path = NULL;
	ret = path ? crk_cgroup_create(path, &cgroup) : crk_err(-ENOMEM, "no memory");
	if (!ret)
		ret = crk_cgroup_add(cgroup, pid);
	if (!ret && write(go[1], "", 1) != 1)
		ret = crk_err(-errno, "cannot start pid %d", pid);
	close(go[1]);
	if (!ret)
		forward_signals();
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (!ret)
		crk_info("pid %d in cgroup %s", pid, path);
	ret = ret ? (wait_child(pid), CRK_EXIT_FAILED) : wait_child(pid);
	if (path)
		crk_cgroup_remove(path);	/* stays if others are in it */
	return ret;
}
