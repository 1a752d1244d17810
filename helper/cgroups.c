// SPDX-License-Identifier: GPL-2.0
/*
 * The cgroups below that of the checkpoint, and the settings of all of them: what a dump writes into crk-cgroup.img, and
 * how a restore makes them again.  Tasks are born where they belong.  Limits come when all of them are there; a cgroup
 * that exists already keeps its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dump.h"
#include "restore.h"

/*
 * Control files with one value that can be written as it was read, and what a new cgroup has.  Files with a line per
 * device (io.max and the like) and partitions of cpusets depend on the machine: an administrator's, not the job's.
 */
static const struct control {
	const char *name;
	const char *initial;
} controls[] = {
	{ "cgroup.max.depth",		"max" },
	{ "cgroup.max.descendants",	"max" },
	{ "cgroup.pressure",		"1" },
	{ "cpu.idle",			"0" },
	{ "cpu.weight",			"100" },
	{ "cpu.max",			"max 100000" },
	{ "cpu.max.burst",		"0" },
	{ "cpu.uclamp.min",		"0.00" },
	{ "cpu.uclamp.max",		"max" },
	{ "cpuset.cpus",		"" },
	{ "cpuset.mems",		"" },
	{ "memory.min",			"0" },
	{ "memory.low",			"0" },
	{ "memory.high",		"max" },
	{ "memory.max",			"max" },
	{ "memory.oom.group",		"0" },
	{ "memory.swap.high",		"max" },
	{ "memory.swap.max",		"max" },
	{ "memory.zswap.max",		"max" },
	{ "memory.zswap.writeback",	"1" },
	{ "pids.max",			"max" },
	/* who may move tasks here and make cgroups below: delegation */
	{ "cgroup.procs",		NULL },
	{ "cgroup.threads",		NULL },
	{ "cgroup.subtree_control",	NULL },
};

#define CONTROL_MODE	0644

/* ---- dump ---- */

static int file_dump(int dirfd, const struct control *c, const char *path, CrkCgroupEntry *e)
{
	_cleanup_free_ char *value = NULL;
	CrkCgroupFile *file, **files;
	struct stat st;
	int ret;

	/* its controller may be off */
	if (fstatat(dirfd, c->name, &st, 0))
		return errno == ENOENT ? 0 : crk_err(-errno, "cgroup %s: %s", path, c->name);
	if (c->initial) {
		ret = read_file_at(dirfd, c->name, &value, NULL);
		if (ret)
			return crk_err(ret, "cgroup %s: cannot read %s", path, c->name);
		value[strcspn(value, "\n")] = '\0';
		if (!strcmp(value, c->initial))
			free(steal_ptr(&value));
	}
	if (!value && !st.st_uid && !st.st_gid && (st.st_mode & 07777) == CONTROL_MODE)
		return 0;
	files = reallocarray(e->files, e->n_files + 1, sizeof(*files));
	file = malloc(sizeof(*file));
	if (files)
		e->files = files;
	if (!files || !file) {
		free(file);
		return crk_oom();
	}
	crk_cgroup_file__init(file);
	e->files[e->n_files++] = file;
	file->value = steal_ptr(&value);
	file->has_mode = file->has_uid = file->has_gid = true;
	file->mode = st.st_mode & 07777;
	file->uid = st.st_uid;
	file->gid = st.st_gid;
	file->name = strdup(c->name);
	return file->name ? 0 : crk_oom();
}

