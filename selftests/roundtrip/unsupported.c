// SPDX-License-Identifier: GPL-2.0
/*
 * Processes and mappings that crk does not carry are refused by name, and go on.
 */
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

REFUSED(seccomp_filter, "seccomp filters are not supported")
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 1, &allow };

	MUST(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	checkpoint_here();
}

/* one of its own, entered by the process or by its children to come */
#define REFUSED_NS(_kind, _flag)								\
	REFUSED(_kind##_namespace, "is in a foreign " #_kind " namespace: not supported")	\
	{											\
		if (unshare(_flag))								\
			subject_skip("unshare: %s", strerror(errno));				\
		checkpoint_here();								\
	}

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

REFUSED_NS(uts, CLONE_NEWUTS)
REFUSED_NS(ipc, CLONE_NEWIPC)
REFUSED_NS(mnt, CLONE_NEWNS)
REFUSED_NS(net, CLONE_NEWNET)
REFUSED_NS(user, CLONE_NEWUSER)
REFUSED_NS(cgroup, CLONE_NEWCGROUP)
REFUSED_NS(pid_for_children, CLONE_NEWPID)
REFUSED_NS(time_for_children, CLONE_NEWTIME)

/* within the tree: a child has it, its parent does not */
REFUSED(pid_namespace, "is in a foreign pid namespace: not supported")
{
	pid_t pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	int status;

	MUST(pid >= 0);
	if (!pid) {
		event_wait("done-with-it");
		_exit(0);
	}
	checkpoint_here();
	event_set("done-with-it");
	MUST(waitpid(pid, &status, 0) == pid && !status);
}

#ifdef __x86_64__
/* a key that is given back stays with the mappings that have it */
REFUSED(protection_key, "protection keys: not supported")
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, 0);

	if (key < 0)
		subject_skip("no protection keys on this CPU");
	MUST(p != MAP_FAILED && !pkey_mprotect(p, PAGE, PROT_READ | PROT_WRITE, key) && !pkey_free(key));
	checkpoint_here();
	*p = 1;
}

/* of no mapping yet */
REFUSED(protection_key_alone, "protection keys (pkey_alloc) are not supported")
{
	if (pkey_alloc(0, PKEY_DISABLE_WRITE) < 0)
		subject_skip("no protection keys on this CPU");
	checkpoint_here();
}
#endif

REFUSED(userfault, "registered with userfaultfd: not supported")
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0)
		subject_skip("no userfaultfd");
	MUST(p != MAP_FAILED && !ioctl(fd, UFFDIO_API, &api));
	reg.range.start = (unsigned long)p;
	reg.range.len = PAGE;
	MUST(!ioctl(fd, UFFDIO_REGISTER, &reg));
	checkpoint_here();
	close(fd);
}

/* the mark stays when the registration is gone */
REFUSED(poisoned_page, "a poisoned page (UFFDIO_POISON, or its contents are lost): not supported")
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct { struct uffdio_range range; __u64 mode; __s64 updated; } poison = {};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0)
		subject_skip("no userfaultfd");
	MUST(p != MAP_FAILED && !ioctl(fd, UFFDIO_API, &api));
	reg.range.start = poison.range.start = (unsigned long)p;
	reg.range.len = 2 * PAGE;
	poison.range.len = PAGE;
	MUST(!ioctl(fd, UFFDIO_REGISTER, &reg));
	if (ioctl(fd, _IOWR(UFFDIO, 0x08, poison), &poison))
		subject_skip("no UFFDIO_POISON (before Linux 6.6)");
	MUST(!ioctl(fd, UFFDIO_UNREGISTER, &reg.range) && !close(fd));
	checkpoint_here();
}

/* of the only node there is: to the kernel a policy like any other */
REFUSED(memory_policy_of_a_thread, "NUMA memory policies (set_mempolicy) are not supported")
{
	unsigned long nodes = 1;

	if (syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 8 * sizeof(nodes)))
		subject_skip("no set_mempolicy (CONFIG_NUMA)");
	checkpoint_here();
}

REFUSED(memory_policy_of_a_mapping, ": NUMA memory policy (mbind): not supported")
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long nodes = 1;

	MUST(p != MAP_FAILED);
	if (syscall(SYS_mbind, p, PAGE, 2 /* MPOL_BIND */, &nodes, 8 * sizeof(nodes), 0))
		subject_skip("no mbind (CONFIG_NUMA)");
	checkpoint_here();
}

REFUSED(secret_memory, "secret memory (memfd_secret): not supported")
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *p;

	if (fd < 0)
		subject_skip("no memfd_secret (secretmem.enable=1)");
	MUST(!ftruncate(fd, PAGE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(p != MAP_FAILED);
	close(fd);
	checkpoint_here();
}

REFUSED(aio_ring, "ring of asynchronous I/O (io_setup): not supported")
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, 8, &ctx))
		subject_skip("no io_setup");
	checkpoint_here();
	MUST(!syscall(SYS_io_destroy, ctx));
}

REFUSED(part_of_a_segment, "a part of SysV shared memory")
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	char *p = shmat(id, NULL, 0);

	MUST(id >= 0 && p != (char *)-1 && !shmctl(id, IPC_RMID, NULL));
	MUST(!munmap(p + PAGE, PAGE));
	checkpoint_here();
}

TEST_HARNESS_MAIN
