// SPDX-License-Identifier: GPL-2.0
/*
 * epoll: events and data, edges, nesting, numbers that were reused or closed; what is watched is found with kcmp(2) and
 * without (requirement 1.10).
 */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	MUST(!epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
}

/* what is ready now: at most one, its data; 0: nothing */
static uint64_t ready(int ep, uint32_t *events)
{
	struct epoll_event ev = {};
	int n = epoll_wait(ep, &ev, 1, 0);

	MUST(n >= 0);
	if (events)
		*events = ev.events;
	return n ? ev.data.u64 : 0;
}

ROUNDTRIP(events_and_data)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), p[2];
	uint32_t events;
	char *before;

	MUST(!pipe(p));
	add(ep, p[0], EPOLLIN | EPOLLRDHUP, 0x1122334455667788ULL);
	add(ep, p[1], EPOLLPRI, 2);
	before = file_text("/proc/self/fdinfo/%d", ep);
	checkpoint_here();
	MUST_STR(text_line(file_text("/proc/self/fdinfo/%d", ep), "flags:"), text_line(before, "flags:"));
	MUST(!ready(ep, NULL));
	MUST_EQ(write(p[1], "x", 1), 1);
	MUST(ready(ep, &events) == 0x1122334455667788ULL);
	MUST_EQ(events, EPOLLIN);
	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &(struct epoll_event){}) < 0 && errno == EEXIST);
	MUST(!epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	MUST(!epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
}

ROUNDTRIP(asleep)
{
	int ep = epoll_create1(0), ev = eventfd(0, 0);
	struct epoll_event got;
	pid_t pid;

	add(ep, ev, EPOLLIN, 42);
	pid = fork_child();
	if (!pid) {
		event_set("waits");
		/* a freeze interrupts it: no dump is needed for that */
		while (epoll_wait(ep, &got, 1, -1) != 1) {
			int err = errno;

			MUST_EQ(err, EINTR);
		}
		MUST_EQ(got.data.u64, 42);
		_exit(0);
	}
	event_wait("waits");
	usleep(20000);
	checkpoint_here();
	MUST(!eventfd_write(ev, 1));
	reap(pid);
}

ROUNDTRIP(edge_and_oneshot)
{
	int ep = epoll_create1(0), a = eventfd(0, 0), b = eventfd(0, 0);

	add(ep, a, EPOLLIN | EPOLLET, 1);
	add(ep, b, EPOLLIN | EPOLLONESHOT, 2);
	checkpoint_here();
	MUST(!eventfd_write(a, 1));
	MUST_EQ(ready(ep, NULL), 1);
	MUST(!ready(ep, NULL));
	MUST(!eventfd_write(b, 1));
	MUST_EQ(ready(ep, NULL), 2);
	MUST(!ready(ep, NULL));
}

ROUNDTRIP(oneshot_used_up)
{
	int ep = epoll_create1(0), a = eventfd(1, 0);
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 9 };

	add(ep, a, EPOLLIN | EPOLLONESHOT, 1);
	MUST_EQ(ready(ep, NULL), 1);
	checkpoint_here();
	MUST(!ready(ep, NULL));
	MUST(!epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev));
	MUST_EQ(ready(ep, NULL), 9);
}

static bool have_kcmp(void)
{
	return !syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) || errno != ENOSYS;
}

