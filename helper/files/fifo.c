// SPDX-License-Identifier: GPL-2.0
/*
 * Named pipes: a path, as reg.c knows it, and contents, as pipes have them while somebody has the fifo open.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "files.h"

static bool fifo_probe(const struct crk_dfile *f)
{
	return S_ISFIFO(f->st.st_mode) && f->link[0] == '/' && !(f->facts->f_flags & O_PATH);
}

struct fifo {
	bool has_data;			/* dump */
	uint32_t pipe_id;		/* both */
	int master;			/* restore: open for both, so that no opening waits; + 1, 0: none yet */
};

struct fifos {
	uint32_t nr;
	bool loaded;
};

/* kinds of what a restore knows: contents, and the file that the lengths of packets were noted with */
static const char rst_data, rst_packets;

static int fifo_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	struct fifos *s = crk_dump_state(d, &crk_file_fifo, sizeof(*s));
	FifoEntry *e = dump_msg(d, FifoEntry, fifo_entry__init);
	struct fifo *p;
	int err;

	if (!s || !e)
		return -ENOMEM;
	p = crk_dump_known(d, &crk_file_fifo, f->st.st_ino, f->st.st_dev);
	if (!p) {
		p = crk_dump_alloc(d, sizeof(*p));
		if (!p || crk_dump_know(d, &crk_file_fifo, f->st.st_ino, f->st.st_dev, p))
			return -ENOMEM;
		p->pipe_id = ++s->nr;
	}
	e->id = f->id;
	e->pipe_id = p->pipe_id;
	e->has_regf_id = true;
	fe->fifo = e;
	err = crk_reg_dump_extra(d, f, &e->regf_id);
	if (err || p->has_data || (f->facts->f_flags & O_ACCMODE) == O_WRONLY)
		return err;
	p->has_data = true;
	return crk_pipe_data_dump(d, f, CRK_IMG_FIFO_DATA, p->pipe_id, true);
}

static const RegFileEntry *fifo_reg(struct crk_rst *r, const FileEntry *fe)
{
	const FileEntry *reg = fe->fifo->has_regf_id ? crk_rfile_entry(r, fe->fifo->regf_id) : NULL;

	return reg && reg->type == FD_TYPES__REG ? reg->reg : NULL;
}

static int fifo_plan(struct crk_rst *r, const FileEntry *fe)
{
	if (!fifo_reg(r, fe))
		return crk_fail(-EBADMSG, "files.img: fifo id %u has no path", fe->id);
	crk_rfile_path_only(r, fe->fifo->regf_id);
	return 0;
}

/* an opening of the fifo itself, wherever it is */
static int path_open(struct crk_rst *r, const RegFileEntry *reg, int flags, int *ret)
{
	int err = crk_ghost_open(r, reg, flags, ret);

	if (err != -ENOENT)
		return err;
	*ret = open(reg->name, flags | O_CLOEXEC);
	return *ret < 0 ? crk_err(-errno, "file id %u: cannot open '%s'", reg->id, reg->name) : 0;
}

static int contents_load(struct crk_rst *r)
{
	FileEntry **fe = crk_restore_files(r);
	int err = crk_pipe_data_load(r, CRK_IMG_FIFO_DATA, &rst_data);

	for (; *fe && !err; fe++) {
		const CrkFileEntry *e = (*fe)->type == FD_TYPES__FIFO ? crk_rfile_extra(r, (*fe)->id) : NULL;

		if (e && e->n_packet_len)
			err = crk_restore_know(r, &rst_packets, (*fe)->fifo->pipe_id, 0, (void *)e);
	}
	return err;
}

static int master_open(struct crk_rst *r, const FileEntry *fe, struct fifos *s, struct fifo *p)
{
	const RegFileEntry *reg = fifo_reg(r, fe);
	int fd, err, bytes = 0;

	if (!s->loaded) {
		err = contents_load(r);
		if (err)
			return err;
		s->loaded = true;
	}
	err = path_open(r, reg, O_RDWR | O_NONBLOCK, &fd);
	err = err ?: crk_fd_hold(r, fd, &fd);
	if (err)
		return err;
	p->master = fd + 1;
	/* somebody outside may have kept it open with all that is in it */
	if (!ioctl(fd, FIONREAD, &bytes) && bytes)
		return 0;
	err = crk_pipe_data_fill(fd, crk_restore_known(r, &rst_data, p->pipe_id, 0),
				 crk_restore_known(r, &rst_packets, p->pipe_id, 0));
	return err ? crk_err(err, "fifo '%s': cannot put in what was in it", reg->name) : 0;
}

static int fifo_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	struct fifos *s = crk_restore_state(r, &crk_file_fifo, sizeof(*s));
	const RegFileEntry *reg = fifo_reg(r, fe);
	int flags = reg->flags & ~(OPEN_ONCE | O_ASYNC), err;
	struct fifo *p;

	p = crk_restore_known(r, &crk_file_fifo, fe->fifo->pipe_id, 0);
	if (!p) {
		p = crk_restore_alloc(r, sizeof(*p));
		if (!p || crk_restore_know(r, &crk_file_fifo, fe->fifo->pipe_id, 0, p))
			return -ENOMEM;
		p->pipe_id = fe->fifo->pipe_id;
		err = master_open(r, fe, s, p);
		if (err)
			return err;
	}
	err = path_open(r, reg, flags | O_NONBLOCK, ret);
	if (err)
		return err;
	err = crk_fd_setfl(*ret, flags);
	if (err)
		close(*ret);
	return err ? crk_err(err, "fifo '%s': cannot set flags %#x", reg->name, flags) : 0;
}

const struct crk_file_ops crk_file_fifo = {
	.name	= "fifo",
	.type	= FD_TYPES__FIFO,
	.probe	= fifo_probe,
	.dump	= fifo_dump,
	.plan	= fifo_plan,
	.open	= fifo_open,
};
