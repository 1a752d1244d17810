// SPDX-License-Identifier: GPL-2.0
/*
 * Options of unix sockets: one table for both directions.
 */
#include <errno.h>

#include "unix.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK	72
#endif

#define NO_HAS		((size_t)-1)

struct sk_opt {
	int name, set;			/* SO_*; to set it, if that differs */
	size_t has, value;		/* in SkOptsEntry */
	bool doubled;			/* the kernel tells twice what was set */
};

#define OPT(opt, field)	\
	{ .name = opt, .set = opt, .has = offsetof(SkOptsEntry, has_##field), .value = offsetof(SkOptsEntry, field) }
#define BUF(opt, force, field) \
	{ .name = opt, .set = force, .has = NO_HAS, .value = offsetof(SkOptsEntry, field), .doubled = true }

static const struct sk_opt sk_opts[] = {
	BUF(SO_SNDBUF, SO_SNDBUFFORCE, so_sndbuf),
	BUF(SO_RCVBUF, SO_RCVBUFFORCE, so_rcvbuf),
	OPT(SO_BUF_LOCK, so_buf_lock),	/* after the sizes, which lock them */
	OPT(SO_REUSEADDR, reuseaddr),
	OPT(SO_REUSEPORT, so_reuseport),
	OPT(SO_PRIORITY, so_priority),
	OPT(SO_RCVLOWAT, so_rcvlowat),
	OPT(SO_MARK, so_mark),
	OPT(SO_PASSCRED, so_passcred),
	OPT(SO_PASSSEC, so_passsec),
	OPT(SO_DONTROUTE, so_dontroute),
	OPT(SO_NO_CHECK, so_no_check),
	OPT(SO_BROADCAST, so_broadcast),
	OPT(SO_KEEPALIVE, so_keepalive),
	OPT(SO_OOBINLINE, so_oobinline),
};

/* protobuf-c's booleans are ints, as are the numbers here */
_Static_assert(sizeof(protobuf_c_boolean) == sizeof(uint32_t), "table of options");

static uint32_t *field(SkOptsEntry *o, size_t offset)
{
	return (uint32_t *)((char *)o + offset);
}

int crk_unix_opts_dump(struct crk_dump *d, const struct crk_dfile *f, SkOptsEntry **ret)
{
	SkOptsEntry *o = dump_msg(d, SkOptsEntry, sk_opts_entry__init);
	struct linger linger = {};
	struct timeval snd, rcv;
	socklen_t len;
	size_t i;

	if (!o)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(sk_opts); i++) {
		int value = 0;

		len = sizeof(value);
		if (getsockopt(f->fd, SOL_SOCKET, sk_opts[i].name, &value, &len)) {
			if (errno == ENOPROTOOPT || errno == EOPNOTSUPP)	/* not in this kernel */
				continue;
			return crk_dfile_err(-errno, f, "cannot read its option %d", sk_opts[i].name);
		}
		*field(o, sk_opts[i].value) = value;
		if (sk_opts[i].has != NO_HAS)
			*field(o, sk_opts[i].has) = 1;
	}
	len = sizeof(snd);
	if (getsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &snd, &len))
		return crk_dfile_err(-errno, f, "cannot read its time-outs");
	len = sizeof(rcv);
	if (getsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &rcv, &len))
		return crk_dfile_err(-errno, f, "cannot read its time-outs");
	o->so_snd_tmo_sec = snd.tv_sec;
	o->so_snd_tmo_usec = snd.tv_usec;
	o->so_rcv_tmo_sec = rcv.tv_sec;
	o->so_rcv_tmo_usec = rcv.tv_usec;
	len = sizeof(linger);
	if (!getsockopt(f->fd, SOL_SOCKET, SO_LINGER, &linger, &len) && linger.l_onoff) {
		o->has_so_linger = true;
		o->so_linger = linger.l_linger;
	}
	len = 0;
	if (!getsockopt(f->fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len) && len)
		return crk_dfile_refuse(f, "socket filters are not supported");
	*ret = o;
	return 0;
}

int crk_unix_opts_set(int fd, const SkOptsEntry *o)
{
	struct timeval snd = { o->so_snd_tmo_sec, o->so_snd_tmo_usec };
	struct timeval rcv = { o->so_rcv_tmo_sec, o->so_rcv_tmo_usec };
	struct linger linger = { 1, o->so_linger };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sk_opts); i++) {
		int want = *field((SkOptsEntry *)o, sk_opts[i].value), now = 0;
		socklen_t len = sizeof(now);

		if (sk_opts[i].has != NO_HAS && !*field((SkOptsEntry *)o, sk_opts[i].has))
			continue;
		if (!getsockopt(fd, SOL_SOCKET, sk_opts[i].name, &now, &len) && now == want)
			continue;
		if (sk_opts[i].doubled)
			want /= 2;
		if (setsockopt(fd, SOL_SOCKET, sk_opts[i].set, &want, sizeof(want)))
			return -errno;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv)) ||
	    (o->has_so_linger && setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger))))
		return -errno;
	return 0;
}
