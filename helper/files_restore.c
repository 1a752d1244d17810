// SPDX-License-Identifier: GPL-2.0
/*
 * Open files of a restore, as the coordinator has them: planned, and opened before the first process is made, which
 * inherits them, so that one file of several processes is one file again.  Knows no kind of file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files_restore.h"

void *crk_restore_alloc(struct crk_rst *r, size_t size)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk) {
		crk_oom();
		return NULL;
	}
	chunk->next = r->files->chunks;
	r->files->chunks = chunk;
	return chunk->data;
}

void *crk_restore_state(struct crk_rst *r, const void *key, size_t size)
{
	struct state *state = r->files->states;

	while (state->key && state->key != key)
		state++;
	if (!state->mem) {
		state->key = key;
		state->mem = crk_restore_alloc(r, size);
	}
	return state->mem;
}

void *crk_restore_known(struct crk_rst *r, const void *kind, uint64_t a, uint64_t b)
{
	return crk_index_find(&r->files->known, kind, a, b);
}

int crk_restore_know(struct crk_rst *r, const void *kind, uint64_t a, uint64_t b, void *item)
{
	return crk_index_add(&r->files->known, kind, a, b, item);
}

static int rfile_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct rfile *)a)->fe->id, y = ((const struct rfile *)b)->fe->id;

	return x < y ? -1 : x > y;
}

struct rfile *crk_rfile_find(struct crk_rst *r, uint32_t id)
{
	struct crk_rst_files *s = r->files;
	FileEntry fe = { .id = id };
	struct rfile key = { .fe = &fe };

	return s && s->nr ? bsearch(&key, s->files, s->nr, sizeof(key), rfile_cmp) : NULL;
}

const FileEntry *crk_rfile_entry(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = crk_rfile_find(r, id);

	return f ? f->fe : NULL;
}

const CrkFileEntry *crk_rfile_extra(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = crk_rfile_find(r, id);

	return f ? f->extra : NULL;
}

bool crk_rfile_in_use(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = crk_rfile_find(r, id);

	return f && f->in_use;
}

FileEntry **crk_restore_files(struct crk_rst *r)
{
	return r->files->entries;
}

/* is the member there that the type promises? */
static bool entry_is_whole(const FileEntry *fe)
{
	switch (fe->type) {
	case FD_TYPES__REG:
		return fe->reg;
	case FD_TYPES__PIPE:
		return fe->pipe;
	case FD_TYPES__FIFO:
		return fe->fifo;
	case FD_TYPES__UNIXSK:
		return fe->usk;
	case FD_TYPES__EVENTFD:
		return fe->efd;
	case FD_TYPES__EVENTPOLL:
		return fe->epfd;
	case FD_TYPES__INOTIFY:
		return fe->ify;
	case FD_TYPES__SIGNALFD:
		return fe->sgfd;
	case FD_TYPES__TTY:
		return fe->tty;
	case FD_TYPES__TIMERFD:
		return fe->tfd;
	case FD_TYPES__MEMFD:
		return fe->memfd;
	default:
		return true;
	}
}

/* ---- small things for kinds ---- */

int crk_fd_raise(struct crk_rst *r, int fd, int *ret)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	int err = high < 0 ? crk_err(-errno, "cannot move a descriptor above %d", r->fd_base) : 0;

	close(fd);
	if (!err)
		*ret = high;
	return err;
}

int crk_fd_hold(struct crk_rst *r, int fd, int *ret)
{
	struct crk_rst_files *s = r->files;
	int *slot = array_add(s->held, s->nr_held, s->room_held), err;

	if (!slot) {
		close(fd);
		return crk_oom();
	}
	*slot = -1;
	err = crk_fd_raise(r, fd, slot);
	*ret = *slot;
	return err;
}

int crk_fd_reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

int crk_fd_setfl(int fd, uint32_t flags)
{
	int now = fcntl(fd, F_GETFL);

	if (now < 0)
		return -errno;
	if (!((now ^ flags) & SETFL_FLAGS))
		return 0;
	return fcntl(fd, F_SETFL, (now & ~SETFL_FLAGS) | (flags & SETFL_FLAGS)) ? -errno : 0;
}

