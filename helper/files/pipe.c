// SPDX-License-Identifier: GPL-2.0
/*
 * pipe(2).  Both ends are usually in the dump; if one is neither there nor closed, somebody outside has it, and the
 * restore needs a descriptor instead of the dumped end (--inherit-fd).
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "files.h"

/* what open(2) adds and pipe(2) does not; the C library hides the number on 64 bit */
#if defined(__arm__) || defined(__aarch64__)
#define KERNEL_O_LARGEFILE	0400000
#else
#define KERNEL_O_LARGEFILE	0100000
#endif

static bool pipe_probe(const struct crk_dfile *f)
{
	return S_ISFIFO(f->st.st_mode) && !strncmp(f->link, "pipe:[", 6);
}

/* ---- dump ---- */

struct dump_pipe {
	struct dump_pipe *next;
	uint64_t ino;
	bool ends[2];			/* reading, writing end in the dump */
	bool other_end;			/* the first end found is not alone in the world */
	bool has_data;
	const struct crk_dfile *first;
	uint32_t size;
};

static struct dump_pipe **dump_list(struct crk_dump *d)
{
	return crk_dump_state(d, &crk_file_pipe, sizeof(struct dump_pipe *));
}

static bool has_end(uint32_t flags, int end)
{
	return (flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == (end ? O_WRONLY : O_RDONLY);
}

static struct dump_pipe *dump_pipe_get(struct crk_dump *d, const struct crk_dfile *f)
{
	struct pollfd pfd = { .fd = f->fd };
	struct dump_pipe **list = dump_list(d), *p;

	p = crk_dump_known(d, &crk_file_pipe, f->st.st_ino, 0);
	if (!p) {
		p = list ? crk_dump_alloc(d, sizeof(*p)) : NULL;
		if (!p || crk_dump_know(d, &crk_file_pipe, f->st.st_ino, 0, p))
			return NULL;
		p->ino = f->st.st_ino;
		p->next = *list;
		*list = p;
		/* POLLHUP: nobody can write, POLLERR: nobody can read */
		if (poll(&pfd, 1, 0) < 0) {
			crk_dfile_err(-errno, f, "cannot poll it");
			return NULL;
		}
		p->other_end = !(pfd.revents & (POLLHUP | POLLERR));
		p->first = f;
	}
	return p;
}

static int pipe_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	PipeEntry *e = dump_msg(d, PipeEntry, pipe_entry__init);
	struct dump_pipe *p = dump_pipe_get(d, f);

	if (!e || !p)
		return -ENOMEM;
	e->id = f->id;
	e->pipe_id = p->ino;
	e->flags = f->facts->f_flags & ~O_CLOEXEC;
	e->fown = crk_dfile_fown(d, f);
	fe->pipe = e;
	if (!e->fown)
		return -ENOMEM;
	p->ends[0] |= has_end(e->flags, 0);
	p->ends[1] |= has_end(e->flags, 1);
	p->size = fcntl(f->fd, F_GETPIPE_SZ);
	if (!has_end(e->flags, 0) || p->has_data)
		return 0;
	p->has_data = true;
	return crk_pipe_data_dump(d, f, CRK_IMG_PIPES_DATA, p->ino, true);
}

static int pipe_finish(struct crk_dump *d)
{
	struct dump_pipe **list = dump_list(d), *p;
	CrkFileEntry *extra;
	struct crk_img *img;
	int err;

	for (p = list ? *list : NULL; p; p = p->next) {
		if (p->other_end && (!p->ends[0] || !p->ends[1])) {
			extra = crk_dfile_extra(d, p->first);
			if (!extra)
				return -ENOMEM;
			extra->has_external = extra->external = true;
		}
		if (!p->has_data) {
			PipeDataEntry e = PIPE_DATA_ENTRY__INIT;

			e.pipe_id = p->ino;
			e.has_size = true;
			e.size = p->size;
			err = crk_dump_img(d, CRK_IMG_PIPES_DATA, &img);
			err = err ?: crk_img_put(img, &e.base);
			if (err)
				return err;
		}
	}
	return list ? 0 : -ENOMEM;
}

/* ---- restore ---- */

struct rst_pipe {
	uint32_t pipe_id;
	const CrkFileEntry *packets;	/* of the file that knows them */
	bool external, made;
	int ends[2];			/* as made by pipe(2) */
	bool taken[2];
};

static const char rst_data;		/* the kind of what was in them */

