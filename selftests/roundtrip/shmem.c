// SPDX-License-Identifier: GPL-2.0
/*
 * Memory shared between processes: anonymous, memfd, SysV.  Contents, and that it is still the same memory for all.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

static char *map(size_t len, int fd, off_t off)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, off);

	MUST(p != MAP_FAILED);
	return p;
}

/* parent and child write where the other reads */
static void ping_pong(char *mine, char *theirs)
{
	pid_t pid;

	strcpy(mine, "parent");
	pid = fork_child();
	if (!pid) {
		strcpy(theirs, "child");
		event_set("ready");
		event_wait("restored");
		MUST_STR(mine, "parent again");
		strcpy(theirs, "child again");
		_exit(0);
	}
	event_wait("ready");
	checkpoint_here();
	MUST_STR(mine, "parent");
	MUST_STR(theirs, "child");
	strcpy(mine, "parent again");
	event_set("restored");
	reap(pid);
	MUST_STR(theirs, "child again");
}

ROUNDTRIP(anonymous)
{
	char *p = map(64 * PAGE, -1, 0);

	ping_pong(p + 3 * PAGE, p + 60 * PAGE);
}

ROUNDTRIP(anonymous_sparse)
{
	char *p = map(1UL << 30, -1, 0);

	ping_pong(p + 3 * PAGE, p + (1UL << 29));
}

/* the same object at two places, once in part */
ROUNDTRIP(anonymous_moved)
{
	char *p = map(8 * PAGE, -1, 0), *q;

	strcpy(p + 2 * PAGE, "here");
	q = mremap(p + 2 * PAGE, 0, PAGE, MREMAP_MAYMOVE);
	MUST(q != MAP_FAILED);
	MUST_STR(q, "here");
	checkpoint_here();
	MUST_STR(q, "here");
	strcpy(q, "there");
	MUST_STR(p + 2 * PAGE, "there");
}

ROUNDTRIP(memfd_sealed)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char *p;

	MUST(fd >= 0 && !ftruncate(fd, 8 * PAGE));
	p = map(8 * PAGE, fd, 0);
	strcpy(p + 5 * PAGE, "memfd");
	MUST(!munmap(p, 8 * PAGE));
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE));
	p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 4 * PAGE);
	MUST(p != MAP_FAILED);
	checkpoint_here();
	MUST_STR(p + PAGE, "memfd");
	MUST_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE);
	MUST(ftruncate(fd, PAGE) && errno == EPERM);
}

ROUNDTRIP(memfd_shared)
{
	int fd = memfd_create("shared", 0);
	char *p;

	MUST(fd >= 0 && !ftruncate(fd, 8 * PAGE));
	p = map(8 * PAGE, fd, 0);
	ping_pong(p, p + 7 * PAGE);
	p[0] = 'x';
	MUST(text_is(fd, "x") || pread(fd, p + PAGE, 1, 0) == 1);
	MUST_EQ(p[PAGE] | 'x', 'x');
}

/* no descriptor of it is left */
ROUNDTRIP(memfd_only_mapped)
{
	int fd = memfd_create("mapped", 0);
	char *p;

	MUST(fd >= 0 && !ftruncate(fd, 2 * PAGE));
	p = map(2 * PAGE, fd, 0);
	close(fd);
	ping_pong(p, p + PAGE);
}

/* copied on write from a memfd */
ROUNDTRIP(memfd_private)
{
	int fd = memfd_create("private", 0);
	char *p, *q;

	MUST(fd >= 0 && !ftruncate(fd, 2 * PAGE));
	p = map(2 * PAGE, fd, 0);
	strcpy(p, "object");
	strcpy(p + PAGE, "second");
	q = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(q != MAP_FAILED);
	strcpy(q, "copy");
	checkpoint_here();
	MUST_STR(p, "object");
	MUST_STR(q, "copy");
	strcpy(p + PAGE, "changed");
	MUST_STR(q + PAGE, "changed");
}

static int segment(key_t key, size_t len, char **ret)
{
	int id = shmget(key, len, IPC_CREAT | IPC_EXCL | 0640);

	MUST(id >= 0);
	*ret = shmat(id, NULL, 0);
	MUST(*ret != (char *)-1);
	return id;
}

ROUNDTRIP(sysv)
{
	struct shmid_ds ds;
	char *p;
	int id = segment(IPC_PRIVATE, 5 * PAGE, &p);

	ping_pong(p, p + 4 * PAGE);
	MUST(!shmctl(id, IPC_STAT, &ds));
	MUST_EQ(ds.shm_perm.mode & 0777, 0640);
	MUST_EQ(ds.shm_segsz, 5 * PAGE);
	MUST_EQ(ds.shm_nattch, 1);
	MUST(!shmdt(p) && !shmctl(id, IPC_RMID, NULL));
}

/* found again by its key */
ROUNDTRIP(sysv_key)
{
	struct shmid_ds ds;
	char *p;
	int id = segment(0x63726b32, 3 * PAGE, &p);

	ping_pong(p, p + 2 * PAGE);
	MUST_EQ(shmget(0x63726b32, 0, 0), id);
	MUST(!shmctl(id, IPC_STAT, &ds));
	MUST_EQ(ds.shm_segsz, 3 * PAGE);
	MUST(!shmdt(p) && !shmctl(id, IPC_RMID, NULL));
}

/* attached for reading, a part of it for nothing at all */
ROUNDTRIP(sysv_protections)
{
	char *p, *ro;
	int id = segment(IPC_PRIVATE, 6 * PAGE, &p);

	ro = shmat(id, NULL, SHM_RDONLY);
	MUST(ro != (char *)-1);
	strcpy(p + 5 * PAGE, "end");
	MUST(!mprotect(p + PAGE, PAGE, PROT_NONE) && !mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	checkpoint_here();
	MUST_STR(p + 5 * PAGE, "end");
	MUST_STR(ro + 5 * PAGE, "end");
	strcpy(p + 4 * PAGE, "fifth");
	MUST_STR(ro + 4 * PAGE, "fifth");
	MUST(!shmdt(p) && !shmdt(ro) && !shmctl(id, IPC_RMID, NULL));
}

/*
 * The kernel finds places for segments that a program could not ask for: any page, where SHMLBA is several (requirement
 * 1.15).
 */
ROUNDTRIP(sysv_odd_pages)
{
	int id[8], odd = 0;
	char *p[8];
	size_t i;

	for (i = 0; i < 8; i++) {
		id[i] = segment(IPC_PRIVATE, PAGE, &p[i]);
		*p[i] = 'a' + i;
		odd += (uintptr_t)p[i] % SHMLBA != 0;
	}
	MUST(odd || SHMLBA == PAGE);
	checkpoint_here();
	for (i = 0; i < 8; i++)
		MUST(*p[i] == (char)('a' + i) && !shmdt(p[i]) && !shmctl(id[i], IPC_RMID, NULL));
}

/* removed while attached, as programs do that want it to go with them */
ROUNDTRIP(sysv_removed)
{
	struct shmid_ds ds;
	char *p;
	int id = segment(IPC_PRIVATE, 2 * PAGE, &p);

	MUST(!shmctl(id, IPC_RMID, NULL));
	ping_pong(p, p + PAGE);
	MUST(!shmctl(id, IPC_STAT, &ds) && ds.shm_perm.mode & SHM_DEST);
	MUST(!shmdt(p));
	MUST(shmctl(id, IPC_STAT, &ds));
}

TEST_HARNESS_MAIN
