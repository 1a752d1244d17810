// SPDX-License-Identifier: GPL-2.0
/*
 * What only sock_diag(7) tells of a unix socket: its peer, whether it listens, who waits to be accepted.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <unistd.h>

#include "unix.h"

static int ask(int fd, uint32_t ino)
{
	struct {
		struct nlmsghdr nlh;
		struct unix_diag_req req;
	} msg = {
		.nlh = { .nlmsg_len = sizeof(msg), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = AF_UNIX, .udiag_states = ~0U, .udiag_ino = ino, .udiag_cookie = { ~0U, ~0U },
			 .udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN },
	};

	return send(fd, &msg, sizeof(msg), 0) == sizeof(msg) ? 0 : -errno;
}

static void parse(const struct unix_diag_msg *msg, size_t len, struct crk_unix_diag *out)
{
	const struct rtattr *a;

	*out = (struct crk_unix_diag){ .type = msg->udiag_type, .state = msg->udiag_state };
	len -= sizeof(*msg);
	for (a = (const void *)(msg + 1); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		const struct unix_diag_vfs *vfs = RTA_DATA(a);
		const uint32_t *word = RTA_DATA(a);
		const struct unix_diag_rqlen *rq = RTA_DATA(a);

		switch (a->rta_type) {
		case UNIX_DIAG_VFS:
			out->has_file = true;
			out->file_ino = vfs->udiag_vfs_ino;
			out->file_dev = vfs->udiag_vfs_dev;
			break;
		case UNIX_DIAG_PEER:
			out->has_peer = true;
			out->peer = *word;
			break;
		case UNIX_DIAG_ICONS:
			out->nr_waiting = RTA_PAYLOAD(a) / sizeof(*word);
			memcpy(out->waiting, word, min(out->nr_waiting, (uint32_t)ARRAY_SIZE(out->waiting)) * sizeof(*word));
			break;
		case UNIX_DIAG_RQLEN:
			out->backlog = rq->udiag_wqueue;
			break;
		case UNIX_DIAG_SHUTDOWN:
			out->shutdown = *(const uint8_t *)RTA_DATA(a);
			break;
		}
	}
}

int crk_unix_diag(uint32_t ino, struct crk_unix_diag *out)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	char buf[8192] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = (void *)buf;
	ssize_t len;
	int err;

	if (fd < 0)
		return -errno;
	err = ask(fd, ino);
	if (err)
		return err;
	len = recv(fd, buf, sizeof(buf), 0);
	if (len < 0)
		return -errno;
	if (!NLMSG_OK(nlh, len))
		return -EPROTO;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(nlh))->error ?: -EPROTO;
	parse(NLMSG_DATA(nlh), nlh->nlmsg_len - NLMSG_HDRLEN, out);
	/* of a listening socket wqueue is the backlog, of others what the peer has not read */
	if (out->state != UNIX_LISTEN)
		out->backlog = 0;
	return 0;
}
