// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in each system call that waits for a file: after the checkpoint it still waits, and what wakes it gives it
 * what it would have got undisturbed (requirement 2.10).  Other waits are in zoo.c and zoo_time.c.
 *
 * Left out, since the files can't be carried: mq_receive, io_uring_enter, network sockets (see refused.c), io_getevents
 * (unsupported.c).
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"

#define KERNEL_SET	8	/* bytes of a signal set */

/* ---- read and write ---- */

static long run_read(struct call *c)
{
	char buf[256];

	return sys_ret(syscall(SYS_read, c->fd[0], buf, sizeof(buf)));
}

/* writes ->arg bytes, or 1 */
static long run_write(struct call *c)
{
	static const uint64_t one[1024] = { 1 };

	return sys_ret(syscall(SYS_write, c->fd[1], one, c->arg ?: 1));
}

static long run_readv(struct call *c)
{
	char buf[2][4];
	struct iovec iov[] = { { buf[0], 4 }, { buf[1], 4 } };

	return sys_ret(syscall(SYS_readv, c->fd[0], iov, 2));
}

static long run_writev(struct call *c)
{
	struct iovec iov[] = { { "x", 1 }, { "y", 1 } };

	return sys_ret(syscall(SYS_writev, c->fd[1], iov, 2));
}

static void feed(struct call *c)
{
	call_must(c, write(c->fd[1], "x", 1) == 1);
}

/* reads all there is */
static void drain(struct call *c)
{
	char buf[65536];
	int flags = fcntl(c->fd[0], F_GETFL);

	call_must(c, !fcntl(c->fd[0], F_SETFL, flags | O_NONBLOCK));
	call_must(c, read(c->fd[0], buf, sizeof(buf)) > 0);
	while (read(c->fd[0], buf, sizeof(buf)) > 0)
		;
	call_must(c, !fcntl(c->fd[0], F_SETFL, flags));
}

/* writes until it would block */
static void stuff(struct call *c)
{
	int flags = fcntl(c->fd[1], F_GETFL);
	char buf[4096] = "";

	call_must(c, !fcntl(c->fd[1], F_SETFL, flags | O_NONBLOCK));
	while (write(c->fd[1], buf, sizeof(buf)) > 0)
		;
	call_must(c, errno == EAGAIN && !fcntl(c->fd[1], F_SETFL, flags));
}

static void make_pipe(struct call *c)
{
	call_must(c, !pipe(c->fd));
}

static void make_small_pipe(struct call *c)
{
	make_pipe(c);
	call_must(c, fcntl(c->fd[1], F_SETPIPE_SZ, 4096) == 4096);
}

static void make_full_pipe(struct call *c)
{
	make_small_pipe(c);
	stuff(c);
}

static void make_fifo(struct call *c)
{
	call_must(c, !mkfifo("fifo", 0600));
	c->fd[0] = c->fd[1] = open("fifo", O_RDWR);
	call_must(c, c->fd[0] >= 0);
}

static void make_full_fifo(struct call *c)
{
	call_must(c, !mkfifo("full", 0600));
	c->fd[0] = c->fd[1] = open("full", O_RDWR);
	call_must(c, c->fd[0] >= 0 && fcntl(c->fd[1], F_SETPIPE_SZ, 4096) == 4096);
	stuff(c);
}

static void make_socketpair(struct call *c)
{
	call_must(c, !socketpair(AF_UNIX, c->arg ?: SOCK_STREAM, 0, c->fd));
}

static void make_full_socketpair(struct call *c)
{
	make_socketpair(c);
	stuff(c);
}

static void make_pty(struct call *c)
{
	call_must(c, !openpty(&c->fd[1], &c->fd[0], NULL, NULL, NULL));
}

static void feed_line(struct call *c)
{
	call_must(c, write(c->fd[1], "line\n", 5) == 5);
}

static void make_pty_master(struct call *c)
{
	call_must(c, !openpty(&c->fd[0], &c->fd[1], NULL, NULL, NULL));
}

