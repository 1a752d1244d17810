// SPDX-License-Identifier: GPL-2.0
/*
 * Open files of a restore.  All of them are opened in the coordinator before the first process is made: processes
 * inherit them, so that one file of several processes is one file again, and put them at their numbers.  The
 * coordinator's descriptors are at r->fd_base and above, the targets' below.  Knows no kind of file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/files.h"

struct rfile {
	FileEntry *fe;
	CrkFileEntry *extra;
	const struct crk_file_ops *ops;
	int fd;				/* -1: not open */
	bool in_use;			/* somebody has a descriptor of it */
	bool path_only;			/* tells where another file is, and is not opened itself */
	bool opening;
	pid_t holder;			/* whose descriptors fe means, who connects it */
};

struct chunk {
	struct chunk *next;
	char data[] __attribute__((aligned(16)));
};

struct state {
	const void *key;
	void *mem;
};

struct crk_rst_files {
	struct rfile *files;		/* by id */
	size_t nr, room;
	FileEntry **entries;
	struct chunk *chunks;
	struct state states[16];	/* of kinds and their helpers */
	int *held;			/* descriptors of the coordinator besides those of the files */
	size_t nr_held, room_held;
};

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

static int rfile_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct rfile *)a)->fe->id, y = ((const struct rfile *)b)->fe->id;

	return x < y ? -1 : x > y;
}

static struct rfile *rfile_find(struct crk_rst *r, uint32_t id)
{
	struct crk_rst_files *s = r->files;
	FileEntry fe = { .id = id };
	struct rfile key = { .fe = &fe };

	return s && s->nr ? bsearch(&key, s->files, s->nr, sizeof(key), rfile_cmp) : NULL;
}

const FileEntry *crk_rfile_entry(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = rfile_find(r, id);

	return f ? f->fe : NULL;
}

const CrkFileEntry *crk_rfile_extra(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = rfile_find(r, id);

	return f ? f->extra : NULL;
}

bool crk_rfile_in_use(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = rfile_find(r, id);

	return f && f->in_use;
}

FileEntry **crk_restore_files(struct crk_rst *r)
{
	return r->files->entries;
}

/* the entry with the path of a file whose kind has one beside its own */
static const FileEntry *path_entry(struct crk_rst *r, const FileEntry *fe)
{
	const FileEntry *reg = fe;

	if (fe->type == FD_TYPES__FIFO && fe->fifo->has_regf_id)
		reg = crk_rfile_entry(r, fe->fifo->regf_id);
	return reg && reg->type == FD_TYPES__REG ? reg : fe;
}

/* owner of O_ASYNC, if the kind has one */
static const FownEntry *file_fown(const FileEntry *fe)
{
	switch (fe->type) {
	case FD_TYPES__REG:
		return fe->reg->fown;
	case FD_TYPES__PIPE:
		return fe->pipe->fown;
	case FD_TYPES__UNIXSK:
		return fe->usk->fown;
	case FD_TYPES__EVENTFD:
		return fe->efd->fown;
	case FD_TYPES__EVENTPOLL:
		return fe->epfd->fown;
	case FD_TYPES__INOTIFY:
		return fe->ify->fown;
	case FD_TYPES__SIGNALFD:
		return fe->sgfd->fown;
	case FD_TYPES__TTY:
		return fe->tty->fown;
	case FD_TYPES__TIMERFD:
		return fe->tfd->fown;
	case FD_TYPES__MEMFD:
		return fe->memfd->fown;
	default:
		return NULL;
	}
}

static uint32_t file_flags(const FileEntry *fe)
{
	switch (fe->type) {
	case FD_TYPES__PIPE:
		return fe->pipe->flags;
	case FD_TYPES__UNIXSK:
		return fe->usk->flags;
	case FD_TYPES__TTY:
		return fe->tty->flags;
	case FD_TYPES__INOTIFY:
		return fe->ify->flags;
	case FD_TYPES__REG:
		return fe->reg->flags;
	default:
		return 0;
	}
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
		struct rfile *f = rfile_find(r, extra->id);

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
	struct rfile *f = rfile_find(r, id);

	if (!f)
		return crk_fail(-EBADMSG, "file id %u is not in files.img", id);
	f->in_use = true;
	return 0;
}

void crk_rfile_path_only(struct crk_rst *r, uint32_t id)
{
	struct rfile *f = rfile_find(r, id);

	if (f && !f->in_use)
		f->path_only = true;
}