static int entry_fill(int dirfd, const char *path, CrkCgroupEntry *e, uint64_t *id)
{
	_cleanup_free_ char *type = NULL, *freeze = NULL;
	struct stat st;
	size_t i;
	int ret;

	e->path = strdup(path);
	if (!e->path)
		return crk_oom();
	if (fstat(dirfd, &st))
		return crk_err(-errno, "cgroup %s", path);
	ret = read_file_at(dirfd, "cgroup.subtree_control", &e->controllers, NULL);
	ret = ret ?: read_file_at(dirfd, "cgroup.type", &type, NULL);
	ret = ret ?: read_file_at(dirfd, "cgroup.freeze", &freeze, NULL);
	if (ret)
		return crk_err(ret, "cgroup %s: cannot read its settings", path);
	e->controllers[strcspn(e->controllers, "\n")] = '\0';
	e->has_threaded = true;
	e->threaded = !strncmp(type, "threaded", 8);
	/* that of the first one is ours */
	e->has_frozen = *path;
	e->frozen = *path && *freeze == '1';
	e->has_mode = e->has_uid = e->has_gid = true;
	e->mode = st.st_mode & 07777;
	e->uid = st.st_uid;
	e->gid = st.st_gid;
	*id = st.st_ino;
	for (i = 0; i < ARRAY_SIZE(controls) && !ret; i++)
		ret = file_dump(dirfd, &controls[i], path, e);
	return ret;
}

static int entry_dump(struct crk_dump *d, struct crk_img *img, int dirfd, const char *path)
{
	CrkCgroupEntry *e = malloc(sizeof(*e));
	struct crk_dcgroup *item = array_add(d->cgroups, d->nr_cgroups, d->room_cgroups);
	int ret;

	if (!e || !item) {
		free(e);
		return crk_oom();
	}
	crk_cgroup_entry__init(e);
	ret = entry_fill(dirfd, path, e, &item->id);
	ret = ret ?: crk_img_put(img, &e->base);
	if (!ret) {
		item->path = strdup(path);
		ret = item->path ? 0 : crk_oom();
	}
	crk_cgroup_entry__free_unpacked(e, NULL);
	return ret;
}

static int tree_dump(struct crk_dump *d, struct crk_img *img, int dirfd, const char *path)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *de;
	int fd, ret;

	ret = entry_dump(d, img, dirfd, path);
	if (ret)
		return ret;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return crk_err(-errno, "cgroup %s", path);
	while ((de = readdir(dir)) && !ret) {
		_cleanup_free_ char *below = NULL;
		_cleanup_close_ int sub = -1;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		sub = openat(dirfd, de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (sub < 0 && errno == ENOENT)
			continue;
		if (sub < 0)
			return crk_err(-errno, "cgroup %s/%s", path, de->d_name);
		ret = xasprintf(&below, "%s%s%s", path, *path ? "/" : "", de->d_name) ? crk_oom() :
		      tree_dump(d, img, sub, below);
	}
	return ret;
}

int crk_cgroups_dump(struct crk_dump *d)
{
	struct crk_img *img = NULL;
	int ret, err;

	ret = crk_img_create(d->dir, CRK_IMG_CRK_CGROUP, 0, &img);
	if (ret)
		return ret;
	ret = tree_dump(d, img, d->cgroup_fd, "");
	err = crk_img_close(img);
	return ret ?: err;
}

const char *crk_cgroups_path(const struct crk_dump *d, uint64_t id)
{
	size_t i;

	for (i = 0; i < d->nr_cgroups; i++)
		/* 32-bit kernels show half of it as inode number */
		if (d->cgroups[i].id == id || d->cgroups[i].id == (uint32_t)id)
			return d->cgroups[i].path;
	return NULL;
}

void crk_cgroups_dump_free(struct crk_dump *d)
{
	size_t i;

	for (i = 0; i < d->nr_cgroups; i++)
		free(d->cgroups[i].path);
	free(d->cgroups);
	d->cgroups = NULL;
	d->nr_cgroups = 0;
}

/* ---- plan of a restore ---- */

static struct crk_rcgroup *cgroup_find(const struct crk_rst *r, const char *path, size_t len)
{
	size_t i;

	for (i = 0; i < r->nr_cgroups; i++)
		if (strlen(r->cgroups[i].e->path) == len && !strncmp(r->cgroups[i].e->path, path, len))
			return &r->cgroups[i];
	return NULL;
}