static void make_inotify(struct call *c)
{
	call_must(c, !mkdir("watched", 0700));
	c->fd[0] = inotify_init1(0);
	call_must(c, c->fd[0] >= 0 && inotify_add_watch(c->fd[0], "watched", IN_CREATE) > 0);
}

static void touch_watched(struct call *c)
{
	call_must(c, creat("watched/new", 0600) >= 0);
}

static void make_eventfd(struct call *c)
{
	c->fd[0] = c->fd[1] = eventfd(0, 0);
	call_must(c, c->fd[0] >= 0);
}

static void feed_eventfd(struct call *c)
{
	call_must(c, !eventfd_write(c->fd[1], 1));
}

static void make_full_eventfd(struct call *c)
{
	make_eventfd(c);
	call_must(c, !eventfd_write(c->fd[1], ~1ULL));
}

static void set_timerfd(struct call *c)
{
	struct itimerspec its = { .it_value.tv_nsec = 1 };

	call_must(c, !timerfd_settime(c->fd[0], 0, &its, NULL));
}

static void make_timerfd(struct call *c)
{
	c->fd[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	call_must(c, c->fd[0] >= 0);
}

static void make_signalfd(struct call *c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	/* this is before any thread is made */
	call_must(c, !sigprocmask(SIG_BLOCK, &set, NULL));
	c->fd[0] = signalfd(-1, &set, 0);
	call_must(c, c->fd[0] >= 0);
}

static void send_process(struct call *c)
{
	call_must(c, !kill(getpid(), SIGUSR2));
}

static long run_splice(struct call *c)
{
	int out[2];

	MUST(!pipe(out));
	return sys_ret(syscall(SYS_splice, c->fd[0], NULL, out[1], NULL, 100, 0));
}

static long run_open_fifo(struct call *c)
{
	int fd = syscall(SYS_openat, AT_FDCWD, "fifo.open", O_RDONLY);

	return fd < 0 ? -errno : 0;
}

static void make_fifo_name(struct call *c)
{
	call_must(c, !mkfifo("fifo.open", 0600));
}

static void open_other_end(struct call *c)
{
	call_must(c, open("fifo.open", O_WRONLY | O_NONBLOCK) >= 0);
}

static long run_recv(struct call *c)
{
	char byte;

	return sys_ret(syscall(SYS_recvfrom, c->fd[0], &byte, 1, 0, NULL, NULL));
}

static long run_recvmsg(struct call *c)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sys_ret(syscall(SYS_recvmsg, c->fd[0], &msg, 0));
}