/* two tests of one body, the other one as if the kernel had no kcmp(2) */
#define BOTH_WAYS(name)								\
	static void name(void);							\
	ROUNDTRIP(name##_kcmp)							\
	{									\
		if (!have_kcmp())						\
			subject_skip("no kcmp(2)");				\
		name();								\
	}									\
	WITHOUT_KCMP(name##_no_kcmp)						\
	{									\
		name();								\
	}									\
	static void name(void)
#define WITHOUT_KCMP(name, ...)	ROUNDTRIP(name, .dump_args = "--fault kcmp", __VA_ARGS__)

ROUNDTRIP(nested)
{
	int outer = epoll_create1(0), inner = epoll_create1(0), ev = eventfd(0, 0);

	add(outer, inner, EPOLLIN, 1);
	add(inner, ev, EPOLLIN, 2);
	checkpoint_here();
	MUST(!ready(outer, NULL));
	MUST(!eventfd_write(ev, 1));
	MUST_EQ(ready(outer, NULL), 1);
	MUST_EQ(ready(inner, NULL), 2);
}

ROUNDTRIP(number_reused)
{
	int ep = epoll_create1(0), ev = eventfd(0, 0), dup_fd = dup(ev), other;

	add(ep, ev, EPOLLIN, 7);
	close(ev);
	other = open("/dev/null", O_RDONLY);
	MUST_EQ(other, ev);
	checkpoint_here();
	MUST(!eventfd_write(dup_fd, 1));
	MUST_EQ(ready(ep, NULL), 7);
	MUST_STR(link_text("/proc/self/fd/%d", other), "/dev/null");
	MUST_EQ(fcntl(other, F_GETFD), 0);
}

/* by a file of the same inode, as all eventfds are, that is watched as well, under another number and its own */
BOTH_WAYS(number_reused_by_its_kind)
{
	int ep = epoll_create1(0), ev = eventfd(0, 0), dup_fd = dup(ev), other, other_dup;
	char *before;

	add(ep, ev, EPOLLIN, 7);
	close(ev);
	other = eventfd(0, 0);
	MUST_EQ(other, ev);
	other_dup = dup(other);
	add(ep, other_dup, EPOLLIN, 8);
	before = file_text("/proc/self/fdinfo/%d", ep);
	checkpoint_here();
	if (is_left_running())
		MUST_STR(file_text("/proc/self/fdinfo/%d", ep), before);
	MUST(!eventfd_write(dup_fd, 1));
	MUST_EQ(ready(ep, NULL), 7);
	MUST(is_empty(other));
	MUST_EQ(read(dup_fd, before, 8), 8);
	MUST(!ready(ep, NULL));
	MUST(!eventfd_write(other, 1));
	MUST_EQ(ready(ep, NULL), 8);
}

/* two of the same inode that have had the same number; dup_fds get numbers for them */
static void watch_two_as_one(int ep, int *dup_fds)
{
	int i, ev;

	for (i = 0; i < 2; i++) {
		ev = eventfd(0, 0);
		MUST_EQ(dup2(ev, 50), 50);
		dup_fds[i] = dup(ev);
		close(ev);
		add(ep, 50, EPOLLIN, i + 1);
	}
	close(50);
}

ROUNDTRIP(number_of_two)
{
	int ep = epoll_create1(0), dup_fds[2];
	uint64_t value;

	if (!have_kcmp())
		subject_skip("no kcmp(2)");
	watch_two_as_one(ep, dup_fds);
	checkpoint_here();
	MUST(!eventfd_write(dup_fds[0], 1));
	MUST_EQ(ready(ep, NULL), 1);
	MUST_EQ(read(dup_fds[0], &value, 8), 8);
	MUST(!eventfd_write(dup_fds[1], 1));
	MUST_EQ(ready(ep, NULL), 2);
}

/* which of the two is which cannot be told by adding them again */
WITHOUT_KCMP(number_of_two_no_kcmp, .refused = "both added as fd 50")
{
	int ep = epoll_create1(0), dup_fds[2];

	watch_two_as_one(ep, dup_fds);
	checkpoint_here();
	MUST(!eventfd_write(dup_fds[0], 1));
	MUST_EQ(ready(ep, NULL), 1);
}

/* of two inodes it can */
WITHOUT_KCMP(number_of_two_kinds)
{
	int ep = epoll_create1(0), p[2], ev = eventfd(0, 0);

	MUST(!pipe(p));
	MUST_EQ(dup2(p[0], 50), 50);
	add(ep, 50, EPOLLIN, 1);
	MUST_EQ(dup2(ev, 50), 50);
	add(ep, 50, EPOLLIN, 2);
	close(50);
	checkpoint_here();
	MUST_EQ(write(p[1], "x", 1), 1);
	MUST_EQ(ready(ep, NULL), 1);
	MUST(text_is(p[0], "x"));
	MUST(!eventfd_write(ev, 1));
	MUST_EQ(ready(ep, NULL), 2);
}

/* the two ends of a pipe are one inode, and so are all epoll files */
WITHOUT_KCMP(one_inode)
{
	int outer = epoll_create1(0), ep = epoll_create1(0), p[2], i, dup_fds[3];

	MUST(!pipe(p));
	dup_fds[0] = dup(p[0]);
	dup_fds[1] = dup(p[1]);
	dup_fds[2] = dup(ep);
	add(ep, p[1], EPOLLOUT | EPOLLET, 1);
	add(ep, p[0], EPOLLIN, 2);
	add(outer, ep, EPOLLIN, 3);
	/* the numbers change places */
	MUST_EQ(dup2(dup_fds[0], p[1]), p[1]);
	MUST_EQ(dup2(dup_fds[1], p[0]), p[0]);
	MUST_EQ(dup2(outer, ep), ep);
	for (i = 0; i < 2; i++)
		ready(dup_fds[2], NULL);
	checkpoint_here();
	if (!is_left_running())
		MUST_EQ(ready(dup_fds[2], NULL), 1);
	MUST(!ready(dup_fds[2], NULL));
	MUST_EQ(write(p[0], "x", 1), 1);
	MUST_EQ(ready(outer, NULL), 3);
}

/* a number above all that the helper may have */
WITHOUT_KCMP(high_number)
{
	struct rlimit lim = { 300000, 300000 };
	int ep = epoll_create1(0), ev = eventfd(0, 0);

	if (setrlimit(RLIMIT_NOFILE, &lim))
		subject_skip("RLIMIT_NOFILE can't be 300000");
	MUST_EQ(dup2(ev, 250000), 250000);
	add(ep, 250000, EPOLLIN, 1);
	add(ep, ev, EPOLLIN, 2);
	close(ev);
	checkpoint_here();
	MUST(!ready(ep, NULL));
	MUST(!eventfd_write(250000, 1));
	struct epoll_event got[4];

	MUST_EQ(epoll_wait(ep, got, 4, 0), 2);
	MUST_EQ(got[0].data.u64 + got[1].data.u64, 3);
}

/* what only waits in a socket's queue: a file that is watched, and an epoll file that watches */
BOTH_WAYS(passed)
{
	union {
		char buf[CMSG_SPACE(sizeof(int[2]))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int ep = epoll_create1(0), ev = eventfd(0, 0), inner = epoll_create1(0), passed[2] = { ev, inner }, sk[2];
	int other = eventfd(0, 0);
	char byte;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, sk));
	add(ep, ev, EPOLLIN, 5);
	add(inner, other, EPOLLIN, 6);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(passed));
	memcpy(CMSG_DATA(cmsg), passed, sizeof(passed));
	MUST_EQ(sendmsg(sk[0], &msg, 0), 1);
	close(ev);
	close(inner);
	checkpoint_here();
	iov.iov_base = &byte;
	MUST_EQ(recvmsg(sk[1], &msg, 0), 1);
	memcpy(passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(passed));
	MUST(!ready(ep, NULL));
	MUST(!eventfd_write(passed[0], 1));
	MUST_EQ(ready(ep, NULL), 5);
	MUST(!ready(passed[1], NULL));
	MUST(!eventfd_write(other, 1));
	MUST_EQ(ready(passed[1], NULL), 6);
}

ROUNDTRIP(number_closed)
{
	int ep = epoll_create1(0), ev = eventfd(0, 0), dup_fd = dup(ev);

	add(ep, ev, EPOLLIN, 7);
	add(ep, dup_fd, EPOLLIN, 8);
	close(ev);
	checkpoint_here();
	MUST(fcntl(ev, F_GETFD) < 0 && errno == EBADF);
	MUST(!ready(ep, NULL));
	MUST(!eventfd_write(dup_fd, 1));
	struct epoll_event got[4];

	MUST_EQ(epoll_wait(ep, got, 4, 0), 2);
	MUST_EQ(got[0].data.u64 + got[1].data.u64, 15);
}

BOTH_WAYS(file_that_only_a_child_has)
{
	int ep = epoll_create1(0), ev = eventfd(0, 0);
	pid_t pid = fork_child();

	if (!pid) {
		event_wait("restored");
		MUST(!eventfd_write(ev, 1));
		event_set("written");
		event_wait("read");
		_exit(0);
	}
	add(ep, ev, EPOLLIN, 5);
	close(ev);
	checkpoint_here();
	event_set("restored");
	event_wait("written");
	MUST_EQ(ready(ep, NULL), 5);
	event_set("read");
	reap(pid);
}

TEST_HARNESS_MAIN
