// SPDX-License-Identifier: GPL-2.0
/*
 * Restore: compressed pages on their way into processes.  A process fills its memory from a pipe, in the order of its
 * memory program; it tells the coordinator what it wants and hands it the other end.  There a few threads decompress and
 * write, whatever pipe has room, so that any number of processes is served with one chunk in memory for each.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "../restore.h"
#include "mem.h"

#define PIPE_SIZE	(1 << 20)	/* what users without privileges may have */
#define FEEDERS_MAX	4
#define ZEROS		(~0U)		/* no source: a page of which nothing stays */

/* what is wanted: @len bytes at @off of a source of the process */
struct crk_feed_part {
	uint64_t off, len;
	uint32_t source;
	uint32_t __reserved;
};

/* a message to the coordinator; with it come a file of struct crk_feed_part and the pipe */
struct feed_request {
	uint32_t proc;			/* of r->procs */
	uint32_t nr;
};

/* ---- in a process ---- */

static int high_fd(struct crk_rst *r, int fd, int *ret)
{
	*ret = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	if (*ret < 0)
		crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	if (fd >= 0)
		close(fd);
	return *ret < 0 ? -EMFILE : 0;
}

static int pipe_make(struct crk_rst *r, struct crk_feed *f)
{
	int fds[2], err, err2;

	if (pipe2(fds, O_CLOEXEC))
		return crk_err(-errno, "cannot make a pipe");
	err = high_fd(r, fds[0], &f->fd);
	err2 = high_fd(r, fds[1], &f->to);
	if (!err && !err2)
		(void)!fcntl(f->fd, F_SETPIPE_SZ, PIPE_SIZE);	/* slower without */
	return err ?: err2;
}

static int part_add(struct crk_rst *r, struct crk_feed *f, uint32_t source, uint64_t off, uint64_t len)
{
	struct crk_feed_part *last = f->nr ? &f->parts[f->nr - 1] : NULL;
	int err = f->nr ? 0 : pipe_make(r, f);

	if (err)
		return err;
	if (last && source != ZEROS && last->source == source && last->off + last->len == off) {
		last->len += len;
		return 0;
	}
	last = array_add(f->parts, f->nr, f->room);
	if (!last)
		return crk_oom();
	*last = (struct crk_feed_part){ .off = off, .len = len, .source = source };
	return 0;
}

int crk_feed_add(struct crk_rst *r, struct crk_feed *f, uint32_t source, uint64_t off, uint64_t len)
{
	return part_add(r, f, source, off, len);
}

int crk_feed_add_zeros(struct crk_rst *r, struct crk_feed *f, uint64_t len)
{
	return part_add(r, f, ZEROS, 0, len);
}

/* as long as too many descriptors are on their way, the coordinator has not got to take them */
static int request_send(struct crk_rst *r, const struct msghdr *msg)
{
	ssize_t n;

	while ((n = sendmsg(r->mem->feed_to, msg, MSG_NOSIGNAL)) < 0) {
		if (errno == ETOOMANYREFS)
			usleep(1000);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int crk_feed_begin(struct crk_rst *r, const struct crk_rproc *p, struct crk_feed *f)
{
	struct feed_request req = { .proc = p - r->procs, .nr = f->nr };
	struct iovec iov = { &req, sizeof(req) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int)) } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	_cleanup_close_ int list = -1;
	int err;

	if (!f->nr)
		return 0;
	list = memfd_create("crk-feed", MFD_CLOEXEC);
	err = list < 0 ? -errno : pwrite_all(list, f->parts, f->nr * sizeof(*f->parts), 0);
	if (!err) {
		memcpy(CMSG_DATA(&control.head), (int [2]){ list, f->to }, 2 * sizeof(int));
		err = request_send(r, &msg);
	}
	if (err)
		return crk_err(err, "pid %d: cannot ask for its memory", p->pid);
	/* or the pipe would not end when the coordinator does */
	close(f->to);
	return 0;
}

/* ---- in the coordinator ---- */