static struct rst_pipe *rst_pipe_get(struct crk_rst *r, uint32_t pipe_id)
{
	struct rst_pipe *p = crk_restore_known(r, &crk_file_pipe, pipe_id, 0);

	if (p)
		return p;
	p = crk_restore_alloc(r, sizeof(*p));
	if (!p || crk_restore_know(r, &crk_file_pipe, pipe_id, 0, p))
		return NULL;
	p->pipe_id = pipe_id;
	return p;
}

static int inherited(struct crk_rst *r, uint32_t pipe_id)
{
	char what[32];

	snprintf(what, sizeof(what), "pipe:[%u]", pipe_id);
	return crk_inherited(r, what);
}

static int inherited_check(const FileEntry *fe, int fd)
{
	int want = fe->pipe->flags & O_ACCMODE, mode = fcntl(fd, F_GETFL) & O_ACCMODE;

	if (mode != want && mode != O_RDWR)
		return crk_fail(-EBADF, "--inherit-fd fd[%d]:pipe:[%u]: is not open for %s", fd, fe->pipe->pipe_id,
				want == O_WRONLY ? "writing" : "reading");
	return 0;
}

static int pipe_plan(struct crk_rst *r, const FileEntry *fe)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	struct rst_pipe *p = rst_pipe_get(r, fe->pipe->pipe_id);
	char who[64];
	int fd, err;

	if (!p)
		return -ENOMEM;
	if (extra && extra->n_packet_len)
		p->packets = extra;
	fd = inherited(r, p->pipe_id);
	if (fd >= 0)
		return inherited_check(fe, fd);
	if (!extra || !extra->external)
		return 0;
	err = crk_fail(-ENOTCONN, "%s: the other end of pipe:[%u] was outside of the dump", crk_rfile_who(r, fe->id, who),
		       p->pipe_id);
	crk_hint("give a descriptor for it with --inherit-fd 'fd[N]:pipe:[%u]'", p->pipe_id);
	return err;
}

static int pipe_make(struct crk_rst *r, struct rst_pipe *p)
{
	bool *loaded = crk_restore_state(r, &crk_file_pipe, sizeof(*loaded));
	int err = loaded ? 0 : -ENOMEM, fds[2];

	if (!err && !*loaded) {
		err = crk_pipe_data_load(r, CRK_IMG_PIPES_DATA, &rst_data);
		*loaded = true;
	}
	if (!err && pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		err = crk_err(-errno, "pipe:[%u]: cannot create", p->pipe_id);
	if (err)
		return err;
	err = crk_fd_hold(r, fds[0], &p->ends[0]);
	if (err)
		close(fds[1]);
	else
		err = crk_fd_hold(r, fds[1], &p->ends[1]);
	if (err)
		return err;
	p->made = true;
	err = crk_pipe_data_fill(p->ends[1], crk_restore_known(r, &rst_data, p->pipe_id, 0), p->packets);
	return err ? crk_err(err, "pipe:[%u]: cannot put in what was in it", p->pipe_id) : 0;
}

static int pipe_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	struct rst_pipe *p = rst_pipe_get(r, fe->pipe->pipe_id);
	uint32_t flags = fe->pipe->flags;
	int end = (flags & O_ACCMODE) == O_WRONLY, fd, err;

	fd = inherited(r, fe->pipe->pipe_id);
	if (fd >= 0) {
		*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return *ret < 0 ? crk_err(-errno, "--inherit-fd fd[%d]", fd) : 0;
	}
	if (!p->made) {
		err = pipe_make(r, p);
		if (err)
			return err;
	}
	/* further openings came from /proc/PID/fd, as open(2)'s flag shows */
	if (p->taken[end] || flags & KERNEL_O_LARGEFILE || (flags & O_ACCMODE) == O_RDWR) {
		*ret = crk_fd_reopen(p->ends[end], flags & (O_ACCMODE | O_NONBLOCK));
	} else {
		*ret = fcntl(p->ends[end], F_DUPFD_CLOEXEC, 0);
		p->taken[end] = true;
	}
	err = *ret < 0 ? -errno : crk_fd_setfl(*ret, flags);
	if (err && *ret >= 0)
		close(*ret);
	return err ? crk_err(err, "pipe:[%u]: cannot open an end of it", p->pipe_id) : 0;
}

const struct crk_file_ops crk_file_pipe = {
	.name	= "pipe",
	.type	= FD_TYPES__PIPE,
	.probe	= pipe_probe,
	.dump	= pipe_dump,
	.finish	= pipe_finish,
	.plan	= pipe_plan,
	.open	= pipe_open,
};
