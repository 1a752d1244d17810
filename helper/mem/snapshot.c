// SPDX-License-Identifier: GPL-2.0
/*
 * Which memory of a dump that leaves its processes running is duplicated copy-on-write, and read when they run again,
 * and which is read while they are frozen.  A duplicate costs them: each page they write to meanwhile is copied once,
 * at the expense of their memory cgroups.  So there must be room for all of it, or they, not the dump, would suffer.
 *
 * Whatever speaks against it is no failure: the memory is copied while frozen then.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

#include "mem.h"

#define WORTH_IT	(32ULL << 20)	/* less is copied about as fast as duplicated */
#define MIB(bytes)	((bytes) / 1048576.0)

/* a memory cgroup and what is to be duplicated of processes in it and below */
struct level {
	char *path;
	uint64_t room, planned;		/* room: ~0: no limit */
};

/* what the processes together may need; UINT64_MAX: no limit */
struct budget {
	bool known;			/* that of this machine has been looked at */
	uint64_t memory, commit;	/* left */
	bool images_in_memory;
	int cgroup_root;
	struct level *levels;
	size_t nr_levels, room_levels;
};

bool crk_snapshot_has(const struct crk_private *m, const struct crk_vma *v)
{
	if (!m->snapshot || v->flags & (VMA_SHARED | CRK_VMA_HUGETLB | CRK_VMA_IO | CRK_VMA_SPECIAL))
		return false;
	return m->locked_too || !(v->flags & CRK_VMA_LOCKED);
}

/* ---- what is to be duplicated ---- */

struct amount {
	uint64_t bytes;			/* pages that are there */
	uint64_t commit;		/* what counts for overcommit, there or not */
	uint64_t locked;		/* pages that are left out for being locked */
};

static struct amount amount_of(const struct crk_dproc *p, const struct crk_private *m, bool locked_too)
{
	const struct crk_private as_if = { .snapshot = 1, .locked_too = locked_too };
	const struct crk_vma *v, *end = p->vmas + p->nr_vmas;
	struct amount a = {};
	size_t i = 0;

	for (v = p->vmas; v < end; v++) {
		bool has = crk_snapshot_has(&as_if, v);

		if (has && v->flags & CRK_VMA_ACCOUNT)
			a.commit += v->end - v->start;
		while (i < m->nr && m->ranges[i].addr + m->ranges[i].len <= v->start)
			i++;
		for (; i < m->nr && m->ranges[i].addr < v->end; i++) {
			uint64_t from = max((uint64_t)m->ranges[i].addr, (uint64_t)v->start);
			uint64_t to = min(m->ranges[i].addr + m->ranges[i].len, (uint64_t)v->end);

			if (has)
				a.bytes += to - from;
			else if (v->flags & CRK_VMA_LOCKED && !(v->flags & VMA_SHARED))
				a.locked += to - from;
			if (m->ranges[i].addr + m->ranges[i].len > v->end)
				break;		/* it reaches into the next one */
		}
	}
	return a;
}

/* ---- what there is room for ---- */

/* a line "key 123" or "Key: 123 kB" of a text; 0 if there is none */
static uint64_t text_number(const char *text, const char *key)
{
	const char *line = text;
	size_t len = strlen(key);

	for (; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, len) && strchr(": ", line[len]))
			return strtoull(line + len + 1, NULL, 10);
	return 0;
}

