// SPDX-License-Identifier: GPL-2.0
/*
 * dump -t: finds the cgroup that holds a process tree and nothing else, or makes one below that in which the tree is,
 * and brings the tree home.  A watcher does this if crkhelper is killed, the next dump if the watcher was killed too.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dump.h"

#define PF_KTHREAD	0x00200000	/* of the kernel's linux/sched.h, as /proc/PID/stat shows it */

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

/* parent of @pid and its PF_*, 0 if it is gone */
static pid_t stat_of(pid_t pid, unsigned int *flags_ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned int flags = 0;
	char path[64], *p;
	pid_t ppid = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	p = read_file_at(AT_FDCWD, path, &text, NULL) ? NULL : strrchr(text, ')');
	if (p && sscanf(p + 1, " %*c %d %*d %*d %*d %*d %u", &ppid, &flags) < 1)
		ppid = 0;
	if (flags_ret)
		*flags_ret = flags;
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
		*link = (struct link){ pid, stat_of(pid, NULL) };
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

/* ---- the way home ---- */

static int dissolve(const char *path)
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

static bool is_frozen(int cgroup_fd)
{
	_cleanup_free_ char *text = NULL;

	return !read_file_at(cgroup_fd, "cgroup.freeze", &text, NULL) && *text == '1';
}

/* the job ended with crkhelper, so what is frozen still was to be left so */
static void go_home(void *arg)
{
	const char *own = arg;
	_cleanup_close_ int fd = -1;
	int tries;

	if (crk_cgroup_open(own, &fd) || is_frozen(fd))
		return;
	for (tries = 0; tries < 100 && dissolve(own); tries++)
		usleep(10000);
}

static int home_watch(const char *own, pid_t *watcher_ret)
{
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	sigset_t all, old;

	if (pidfd < 0)
		return crk_err(-errno, "cannot open a pidfd");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	*watcher_ret = fork();
	if (!*watcher_ret)
		crk_watch_main(pidfd, false, go_home, (void *)own);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return *watcher_ret < 0 ? crk_err(-errno, "cannot fork") : 0;
}

static void home_unwatch(pid_t watcher)
{
	if (watcher <= 0)
		return;
	kill(watcher, SIGKILL);
	waitpid(watcher, NULL, 0);
}

void crk_cgroup_home(const char *own, pid_t watcher)
{
	if (dissolve(own))
		crk_warn("cgroup %s stays: it can't be removed", own);
	home_unwatch(watcher);
}

void crk_cgroup_leave(const char *own, pid_t watcher, bool keep)
{
	if (!keep)
		crk_cgroup_remove(own);
	home_unwatch(watcher);
}

/* ---- the way there ---- */

/* the group that crkhelper makes for the tree of @pid */
static int own_path(pid_t pid, const char *home, char **ret)
{
	return xasprintf(ret, "%s/crk-%d", strcmp(home, "/") ? home : "", pid) ? crk_oom() : 0;
}

/*
 * A dump that was killed, its watcher too, has left the tree of @pid, or a part of it, in a group made for it: *@path,
 * which becomes the one it came from then.  One that is frozen was left so on purpose.
 */
static bool was_left_behind(pid_t pid, int fd, char *path)
{
	char *slash = strrchr(path, '/');
	char name[32];

	snprintf(name, sizeof(name), "/crk-%d", pid);
	if (!slash || strcmp(slash, name) || is_frozen(fd))
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* moving a tree that spans several groups would lose where each process was; @own, which may not be there, is no matter */
static int check_all_in(const struct pidset *tree, const char *home, const char *own)
{
	size_t i;

	for (i = 0; i < tree->nr; i++) {
		_cleanup_free_ char *path = NULL;

		if (!crk_cgroup_of(tree->pids[i], &path) && strcmp(path, home) && strcmp(path, own))
			return crk_fail(-EXDEV, "pid %d is in cgroup %s, others of the tree in %s", tree->pids[i], path, home);
	}
	return 0;
}

/* who is in it is of an earlier dump that was left frozen, or of a pid that was used before */
static int check_is_free(const struct pidset *tree, const char *home, const char *own)
{
	_cleanup_close_ int home_fd = -1, fd = -1;
	struct pidset in = {};
	size_t i;
	int err = crk_cgroup_open(home, &home_fd);

	if (err)
		return err;
	fd = openat(home_fd, strrchr(own, '/') + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? 0 : cgroup_pids(fd, &in);
	for (i = 0; i < in.nr && !err; i++)
		if (!pidset_has(tree, in.pids[i])) {
			err = crk_fail(-EEXIST, "cgroup %s, which the tree would go to, has pid %d in it, which is not of the tree",
				       own, in.pids[i]);
			crk_hint("dump all that is in it with -g, or move that pid out");
		}
	free(in.pids);
	return err;
}

static int refuse_root(pid_t pid, const struct pidset *tree)
{
	unsigned int flags;
	char comm[17];
	int err = 0;

	stat_of(pid, &flags);
	if (flags & PF_KTHREAD) {
		crk_pid_comm(pid, comm);
		err = crk_fail(-EOPNOTSUPP, "pid %d (%s): is a kernel thread: not supported", pid, comm);
	} else if (pidset_has(tree, getpid())) {
		err = crk_fail(-EDEADLK, "pid %d is an ancestor of crkhelper itself", pid);
		crk_hint("run crkhelper from a session outside the tree that is dumped");
	}
	return err;
}

/* is the tree all that is in its cgroup, and all of it there? */
static int is_exclusive(struct pidset *tree, int fd, bool *ret)
{
	struct pidset in = {};
	int err = cgroup_pids(fd, &in);

	qsort(in.pids, in.nr, sizeof(pid_t), cmp_pid);
	qsort(tree->pids, tree->nr, sizeof(pid_t), cmp_pid);
	*ret = !err && pidset_within(&in, tree) && pidset_within(tree, &in);
	free(in.pids);
	return err;
}

/* to @own below @home, so that the limits of @home stay in force */
static int tree_move(pid_t pid, const struct pidset *tree, const char *home, const char *own, pid_t *watcher_ret)
{
	_cleanup_close_ int fd = -1;
	int err = check_all_in(tree, home, own);

	err = err ?: check_is_free(tree, home, own);
	err = err ?: home_watch(own, watcher_ret);	/* before there is anything to take back */
	if (err)
		return err;
	err = crk_cgroup_create(own, &fd);
	if (err) {
		home_unwatch(*watcher_ret);
		return err;
	}
	err = cgroup_move_tree(pid, fd);
	if (err)
		crk_cgroup_home(own, *watcher_ret);
	return err;
}

int crk_cgroup_for_tree(pid_t pid, char **path_ret, pid_t *watcher_ret)
{
	_cleanup_free_ char *path = NULL, *own = NULL;
	_cleanup_close_ int fd = -1;
	struct pidset tree = {};
	bool exclusive = false;
	int err;

	*watcher_ret = 0;
	if (kill(pid, 0) && errno == ESRCH)
		return crk_err(-ESRCH, "pid %d", pid);
	err = crk_cgroup_of(pid, &path);
	err = err ?: crk_cgroup_open(path, &fd);
	err = err ?: tree_of(pid, &tree);
	err = err ?: refuse_root(pid, &tree);
	if (!err && !was_left_behind(pid, fd, path) && strcmp(path, "/"))
		err = is_exclusive(&tree, fd, &exclusive);
	if (!err && exclusive) {
		*path_ret = steal_ptr(&path);
	} else if (!err) {
		err = own_path(pid, path, &own);
		err = err ?: tree_move(pid, &tree, path, own, watcher_ret);
		if (!err)
			*path_ret = steal_ptr(&own);
	}
	free(tree.pids);
	return err;
}
