// SPDX-License-Identifier: GPL-2.0
/*
 * What is in a pipe, for pipe.c and fifo.c.  It is read from a copy that tee(2) makes, so that the pipe keeps it.
 * Packets (O_DIRECT) keep their boundaries: a read from the copy ends where a packet ends.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "files.h"

/* reads all of the copy; the lengths of the single reads in @lens */
static int copy_read(struct crk_dump *d, int fd, char *buf, size_t room, size_t *len_ret, uint32_t **lens_ret, size_t *nr_ret)
{
	uint32_t *lens = NULL, *slot, *mem;
	size_t len = 0, nr = 0, lens_room = 0;
	ssize_t n;
	int err = 0;

	while (len < room) {
		n = read(fd, buf + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 && errno != EAGAIN ? -errno : 0;
			break;
		}
		len += n;
		slot = array_add(lens, nr, lens_room);
		if (!slot) {
			err = -ENOMEM;
			break;
		}
		*slot = n;
	}
	mem = err ? NULL : crk_dump_alloc(d, nr * sizeof(*lens) + 1);
	if (mem && nr)
		memcpy(mem, lens, nr * sizeof(*lens));
	free(lens);
	*len_ret = len;
	*lens_ret = mem;
	*nr_ret = nr;
	return err ?: mem ? 0 : -ENOMEM;
}

static int pipe_copy(struct crk_dump *d, const struct crk_dfile *f, int size, char **buf_ret, size_t *len_ret,
		     uint32_t **lens_ret, size_t *nr_ret)
{
	_cleanup_close_ int rd = -1, wr = -1;
	int fds[2], err;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return crk_dfile_err(-errno, f, "cannot make a pipe for a copy");
	rd = fds[0];
	wr = fds[1];
	if (fcntl(wr, F_SETPIPE_SZ, size) < 0)
		return crk_dfile_err(-errno, f, "cannot make a pipe of %d bytes for a copy", size);
	n = tee(f->fd, wr, INT_MAX, SPLICE_F_NONBLOCK);
	if (n < 0 && errno != EAGAIN)
		return crk_dfile_err(-errno, f, "cannot copy what is in it");
	n = max(n, (ssize_t)0);
	/* one byte more, so that a read of a stream ends because there is no more */
	*buf_ret = crk_dump_alloc(d, n + 1);
	if (!*buf_ret)
		return -ENOMEM;
	err = copy_read(d, rd, *buf_ret, n + 1, len_ret, lens_ret, nr_ret);
	return err ? crk_dfile_err(err, f, "cannot copy what is in it") : 0;
}

int crk_pipe_data_dump(struct crk_dump *d, const struct crk_dfile *f, enum crk_img_type type, uint32_t pipe_id,
		       bool read)
{
	int size = fcntl(f->fd, F_GETPIPE_SZ), err = 0;
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	size_t len = 0, nr = 0;
	struct crk_img *img;
	CrkFileEntry *extra;
	char *buf = NULL;
	uint32_t *lens = NULL;

	if (size < 0)
		return crk_dfile_err(-errno, f, "cannot read its size");
	if (read)
		err = pipe_copy(d, f, size, &buf, &len, &lens, &nr);
	if (err)
		return err;
	if (nr > 1 || (nr && f->facts->f_flags & O_DIRECT)) {
		extra = crk_dfile_extra(d, f);
		if (!extra)
			return -ENOMEM;
		extra->has_pipe_packets = true;
		extra->pipe_packets = nr;
		extra->packet_len = lens;
		extra->n_packet_len = nr;
	}
	e.pipe_id = pipe_id;
	e.bytes = len;
	e.has_size = true;
	e.size = size;
	err = crk_dump_img(d, type, &img);
	err = err ?: crk_img_put(img, &e.base);
	return err ?: crk_img_put_raw(img, buf, len);
}

/* ---- restore ---- */

int crk_pipe_data_load(struct crk_rst *r, enum crk_img_type type, const void *kind)
{
	struct crk_img *img;
	ProtobufCMessage *msg;
	int ret, err;

	ret = crk_img_open(r->dir, type, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		PipeDataEntry *e = (PipeDataEntry *)msg;
		struct crk_pipe_data *data = e->bytes <= crk_img_left(img) ?
			crk_restore_alloc(r, sizeof(*data) + e->bytes) : NULL;

		ret = data ? 0 : crk_fail(-EBADMSG, "the image of what was in pipes ends too early");
		if (data) {
			data->pipe_id = e->pipe_id;
			data->bytes = e->bytes;
			data->size = e->has_size ? e->size : 0;
			data->data = (char *)(data + 1);
			/* the first of an id, if somebody wrote two */
			if (!crk_restore_known(r, kind, data->pipe_id, 0))
				ret = crk_restore_know(r, kind, data->pipe_id, 0, data);
			ret = ret ?: crk_img_get_raw(img, data->data, data->bytes);
		}
		pipe_data_entry__free_unpacked(e, NULL);
		if (ret)
			break;
	}
	err = crk_img_close(img);
	return ret ?: err;
}

/* @fd is the writing end, and does not block */
int crk_pipe_data_fill(int fd, const struct crk_pipe_data *data, const CrkFileEntry *extra)
{
	int flags = fcntl(fd, F_GETFL), err = 0;
	uint32_t off = 0;
	size_t i;

	if (!data)
		return 0;
	if (data->size && fcntl(fd, F_SETPIPE_SZ, data->size) < 0)
		return -errno;
	if (!extra || !extra->n_packet_len)
		return write_all(fd, data->data, data->bytes);
	if (fcntl(fd, F_SETFL, flags | O_DIRECT))
		return -errno;
	for (i = 0; i < extra->n_packet_len && !err; i++) {
		if (extra->packet_len[i] > data->bytes - off)
			return -EBADMSG;
		err = write_all(fd, data->data + off, extra->packet_len[i]);
		off += extra->packet_len[i];
	}
	return err ?: fcntl(fd, F_SETFL, flags) ? -errno : 0;
}
