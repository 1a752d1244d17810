// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups, version 2: find the mount, open, make, fill, freeze, kill and remove a cgroup, and find or make
 * the one that holds a process tree and nothing else.  Paths are below the mount unless they name a cgroup directory.
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

/* ---- the tree of a process ---- */

struct pidset {
	pid_t *pids;
	size_t nr, room;
};

static bool pidset_has(const struct pidset *s, pid_t pid)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

static int pidset_add(struct pidset *s, pid_t pid)
{
	pid_t *item = array_add(s->pids, s->nr, s->room);

	if (!item)
		return crk_oom();
	*item = pid;
	return 0;
}

static int cmp_pid(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

/* parent of @pid, 0 if it is gone */
static pid_t parent_of(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *p;
	pid_t ppid = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_file_at(AT_FDCWD, path, &text, NULL))
		return 0;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %d", &ppid) != 1)
		return 0;
	return ppid;
}

/* @root and all its descendants, @root first */
static int tree_of(pid_t root, struct pidset *set)
{
	struct link { pid_t pid, parent; };
	_cleanup_free_ struct link *links = NULL;
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	size_t nr = 0, room = 0, i;
	const struct dirent *de;
	bool more;
	int err;

	if (!dir)
		return crk_err(-errno, "/proc");
	while ((de = readdir(dir))) {
		pid_t pid = atoi(de->d_name);
		struct link *link;

		if (pid <= 0)
			continue;
		link = array_add(links, nr, room);
		if (!link)
			return crk_oom();
		*link = (struct link){ pid, parent_of(pid) };
	}
	err = pidset_add(set, root);
	/* parents mostly have lower numbers, so this ends after two or three rounds */
	do {
		more = false;
		for (i = 0; i < nr && !err; i++) {
			if (!links[i].pid || !pidset_has(set, links[i].parent) || pidset_has(set, links[i].pid))
				continue;
			err = pidset_add(set, links[i].pid);
			links[i].pid = 0;
			more = true;
		}
	} while (more && !err);
	return err;
}

/* pids of a cgroup and of the cgroups below it */
static int cgroup_pids(int dirfd, struct pidset *set)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *de;
	char *line, *save = NULL;
	int fd, err;

	err = read_file_at(dirfd, "cgroup.procs", &text, NULL);
	if (err == -EOPNOTSUPP)		/* a threaded cgroup below: its processes show in the domain above */
		err = xasprintf(&text, "%s", "");
	if (err)
		return crk_err(err, "cgroup.procs");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		err = pidset_add(set, atoi(line));
		if (err)
			return err;
	}
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return crk_err(-errno, "cgroup");
	while ((de = readdir(dir))) {
		_cleanup_close_ int sub = -1;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		sub = openat(dirfd, de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = sub < 0 ? 0 : cgroup_pids(sub, set);
		if (err)
			return err;
	}
	return 0;
}

/* true if all of @a is in @b; both are sorted */
static bool pidset_within(const struct pidset *a, const struct pidset *b)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		if (!bsearch(&a->pids[i], b->pids, b->nr, sizeof(pid_t), cmp_pid))
			return false;
	return true;
}

static int cgroup_move_tree(pid_t pid, int cgroup_fd)
{
	struct pidset in = {}, tree = {};
	bool again = true;
	int err = 0, rounds;
	size_t i;

	/* until a round finds nothing new: processes may fork meanwhile, but children start in their parent's cgroup */
	for (rounds = 0; again && !err && rounds < 100; rounds++) {
		again = false;
		in.nr = tree.nr = 0;
		err = tree_of(pid, &tree);
		if (!err)
			err = cgroup_pids(cgroup_fd, &in);
		qsort(in.pids, in.nr, sizeof(pid_t), cmp_pid);
		for (i = 0; i < tree.nr && !err; i++) {
			if (bsearch(&tree.pids[i], in.pids, in.nr, sizeof(pid_t), cmp_pid))
				continue;
			err = crk_cgroup_add(cgroup_fd, tree.pids[i]);
			if (err == -ESRCH && tree.pids[i] != pid)
				err = 0;		/* ended meanwhile */
			again = true;
		}
	}
	free(in.pids);
	free(tree.pids);
	return err;
}

int crk_cgroup_for_tree(pid_t pid, char **path_ret, bool *made_ret)
{
	_cleanup_free_ char *path = NULL, *own = NULL;
	_cleanup_close_ int fd = -1, made = -1;
	struct pidset tree = {}, in = {};
	bool exclusive = false;
	size_t i;
	int err;

	*made_ret = false;
	if (kill(pid, 0) && errno == ESRCH)
		return crk_err(-ESRCH, "pid %d", pid);
	err = crk_cgroup_of(pid, &path);
	if (!err)
		err = crk_cgroup_open(path, &fd);
	if (!err)
		err = tree_of(pid, &tree);
	if (!err && pidset_has(&tree, getpid())) {
		err = crk_fail(-EDEADLK, "pid %d is an ancestor of crkhelper itself", pid);
		crk_hint("run crkhelper from a session outside the tree that is dumped");
	}
	if (!err && strcmp(path, "/")) {
		err = cgroup_pids(fd, &in);
		qsort(in.pids, in.nr, sizeof(pid_t), cmp_pid);
		qsort(tree.pids, tree.nr, sizeof(pid_t), cmp_pid);
		exclusive = !err && pidset_within(&in, &tree) && pidset_within(&tree, &in);
	}
	for (i = 0; i < tree.nr && !err && !exclusive; i++) {
		_cleanup_free_ char *other = NULL;

		/* moving a tree that spans several would lose where each process was */
		if (!crk_cgroup_of(tree.pids[i], &other) && strcmp(other, path))
			err = crk_fail(-EXDEV, "pid %d is in cgroup %s, the tree's pid %d in %s", tree.pids[i], other,
				       pid, path);
	}
	free(tree.pids);
	free(in.pids);
	if (err)
		return err;
	if (exclusive) {
		*path_ret = steal_ptr(&path);
		return 0;
	}
	/* below the one it is in, so that its limits stay in force */
	err = xasprintf(&own, "%s/crk-%d", strcmp(path, "/") ? path : "", pid) ? crk_oom() :
	      crk_cgroup_create(own, &made);
	if (err)
		return err;
	err = cgroup_move_tree(pid, made);
	if (err) {
		crk_cgroup_remove(own);
		return err;
	}
	*made_ret = true;
	*path_ret = steal_ptr(&own);
	return 0;
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

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* waits until cgroup.events has the line @want */
static int cgroup_wait(int cgroup_fd, const char *want)
{
	_cleanup_close_ int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t end = now_ms() + CGROUP_WAIT_MS;
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
		if (now_ms() >= end)
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

int crk_cgroup_dissolve(const char *path)
{
	_cleanup_close_ int fd = -1, above = -1;
	_cleanup_free_ char *parent = NULL;
	struct pidset set = {};
	int err, rounds;
	size_t i;

	err = xasprintf(&parent, "%s", path) ? crk_oom() : 0;
	if (err)
		return err;
	*strrchr(parent, '/') = '\0';
	err = crk_cgroup_open(path, &fd);
	if (!err)
		err = crk_cgroup_open(*parent ? parent : "/", &above);
	for (rounds = 0; !err && rounds < 100; rounds++) {
		set.nr = 0;
		err = cgroup_pids(fd, &set);
		if (err || !set.nr)
			break;
		for (i = 0; i < set.nr; i++)
			crk_cgroup_add(above, set.pids[i]);
	}
	free(set.pids);
	return err ? err : crk_cgroup_remove(path);
}