/* below what came before, and nowhere else */
static bool path_is_good(const struct crk_rst *r, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!r->nr_cgroups)
		return !*path;
	return *name && *name != '.' && !cgroup_find(r, path, strlen(path)) &&
	       cgroup_find(r, path, slash ? slash - path : 0);
}

int crk_cgroups_plan(struct crk_rst *r)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	size_t room = 0;
	int ret;

	/* of an older crkhelper */
	ret = crk_img_open(r->dir, CRK_IMG_CRK_CGROUP, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) == 1) {
		CrkCgroupEntry *e = (CrkCgroupEntry *)msg;
		struct crk_rcgroup *c = path_is_good(r, e->path) ? array_add(r->cgroups, r->nr_cgroups, room) : NULL;

		if (!c) {
			crk_cgroup_entry__free_unpacked(e, NULL);
			ret = crk_fail(-EBADMSG, "crk-cgroup.img: a cgroup is in it twice or before the one above it");
			break;
		}
		c->e = e;
		c->fd = -1;
	}
	crk_img_close(img);
	return ret;
}

bool crk_cgroups_known(const struct crk_rst *r, const char *path)
{
	return !*path || cgroup_find(r, path, strlen(path));
}

void crk_cgroups_free(struct crk_rst *r)
{
	size_t i;

	for (i = 0; i < r->nr_cgroups; i++) {
		if (r->cgroups[i].fd >= 0)
			close(r->cgroups[i].fd);
		crk_cgroup_entry__free_unpacked(r->cgroups[i].e, NULL);
	}
	free(r->cgroups);
	r->cgroups = NULL;
	r->nr_cgroups = 0;
}

/* ---- restore ---- */

void crk_cgroups_look(struct crk_rst *r, int dir)
{
	struct crk_rcgroup *c;

	for (c = r->cgroups; c < r->cgroups + r->nr_cgroups; c++)
		c->made = dir < 0 || (*c->e->path && faccessat(dir, c->e->path, F_OK, 0) && errno == ENOENT);
}

