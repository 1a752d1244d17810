// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups, version 2: find the mount, open, make, fill, freeze, kill and remove a cgroup.  Paths are below the
 * mount unless they name a cgroup directory.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "dump.h"
#include "helper.h"

#define CGROUP_WAIT_MS	10000

/* the mount point of the first cgroup2 file system */
static int cgroup_mount(char **ret)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int err;

	err = read_file_at(AT_FDCWD, "/proc/self/mountinfo", &text, NULL);
	if (err)
		return crk_err(err, "/proc/self/mountinfo");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char root[PATH_MAX], point[PATH_MAX];
		const char *type = strstr(line, " - ");

		if (!type || strncmp(type + 3, "cgroup2 ", 8))
			continue;
		if (sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2)
			return xasprintf(ret, "%s", point);
	}
	crk_fail(-ENOENT, "no cgroup v2 file system is mounted");
	crk_hint("mount -t cgroup2 none /sys/fs/cgroup");
	return -ENOENT;
}

static bool is_cgroup_dir(const char *path)
{
	struct statfs sfs;

	return !statfs(path, &sfs) && sfs.f_type == CGROUP2_SUPER_MAGIC;
}

/* directory of the cgroup @path, which need not exist */
static int cgroup_dir(const char *path, char **ret)
{
	_cleanup_free_ char *mount = NULL, *parent = NULL;
	char *slash;
	int err;

	if (*path == '/') {
		err = xasprintf(&parent, "%s", path);
		if (err)
			return crk_oom();
		slash = strrchr(parent, '/');
		if (slash != parent && (is_cgroup_dir(path) || (*slash = '\0', is_cgroup_dir(parent))))
			return xasprintf(ret, "%s", path) ? crk_oom() : 0;
	}
	err = cgroup_mount(&mount);
	if (err)
		return err;
	while (*path == '/')
		path++;
	return xasprintf(ret, "%s%s%s", mount, *path ? "/" : "", path) ? crk_oom() : 0;
}

int crk_cgroup_open(const char *path, int *ret)
{
	_cleanup_free_ char *dir = NULL;
	int fd, err;

	err = cgroup_dir(path, &dir);
	if (err)
		return err;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return crk_err(-errno, "cgroup %s", dir);
	*ret = fd;
	return 0;
}

int crk_cgroup_of(pid_t pid, char **path_ret)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *line, *save = NULL;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	err = read_file_at(AT_FDCWD, path, &text, NULL);
	if (err)
		return crk_err(err == -ENOENT ? -ESRCH : err, "pid %d", pid);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, "0::", 3))
			return xasprintf(path_ret, "%s", line + 3) ? crk_oom() : 0;
	return crk_fail(-ENOENT, "pid %d is in no cgroup v2 group", pid);
}

/* ---- make, fill, end ---- */

int crk_cgroup_create(const char *path, int *ret)
{
	_cleanup_free_ char *dir = NULL;
	int err;

	err = cgroup_dir(path, &dir);
	if (err)
		return err;
	if (mkdir(dir, 0755) && errno != EEXIST)
		return crk_err(-errno, "cannot make cgroup %s", dir);
	return crk_cgroup_open(path, ret);
}

int crk_cgroup_add(int cgroup_fd, pid_t pid)
{
	char text[16];
	int err;

	snprintf(text, sizeof(text), "%d", pid);
	err = write_file_at(cgroup_fd, "cgroup.procs", text);
	if (err == -EBUSY)
		crk_fail(err, "pid %d: cannot enter a cgroup that has controllers enabled for cgroups below it", pid);
	else if (err && err != -ESRCH)
		crk_err(err, "pid %d: cannot move it to its cgroup", pid);
	return err;
}

/* waits until cgroup.events has the line @want */
static int cgroup_wait(int cgroup_fd, const char *want)
{
	_cleanup_close_ int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t end = now_ns() + CGROUP_WAIT_MS * 1000000ULL;
	struct pollfd pfd = { .fd = fd, .events = POLLPRI };
	char text[256];
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (;;) {
		n = pread(fd, text, sizeof(text) - 1, 0);
		if (n < 0)
			return -errno;
		text[n] = '\0';
		if (strstr(text, want))
			return 0;
		if (now_ns() >= end)
			return -ETIMEDOUT;
		poll(&pfd, 1, 100);
	}
}

int crk_cgroup_kill(int cgroup_fd)
{
	int err = write_file_at(cgroup_fd, "cgroup.kill", "1");

	if (!err)
		err = cgroup_wait(cgroup_fd, "populated 0");
	/* whoever started the tasks may have removed it when the last was gone */
	return err && err != -ENODEV && err != -ENOENT ? crk_err(err, "cannot kill the tasks of the cgroup") : 0;
}

int crk_cgroup_freeze(int cgroup_fd, bool freeze)
{
	int err = write_file_at(cgroup_fd, "cgroup.freeze", freeze ? "1" : "0");

	if (!err && freeze)
		err = cgroup_wait(cgroup_fd, "frozen 1");
	return err ? crk_err(err, "cannot %s the cgroup", freeze ? "freeze" : "thaw") : 0;
}

int crk_cgroup_remove(const char *path)
{
	_cleanup_free_ char *dir = NULL;
	int err, tries;

	err = cgroup_dir(path, &dir);
	if (err)
		return err;
	/* a killed task leaves its cgroup a moment after it is gone from its parent's sight */
	for (tries = 0; rmdir(dir); tries++) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || tries == 10)
			return -errno;
		usleep(1000);
	}
	return 0;
}