int crk_files_plan(struct crk_rst *r)
{
	size_t i, j;
	int ret;

	r->files = calloc(1, sizeof(*r->files));
	if (!r->files)
		return crk_oom();
	ret = read_entries(r);
	ret = ret ?: read_extras(r);
	for (i = 0; i < r->nr_procs && !ret; i++) {
		struct crk_rproc *p = &r->procs[i];

		for (j = 0; j < p->nr_fds && !ret; j++) {
			struct rfile *f = rfile_find(r, p->fds[j]->id);

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
		if (f->ops->plan)
			ret = f->ops->plan(r, f->fe);
	}
	return ret;
}

/* ---- open ---- */

int crk_rfile_get(struct crk_rst *r, uint32_t id, int *ret)
{
	struct rfile *f = rfile_find(r, id);
	int fd = -1, err;

	if (!f)
		return crk_fail(-EBADMSG, "file id %u is not in files.img", id);
	if (f->fd < 0) {
		if (f->opening)
			return crk_fail(-EBADMSG, "file id %u needs itself to be opened", id);
		f->opening = true;
		err = f->ops->open(r, f->fe, &fd);
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

/* ---- in the restored process ---- */

static int install_fds(struct crk_rst *r, struct crk_rproc *p)
{
	size_t i;
	int fd, ret;

	if (syscall(SYS_close_range, 0, r->fd_base - 1, 0))
		return crk_err(-errno, "pid %d: cannot close descriptors", p->pid);
	for (i = 0; i < p->nr_fds; i++) {
		const FdinfoEntry *e = p->fds[i];

		ret = crk_rfile_get(r, e->id, &fd);
		if (ret)
			return ret;
		if (dup3(fd, e->fd, e->flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
			return crk_err(-errno, "pid %d fd %u: cannot put the file there", p->pid, e->fd);
	}
	return 0;
}

static int connect_fds(struct crk_rst *r, struct crk_rproc *p)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < r->files->nr && !ret; i++) {
		struct rfile *f = &r->files->files[i];

		if (f->in_use && f->holder == p->pid && f->ops->connect)
			ret = f->ops->connect(r, p, f->fe, f->fd);
	}
	return ret;
}

int crk_files_install(struct crk_rst *r, struct crk_rproc *p)
{
	const struct crk_file_ops * const *ops;
	int ret = 0;

	if (!p->files_of) {
		ret = install_fds(r, p);
		ret = ret ?: connect_fds(r, p);
		ret = ret ?: crk_locks_install(r, p);
	}
	for (ops = crk_file_kinds; *ops && !ret; ops++)
		if ((*ops)->process)
			ret = (*ops)->process(r, p);
	return ret;
}

/* ---- when all are there ---- */

/* the kernel remembers who set the owner, and asks him whether he may send the signal */
static int owner_set(int fd, const FownEntry *fown)
{
	struct f_owner_ex owner = { .type = fown->pid_type, .pid = fown->pid };
	uid_t uid = getuid(), euid = geteuid();
	bool other = fown->uid != uid || fown->euid != euid;
	int err = 0;

	if (fown->signum && fcntl(fd, F_SETSIG, fown->signum))
		return -errno;
	if (!fown->pid)
		return 0;
	/* the raw calls: this thread alone */
	if (other && syscall(SYS_setresuid, fown->uid, fown->euid, uid))
		return -errno;
	if (fcntl(fd, F_SETOWN_EX, &owner))
		err = -errno;
	if (other && syscall(SYS_setresuid, uid, euid, euid))
		return -errno;
	return err;
}

static int complete_one(struct crk_rst *r, struct rfile *f)
{
	const FileEntry *fe = path_entry(r, f->fe);
	const FownEntry *fown = file_fown(fe);
	int ret = 0;

	/* on its way between processes: nobody's descriptors are meant */
	if (f->in_use && !f->holder && f->ops->connect)
		ret = f->ops->connect(r, NULL, f->fe, f->fd);
	if (ret)
		return ret;
	if (fown && (fown->pid || fown->signum)) {
		ret = owner_set(f->fd, fown);
		if (ret)
			return crk_err(ret, "%s id %u: cannot make pid %u the owner of its signals", f->ops->name,
				       f->fe->id, fown->pid);
	}
	if (f->ops->complete)
		ret = f->ops->complete(r, f->fe, f->fd);
	if (!ret && file_flags(fe) & O_ASYNC && !(file_flags(fe) & O_PATH) &&
	    fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_ASYNC))
		ret = crk_err(-errno, "%s id %u: cannot set O_ASYNC", f->ops->name, f->fe->id);
	return ret;
}

static void close_all(struct crk_rst_files *s, bool last_too)
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

int crk_files_complete(struct crk_rst *r)
{
	struct crk_rst_files *s = r->files;
	int ret = 0, last;
	size_t i;

	for (last = 0; last <= 1; last++) {
		for (i = 0; i < s->nr && !ret; i++)
			if (s->files[i].fd >= 0 && s->files[i].ops->completes_last == last)
				ret = complete_one(r, &s->files[i]);
		/* the other end of a pipe must see that there is nobody else */
		close_all(s, last);
	}
	return ret;
}

void crk_files_free(struct crk_rst *r)
{
	struct crk_rst_files *s = r->files;
	struct chunk *chunk;
	size_t i;

	if (!s)
		return;
	close_all(s, true);
	for (i = 0; i < s->nr; i++) {
		file_entry__free_unpacked(s->files[i].fe, NULL);
		crk_file_entry__free_unpacked(s->files[i].extra, NULL);
	}
	while ((chunk = s->chunks)) {
		s->chunks = chunk->next;
		free(chunk);
	}
	free(s->files);
	free(s->held);
	free(s);
	r->files = NULL;
}
