// SPDX-License-Identifier: GPL-2.0
/*
 * Unix sockets: pairs of every type, what waits in them, passed descriptors, shut down directions, options; listening
 * sockets and connections to them.
 */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "checkpoint.h"

static struct sockaddr_un address(const char *name, socklen_t *len)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(sa.sun_path + (*name == '@'), name + (*name == '@'));
	*len = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
	return sa;
}

static int bound(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);
	socklen_t len;
	struct sockaddr_un sa = address(name, &len);

	MUST(!bind(fd, (struct sockaddr *)&sa, len));
	return fd;
}

static int connected(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);
	socklen_t len;
	struct sockaddr_un sa = address(name, &len);

	MUST(!connect(fd, (struct sockaddr *)&sa, len));
	return fd;
}

static char *name_of(int fd, int (*get)(int fd, struct sockaddr *sa, socklen_t *len))
{
	struct sockaddr_un sa = {};
	socklen_t len = sizeof(sa);
	char *text = calloc(1, 200);

	MUST(!get(fd, (struct sockaddr *)&sa, &len));
	len -= offsetof(struct sockaddr_un, sun_path);
	if (len && !sa.sun_path[0])
		snprintf(text, 200, "@%.*s", len - 1, sa.sun_path + 1);
	else
		snprintf(text, 200, "%.*s", len, sa.sun_path);
	return text;
}

#define MUST_SEND(fd, text) MUST_EQ(send(fd, text, strlen(text), MSG_DONTWAIT), strlen(text))

static void pair_both_ways(int type)
{
	int s[2];

	MUST(!socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	MUST_SEND(s[0], "from zero");
	MUST_SEND(s[0], "second");
	MUST_SEND(s[1], "from one");
	checkpoint_here();
	if (type == SOCK_STREAM) {
		MUST(text_is(s[1], "from zerosecond"));
	} else {
		MUST(text_is(s[1], "from zero"));
		MUST(text_is(s[1], "second"));
	}
	MUST(text_is(s[0], "from one"));
	MUST(is_empty(s[0]) && is_empty(s[1]));
	MUST_SEND(s[1], "later");
	MUST(text_is(s[0], "later"));
	MUST_EQ(fcntl(s[0], F_GETFL), O_RDWR | O_NONBLOCK);
}

ROUNDTRIP(pair_stream)
{
	pair_both_ways(SOCK_STREAM);
}

ROUNDTRIP(pair_dgram)
{
	pair_both_ways(SOCK_DGRAM);
}

ROUNDTRIP(pair_seqpacket)
{
	pair_both_ways(SOCK_SEQPACKET);
}

ROUNDTRIP(empty_and_large_packets)
{
	char *buf = malloc(150000), *again = malloc(200000);
	int s[2], i, large = 1 << 20;

	for (i = 0; i < 150000; i++)
		buf[i] = i * 11 + (i >> 8);
	MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	/* the default has no room for another one behind it on kernels of 32 bit */
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)));
	MUST_EQ(send(s[0], "", 0, 0), 0);
	MUST_EQ(send(s[0], buf, 150000, 0), 150000);
	MUST_EQ(send(s[0], "", 0, 0), 0);
	MUST_EQ(send(s[0], "x", 1, 0), 1);
	checkpoint_here();
	MUST_EQ(recv(s[1], again, 200000, MSG_DONTWAIT), 0);
	MUST_EQ(recv(s[1], again, 200000, MSG_DONTWAIT), 150000);
	MUST(!memcmp(buf, again, 150000));
	MUST_EQ(recv(s[1], again, 200000, MSG_DONTWAIT), 0);
	MUST_EQ(recv(s[1], again, 200000, MSG_DONTWAIT), 1);
	MUST(is_empty(s[1]));
}

