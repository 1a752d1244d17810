// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_TASKS: the identities of what tasks have alike are equal for equal tasks, and each differs when, of what it stands
 * for, the least is changed: else a helper would give one task what is another's.
 */
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "target.h"

FIXTURE(alike) {
	char *cgroup;
	int dev;
};

FIXTURE_SETUP(alike)
{
	shared_make();
	self->cgroup = cgroup_make(NULL, "alike");
	self->dev = -1;
}

FIXTURE_TEARDOWN(alike)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
}

static int set_umask(void)
{
	return umask(0137) & 0;
}

static int set_directory(void)
{
	return chdir("/tmp");
}

static int set_root(void)
{
	return chroot("/tmp");
}

static int set_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_SIGPENDING, &limit))
		return -1;
	limit.rlim_cur--;
	return setrlimit(RLIMIT_SIGPENDING, &limit);
}

static int set_uts(void)
{
	return unshare(CLONE_NEWUTS);
}

static int set_user(void)
{
	return unshare(CLONE_NEWUSER);
}

static int set_nice(void)
{
	return nice(1) == 1 ? 0 : -1;
}

static int set_policy(void)
{
	return sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){});
}

static int set_reset(void)
{
	return sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &(struct sched_param){});
}

static int set_affinity(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

static int set_ioprio(void)
{
	return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 1));
}

#define ID(field)	offsetof(struct crk_task, field)
static const size_t ids[] = { ID(ns_id), ID(paths_id), ID(program_id), ID(limits_id), ID(sched_id) };

static const struct change {
	const char *name;
	int (*make)(void);	/* NULL: none; or none that leaves the program as it is */
	size_t id;		/* which tells of it, 0: none */
} changes[] = {
	{ "nothing",			NULL,		0 },
	{ "nothing either",		NULL,		0 },
	{ "umask",			set_umask,	ID(paths_id) },
	{ "working directory",		set_directory,	ID(paths_id) },
	{ "root",			set_root,	ID(paths_id) },
	{ "resource limit",		set_limit,	ID(limits_id) },
	{ "uts namespace",		set_uts,	ID(ns_id) },
	{ "user namespace",		set_user,	ID(ns_id) },
	{ "nice",			set_nice,	ID(sched_id) },
	{ "policy",			set_policy,	ID(sched_id) },
	{ "SCHED_RESET_ON_FORK",	set_reset,	ID(sched_id) },
	{ "affinity",			set_affinity,	ID(sched_id) },
	{ "I/O priority",		set_ioprio,	ID(sched_id) },
	{ "program",			NULL,		ID(program_id) },
};
#define NR	(sizeof(changes) / sizeof(changes[0]))

static void changed(void *arg)
{
	const struct change *c = arg;

	if (c->make && c->make()) {
		perror(c->name);
		_exit(1);
	}
	task_ready();
	if (c->id == ID(program_id))
		execlp("sleep", "sleep", "1000", NULL);
	for (;;)
		pause();
}

static uint64_t id_of(const struct crk_task *t, size_t id)
{
	return *(const uint64_t *)((const char *)t + id);
}

static bool is_our_program(pid_t pid)
{
	struct stat ours, theirs;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return !stat("/proc/self/exe", &ours) && !stat(path, &theirs) && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

TEST_F(alike, each_change_is_told_by_its_identity)
{
	unsigned int nr;
	struct crk_task *t;
	pid_t pid[NR];
	size_t i, k;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: no affinity to choose");
	for (i = 0; i < NR; i++)
		pid[i] = task_start(self->cgroup, changed, (void *)&changes[i]);
	while (is_our_program(pid[NR - 1]))
		usleep(1000);
	self->dev = freeze(self->cgroup);
	t = tasks_get(self->dev, &nr);
	ASSERT_NE(NULL, t);
	ASSERT_EQ(NR, nr);
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(pid[i], t[i].tid);
		for (k = 0; k < sizeof(ids) / sizeof(ids[0]); k++) {
			EXPECT_NE(0, id_of(&t[i], ids[k]));
			EXPECT_EQ(changes[i].id != ids[k], id_of(&t[i], ids[k]) == id_of(&t[0], ids[k]))
				TH_LOG("%s: identity at %zu", changes[i].name, ids[k]);
		}
	}
	free(t);
}

TEST_HARNESS_MAIN
