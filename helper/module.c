// SPDX-License-Identifier: GPL-2.0
/*
 * Loads crk.ko from where depmod(8) knows it, by modprobe(8): a helper without libraries cannot use libkmod, and starts
 * three times as fast for it.
 */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

/* modprobe's first line, of what it says when it fails, without its name */
static int run_modprobe(char *line, size_t size)
{
	posix_spawn_file_actions_t actions;
	int pipe_fd[2], status, err;
	size_t len = 0;
	ssize_t n = 1;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], STDERR_FILENO);
	err = -posix_spawnp(&pid, "modprobe", &actions, NULL, (char *[]){ "modprobe", "crk", NULL }, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fd[1]);
	while (!err && n > 0 && len < size - 1) {
		n = read(pipe_fd[0], line + len, size - 1 - len);
		if (n > 0)
			len += n;
	}
	line[len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	close(pipe_fd[0]);
	if (err)
		return err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -ENODEV : 0;
}

int crk_module_insert(void)
{
	struct utsname uts;
	char line[256];
	int ret;

	ret = run_modprobe(line, sizeof(line));
	if (!ret)
		return 0;
	uname(&uts);
	crk_fail(ret, "cannot load the kernel module crk: %s", *line ? line : "modprobe cannot be run");
	crk_hint("kernel %s wants a crk.ko that was built for it: make && make install, or insmod crk.ko; under Secure Boot also signed",
		 uts.release);
	return ret;
}
