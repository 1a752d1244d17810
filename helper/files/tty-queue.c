// SPDX-License-Identifier: GPL-2.0
/*
 * What waits to be read on either side of a pseudo terminal: taking it and putting it (back), unaltered.  Knows no
 * image and no process.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tty.h"

#define LDISC_ROOM	4095		/* of N_TTY */
#define BUFFER_UNIT	256
#define LAST_BUFFER	1792		/* TTY_BUFFER_PAGE with pages of 4 KiB */
#define ROOM_TRY_MS	10
#define ROOM_TRIES	200		/* until nothing has moved for two seconds */
#define MAX_QUEUE	(1UL << 20)	/* bytes on one side, more than a terminal holds */

/*
 * What waits on the two sides can only be read by taking it, so it is put back at once, with the settings changed so
 * that it passes unaltered.  Input of a terminal in line mode goes in in line mode: lines stay lines.
 */
struct termios2 crk_tty_plain(const struct termios2 *t, bool lines)
{
	struct termios2 plain = *t;

	plain.c_iflag = 0;
	plain.c_oflag = 0;
	plain.c_lflag = lines ? t->c_lflag & ICANON : 0;
	memset(plain.c_cc, 0, sizeof(plain.c_cc));
	plain.c_cc[VMIN] = lines && t->c_lflag & ICANON ? 0 : 1;
	return plain;
}

int crk_tty_queue_take(struct crk_dump *d, int fd, struct crk_tty_queue *q)
{
	size_t room = 65536;
	char *more;
	ssize_t n;

	q->data = crk_dump_alloc(d, room);
	while (q->data) {
		if (q->len == room) {
			if (room >= MAX_QUEUE)
				return -E2BIG;
			more = crk_dump_alloc(d, room * 2);
			if (!more)
				return -ENOMEM;
			q->data = memcpy(more, q->data, room);
			room *= 2;
		}
		n = read(fd, q->data + q->len, room - q->len);
		if (n > 0)
			q->len += n;
		else if (n < 0 && errno == EINTR)
			continue;
		else
			return n < 0 && errno != EAGAIN && errno != EIO ? -errno : 0;
	}
	return -ENOMEM;
}

/*
 * There is room for what was there before, but not at once: a work queue moves it on to where the line discipline of the
 * other side holds it.  The kernel counts the room in units of 256 bytes, and gives a last buffer when all is used up,
 * but not more.  So that the same fits again whatever it was written in: units, and the last buffer's worth at once.
 */
static int write_slowly(int fd, const void *data, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int tries = ROOM_TRIES;
	const char *at = data;
	ssize_t n;

	while (len) {
		n = write(fd, at, len <= LAST_BUFFER ? len : BUFFER_UNIT);
		if (n > 0) {
			at += n;
			len -= n;
			tries = ROOM_TRIES;
		} else if (n < 0 && errno == EAGAIN && tries--) {
			poll(&p, 1, ROOM_TRY_MS);
		} else if (n >= 0 || errno != EINTR) {
			return n < 0 ? -errno : -EIO;
		}
	}
	return 0;
}

/*
 * Input by TIOCSTI, which is there at once, while a write would pass a work queue and meet the settings of later.  It
 * takes a byte a call and no more than the line discipline holds; more there is of unprocessed input only.
 * @t: the settings in the end
 */
int crk_tty_queues_put(int master, int slave, const struct termios2 *t, const struct crk_tty_queue *in,
		       const struct crk_tty_queue *out)
{
	struct termios2 plain = crk_tty_plain(t, true);
	size_t i, direct = min(in->len, (size_t)LDISC_ROOM);
	int err = 0;

	if (!in->len && !out->len)
		return 0;
	if (ioctl(slave, TCSETS2, &plain))
		return -errno;
	for (i = 0; i < direct && !err; i++)
		err = ioctl(slave, TIOCSTI, in->data + i) ? -errno : 0;
	if (in->len > direct && !err)
		err = write_slowly(master, in->data + direct, in->len - direct);
	if (out->len && !err)
		err = write_slowly(slave, out->data, out->len);
	if (ioctl(slave, TCSETS2, t) && !err)
		err = -errno;
	return err;
}
