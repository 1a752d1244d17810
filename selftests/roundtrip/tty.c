// SPDX-License-Identifier: GPL-2.0
/*
 * Pseudo terminals: number, settings, size, what waits in them; sessions and their controlling terminal.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "checkpoint.h"

static char slave_name[32];

static int master_open(void)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY), zero = 0;
	unsigned int index;

	MUST(fd >= 0);
	MUST(!ioctl(fd, TIOCSPTLCK, &zero));
	MUST(!ioctl(fd, TIOCGPTN, &index));
	snprintf(slave_name, sizeof(slave_name), "/dev/pts/%u", index);
	return fd;
}

static int slave_open(void)
{
	int fd = open(slave_name, O_RDWR | O_NOCTTY);

	MUST(fd >= 0);
	return fd;
}

ROUNDTRIP(pair)
{
	struct winsize ws = { 33, 44, 5, 6 }, got_ws;
	int m = master_open(), s = slave_open();
	struct termios t = {}, got = {};
	struct stat st;

	MUST(!tcgetattr(s, &t));
	t.c_lflag &= ~(ECHO | ISIG);
	t.c_cc[VINTR] = 7;
	t.c_iflag |= IXANY;
	cfsetospeed(&t, B9600);
	MUST(!tcsetattr(s, TCSANOW, &t));
	MUST(!tcgetattr(s, &t));
	MUST(!ioctl(s, TIOCSWINSZ, &ws));
	MUST(!fchmod(s, 0602) && !fchown(s, 5, 6));
	checkpoint_here();
	MUST_STR(link_text("/proc/self/fd/%d", s), slave_name);
	MUST_STR(link_text("/proc/self/fd/%d", m), "/dev/ptmx");
	MUST(!tcgetattr(s, &got));
	MUST(!memcmp(&t, &got, sizeof(t)));
	MUST(!ioctl(s, TIOCGWINSZ, &got_ws));
	MUST(!memcmp(&ws, &got_ws, sizeof(ws)));
	MUST(!ioctl(m, TIOCGWINSZ, &got_ws));
	MUST(!memcmp(&ws, &got_ws, sizeof(ws)));
	MUST(!fstat(s, &st));
	MUST_EQ(st.st_uid, 5);
	MUST_EQ(st.st_gid, 6);
	MUST_EQ(st.st_mode & 07777, 0602);
	MUST_EQ(write(m, "line\n", 5), 5);
	MUST(text_is(s, "line\n"));
	MUST_EQ(write(s, "out", 3), 3);
	WAIT_FOR(!is_empty(m));
	MUST(text_is(m, "out"));
}

ROUNDTRIP(what_waits)
{
	int m = master_open(), s = slave_open(), n;

	MUST_EQ(write(m, "one\ntwo\npart", 12), 12);
	WAIT_FOR(!ioctl(s, TIOCINQ, &n) && n == 8);
	MUST_EQ(write(s, "out\n", 4), 4);
	WAIT_FOR(!ioctl(m, TIOCINQ, &n) && n == 12 + 2 + 5);	/* echo, and CR before each NL */
	checkpoint_here();
	MUST_STR(read_text(m), "one\r\ntwo\r\npartout\r\n");
	MUST(text_is(s, "one\n"));
	MUST(text_is(s, "two\n"));
	MUST(is_empty(s));
	MUST_EQ(write(m, "ial\n", 4), 4);
	WAIT_FOR(!is_empty(s));
	MUST(text_is(s, "partial\n"));
}

/* byte @i of a long text that does not repeat itself soon */
static char text_byte(size_t i)
{
	return 'a' + (i + i / 26 + i / 1000) % 26;
}

/* to the brim: a slow reader */
ROUNDTRIP(full_of_output)
{
	int m = master_open(), s = slave_open(), idle = 0;
	size_t nr = 0, i = 0, j;
	struct termios t;
	char buf[1024];
	ssize_t n;

	MUST(!tcgetattr(s, &t));
	cfmakeraw(&t);
	MUST(!tcsetattr(s, TCSANOW, &t));
	MUST(!fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK));
	/* the kernel moves it on for a while, which makes room again */
	while (idle < 10) {
		for (j = 0; j < sizeof(buf); j++)
			buf[j] = text_byte(nr + j);
		n = write(s, buf, sizeof(buf));
		if (n > 0) {
			nr += n;
			idle = 0;
		} else {
			MUST(n < 0);
			idle++;
			nap();
		}
	}
	MUST(nr > 4095);
	checkpoint_here();
	while (i < nr) {
		n = read(m, buf, sizeof(buf));
		MUST(n > 0);
		for (j = 0; j < (size_t)n; j++)
			MUST_EQ(buf[j], text_byte(i + j));
		i += n;
	}
	MUST_EQ(i, nr);
	MUST(is_empty(m));
}