ROUNDTRIP(much_in_a_stream)
{
	enum { SIZE = 3 << 20 };
	char *buf = malloc(SIZE), *again = malloc(SIZE);
	int s[2], i, n, sent = 0, got = 0, large = 8 << 20;

	for (i = 0; i < SIZE; i++)
		buf[i] = i * 5 + (i >> 11);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	while (sent < SIZE && (n = write(s[0], buf + sent, SIZE - sent)) > 0)
		sent += n;
	checkpoint_here();
	while ((n = read(s[1], again + got, SIZE - got)) > 0)
		got += n;
	MUST_EQ(got, sent);
	MUST(!memcmp(buf, again, got));
}

static void send_fds(int s, const char *text, const int *fds, size_t nr)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = {};
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_SPACE(nr * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	MUST_EQ(sendmsg(s, &msg, 0), strlen(text));
}

static size_t recv_fds_of(int s, char *buf, size_t room, int *fds)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = {};
	struct iovec iov = { buf, room };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	size_t nr;

	MUST(recvmsg(s, &msg, MSG_DONTWAIT) >= 0);
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return 0;
	nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
	return nr;
}

static size_t recv_fds(int s, const char *text, int *fds)
{
	char buf[64] = "";
	size_t nr = recv_fds_of(s, buf, sizeof(buf) - 1, fds);

	MUST_STR(buf, text);
	return nr;
}

ROUNDTRIP(passed_descriptors)
{
	int s[2], p[2], got[4] = { 0 }, kept = eventfd(0, 0), file;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !pipe(p));
	file = open("file", O_RDWR | O_CREAT, 0644);
	MUST_EQ(write(file, "abc", 3), 3);
	MUST_SEND(s[0], "before");
	send_fds(s[0], "pipe", p, 2);
	send_fds(s[0], "file and event", (int[]){ file, kept }, 2);
	MUST_SEND(s[0], "after");
	/* those three are nowhere but in the queue */
	close(p[0]);
	close(p[1]);
	close(file);
	checkpoint_here();
	char buf[3];

	/* plain bytes and those that come with descriptors are read as one; but the descriptors come with their own */
	MUST_EQ(recv_fds_of(s[1], buf, 3, got), 0);
	MUST_EQ(recv_fds(s[1], "orepipe", got), 2);
	MUST_EQ(write(got[1], "x", 1), 1);
	MUST(text_is(got[0], "x"));
	MUST_EQ(recv_fds(s[1], "file and event", got), 2);
	MUST_EQ(lseek(got[0], 0, SEEK_CUR), 3);
	MUST(!eventfd_write(got[1], 1));
	MUST(!is_empty(kept));
	MUST_EQ(recv_fds(s[1], "after", got), 0);
}

ROUNDTRIP(socket_passed_in_itself)
{
	int s[2], got[4];

	MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	send_fds(s[0], "you", &s[1], 1);
	send_fds(s[0], "me", &s[0], 1);
	close(s[0]);
	checkpoint_here();
	MUST_EQ(recv_fds(s[1], "you", got), 1);
	MUST_EQ(recv_fds(s[1], "me", got), 1);
	MUST_SEND(got[0], "it works");
	MUST(text_is(s[1], "it works"));
}

ROUNDTRIP(passed_socket_with_a_queue)
{
	int s[2], t[2], got[4];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, t));
	MUST_SEND(t[0], "in the inner one");
	send_fds(s[0], "t", &t[1], 1);
	close(t[1]);
	checkpoint_here();
	MUST_EQ(recv_fds(s[1], "t", got), 1);
	MUST(text_is(got[0], "in the inner one"));
	MUST_SEND(got[0], "back");
	MUST(text_is(t[0], "back"));
}