struct feed {
	struct feed *next;
	struct crk_rmem *m;
	int fd;				/* the pipe */
	struct crk_feed_part *parts;
	size_t nr, at;			/* parts that are done */
	uint64_t done;			/* bytes of the part */
	unsigned char *chunk;		/* what was decompressed last */
	size_t chunk_len, room;
	const struct crk_pages *chunk_of;
	size_t chunk_nr;
};

struct crk_feeders {
	struct crk_rst *r;
	int epoll, stop_fd;
	bool stop;
	int err;			/* the first, said */
	pthread_t threads[FEEDERS_MAX];
	int nr;
	pthread_mutex_t lock;
	struct feed *all;
};

/* each event is one thread's, which arms it again */
static int arm(struct crk_feeders *s, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = what };

	return epoll_ctl(s->epoll, op, fd, &ev) ? crk_err(-errno, "cannot wait for pipes") : 0;
}

static void failed(struct crk_feeders *s, int err)
{
	int none = 0;

	__atomic_compare_exchange_n(&s->err, &none, err, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* the process finds the end of its pipe, too early or not */
static void feed_end(struct feed *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(steal_ptr(&f->chunk));
	free(steal_ptr(&f->parts));
}

static int feed_chunk(struct feed *f, const struct crk_pages *pages, size_t i, struct crk_packer *packer)
{
	size_t size = crk_pages_chunk_size(pages);
	int err;

	if (f->chunk_of == pages && f->chunk_nr == i)
		return 0;
	if (size > f->room) {
		free(f->chunk);
		f->chunk = malloc(size);
		f->room = f->chunk ? size : 0;
	}
	if (!f->chunk)
		return crk_oom();
	f->chunk_of = NULL;
	err = crk_pages_chunk(pages, packer, i, f->chunk, &f->chunk_len);
	if (!err) {
		f->chunk_of = pages;
		f->chunk_nr = i;
	}
	return err;
}

/* what comes next */
static int feed_next(struct feed *f, struct crk_packer *packer, const void **ret, size_t *len_ret)
{
	static const unsigned char zeros[4096];
	const struct crk_feed_part *part = &f->parts[f->at];
	const struct crk_pages *pages;
	uint64_t left = part->len - f->done, off = part->off + f->done;
	size_t in;
	int err;

	if (part->source == ZEROS) {
		*ret = zeros;
		*len_ret = min(left, (uint64_t)sizeof(zeros));
		return 0;
	}
	pages = f->m->sources[part->source].pages;
	in = off % crk_pages_chunk_size(pages);
	err = feed_chunk(f, pages, off / crk_pages_chunk_size(pages), packer);
	if (!err && in >= f->chunk_len)
		err = crk_fail(-EBADMSG, "a pagemap image names pages behind the end of its pages image");
	*ret = f->chunk + in;
	*len_ret = min(left, (uint64_t)(f->chunk_len - in));
	return err;
}

static void feed_run(struct crk_feeders *s, struct feed *f, struct crk_packer *packer)
{
	int err = 0;

	while (f->at < f->nr && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		const void *data;
		size_t len;
		ssize_t n;

		err = feed_next(f, packer, &data, &len);
		if (err)
			break;
		n = write(f->fd, data, len);
		if (n < 0 && errno == EAGAIN) {
			err = arm(s, EPOLL_CTL_MOD, f->fd, EPOLLOUT, f);
			if (!err)
				return;
			break;
		}
		/* who does not read any more has failed, and says why */
		if (n <= 0)
			break;
		f->done += n;
		if (f->done == f->parts[f->at].len) {
			f->done = 0;
			f->at++;
		}
	}
	if (err)
		failed(s, err);
	feed_end(f);
}

static int feed_read_parts(struct feed *f, int list)
{
	f->parts = calloc(f->nr, sizeof(*f->parts));
	return f->parts ? pread_all(list, f->parts, f->nr * sizeof(*f->parts), 0) : -ENOMEM;
}

static int request_take(struct crk_feeders *s)
{
	struct feed_request req;
	struct iovec iov = { &req, sizeof(req) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = {};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->r->mem->feed_from, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct feed *f;
	int fds[2], err;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : crk_err(-errno, "cannot hear what processes need");
	if (n != sizeof(req) || control.head.cmsg_len != CMSG_LEN(sizeof(fds)) || msg.msg_flags & MSG_CTRUNC)
		return crk_fail(-EMFILE, "too few descriptors may be open to serve all processes");
	memcpy(fds, CMSG_DATA(&control.head), sizeof(fds));
	f = calloc(1, sizeof(*f));
	if (!f) {
		close(fds[0]);
		close(fds[1]);
		return crk_oom();
	}
	f->fd = fds[1];
	f->nr = req.nr;
	f->m = s->r->procs[req.proc].mem;
	pthread_mutex_lock(&s->lock);
	f->next = s->all;
	s->all = f;
	pthread_mutex_unlock(&s->lock);
	err = feed_read_parts(f, fds[0]);
	close(fds[0]);
	if (!err && fcntl(f->fd, F_SETFL, O_NONBLOCK))
		err = -errno;
	if (err)
		return crk_err(err, "cannot feed a process");
	return arm(s, EPOLL_CTL_ADD, f->fd, EPOLLOUT, f);
}

static void *feeder_main(void *arg)
{
	struct crk_feeders *s = arg;
	struct crk_packer *packer = crk_packer_create();
	struct epoll_event ev;
	int err = packer ? 0 : -ENOMEM;

	while (!err && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		int n = epoll_wait(s->epoll, &ev, 1, -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1 || ev.data.ptr == &s->stop_fd)
			break;
		if (ev.data.ptr != s) {
			feed_run(s, ev.data.ptr, packer);
			continue;
		}
		err = request_take(s);
		err = err ?: arm(s, EPOLL_CTL_MOD, s->r->mem->feed_from, EPOLLIN, s);
	}
	if (err)
		failed(s, err);
	crk_packer_destroy(packer);
	return NULL;
}

int crk_feed_open(struct crk_rst *r)
{
	struct crk_info info = {};
	int fds[2], err, err2;

	if (r->mem->feed_to >= 0)
		return 0;
	err = crk_dev_info(r->dev, &info);
	if (err)
		return err;
	if (!(info.out_features & CRK_FEAT_FILL_PIPE))
		return crk_fail(-EOPNOTSUPP, "the images are compressed, which this crk.ko is too old for");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return crk_err(-errno, "cannot make a socket");
	err = high_fd(r, fds[0], &r->mem->feed_from);
	err2 = high_fd(r, fds[1], &r->mem->feed_to);
	return err ?: err2;
}

static int feeders_begin(struct crk_feeders *s)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->stop_fd };
	sigset_t all, old;
	long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int err;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->epoll < 0 || s->stop_fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->stop_fd, &ev))
		return crk_err(-errno, "cannot wait for pipes");
	err = arm(s, EPOLL_CTL_ADD, s->r->mem->feed_from, EPOLLIN, s);
	if (err)
		return err;
	crk_limit_raise_files(0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (s->nr < min(nr_cpus, (long)FEEDERS_MAX) && !err) {
		err = pthread_create(&s->threads[s->nr], NULL, feeder_main, s);
		s->nr += !err;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s->nr ? 0 : crk_err(-err, "cannot make a thread");
}

int crk_feeders_start(struct crk_rst *r)
{
	struct crk_feeders *s;

	if (r->mem->feed_from < 0)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return crk_oom();
	s->r = r;
	s->epoll = s->stop_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	r->mem->feeders = s;
	return feeders_begin(s);
}

int crk_feeders_check(struct crk_rst *r)
{
	return r->mem->feeders ? __atomic_load_n(&r->mem->feeders->err, __ATOMIC_SEQ_CST) : 0;
}

int crk_feeders_stop(struct crk_rst *r)
{
	struct crk_feeders *s = steal_ptr(&r->mem->feeders);
	uint64_t one = 1;
	int i, err;

	if (!s)
		return 0;
	__atomic_store_n(&s->stop, true, __ATOMIC_SEQ_CST);
	if (s->stop_fd >= 0)
		(void)!write(s->stop_fd, &one, sizeof(one));
	for (i = 0; i < s->nr; i++)
		pthread_join(s->threads[i], NULL);
	while (s->all) {
		struct feed *f = s->all;

		s->all = f->next;
		feed_end(f);
		free(f);
	}
	err = s->err;
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	free(s);
	return err;
}
