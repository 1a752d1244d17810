// SPDX-License-Identifier: GPL-2.0
/*
 * Parents asleep in vfork, with a child in their memory that is going to exec or exit (requirement 2.4).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

static volatile pid_t child;
static volatile int written;

static char state_of(pid_t pid)
{
	char *text = file_text("/proc/%d/stat", pid), *comm_end = strrchr(text, ')');
	char state = comm_end[2];

	free(text);
	return state;
}

static void must_exit(pid_t pid, int code)
{
	int status;

	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), code);
}

/* in the child of a vfork, which must not return */
static void in_child(void)
{
	child = getpid();
	event_set("in-vfork");
	event_wait("go");
	MUST_EQ(getpid(), child);
	written = 5;
}

/* what vfork() returned to the parent, and what the child left in its memory */
static void back_in_parent(pid_t pid)
{
	MUST(pid > 0);
	MUST_EQ(pid, child);
	MUST_EQ(written, 5);
}

static void vfork_exit(void)
{
	pid_t pid = vfork();

	if (!pid) {
		in_child();
		_exit(3);
	}
	back_in_parent(pid);
	must_exit(pid, 3);
}

static pid_t parent_that(void (*run)(void))
{
	pid_t pid = fork_child();

	if (!pid) {
		run();
		_exit(0);
	}
	event_wait("in-vfork");
	return pid;
}

ROUNDTRIP(until_exit)
{
	pid_t pid = parent_that(vfork_exit);

	checkpoint_here();
	MUST_EQ(state_of(pid), 'D');
	event_set("go");
	reap(pid);
}

static void vfork_exec(void)
{
	pid_t pid = vfork();

	if (!pid) {
		in_child();
		execl("/proc/self/exe", "test", "--subject", "there is none", NULL);
		_exit(1);
	}
	back_in_parent(pid);
	must_exit(pid, 99);
}

ROUNDTRIP(until_exec)
{
	pid_t pid = parent_that(vfork_exec);

	checkpoint_here();
	event_set("go");
	reap(pid);
}

/* each child is in the memory of the first */
static void vfork_nested(void)
{
	volatile pid_t second;
	pid_t pid = vfork();

	if (!pid) {
		pid_t inner = vfork();

		if (!inner) {
			second = getpid();
			in_child();
			_exit(2);
		}
		MUST_EQ(inner, second);
		must_exit(inner, 2);
		child = getpid();
		_exit(4);
	}
	back_in_parent(pid);
	must_exit(pid, 4);
}

ROUNDTRIP(nested)
{
	pid_t pid = parent_that(vfork_nested);

	checkpoint_here();
	event_set("go");
	reap(pid);
}

static void *vfork_thread(void *arg)
{
	vfork_exit();
	return arg;
}

static volatile unsigned long turns;

static void vfork_in_thread(void)
{
	unsigned long before;
	pthread_t t;

	MUST(!pthread_create(&t, NULL, vfork_thread, NULL));
	while (!event_is_set("go")) {
		turns++;
		nap();
	}
	before = turns;
	MUST(!pthread_join(t, NULL));
	MUST_EQ(turns, before);
}

/* as posix_spawn() in a program with threads: the others run on */
ROUNDTRIP(thread)
{
	pid_t pid = parent_that(vfork_in_thread);

	checkpoint_here();
	event_set("go");
	reap(pid);
}

/* a stop reaches all threads but the one in vfork, and is complete when that returns; only then is the parent told */
ROUNDTRIP(stopped_but_for_one)
{
	pid_t pid = parent_that(vfork_in_thread);
	int status;

	MUST(!kill(pid, SIGSTOP));
	WAIT_FOR(state_of(pid) == 'T');
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	checkpoint_here();
	MUST_EQ(state_of(pid), 'T');
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	event_set("go");
	MUST_EQ(waitpid(pid, &status, WUNTRACED), pid);
	MUST(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	MUST(!kill(pid, SIGCONT));
	reap(pid);
}

static void vfork_without_memory(void)
{
	pid_t pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);

	MUST(pid >= 0);
	if (!pid) {
		in_child();
		_exit(3);
	}
	MUST(event_is_set("go"));
	MUST(!written);
	must_exit(pid, 3);
}

ROUNDTRIP(memory_of_its_own)
{
	pid_t pid = parent_that(vfork_without_memory);

	checkpoint_here();
	event_set("go");
	reap(pid);
}

static void vfork_files(void)
{
	int p[2];
	char byte;
	pid_t pid;

	MUST(!pipe(p));
	pid = vfork();
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_NAME, "vforked");
		close(p[0]);
		in_child();
		MUST_EQ(getpgrp(), getpid());
		MUST_STR(file_text("/proc/self/comm"), "vforked\n");
		MUST(write(p[1], "x", 1) == 1);
		MUST_EQ(close(p[0]), -1);
		_exit(3);
	}
	back_in_parent(pid);
	MUST(read(p[0], &byte, 1) == 1 && byte == 'x');
	MUST(getpgrp() != pid);
	must_exit(pid, 3);
}

/* all but the memory is the child's own */
ROUNDTRIP(what_is_not_shared)
{
	pid_t pid = parent_that(vfork_files);

	checkpoint_here();
	event_set("go");
	reap(pid);
}

/* the child is left with the memory, and nobody waits for it */
ROUNDTRIP(parent_killed)
{
	pid_t pid = parent_that(vfork_exit);
	int status;

	checkpoint_here();
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	MUST(!kill(pid, SIGKILL));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	event_set("go");
	MUST(wait(&status) > 0);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

static int run_beside(void *arg)
{
	child = getpid();
	event_set("in-child");
	event_wait("go");
	written = 7;
	return 6;
}

/* two processes in one memory, and none waits */
ROUNDTRIP(memory_of_two)
{
	size_t len = 64 << 10;
	char *stack = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	MUST(stack != MAP_FAILED);
	pid = clone(run_beside, stack + len, CLONE_VM | SIGCHLD, NULL);
	MUST(pid > 0);
	event_wait("in-child");
	checkpoint_here();
	MUST_EQ(child, pid);
	event_set("go");
	must_exit(pid, 6);
	MUST_EQ(written, 7);
}

static int has_thread_child(void *arg)
{
	if (!fork()) {
		event_set("in-child");
		event_wait("end");
		_exit(0);
	}
	for (;;)
		pause();
}

REFUSED(child_with_children, "and has children of its own: not supported")
{
	size_t len = 64 << 10;
	char *stack = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(stack != MAP_FAILED);
	MUST(clone(has_thread_child, stack + len, CLONE_VM | SIGCHLD, NULL) > 0);
	event_wait("in-child");
	checkpoint_here();
	event_set("end");
}

TEST_HARNESS_MAIN