static void make_socketpair_timeout(struct call *c)
{
	struct timeval tv = { .tv_sec = 10000 };

	make_socketpair(c);
	call_must(c, !setsockopt(c->fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	call_must(c, !setsockopt(c->fd[1], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
}

static void make_full_socketpair_timeout(struct call *c)
{
	make_socketpair_timeout(c);
	stuff(c);
}

static long run_send(struct call *c)
{
	return sys_ret(syscall(SYS_sendto, c->fd[1], "x", 1, 0, NULL, 0));
}

static long run_sendmsg(struct call *c)
{
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sys_ret(syscall(SYS_sendmsg, c->fd[1], &msg, 0));
}

static long run_recvmmsg(struct call *c)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	return sys_ret(syscall(SYS_recvmmsg, c->fd[0], &msg, 1, 0, NULL));
}

static const struct sockaddr_un listen_name = { AF_UNIX, "listener" };
static const struct sockaddr_un full_name = { AF_UNIX, "full listener" };

static void make_listener(struct call *c)
{
	c->fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	call_must(c, !bind(c->fd[0], (const void *)&listen_name, sizeof(listen_name)));
	call_must(c, !listen(c->fd[0], 1));
}

static long run_accept(struct call *c)
{
	return syscall(SYS_accept4, c->fd[0], NULL, NULL, 0) < 0 ? -errno : 0;
}

static void connect_to(struct call *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	call_must(c, !connect(fd, (const void *)&listen_name, sizeof(listen_name)));
}

/* a listener whose queue is full */
static void make_full_listener(struct call *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	c->fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	c->fd[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	call_must(c, !bind(c->fd[0], (const void *)&full_name, sizeof(full_name)) && !listen(c->fd[0], 0));
	call_must(c, !connect(fd, (const void *)&full_name, sizeof(full_name)));
}

static long run_connect(struct call *c)
{
	return sys_ret(syscall(SYS_connect, c->fd[1], &full_name, sizeof(full_name)));
}

static void accept_one(struct call *c)
{
	call_must(c, accept(c->fd[0], NULL, NULL) >= 0);
}

ROUNDTRIP(in_read_and_write)
{
	static struct call calls[] = {
		{ "read pipe", SYS_read, run_read, make_pipe, feed, 1, CALL_RESTART },
		{ "write pipe", SYS_write, run_write, make_full_pipe, drain, 1, CALL_RESTART },
		{ "readv", SYS_readv, run_readv, make_pipe, feed, 1, CALL_RESTART },
		{ "writev", SYS_writev, run_writev, make_full_pipe, drain, 2, CALL_RESTART },
		{ "splice", SYS_splice, run_splice, make_pipe, feed, 1, CALL_RESTART },
		{ "read fifo", SYS_read, run_read, make_fifo, feed, 1, CALL_RESTART },
		{ "write fifo", SYS_write, run_write, make_full_fifo, drain, 1, CALL_RESTART },
		{ "open fifo", SYS_openat, run_open_fifo, make_fifo_name, open_other_end, 0, CALL_RESTART },
		{ "read pty", SYS_read, run_read, make_pty, feed_line, 5, CALL_RESTART },
		{ "read pty master", SYS_read, run_read, make_pty_master, feed, 1, CALL_RESTART },
		{ "read inotify", SYS_read, run_read, make_inotify, touch_watched,
		  sizeof(struct inotify_event) + 16, CALL_RESTART },
		{ "read eventfd", SYS_read, run_read, make_eventfd, feed_eventfd, 8, CALL_RESTART },
		{ "write eventfd", SYS_write, run_write, make_full_eventfd, drain, 8, CALL_RESTART, .arg = 8 },
		{ "read timerfd", SYS_read, run_read, make_timerfd, set_timerfd, 8, CALL_RESTART },
		{ "read signalfd", SYS_read, run_read, make_signalfd, send_process,
		  sizeof(struct signalfd_siginfo), CALL_RESTART },
	};

	zoo(calls, ARRAY_SIZE(calls));
}

/* the kernel ends a transfer that has begun, with what was moved: a property of it that both see */
ROUNDTRIP(in_the_middle)
{
	static struct call calls[] = {
		{ "write more than fits", SYS_write, run_write, make_small_pipe, .want = 4096, .state = "done",
		  .arg = 8192 },
	};

	calls_start(calls, 1);
	checkpoint_here();
	calls_look_up(calls, 1, 0);
	call_end(calls);
	drain(calls);
	MUST(is_empty(calls[0].fd[0]));
}

ROUNDTRIP(in_sockets)
{
	static struct call calls[] = {
		{ "read socket", SYS_read, run_read, make_socketpair, feed, 1, CALL_RESTART },
		{ "write socket", SYS_write, run_write, make_full_socketpair, drain, 1, CALL_RESTART },
		{ "recv", SYS_recvfrom, run_recv, make_socketpair, feed, 1, CALL_RESTART, .arg = SOCK_DGRAM },
		{ "recvmsg", SYS_recvmsg, run_recvmsg, make_socketpair, feed, 1, CALL_RESTART, .arg = SOCK_SEQPACKET },
		{ "send", SYS_sendto, run_send, make_full_socketpair, drain, 1, CALL_RESTART, .arg = SOCK_DGRAM },
		{ "sendmsg", SYS_sendmsg, run_sendmsg, make_full_socketpair, drain, 1, CALL_RESTART,
		  .arg = SOCK_SEQPACKET },
		{ "recvmmsg", SYS_recvmmsg, run_recvmmsg, make_socketpair, feed, 1, CALL_RESTART, .arg = SOCK_DGRAM },
		{ "connect", SYS_connect, run_connect, make_full_listener, accept_one, 0, CALL_RESTART },
		{ "accept", SYS_accept4, run_accept, make_listener, connect_to, 0, CALL_RESTART },
		{ "read SO_RCVTIMEO", SYS_read, run_read, make_socketpair_timeout, feed, 1, CALL_EINTR },
		{ "recv SO_RCVTIMEO", SYS_recvfrom, run_recv, make_socketpair_timeout, feed, 1, CALL_EINTR },
		{ "write SO_SNDTIMEO", SYS_write, run_write, make_full_socketpair_timeout, drain, 1, CALL_EINTR },
		{ "send SO_SNDTIMEO", SYS_sendto, run_send, make_full_socketpair_timeout, drain, 1, CALL_EINTR,
		  .arg = SOCK_DGRAM },
	};

	zoo(calls, ARRAY_SIZE(calls));
}

/* ---- waiting for files ---- */

static long run_poll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };

	return sys_ret(syscall(SYS_poll, &p, 1, -1));
}

static long run_ppoll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };

	return sys_ret(syscall(SYS_ppoll, &p, 1, NULL, NULL, KERNEL_SET));
}