ROUNDTRIP(what_waits_in_raw_mode)
{
	int m = master_open(), s = slave_open(), n;
	struct termios t;

	MUST(!tcgetattr(s, &t));
	cfmakeraw(&t);
	MUST(!tcsetattr(s, TCSANOW, &t));
	MUST_EQ(write(m, "a\003\r\n\0b", 6), 6);
	MUST_EQ(write(s, "\n\t\001", 3), 3);
	WAIT_FOR(!ioctl(s, TIOCINQ, &n) && n == 6);
	WAIT_FOR(!ioctl(m, TIOCINQ, &n) && n == 3);
	checkpoint_here();
	char buf[16];

	MUST_EQ(read(s, buf, sizeof(buf)), 6);
	MUST(!memcmp(buf, "a\003\r\n\0b", 6));
	MUST(text_is(m, "\n\t\001"));
}

ROUNDTRIP(modes_of_the_master)
{
	int m = master_open(), s = slave_open(), m2 = master_open(), v, one = 1;

	MUST(!ioctl(m, TIOCPKT, &one));
	MUST(!ioctl(s, TIOCEXCL));
	MUST(!ioctl(m2, TIOCSPTLCK, &one));
	MUST(!fcntl(m, F_SETFL, O_NONBLOCK));
	checkpoint_here();
	MUST(!ioctl(m, TIOCGPKT, &v) && v == 1);
	MUST(!ioctl(s, TIOCGEXCL, &v) && v == 1);
	MUST(!ioctl(m2, TIOCGPTLCK, &v) && v == 1);
	MUST_EQ(fcntl(m, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_ASYNC), O_RDWR | O_NONBLOCK);
	MUST_EQ(write(s, "x", 1), 1);
	WAIT_FOR(!is_empty(m));
	char buf[4];

	MUST_EQ(read(m, buf, 4), 2);
	MUST(buf[0] == TIOCPKT_DATA && buf[1] == 'x');
}

ROUNDTRIP(slave_never_opened_and_closed)
{
	int never = master_open(), closed = master_open();
	struct pollfd pfd = { .fd = closed };
	char c;

	close(slave_open());
	MUST(!fcntl(never, F_SETFL, O_NONBLOCK));
	checkpoint_here();
	MUST(read(never, &c, 1) < 0 && errno == EAGAIN);
	MUST_EQ(poll(&pfd, 1, 0), 1);
	MUST(pfd.revents & POLLHUP);
	MUST(read(closed, &c, 1) < 0 && errno == EIO);
}

/* a session with the terminal as its own, two groups in it, one in front */
ROUNDTRIP(controlling_terminal)
{
	int m = master_open(), s, status;
	pid_t leader, front;
	char line[32];

	leader = fork_child();
	if (!leader) {
		close(m);
		MUST(setsid() == getpid());
		s = open(slave_name, O_RDWR);	/* becomes the controlling terminal */
		front = fork_child();
		if (!front) {
			MUST(!setpgid(0, 0));
			signal(SIGTTOU, SIG_IGN);
			MUST(!tcsetpgrp(s, getpid()));
			event_set("front");
			for (;;)
				pause();	/* until ^C */
		}
		snprintf(line, sizeof(line), "front is %d", front);
		event_set(line);
		event_wait("restored");
		MUST_EQ(tcgetsid(s), getpid());
		MUST_EQ(tcgetpgrp(s), front);
		MUST(open("/dev/tty", O_RDWR) >= 0);
		MUST_EQ(waitpid(front, &status, 0), front);
		MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
		_exit(0);
	}
	event_wait("front");
	checkpoint_here();
	MUST_EQ(tcgetsid(m), leader);
	event_set("restored");
	MUST_EQ(write(m, "\003", 1), 1);
	reap(leader);
}

ROUNDTRIP(opened_as_dev_tty)
{
	int m = master_open(), s, tty;
	pid_t leader = fork_child();

	if (!leader) {
		close(m);
		MUST(setsid() == getpid());
		s = open(slave_name, O_RDWR);
		tty = open("/dev/tty", O_RDWR);
		MUST(tty >= 0);
		close(s);
		event_set("opened");
		event_wait("restored");
		MUST_STR(link_text("/proc/self/fd/%d", tty), "/dev/tty");
		MUST_EQ(write(tty, "hello", 5), 5);
		MUST_EQ(tcgetsid(tty), getpid());
		event_set("written");
		event_wait("read");
		_exit(0);
	}
	event_wait("opened");
	checkpoint_here();
	event_set("restored");
	event_wait("written");
	WAIT_FOR(!is_empty(m));
	MUST(text_is(m, "hello"));
	event_set("read");
	reap(leader);
}

ROUNDTRIP(number_five)
{
	int m[6], i;
	char name[32];

	for (i = 0; i < 6; i++)
		m[i] = master_open();
	strcpy(name, slave_name);
	for (i = 0; i < 5; i++)
		close(m[i]);
	checkpoint_here();
	unsigned int index;

	MUST(!ioctl(m[5], TIOCGPTN, &index));
	snprintf(slave_name, sizeof(slave_name), "/dev/pts/%u", index);
	MUST_STR(slave_name, name);
	slave_open();
}

TEST_HARNESS_MAIN