/* asked when it is needed: the processes are frozen */
static void budget_init(struct budget *b, const struct crk_dump *d)
{
	_cleanup_free_ char *info = NULL, *mode = NULL;
	uint64_t limit, used;
	struct statfs fs;

	if (b->known)
		return;
	*b = (struct budget){ .known = true, .commit = UINT64_MAX, .cgroup_root = -1 };
	if (!read_file_at(AT_FDCWD, "/proc/meminfo", &info, NULL))
		b->memory = text_number(info, "MemAvailable") << 10;
	if (info && !read_file_at(AT_FDCWD, "/proc/sys/vm/overcommit_memory", &mode, NULL) && *mode == '2') {
		limit = text_number(info, "CommitLimit") << 10;
		used = text_number(info, "Committed_AS") << 10;
		b->commit = limit > used ? limit - used : 0;
	}
	b->images_in_memory = !fstatfs(crk_imgdir_fd(d->dir), &fs) &&
			      ((uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == RAMFS_MAGIC);
}

static void budget_exit(struct budget *b)
{
	size_t i;

	for (i = 0; i < b->nr_levels; i++)
		free(b->levels[i].path);
	free(b->levels);
	if (b->known && b->cgroup_root >= 0)
		close(b->cgroup_root);
}

/* of memory.max, memory.high; UINT64_MAX without a limit, and where the controller is off */
static uint64_t cgroup_number(int dirfd, const char *file)
{
	_cleanup_free_ char *text = NULL;

	if (read_file_at(dirfd, file, &text, NULL) || !strncmp(text, "max", 3))
		return UINT64_MAX;
	return strtoull(text, NULL, 10);
}

/* files that were read once can go at any time */
static uint64_t level_room(int dirfd)
{
	uint64_t limit = min(cgroup_number(dirfd, "memory.max"), cgroup_number(dirfd, "memory.high"));
	uint64_t used, spare;
	_cleanup_free_ char *stat = NULL;

	if (limit == UINT64_MAX)
		return limit;
	used = cgroup_number(dirfd, "memory.current");
	spare = read_file_at(dirfd, "memory.stat", &stat, NULL) ? 0 : text_number(stat, "inactive_file");
	used -= min(used, spare);
	return limit > used ? limit - used : 0;
}

static struct level *level_get(struct budget *b, const char *path, size_t len)
{
	_cleanup_close_ int fd = -1;
	struct level *l;
	size_t i;

	for (i = 0; i < b->nr_levels; i++)
		if (strlen(b->levels[i].path) == len && !strncmp(b->levels[i].path, path, len))
			return &b->levels[i];
	if (b->cgroup_root < 0 && crk_cgroup_open("/", &b->cgroup_root))
		return NULL;
	l = array_add(b->levels, b->nr_levels, b->room_levels);
	if (!l)
		return NULL;
	l->path = strndup(path, len);
	if (!l->path) {
		b->nr_levels--;
		return NULL;
	}
	fd = openat(b->cgroup_root, l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	l->room = fd < 0 ? 0 : level_room(fd);
	return l;
}

/* the first of the cgroups of @p, from the root on, that has no room; with @plan all are charged */
static const struct level *levels_walk(struct budget *b, const char *path, uint64_t bytes, bool plan)
{
	static const struct level unknown = { .path = (char *)"of it", .room = 0 };
	const char *end;

	for (end = path; *end; ) {
		struct level *l;

		end += strcspn(end, "/");
		l = level_get(b, path, end - path);
		if (!l)
			return &unknown;
		if (plan)
			l->planned += bytes;
		else if (l->room != UINT64_MAX && (l->room < l->planned || l->room - l->planned < bytes))
			return l;
		end += *end == '/';
	}
	return NULL;
}

/* "" if nothing is against it, and it is planned for; else why not */
static void weigh(struct crk_dump *d, struct budget *b, const struct crk_dproc *p, const struct amount *a, char *why,
		  size_t size)
{
	_cleanup_free_ char *group = NULL;
	const struct level *l;
	uint64_t need, in_all;
	const char *path;

	*why = '\0';
	if (d->opts->snapshots == CRK_SNAPSHOTS_ALWAYS)
		return;
	if (a->bytes < WORTH_IT) {
		snprintf(why, size, "%.1f MiB are copied as fast", MIB(a->bytes));
		return;
	}
	budget_init(b, d);
	/* all is written to before it is read; page tables are within the eighth */
	need = a->bytes + a->bytes / 8;
	in_all = need + (b->images_in_memory ? a->bytes : 0);
	if (in_all > b->memory) {
		snprintf(why, size, "up to %.1f MiB could be needed, %.1f MiB are available", MIB(in_all), MIB(b->memory));
		return;
	}
	if (a->commit > b->commit) {
		snprintf(why, size, "vm.overcommit_memory is 2 and %.1f MiB are left, not %.1f MiB", MIB(b->commit),
			 MIB(a->commit));
		return;
	}
	if (crk_cgroup_of(p->live->tid, &group)) {
		snprintf(why, size, "its cgroup is not known");
		return;
	}
	group[strcspn(group, "\n")] = '\0';
	path = group + strspn(group, "/");
	l = levels_walk(b, path, need, false);
	if (l) {
		snprintf(why, size, "cgroup %s has room for %.1f MiB (memory.max, memory.high), not %.1f MiB", l->path,
			 MIB(l->room - min(l->planned, l->room)), MIB(need));
		return;
	}
	levels_walk(b, path, need, true);
	b->memory -= in_all;
	if (b->commit != UINT64_MAX)
		b->commit -= a->commit;
}

/* ---- all processes ---- */

static const char *none_at_all(struct crk_dump *d)
{
	struct crk_info info = {};

	if (d->opts->snapshots == CRK_SNAPSHOTS_NEVER)
		return "--snapshot=never";
	if (!d->opts->leave_running)
		return "the processes do not go on";
	if (d->no_snapshots)
		return "one was lost";
	if (crk_dev_info(d->dev, &info) || !(info.out_features & CRK_FEAT_SNAPSHOT))
		return "the module can't make them here (see crkhelper check)";
	return NULL;
}

static void take(struct crk_dump *d, struct budget *b, struct crk_dproc *p)
{
	struct crk_private *m = &d->mem->private[p - d->procs];
	bool always = d->opts->snapshots == CRK_SNAPSHOTS_ALWAYS;
	struct amount a = amount_of(p, m, always);
	char why[1024];
	uint64_t start;

	if (!a.bytes)
		return;
	weigh(d, b, p, &a, why, sizeof(why));
	m->locked_too = always;
	start = now_ns();
	if (!*why && !crk_dev_snapshot(d->dev, p->live->tid, always, &m->snapshot, why, sizeof(why))) {
		d->nr_snapshots++;
		crk_info("pid %d (%s): snapshot of %.1f MiB in %.3f ms%s", p->pid, (const char *)p->leader->comm,
			 MIB(a.bytes), (now_ns() - start) / 1e6, a.locked ? ", locked memory is copied while frozen" : "");
		return;
	}
	if (a.bytes < WORTH_IT && !always)
		crk_debug("pid %d (%s): no snapshot: %s", p->pid, (const char *)p->leader->comm, why);
	else
		crk_info("pid %d (%s): no snapshot, copied while frozen: %s", p->pid, (const char *)p->leader->comm, why);
}

int crk_snapshots_take(struct crk_dump *d)
{
	const char *why = none_at_all(d);
	struct budget b = {};
	size_t i;

	if (why) {
		crk_info("no snapshots, all memory is copied while frozen: %s", why);
		return 0;
	}
	for (i = 0; i < d->nr_procs; i++)
		if (!d->procs[i].zombie && !d->procs[i].mm_of)
			take(d, &b, &d->procs[i]);
	budget_exit(&b);
	return 0;
}
