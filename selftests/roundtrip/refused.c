// SPDX-License-Identifier: GPL-2.0
/*
 * Open files that can't be carried: the dump says which and why, and the target goes on.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

REFUSED(inet_socket, "AF_INET sockets are not supported")
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		subject_skip("no AF_INET");
	checkpoint_here();
	MUST(!listen(fd, 1));
}

REFUSED(netlink_socket, "AF_NETLINK sockets are not supported")
{
	MUST(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
	checkpoint_here();
}

REFUSED(pidfd, "pidfds are not supported")
{
	MUST(syscall(SYS_pidfd_open, getpid(), 0) >= 0);
	checkpoint_here();
}

REFUSED(namespace_file, "namespace files are not supported")
{
	MUST(open("/proc/self/ns/net", O_RDONLY) >= 0);
	checkpoint_here();
}

REFUSED(fanotify_group, "fanotify groups are not supported")
{
	if (fanotify_init(FAN_CLASS_NOTIF, O_RDONLY) < 0)
		subject_skip("no fanotify");
	checkpoint_here();
}

REFUSED(kmsg, "character devices 1:11 are not supported")
{
	MUST(open("/dev/kmsg", O_RDONLY) >= 0);
	checkpoint_here();
}

REFUSED(console, "not a pseudo terminal")
{
	if (open("/dev/ttyS0", O_RDWR | O_NOCTTY) < 0)
		subject_skip("no /dev/ttyS0");
	checkpoint_here();
}

TEST_HARNESS_MAIN