/* the time left can't be written back, so the kernel can't begin again with it */
static long run_ppoll_const(struct call *c)
{
	static const struct timespec ts = { .tv_sec = 10000 };
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };

	return sys_ret(syscall(SYS_ppoll, &p, 1, &ts, NULL, KERNEL_SET));
}

static long run_select(struct call *c)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(c->fd[0], &set);
	return sys_ret(syscall(NR_SELECT, c->fd[0] + 1, &set, NULL, NULL, NULL));
}

static long run_pselect(struct call *c)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(c->fd[0], &set);
	return sys_ret(syscall(SYS_pselect6, c->fd[0] + 1, &set, NULL, NULL, NULL, NULL));
}

static int epoll_of(struct call *c)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = epoll_create1(0);

	call_must(c, fd >= 0 && !epoll_ctl(fd, EPOLL_CTL_ADD, c->fd[0], &ev));
	return fd;
}

static long run_epoll_wait(struct call *c)
{
	struct epoll_event ev;

	return sys_ret(syscall(SYS_epoll_wait, epoll_of(c), &ev, 1, -1));
}

static long run_epoll_pwait(struct call *c)
{
	struct epoll_event ev;

	return sys_ret(syscall(SYS_epoll_pwait, epoll_of(c), &ev, 1, -1, NULL, KERNEL_SET));
}

static long run_epoll_pwait2(struct call *c)
{
	struct epoll_event ev;

	return sys_ret(syscall(SYS_epoll_pwait2, epoll_of(c), &ev, 1, NULL, NULL, KERNEL_SET));
}

ROUNDTRIP(in_poll)
{
	static struct call calls[] = {
		{ "poll", SYS_poll, run_poll, make_pipe, feed, 1, CALL_BLOCK_FOREVER("poll") },
		{ "ppoll", SYS_ppoll, run_ppoll, make_pipe, feed, 1, CALL_NOHAND },
		{ "ppoll, constant", SYS_ppoll, run_ppoll_const, make_pipe, feed, 1, CALL_EINTR },
		{ "select", NR_SELECT, run_select, make_pipe, feed, 1, CALL_NOHAND },
		{ "pselect", SYS_pselect6, run_pselect, make_pipe, feed, 1, CALL_NOHAND },
		{ "epoll_wait", SYS_epoll_wait, run_epoll_wait, make_pipe, feed, 1, CALL_EINTR },
		{ "epoll_pwait", SYS_epoll_pwait, run_epoll_pwait, make_pipe, feed, 1, CALL_EINTR },
		{ "epoll_pwait2", SYS_epoll_pwait2, run_epoll_pwait2, make_pipe, feed, 1, CALL_EINTR },
	};

	zoo(calls, ARRAY_SIZE(calls));
}

TEST_HARNESS_MAIN
