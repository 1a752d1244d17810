// SPDX-License-Identifier: GPL-2.0
/*
 * memfd_create(2) as an open file: contents, holes, seals, name, mode; several openings of one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

ROUNDTRIP(contents)
{
	int fd = memfd_create("a name", MFD_CLOEXEC);
	struct stat st;
	char *before = link_text("/proc/self/fd/%d", fd);

	MUST_EQ(write(fd, "contents", 8), 8);
	MUST(!fchmod(fd, 0640));
	checkpoint_here();
	MUST_STR(link_text("/proc/self/fd/%d", fd), before);
	MUST(!fstat(fd, &st));
	MUST_EQ(st.st_size, 8);
	MUST_EQ(st.st_mode & 07777, 0640);
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 8);
	MUST_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	MUST(!lseek(fd, 0, SEEK_SET));
	MUST(text_is(fd, "contents"));
}

ROUNDTRIP(sparse)
{
	int fd = memfd_create("x", 0);
	struct stat st;
	char c;

	MUST_EQ(pwrite(fd, "a", 1, 1 << 30), 1);
	MUST(!ftruncate(fd, 3LL << 30));
	checkpoint_here();
	MUST(!fstat(fd, &st));
	MUST_EQ(st.st_size, 3LL << 30);
	MUST_EQ(st.st_blocks, 8);
	MUST(pread(fd, &c, 1, 1 << 30) == 1 && c == 'a');
}

ROUNDTRIP(seals)
{
	int fd = memfd_create("x", MFD_ALLOW_SEALING);

	MUST_EQ(write(fd, "abc", 3), 3);
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	MUST(write(fd, "d", 1) < 0 && errno == EPERM);
	MUST(!lseek(fd, 0, SEEK_SET));
	MUST(text_is(fd, "abc"));
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
}

ROUNDTRIP(mapped_and_open_twice)
{
	int fd = memfd_create("x", MFD_ALLOW_SEALING), ro;
	char path[32], *mem;

	MUST(!ftruncate(fd, 8192));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(mem != MAP_FAILED);
	mem[5000] = 'm';
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK));
	checkpoint_here();
	char c;

	MUST_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK);
	MUST(pread(ro, &c, 1, 5000) == 1 && c == 'm');
	mem[100] = 'n';
	MUST(pread(ro, &c, 1, 100) == 1 && c == 'n');
	MUST(write(ro, "x", 1) < 0 && errno == EBADF);
	MUST(write(fd, "x", 1) < 0 && errno == EPERM);
}

ROUNDTRIP(mapped_only)
{
	int fd = memfd_create("x", 0);
	char *mem;

	MUST(!ftruncate(fd, 4096));
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mem[7] = 'm';
	close(fd);
	checkpoint_here();
	MUST_EQ(mem[7], 'm');
}

/* nameless objects of all kinds at once: each has its own images */
ROUNDTRIP(beside_shared_memory)
{
	char *shared[3], *mapped[3];
	int i, fd;

	for (i = 0; i < 3; i++) {
		shared[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		fd = memfd_create("x", 0);
		MUST(!ftruncate(fd, 4096));
		mapped[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		MUST(shared[i] != MAP_FAILED && mapped[i] != MAP_FAILED);
		*shared[i] = 'a' + i;
		*mapped[i] = 'm' + i;
	}
	checkpoint_here();
	for (i = 0; i < 3; i++) {
		MUST_EQ(*shared[i], 'a' + i);
		MUST_EQ(*mapped[i], 'm' + i);
	}
}

ROUNDTRIP(shared_with_a_child)
{
	int fd = memfd_create("x", 0);
	pid_t pid = fork_child();
	char c;

	if (!pid) {
		event_wait("restored");
		MUST_EQ(pwrite(fd, "c", 1, 0), 1);
		_exit(0);
	}
	checkpoint_here();
	event_set("restored");
	reap(pid);
	MUST(pread(fd, &c, 1, 0) == 1 && c == 'c');
}

TEST_HARNESS_MAIN
