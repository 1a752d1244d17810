// SPDX-License-Identifier: GPL-2.0
/*
 * timerfd: time left, interval, expirations not read, clocks and flags.
 *
 * crk-test: asleep
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

static char *fdinfo_line(int fd, const char *start)
{
	return text_line(file_text("/proc/self/fdinfo/%d", fd), start);
}

ROUNDTRIP(disarmed)
{
	int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	struct itimerspec left;

	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	MUST(!timerfd_gettime(fd, &left));
	MUST(!left.it_value.tv_sec && !left.it_value.tv_nsec && !left.it_interval.tv_sec);
	MUST_STR(fdinfo_line(fd, "clockid:"), "clockid: 7");
}

ROUNDTRIP(time_left)
{
	struct itimerspec when = { .it_value.tv_sec = 10000, .it_interval = { 77, 5 } }, left;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);

	MUST(!timerfd_settime(fd, 0, &when, NULL));
	checkpoint_here();
	MUST(!timerfd_gettime(fd, &left));
	MUST(left.it_value.tv_sec < 10000 && left.it_value.tv_sec > 9700);
	MUST_EQ(left.it_interval.tv_sec, 77);
	MUST_EQ(left.it_interval.tv_nsec, 5);
}

ROUNDTRIP(expires_later)
{
	struct itimerspec when = { .it_value.tv_sec = 3 };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	unsigned long long n;

	MUST(!timerfd_settime(fd, 0, &when, NULL));
	checkpoint_here();
	MUST_EQ(read(fd, &n, sizeof(n)), sizeof(n));
	MUST_EQ(n, 1);
}

ROUNDTRIP(unread_expirations)
{
	struct itimerspec when = { .it_value.tv_nsec = 10000000, .it_interval.tv_nsec = 10000000 }, left;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	unsigned long long n;

	MUST(!timerfd_settime(fd, 0, &when, NULL));
	usleep(500000);
	MUST(!timerfd_gettime(fd, &left));
	checkpoint_here();
	MUST_EQ(read(fd, &n, sizeof(n)), sizeof(n));
	MUST(n >= 50);
	MUST(!timerfd_gettime(fd, &left));
	MUST_EQ(left.it_interval.tv_nsec, 10000000);
	MUST_EQ(read(fd, &n, sizeof(n)), sizeof(n));	/* it goes on */
}

/* whatever the moment of the dump, it is due or nearly so */
ROUNDTRIP(always_due)
{
	struct itimerspec when = { .it_value.tv_nsec = 1000, .it_interval.tv_nsec = 1000 };
	unsigned long long n;
	int i, fd[64];

	for (i = 0; i < 64; i++) {
		fd[i] = timerfd_create(CLOCK_MONOTONIC, 0);
		when.it_interval.tv_nsec += 1000;
		MUST(!timerfd_settime(fd[i], 0, &when, NULL));
	}
	checkpoint_here();
	for (i = 0; i < 64; i++) {
		MUST_EQ(read(fd[i], &n, sizeof(n)), sizeof(n));
		MUST_EQ(read(fd[i], &n, sizeof(n)), sizeof(n));
	}
}

ROUNDTRIP(single_one_unread)
{
	struct itimerspec when = { .it_value.tv_nsec = 1000000 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	unsigned long long n;

	MUST(!timerfd_settime(fd, 0, &when, NULL));
	usleep(20000);
	checkpoint_here();
	MUST_EQ(read(fd, &n, sizeof(n)), sizeof(n));
	MUST_EQ(n, 1);
	MUST(read(fd, &n, sizeof(n)) < 0 && errno == EAGAIN);
}

ROUNDTRIP(point_of_the_wall_clock)
{
	struct itimerspec when = {}, left;
	int fd = timerfd_create(CLOCK_REALTIME, 0);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	when.it_value.tv_sec = now.tv_sec + 5000;
	MUST(!timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL));
	checkpoint_here();
	MUST_STR(fdinfo_line(fd, "settime flags:"), "settime flags: 03");
	MUST(!timerfd_gettime(fd, &left));
	clock_gettime(CLOCK_REALTIME, &now);
	/* the same point, to a few milliseconds of rounding */
	MUST(llabs((now.tv_sec + left.it_value.tv_sec) * 1000LL + (now.tv_nsec + left.it_value.tv_nsec) / 1000000 -
		   when.it_value.tv_sec * 1000LL) < 100);
}

TEST_HARNESS_MAIN