const char *crk_rfile_who(struct crk_rst *r, uint32_t id, char *buf)
{
	size_t i, j;

	snprintf(buf, 64, "file id %u", id);
	for (i = 0; i < r->nr_procs; i++) {
		struct crk_rproc *p = &r->procs[i];

		for (j = 0; j < p->nr_fds; j++) {
			if (p->fds[j]->id == id) {
				snprintf(buf, 64, "pid %d fd %u", p->pid, p->fds[j]->fd);
				return buf;
			}
		}
		if (p->fs && (p->fs->cwd_id == id || p->fs->root_id == id)) {
			snprintf(buf, 64, "pid %d, %s directory", p->pid, p->fs->cwd_id == id ? "working" : "root");
			return buf;
		}
	}
	return buf;
}

int crk_inherited(struct crk_rst *r, const char *what)
{
	size_t i;

	for (i = 0; i < r->opts->nr_inherit; i++)
		if (!strcmp(r->opts->inherit[i].what, what))
			return r->opts->inherit[i].fd;
	return -1;
}

/* ---- plan ---- */

static int read_entries(struct crk_rst *r)
{
	struct crk_rst_files *s = r->files;
	struct crk_img *img;
	ProtobufCMessage *msg;
	int ret, err;
	size_t i;

	ret = crk_img_open(r->dir, CRK_IMG_FILES, 0, &img);
	if (ret)
		return ret == -ENOENT ? crk_fail(-EBADMSG, "'%s' has no files.img", crk_imgdir_path(r->dir)) : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		struct rfile *f = array_add(s->files, s->nr, s->room);

		if (!f) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		f->fe = (FileEntry *)msg;
		f->fd = -1;
	}
	err = crk_img_close(img);
	if (ret || err)
		return ret ?: err;
	qsort(s->files, s->nr, sizeof(*s->files), rfile_cmp);
	s->entries = crk_restore_alloc(r, (s->nr + 1) * sizeof(*s->entries));
	if (!s->entries)
		return -ENOMEM;
	for (i = 0; i < s->nr; i++) {
		const struct crk_file_ops * const *ops = crk_file_kinds;
		struct rfile *f = &s->files[i];

		s->entries[i] = f->fe;
		if (!entry_is_whole(f->fe) || (i && s->entries[i - 1]->id == f->fe->id))
			return crk_fail(-EBADMSG, "files.img: id %u makes no sense", f->fe->id);
		while (*ops && (*ops)->type != (int)f->fe->type)
			ops++;
		if (!*ops)
			return crk_fail(-EOPNOTSUPP, "files.img: id %u: files of type %d are not supported", f->fe->id,
					f->fe->type);
		f->ops = *ops;
	}
	return 0;
}

static int read_extras(struct crk_rst *r)
{
	struct crk_img *img;
	ProtobufCMessage *msg;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_CRK_FILES, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		CrkFileEntry *extra = (CrkFileEntry *)msg;
		struct rfile *f = crk_rfile_find(r, extra->id);

		if (!f || f->extra) {
			crk_file_entry__free_unpacked(extra, NULL);
			ret = crk_fail(-EBADMSG, "crk-files.img: an id that is not in files.img");
			break;
		}
		f->extra = extra;
	}
	err = crk_img_close(img);
	return ret ?: err;
}

int crk_rfile_use(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = crk_rfile_find(r, id);

	if (!f)
		return crk_fail(-EBADMSG, "file id %u is not in files.img", id);
	f->in_use = true;
	return 0;
}

void crk_rfile_path_only(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = crk_rfile_find(r, id);

	if (f && !f->in_use)
		f->path_only = true;
}

/* of one process in the order of their ids */
static int connect_cmp(const void *a, const void *b)
{
	const struct rfile *x = *(struct rfile *const *)a, *y = *(struct rfile *const *)b;

	return x->holder != y->holder ? (x->holder < y->holder ? -1 : 1) : x < y ? -1 : x > y;
}

static int plan_connects(struct crk_rst_files *s)
{
	size_t i, room = 0;

	for (i = 0; i < s->nr; i++) {
		struct rfile *f = &s->files[i], **slot;

		if (!f->in_use || !f->holder || !f->ops->connect)
			continue;
		slot = array_add(s->connects, s->nr_connects, room);
		if (!slot)
			return crk_oom();
		*slot = f;
	}
	if (s->nr_connects)
		qsort(s->connects, s->nr_connects, sizeof(*s->connects), connect_cmp);
	return 0;
}