ROUNDTRIP(peer_closed)
{
	int s[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	MUST_SEND(s[0], "last words");
	close(s[0]);
	checkpoint_here();
	MUST(text_is(s[1], "last words"));
	MUST(at_eof(s[1]));
	MUST(send(s[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
}

ROUNDTRIP(peer_closed_with_unread_data)
{
	int s[2];
	char c;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	MUST_SEND(s[1], "never read");
	close(s[0]);
	checkpoint_here();
	MUST(read(s[1], &c, 1) < 0 && errno == ECONNRESET);
	MUST(at_eof(s[1]));
}

ROUNDTRIP(shut_down)
{
	int s[2], t[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !socketpair(AF_UNIX, SOCK_STREAM, 0, t));
	MUST_SEND(s[0], "abc");
	MUST(!shutdown(s[0], SHUT_WR));
	MUST(!shutdown(t[0], SHUT_RDWR));
	checkpoint_here();
	MUST(text_is(s[1], "abc"));
	MUST(at_eof(s[1]));
	MUST(send(s[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	MUST_SEND(s[1], "back");
	MUST(text_is(s[0], "back"));
	MUST(at_eof(t[0]) && at_eof(t[1]));
}

static int option(int fd, int opt)
{
	int value = -1;
	socklen_t len = sizeof(value);

	MUST(!getsockopt(fd, SOL_SOCKET, opt, &value, &len));
	return value;
}

ROUNDTRIP(options)
{
	struct timeval tv = { 3, 500000 }, got;
	socklen_t len = sizeof(got);
	int s[2], v, snd;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, (v = 30000, &v), sizeof(v)));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_RCVBUF, (v = 50000, &v), sizeof(v)));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, (v = 1, &v), sizeof(v)));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_PRIORITY, (v = 3, &v), sizeof(v)));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	MUST(!setsockopt(s[0], SOL_SOCKET, SO_PEEK_OFF, (v = 0, &v), sizeof(v)));
	snd = option(s[1], SO_SNDBUF);
	checkpoint_here();
	MUST_EQ(option(s[0], SO_SNDBUF), 60000);
	MUST_EQ(option(s[0], SO_RCVBUF), 100000);
	MUST_EQ(option(s[1], SO_SNDBUF), snd);
	MUST_EQ(option(s[0], SO_PASSCRED), 1);
	MUST_EQ(option(s[1], SO_PASSCRED), 0);
	MUST_EQ(option(s[0], SO_PRIORITY), 3);
	MUST_EQ(option(s[0], SO_PEEK_OFF), 0);
	MUST_EQ(option(s[1], SO_PEEK_OFF), -1);
	MUST(!getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	MUST_EQ(got.tv_sec, 3);
	MUST_EQ(got.tv_usec, 500000);
}

