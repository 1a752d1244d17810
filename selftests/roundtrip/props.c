// SPDX-License-Identifier: GPL-2.0
/*
 * Small properties of processes and threads: name, oom_score_adj, subreaper, parent-death signal, core dump filter,
 * THP, personality, tid pointer.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "checkpoint.h"

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

ROUNDTRIP(name)
{
	char name[16];

	MUST(!prctl(PR_SET_NAME, "a (strange) n\n"));
	checkpoint_here();
	MUST(!prctl(PR_GET_NAME, name));
	MUST_STR(name, "a (strange) n\n");
}

ROUNDTRIP(oom_score_adj)
{
	put("/proc/self/oom_score_adj", "321");
	checkpoint_here();
	MUST_STR(file_text("/proc/self/oom_score_adj"), "321\n");
}

ROUNDTRIP(subreaper)
{
	int on = 0;

	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	checkpoint_here();
	MUST(!prctl(PR_GET_CHILD_SUBREAPER, &on));
	MUST_EQ(on, 1);
}

ROUNDTRIP(pdeath_signal)
{
	int sig = 0;
	pid_t pid;

	pid = fork_child();
	if (!pid) {
		MUST(!prctl(PR_SET_PDEATHSIG, SIGUSR2));
		event_set("set");
		event_wait("go");
		MUST(!prctl(PR_GET_PDEATHSIG, &sig));
		MUST_EQ(sig, SIGUSR2);
		_exit(0);
	}
	event_wait("set");
	checkpoint_here();
	event_set("go");
	reap(pid);
}

ROUNDTRIP(coredump_filter)
{
	put("/proc/self/coredump_filter", "0x17");
	checkpoint_here();
	MUST_STR(file_text("/proc/self/coredump_filter"), "00000017\n");
}

ROUNDTRIP(thp_disable)
{
	MUST(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	checkpoint_here();
	MUST_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
}

ROUNDTRIP(persona)
{
	const int persona = PER_LINUX32 | ADDR_NO_RANDOMIZE | UNAME26;
	struct utsname before, after;

	MUST(personality(persona) >= 0 && !uname(&before));
	checkpoint_here();
	MUST_EQ(personality(0xffffffff), persona);
	/* by which the kernel says that the machine has 32 bits, and that its release is an old one */
	MUST(!uname(&after));
	MUST_STR(after.machine, before.machine);
	MUST_STR(after.release, before.release);
}

static sem_t begun;

static void *ends_after(void *arg)
{
	sem_post(&begun);
	event_wait("go");
	return arg;
}

/* the kernel clears a word at a thread's end and wakes who waits for it: that is pthread_join() */
ROUNDTRIP(clear_child_tid)
{
	pthread_t t;
	void *ret;

	sem_init(&begun, 0, 0);
	MUST(!pthread_create(&t, NULL, ends_after, &begun));
	MUST(!sem_wait(&begun));
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(t, &ret));
	MUST(ret == &begun);
	MUST_EQ(syscall(SYS_set_tid_address, NULL), getpid());
}

TEST_HARNESS_MAIN
