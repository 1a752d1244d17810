// SPDX-License-Identifier: GPL-2.0
/*
 * Steps that must come to their end once begun: what has been taken from a queue goes back, a name that was made for a
 * moment goes away.  They run in a process of their own, which a SIGKILL for the helper does not reach, and which shares
 * memory and descriptors with the helper: it holds the device open, so that the target stays frozen until it is through.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define STACK_SIZE	(1UL << 20)

struct shielded {
	int (*run)(void *arg);
	void *arg;
	int ret;
};

static int shield_main(void *arg)
{
	struct shielded *s = arg;

	/* nor one for the helper's process group */
	setsid();
	s->ret = s->run(s->arg);
	return 0;
}

int crk_shielded(int (*run)(void *arg), void *arg)
{
	struct shielded s = { .run = run, .arg = arg, .ret = -ECANCELED };
	char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int status = 0;
	pid_t pid;

	if (stack == MAP_FAILED)
		return crk_oom();
	/* CLONE_VFORK: the helper waits, so that its memory has one user at a time */
	pid = clone(shield_main, stack + STACK_SIZE, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_VFORK | SIGCHLD, &s);
	if (pid < 0)
		s.ret = crk_err(-errno, "cannot make a process");
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status)
		s.ret = crk_fail(-ECANCELED, "a process of the helper's was killed");
	munmap(stack, STACK_SIZE);
	return s.ret;
}
