// SPDX-License-Identifier: GPL-2.0
/*
 * Open files that can't be carried: the dump says which and why, and the target goes on.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/perf_event.h>
#include <linux/udmabuf.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

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

/* is not there when its process is made again: a restore would fail for it */
REFUSED(fdinfo, "files that tell of one descriptor or mapping are not supported")
{
	MUST(open("/proc/self/fdinfo/0", O_RDONLY) >= 0);
	checkpoint_here();
}

REFUSED(fdinfo_of_thread, "files that tell of one descriptor or mapping are not supported")
{
	MUST(open("/proc/thread-self/fdinfo/0", O_RDONLY) >= 0);
	checkpoint_here();
}

/* is no deleted file, though it looks like one */
REFUSED(message_queue_unlinked, "POSIX message queues are not supported")
{
	int fd = syscall(SYS_mq_open, "crk-unlinked", O_RDWR | O_CREAT, 0600, NULL);
	char text[8192];

	if (fd < 0)
		subject_skip("no POSIX message queues");
	MUST(!syscall(SYS_mq_unlink, "crk-unlinked"));
	checkpoint_here();
	MUST(!syscall(SYS_mq_timedsend, fd, "x", 1, 0, NULL));
	MUST_EQ(syscall(SYS_mq_timedreceive, fd, text, sizeof(text), NULL, NULL), 1);
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

/* REFUSED_FD(name, what, where the descriptor comes from): by its number and its kind; skipped where the kernel has none */
#define FD	77
#define REFUSED_FD(_name, _what, _open)						\
	REFUSED(_name, _what " are not supported")			\
	{									\
		int fd = _open;							\
										\
		if (fd < 0)							\
			subject_skip("%s", strerror(errno));			\
		MUST_EQ(dup2(fd, FD), FD);					\
		MUST(!close(fd));						\
		checkpoint_here();						\
		MUST(fcntl(FD, F_GETFD) >= 0);					\
	}

static int uring_open(void)
{
	char params[120] = {};		/* struct io_uring_params */

	return syscall(SYS_io_uring_setup, 4, params);
}

static int perf_open(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK };

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int bpf_open(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int dma_buf_open(void)
{
	struct udmabuf_create create = { .memfd = memfd_create("buffer", MFD_ALLOW_SEALING), .size = 4096 };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd;

	if (dev < 0)
		return dev;
	MUST(!ftruncate(create.memfd, 4096) && !fcntl(create.memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	fd = ioctl(dev, UDMABUF_CREATE, &create);
	close(dev);
	return fd;
}

static int accepted_alg(void)
{
	struct sockaddr_alg sa = { .salg_family = AF_ALG, .salg_type = "hash", .salg_name = "sha256" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -1 : fd;
}

REFUSED_FD(inet_datagrams, "AF_INET sockets", socket(AF_INET, SOCK_DGRAM, 0))
REFUSED_FD(inet6_socket, "AF_INET6 sockets", socket(AF_INET6, SOCK_STREAM, 0))
REFUSED_FD(packet_socket, "AF_PACKET sockets", socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)))
REFUSED_FD(vsock_socket, "AF_VSOCK sockets", socket(AF_VSOCK, SOCK_STREAM, 0))
REFUSED_FD(alg_socket, "AF_ALG sockets", accepted_alg())
REFUSED_FD(io_uring, "io_uring instances", uring_open())
REFUSED_FD(perf_event, "perf events", perf_open())
REFUSED_FD(bpf_map, "bpf objects", bpf_open())
REFUSED_FD(userfaultfd, "userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC))
REFUSED_FD(secret_memory, "memfd_secret files", syscall(SYS_memfd_secret, 0))
REFUSED_FD(mount_context, "mount contexts", syscall(SYS_fsopen, "tmpfs", 0))
REFUSED_FD(dma_buf, "DMA buffers", dma_buf_open())
REFUSED_FD(block_device, "block devices", open("/dev/vda", O_RDONLY))

TEST_HARNESS_MAIN