static int cgroup_make(struct crk_rst *r, struct crk_rcgroup *c)
{
	const char *path = *c->e->path ? c->e->path : ".";
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	int ret;

	if (*c->e->path && mkdirat(r->cgroup_fd, path, 0755) && errno != EEXIST)
		return crk_err(-errno, "cgroup %s/%s: cannot make it", r->sync->cgroup, path);
	fd = openat(r->cgroup_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	c->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	if (c->fd < 0)
		return crk_err(-errno, "cgroup %s/%s: cannot open it", r->sync->cgroup, path);
	if (c->made && c->e->threaded && *c->e->path) {
		ret = write_file_at(c->fd, "cgroup.type", "threaded");
		if (ret)
			return crk_err(ret, "cgroup %s/%s: cannot make it threaded", r->sync->cgroup, path);
	}
	if (c->made || !*c->e->path)
		return 0;
	ret = read_file_at(c->fd, "cgroup.freeze", &text, NULL);
	if (!ret && *text == '1' && !c->e->frozen)
		return crk_fail(-EBUSY, "cgroup %s/%s is frozen", r->sync->cgroup, path);
	/* until the restored tasks are in it */
	if (!ret && *text == '1')
		ret = write_file_at(c->fd, "cgroup.freeze", "0");
	return ret ? crk_err(ret, "cgroup %s/%s: cannot thaw it", r->sync->cgroup, path) : 0;
}

/* each on its own: one that is missing here should not take the others with it */
static int controllers_enable(struct crk_rst *r, const struct crk_rcgroup *c)
{
	_cleanup_free_ char *text = strdup(c->e->controllers ?: "");
	char *name, *save = NULL, line[64];
	int ret;

	if (!text)
		return crk_oom();
	for (name = strtok_r(text, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		snprintf(line, sizeof(line), "+%.60s", name);
		ret = write_file_at(c->fd, "cgroup.subtree_control", line);
		if (ret == -ENOENT)
			crk_warn("cgroup %s/%s: controller %s is not enabled above it: what it limited below is not limited here",
				 r->sync->cgroup, c->e->path, name);
		else if (ret)
			return crk_err(ret, "cgroup %s/%s: cannot enable controller %s", r->sync->cgroup, c->e->path, name);
	}
	return 0;
}

/* 1 if who is born there is killed at once, 0 if not; -EAGAIN if that can't be told: it has no place, or is frozen */
static int birth_kills(int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.cgroup = cgroup_fd,
		.exit_signal = SIGCHLD,
	};
	_cleanup_free_ char *events = NULL;
	int status;
	pid_t pid;

	if (read_file_at(cgroup_fd, "cgroup.events", &events, NULL) || strstr(events, "frozen 1"))
		return -EAGAIN;
	pid = crk_clone3(&args, sizeof(args));
	if (!pid)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid ? WIFSIGNALED(status) : -EAGAIN;
}

/*
 * The kernel compares how often the cgroups of parent and child were killed, since b69bb476dee9 ("cgroup: fix race
 * between fork and cgroup.kill") (v6.14, also 6.1.129), as if the child came from there.  A kill counts for those below, too:
 * one of those that were there tells of all, and one that is new.
 */
static bool births_kill(const struct crk_rst *r)
{
	bool told[2] = { false };
	size_t i;
	int ret;

	for (i = 0; i < r->nr_cgroups && !(told[0] && told[1]); i++) {
		if (told[r->cgroups[i].made])
			continue;
		ret = birth_kills(r->cgroups[i].fd);
		if (ret == 1)
			return true;
		told[r->cgroups[i].made] = !ret;
	}
	return !r->nr_cgroups && birth_kills(r->cgroup_fd) == 1;
}

int crk_cgroups_make(struct crk_rst *r)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < r->nr_cgroups && !ret; i++)
		ret = cgroup_make(r, &r->cgroups[i]);
	for (i = 0; i < r->nr_cgroups && !ret; i++)
		if (r->cgroups[i].made || !i)
			ret = controllers_enable(r, &r->cgroups[i]);
	r->births_killed = !ret && births_kill(r);
	return ret;
}

static bool has_place(const struct crk_rproc *p)
{
	return p->task && p->task->cgroup;
}

/*
 * The cgroup of thread @i of @p.  Zombies and those that only help to make the tree have none of their own: they are in
 * that of who made them, in the end that of the root.
 */
static int cgroup_fd_of(const struct crk_rst *r, const struct crk_rproc *p, size_t i)
{
	const struct crk_rcgroup *c;
	const CrkTaskEntry *te;
	const char *path;

	while (p && !has_place(p))
		p = p->parent;
	p = p ?: r->procs;
	if (!has_place(p))
		return r->cgroup_fd;
	te = p->task;
	path = i < te->n_threads && te->threads[i]->cgroup ? te->threads[i]->cgroup : te->cgroup;
	c = cgroup_find(r, path, strlen(path));
	return c ? c->fd : r->cgroup_fd;
}

/* -1: inherited */
static int other_cgroup_fd(const struct crk_rst *r, const struct crk_rproc *p, size_t thread)
{
	int fd = cgroup_fd_of(r, p, thread);
	bool inherited = thread ? fd == cgroup_fd_of(r, p, 0) : p->parent && fd == cgroup_fd_of(r, p->parent, 0);

	return inherited ? -1 : fd;
}

void crk_cgroups_birth(const struct crk_rst *r, const struct crk_rproc *p, size_t thread, struct clone_args *args)
{
	int fd = r->births_killed ? -1 : other_cgroup_fd(r, p, thread);

	if (fd < 0)
		return;
	args->flags |= CLONE_INTO_CGROUP;
	args->cgroup = fd;
}

