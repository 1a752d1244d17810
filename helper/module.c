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

/* EPERM has several reasons */
static const char *not_permitted(void)
{
	_cleanup_free_ char *disabled = NULL, *lockdown = NULL;

	if (geteuid())
		return "only root may load modules";
	if (!read_file_at(AT_FDCWD, "/proc/sys/kernel/modules_disabled", &disabled, NULL) && *disabled == '1')
		return "this kernel loads no modules until it is booted again (kernel.modules_disabled)";
	if (!read_file_at(AT_FDCWD, "/sys/kernel/security/lockdown", &lockdown, NULL) && !strstr(lockdown, "[none]"))
		return "the kernel is locked down (Secure Boot), and lockdown forbids what crk.ko does";
	return "CAP_SYS_MODULE is missing, as in a container: load crk.ko outside of it";
}

/* what to do; modprobes end what they say with the kernel's error in words */
static const char *advice_on(const char *line)
{
	static const struct {
		const char *said, *advice;
	} rows[] = {
		{ "not found",		"there is no crk.ko for it: make && make install" },
		{ "Exec format",	"crk.ko was built for another kernel: make clean && make && make install" },
		{ "Unknown symbol",	"it lacks a symbol that crk.ko links to, dmesg tells which: build crk.ko with its headers" },
		{ "Key was rejected",	"crk.ko is signed with a key that it does not know: sign it with one that is enrolled" },
		{ "Required key",	"it takes signed modules only: sign crk.ko with a key that is enrolled" },
		{ "No such file",	"it lacks what crk.ko needs, dmesg tells what" },
	};
	size_t i;

	if (!*line)
		return "modprobe must be in the PATH, or crk.ko loaded by hand: insmod crk.ko";
	if (strstr(line, "not permitted"))
		return not_permitted();
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (strstr(line, rows[i].said))
			return rows[i].advice;
	return "dmesg may tell more";
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
	crk_hint("kernel %s: %s", uts.release, advice_on(line));
	return ret;
}
