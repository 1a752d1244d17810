// SPDX-License-Identifier: GPL-2.0
/*
 * Locks on files: POSIX (of a table of descriptors), open file description and flock (of an open file), leases.
 * The module tells which descriptors' files have any; their fdinfo is then read, which tells the owner.  Not
 * /proc/locks: to read it makes all CPUs wait for an RCU grace period, 20 ms in which the target is frozen.
 * Waiters for a lock wait again after the restore: their system call is made again.
 */
#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "files.h"

/* the kernel's FL_*, in file_lock_entry.flag */
#define FL_POSIX	1
#define FL_FLOCK	2
#define FL_LEASE	32
#define FL_OFDLCK	1024

static const char key;		/* of our state */

/* ---- dump ---- */

struct seen_lock {
	const struct crk_dproc *proc;
	FileLockEntry e;
	uint64_t ino;
};

struct locks_dump {
	struct seen_lock *seen;		/* POSIX locks, which every descriptor of an inode shows */
	size_t nr_seen, room_seen;
};

static struct locks_dump *dump_state(struct crk_dump *d)
{
	return crk_dump_state(d, &key, sizeof(struct locks_dump));
}

static void *grow(struct crk_dump *d, void *items, size_t nr, size_t *room, size_t size)
{
	void *more;

	if (nr < *room)
		return items;
	*room = *room ? *room * 2 : 16;
	more = crk_dump_alloc(d, *room * size);
	if (more && nr)
		memcpy(more, items, nr * size);
	return more;
}

static bool seen_before(struct crk_dump *d, const struct crk_dproc *p, uint64_t ino, const FileLockEntry *e, int *err)
{
	struct locks_dump *s = dump_state(d);
	size_t i;

	for (i = 0; s && i < s->nr_seen; i++)
		if (s->seen[i].proc == p && s->seen[i].ino == ino && s->seen[i].e.start == e->start &&
		    s->seen[i].e.len == e->len && s->seen[i].e.type == e->type)
			return true;
	if (s)
		s->seen = grow(d, s->seen, s->nr_seen, &s->room_seen, sizeof(*s->seen));
	if (!s || !s->seen) {
		*err = -ENOMEM;
		return true;
	}
	s->seen[s->nr_seen++] = (struct seen_lock){ p, *e, ino };
	return false;
}

static int lock_line(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts, bool first, const char *line)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;
	char kind[16], state[16], type[16], end[32];
	long long start;
	struct crk_img *img;
	int err = 0;

	if (sscanf(line, "lock: %*d: %15s %15s %15s %*d %*x:%*x:%*u %lld %31s", kind, state, type, &start, end) != 5)
		return crk_fail(-EPROTO, "pid %d (%s) fd %u: cannot understand its lock: %.100s", p->pid,
				(const char *)p->leader->comm, facts->fd, line);
	e.type = !strcmp(type, "WRITE") ? F_WRLCK : F_RDLCK;
	e.pid = p->pid;
	e.fd = facts->fd;
	e.start = start;
	e.len = strcmp(end, "EOF") ? strtoll(end, NULL, 10) - start + 1 : 0;
	if (!strcmp(kind, "POSIX")) {
		e.flag = FL_POSIX;
		if (seen_before(d, p, facts->ino, &e, &err))
			return err;
	} else if (!strcmp(kind, "FLOCK")) {
		e.flag = FL_FLOCK;
	} else if (!strcmp(kind, "OFDLCK")) {
		e.flag = FL_OFDLCK;
	} else if (!strcmp(kind, "LEASE") && !strcmp(state, "ACTIVE")) {
		e.flag = FL_LEASE;
	} else {
		return crk_fail(-EOPNOTSUPP, "pid %d (%s) fd %u: a lock of kind %s (%s) is not supported", p->pid,
				(const char *)p->leader->comm, facts->fd, kind, state);
	}
	/* those of the open file come once, with its first descriptor */
	if (e.flag != FL_POSIX && !first)
		return 0;
	err = crk_dump_img(d, CRK_IMG_FILE_LOCKS, &img);
	return err ?: crk_img_put(img, &e.base);
}

int crk_locks_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts, bool first)
{
	_cleanup_free_ char *text = NULL;
	char path[32];
	const char *line;
	int err;

	snprintf(path, sizeof(path), "fdinfo/%u", facts->fd);
	err = read_file_at(p->procfd, path, &text, NULL);
	if (err)
		return crk_err(err, "pid %d (%s): %s", p->pid, (const char *)p->leader->comm, path);
	for (line = text; !err && line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, "lock:", 5))
			err = lock_line(d, p, facts, first, line);
	return err;
}

/* ---- restore ---- */

struct locks_restore {
	FileLockEntry *locks;
	size_t nr;
};

static struct locks_restore *restore_state(struct crk_rst *r)
{
	return crk_restore_state(r, &key, sizeof(struct locks_restore));
}

int crk_locks_plan(struct crk_rst *r)
{
	struct locks_restore *s = restore_state(r);
	struct crk_img *img;
	ProtobufCMessage *msg;
	int ret, err;

	if (!s)
		return -ENOMEM;
	ret = crk_img_open(r->dir, CRK_IMG_FILE_LOCKS, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	/* an entry has sixteen bytes at least */
	s->locks = crk_restore_alloc(r, (crk_img_left(img) / 16 + 1) * sizeof(*s->locks));
	ret = s->locks ? 1 : -ENOMEM;
	while (ret > 0 && (ret = crk_img_get(img, &msg)) > 0) {
		s->locks[s->nr++] = *(FileLockEntry *)msg;
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	err = crk_img_close(img);
	return ret ?: err;
}

static int lock_install(const FileLockEntry *e)
{
	struct flock fl = { .l_type = e->type, .l_whence = SEEK_SET, .l_start = e->start, .l_len = e->len };

	switch (e->flag) {
	case FL_POSIX:
		return fcntl(e->fd, F_SETLK, &fl) ? -errno : 0;
	case FL_OFDLCK:
		return fcntl(e->fd, F_OFD_SETLK, &fl) ? -errno : 0;
	case FL_FLOCK:
		return flock(e->fd, (e->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB) ? -errno : 0;
	case FL_LEASE:
		return fcntl(e->fd, F_SETLEASE, e->type) ? -errno : 0;
	default:
		return -EOPNOTSUPP;
	}
}

int crk_locks_install(struct crk_rst *r, struct crk_rproc *p)
{
	struct locks_restore *s = restore_state(r);
	size_t i;
	int err;

	for (i = 0; i < s->nr; i++) {
		if (s->locks[i].pid != p->pid)
			continue;
		err = lock_install(&s->locks[i]);
		if (err)
			return crk_err(err, "pid %d fd %d: cannot lock the file again", p->pid, s->locks[i].fd);
	}
	return 0;
}