int crk_cgroups_enter(const struct crk_rst *r, const struct crk_rproc *p, size_t thread)
{
	int fd = r->births_killed ? other_cgroup_fd(r, p, thread) : -1;
	int ret = fd < 0 ? 0 : write_file_at(fd, thread ? "cgroup.threads" : "cgroup.procs", "0");

	return ret ? crk_err(ret, "pid %d: cannot go to its cgroup", p->pid) : 0;
}

static int file_restore(struct crk_rst *r, const struct crk_rcgroup *c, const CrkCgroupFile *file)
{
	int ret;

	if (strchr(file->name, '/'))
		return crk_fail(-EBADMSG, "crk-cgroup.img: file %s", file->name);
	ret = file->value ? write_file_at(c->fd, file->name, file->value) : 0;
	if (!ret && file->has_mode && fchmodat(c->fd, file->name, file->mode, 0))
		ret = -errno;
	if (!ret && file->has_uid && file->has_gid && fchownat(c->fd, file->name, file->uid, file->gid, 0))
		ret = -errno;
	if (ret == -ENOENT) {
		crk_warn("cgroup %s/%s has no %s, which was \"%s\"", r->sync->cgroup, c->e->path, file->name,
			 file->value ?: "");
		return 0;
	}
	return ret ? crk_err(ret, "cgroup %s/%s: cannot set %s to \"%s\"", r->sync->cgroup, c->e->path, file->name,
			     file->value ?: "") : 0;
}

int crk_cgroups_settings(struct crk_rst *r)
{
	const struct crk_rcgroup *c;
	size_t j;
	int ret = 0;

	for (c = r->cgroups; c < r->cgroups + r->nr_cgroups && !ret; c++) {
		if (!c->made)
			continue;
		for (j = 0; j < c->e->n_files && !ret; j++)
			ret = file_restore(r, c, c->e->files[j]);
		if (!ret && c->e->has_mode && fchmod(c->fd, c->e->mode))
			ret = crk_err(-errno, "cgroup %s/%s: cannot set its mode", r->sync->cgroup, c->e->path);
		if (!ret && c->e->has_uid && c->e->has_gid && fchown(c->fd, c->e->uid, c->e->gid))
			ret = crk_err(-errno, "cgroup %s/%s: cannot set its owner", r->sync->cgroup, c->e->path);
	}
	return ret;
}

int crk_cgroups_freeze(struct crk_rst *r)
{
	const struct crk_rcgroup *c;
	int ret;

	for (c = r->cgroups; c < r->cgroups + r->nr_cgroups; c++) {
		ret = c->e->frozen && c->fd >= 0 ? write_file_at(c->fd, "cgroup.freeze", "1") : 0;
		if (ret)
			return crk_err(ret, "cgroup %s/%s: cannot freeze it again", r->sync->cgroup, c->e->path);
	}
	return 0;
}

void crk_cgroups_remove(struct crk_rst *r)
{
	_cleanup_close_ int dir = -1;
	struct crk_rcgroup *c;
	int tries;

	if (r->nr_cgroups < 2 || crk_cgroup_open(r->sync->cgroup, &dir))
		return;
	for (c = r->cgroups + r->nr_cgroups - 1; c > r->cgroups; c--)
		/* the last task may still be on its way out */
		for (tries = 0; c->made && unlinkat(dir, c->e->path, AT_REMOVEDIR) && errno == EBUSY && tries < 10; tries++)
			usleep(1000);
}

void crk_cgroups_undo(struct crk_rst *r)
{
	size_t i;

	for (i = 1; i < r->nr_cgroups; i++)
		if (!r->cgroups[i].made && r->cgroups[i].fd >= 0 && r->cgroups[i].e->frozen)
			write_file_at(r->cgroups[i].fd, "cgroup.freeze", "1");
	crk_cgroups_remove(r);
}