int crk_files_plan(struct crk_rst *r)
{
	size_t i, j;
	int ret;

	r->files = calloc(1, sizeof(*r->files));
	if (!r->files)
		return crk_oom();
	r->files->coordinator = -1;
	ret = read_entries(r);
	ret = ret ?: read_extras(r);
	for (i = 0; i < r->nr_procs && !ret; i++) {
		struct crk_rproc *p = &r->procs[i];

		for (j = 0; j < p->nr_fds && !ret; j++) {
			struct rfile *f = crk_rfile_find(r, p->fds[j]->id);

			ret = crk_rfile_use(r, p->fds[j]->id);
			if (!ret && (!f->holder || p->pid < f->holder))
				f->holder = p->pid;
		}
		if (!ret && p->fs)
			ret = crk_rfile_use(r, p->fs->cwd_id);
		if (!ret && p->fs)
			ret = crk_rfile_use(r, p->fs->root_id);
	}
	ret = ret ?: crk_ghost_plan(r);
	ret = ret ?: crk_locks_plan(r);
	for (i = 0; i < r->files->nr && !ret; i++) {
		struct rfile *f = &r->files->files[i];

		if (f->extra && f->extra->has_holder_pid && crk_restore_proc(r, f->extra->holder_pid))
			f->holder = f->extra->holder_pid;
		f->late = f->ops->late && f->ops->late(r, f->fe);
		if (f->ops->plan)
			ret = f->ops->plan(r, f->fe);
	}
	return ret ?: plan_connects(r->files);
}

/* ---- open ---- */

/* something with the number that the file will have, and a way for processes to get it when it does */
static int late_hold_place(struct crk_rst *r, const struct rfile *f, int *ret)
{
	int pidfd, err;

	if (r->files->coordinator < 0) {
		pidfd = syscall(SYS_pidfd_open, getpid(), 0);
		err = pidfd < 0 ? crk_err(-errno, "%s: pidfd_open", f->ops->name) :
				  crk_fd_hold(r, pidfd, &r->files->coordinator);
		if (err)
			return err;
	}
	*ret = open("/dev/null", O_PATH | O_CLOEXEC);
	return *ret < 0 ? crk_err(-errno, "/dev/null") : 0;
}

int crk_rfile_get(struct crk_rst *r, uint32_t id, int *ret)
{
	struct rfile *f = crk_rfile_find(r, id);
	int fd = -1, err;

	if (!f)
		return crk_fail(-EBADMSG, "file id %u is not in files.img", id);
	if (f->fd < 0) {
		if (f->opening)
			return crk_fail(-EBADMSG, "file id %u needs itself to be opened", id);
		f->opening = true;
		err = f->late ? late_hold_place(r, f, &fd) : f->ops->open(r, f->fe, &fd);
		f->opening = false;
		if (!err)
			err = crk_fd_raise(r, fd, &f->fd);
		if (err)
			return err;
		crk_debug("%s id %u: open as %d", f->ops->name, id, f->fd);
	}
	*ret = f->fd;
	return 0;
}

int crk_files_open_all(struct crk_rst *r)
{
	size_t i;
	int ret = 0, fd;

	/* mapped files too: processes may be in another root when they map them */
	for (i = 0; i < r->files->nr && !ret; i++)
		if (!r->files->files[i].path_only)
			ret = crk_rfile_get(r, r->files->files[i].fe->id, &fd);
	return ret;
}

void crk_rfiles_close(struct crk_rst_files *s, bool last_too)
{
	size_t i;

	for (i = 0; i < s->nr; i++) {
		if (s->files[i].fd < 0 || (s->files[i].ops->completes_last && !last_too))
			continue;
		close(s->files[i].fd);
		s->files[i].fd = -1;
	}
	for (i = 0; i < s->nr_held; i++)
		if (s->held[i] >= 0)
			close(s->held[i]);
	s->nr_held = 0;
}

void crk_files_free(struct crk_rst *r)
{
	struct crk_rst_files *s = r->files;
	struct chunk *chunk;
	size_t i;

	if (!s)
		return;
	crk_rfiles_close(s, true);
	for (i = 0; i < s->nr; i++) {
		file_entry__free_unpacked(s->files[i].fe, NULL);
		crk_file_entry__free_unpacked(s->files[i].extra, NULL);
	}
	while ((chunk = s->chunks)) {
		s->chunks = chunk->next;
		free(chunk);
	}
	crk_index_free(&s->known);
	free(s->connects);
	free(s->files);
	free(s->held);
	free(s);
	r->files = NULL;
}
