// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that have nearly all alike come back each with what was its own, though a dump asks once for what it is told to
 * be the same (struct crk_task.paths_id and those that follow).
 */
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

struct state {
	struct rlimit limits[RLIM_NLIMITS];
	uint64_t sched[7];	/* struct sched_attr, of which this libc knows nothing */
	cpu_set_t cpus;
	long ioprio;
	mode_t umask;
	char cwd[256], root[256], exe[256];
};

static void path_get(const char *link, char path[256])
{
	strncpy(path, link_text("/proc/self/%s", link), 255);
}

static void state_get(struct state *s)
{
	int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < RLIM_NLIMITS; i++)
		MUST(!getrlimit(i, &s->limits[i]));
	MUST(!syscall(SYS_sched_getattr, 0, s->sched, sizeof(s->sched), 0));
	MUST(!sched_getaffinity(0, sizeof(s->cpus), &s->cpus));
	s->ioprio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	s->umask = umask(0);
	umask(s->umask);
	path_get("cwd", s->cwd);
	path_get("root", s->root);
	path_get("exe", s->exe);
}

static void make_change(int which)
{
	struct rlimit limit;
	cpu_set_t one;

	switch (which) {
	case 0:
		umask(0137);
		break;
	case 1:
		MUST(!chdir("dir"));
		break;
	case 2:
		MUST(!getrlimit(RLIMIT_SIGPENDING, &limit));
		limit.rlim_cur--;
		MUST(!setrlimit(RLIMIT_SIGPENDING, &limit));
		break;
	case 3:
		MUST_EQ(nice(3), 3);
		break;
	case 4:
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		MUST(!sched_setaffinity(0, sizeof(one), &one));
		break;
	case 5:
		MUST(!syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2)));
		break;
	}
}

#define NR_CHANGES	6
#define NR_PROCESSES	(2 * NR_CHANGES + 1)

/* one with a change, one without, and so on: what was asked for last is never right for the next */
ROUNDTRIP(each_keeps_its_own)
{
	pid_t pid[NR_PROCESSES];
	struct state before, after;
	char name[32];
	size_t i;

	MUST(!mkdir("dir", 0755));
	for (i = 0; i < NR_PROCESSES; i++) {
		snprintf(name, sizeof(name), "here-%zu", i);
		pid[i] = fork_child();
		if (!pid[i]) {
			int here = open(".", O_RDONLY | O_DIRECTORY);

			if (i % 2)
				make_change(i / 2);
			state_get(&before);
			MUST(here >= 0 && !close(openat(here, name, O_CREAT | O_WRONLY, 0644)));
			while (faccessat(here, "go", F_OK, 0))
				nap();
			state_get(&after);
			_exit(memcmp(&before, &after, sizeof(before)) ? 1 + i : 0);
		}
		WAIT_FOR(!access(name, F_OK));
	}
	checkpoint_here();
	MUST(!close(open("go", O_CREAT | O_WRONLY, 0644)));
	for (i = 0; i < NR_PROCESSES; i++)
		reap(pid[i]);
}

TEST_HARNESS_MAIN