ROUNDTRIP(credentials_of_messages)
{
	char control[CMSG_SPACE(sizeof(struct ucred))], buf[16];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct ucred cred;
	int s[2], one = 1;
	pid_t pid;

	MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	MUST(!setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	pid = fork_child();
	if (!pid) {
		MUST(!setegid(55));
		MUST_SEND(s[0], "hi");
		event_set("sent");
		event_wait("restored");
		_exit(0);
	}
	event_wait("sent");
	checkpoint_here();
	MUST_EQ(recvmsg(s[1], &msg, 0), 2);
	MUST(CMSG_FIRSTHDR(&msg) && CMSG_FIRSTHDR(&msg)->cmsg_type == SCM_CREDENTIALS);
	memcpy(&cred, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(cred));
	MUST_EQ(cred.pid, pid);
	MUST_EQ(cred.uid, 0);
	event_set("restored");
	reap(pid);
}

static void server(const char *name, int type)
{
	int l = bound(type, name), c, s, c2;
	char *before;

	MUST(!listen(l, 7));
	c = connected(type, name);
	s = accept(l, NULL, NULL);
	MUST(s >= 0);
	MUST_SEND(c, "to the server");
	MUST_SEND(s, "to the client");
	before = name_of(s, getsockname);
	checkpoint_here();
	MUST_STR(name_of(s, getsockname), before);
	MUST_STR(name_of(c, getpeername), before);
	MUST_STR(name_of(c, getsockname), "");
	MUST(text_is(s, "to the server"));
	MUST(text_is(c, "to the client"));
	c2 = connected(type, name);
	MUST_SEND(c2, "new");
	s = accept(l, NULL, NULL);
	MUST(text_is(s, "new"));
	close(c2);
	MUST(at_eof(s));
}

ROUNDTRIP(server_by_path)
{
	char name[100];

	snprintf(name, sizeof(name), "%s/socket", getcwd((char[64]){}, 64));
	server(name, SOCK_STREAM);
}

ROUNDTRIP(server_by_relative_path)
{
	server("socket", SOCK_SEQPACKET);
}

ROUNDTRIP(server_by_abstract_name)
{
	server("@crk selftest", SOCK_STREAM);
}

ROUNDTRIP(mode_of_the_file)
{
	int l = bound(SOCK_STREAM, "socket");
	struct stat st;

	MUST(!chmod("socket", 0620) && !chown("socket", 3, 4));
	MUST(!listen(l, 1));
	checkpoint_here();
	MUST(!stat("socket", &st));
	MUST_EQ(st.st_mode, S_IFSOCK | 0620);
	MUST_EQ(st.st_uid, 3);
	MUST_EQ(st.st_gid, 4);
}

ROUNDTRIP(file_removed)
{
	int l = bound(SOCK_STREAM, "socket"), c, s;

	MUST(!listen(l, 1));
	c = connected(SOCK_STREAM, "socket");
	s = accept(l, NULL, NULL);
	MUST(!unlink("socket"));
	checkpoint_here();
	MUST(access("socket", F_OK) && errno == ENOENT);
	MUST_STR(name_of(l, getsockname), "socket");
	MUST_SEND(c, "x");
	MUST(text_is(s, "x"));
}

ROUNDTRIP(not_accepted_yet)
{
	int l = bound(SOCK_STREAM, "@crk waiting"), c, s;

	MUST(!listen(l, 5));
	c = connected(SOCK_STREAM, "@crk waiting");
	checkpoint_here();
	s = accept(l, NULL, NULL);
	MUST(s >= 0);
	MUST_SEND(c, "x");
	MUST(text_is(s, "x"));
}

REFUSED(not_accepted_yet_and_has_sent, "waits to be accepted, and what it has sent cannot be read")
{
	int l = bound(SOCK_STREAM, "@crk waiting"), c;

	MUST(!listen(l, 5));
	c = connected(SOCK_STREAM, "@crk waiting");
	MUST_SEND(c, "x");
	checkpoint_here();
	MUST(text_is(accept(l, NULL, NULL), "x"));
}

ROUNDTRIP(accept_asleep)
{
	int l = bound(SOCK_STREAM, "@crk accept"), c;
	pid_t pid;

	MUST(!listen(l, 5));
	pid = fork_child();
	if (!pid) {
		event_set("accepts");
		MUST(text_is(accept(l, NULL, NULL), "hello"));
		_exit(0);
	}
	event_wait("accepts");
	usleep(20000);
	checkpoint_here();
	c = connected(SOCK_STREAM, "@crk accept");
	MUST_SEND(c, "hello");
	reap(pid);
}

ROUNDTRIP(datagrams_by_name)
{
	int a = bound(SOCK_DGRAM, "@crk a"), b = bound(SOCK_DGRAM, "b"), c = connected(SOCK_DGRAM, "@crk a");
	struct sockaddr_un from = {}, to;
	socklen_t len, from_len = sizeof(from);
	char buf[16];

	to = address("@crk a", &len);
	MUST_EQ(sendto(b, "from b", 6, 0, (struct sockaddr *)&to, len), 6);
	MUST_SEND(c, "from c");
	checkpoint_here();
	MUST_EQ(recvfrom(a, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len), 6);
	MUST(!memcmp(buf, "from b", 6));
	MUST_STR(from.sun_path, "b");
	MUST(text_is(a, "from c"));
	MUST_SEND(c, "again");
	MUST(text_is(a, "again"));
	MUST_STR(name_of(c, getpeername), "@crk a");
}

ROUNDTRIP(neither_bound_nor_connected)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), l;

	checkpoint_here();
	l = bound(SOCK_STREAM, "socket");
	MUST(!listen(l, 1));
	socklen_t len;
	struct sockaddr_un sa = address("socket", &len);

	MUST(!connect(fd, (struct sockaddr *)&sa, len));
}

TEST_HARNESS_MAIN
