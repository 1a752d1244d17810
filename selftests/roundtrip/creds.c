// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials: ids and groups of processes and of single threads, no_new_privs, dumpable.
 */
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

/* the lines of /proc/self/status that tell credentials, of the calling thread */
static char *status_creds(void)
{
	static const char *const lines[] = { "Uid:", "Gid:", "Groups:", "NoNewPrivs:", "CapInh:", "CapPrm:", "CapEff:",
					     "CapBnd:", "CapAmb:" };
	char *text = file_text("/proc/thread-self/status"), *all = calloc(1, 1 << 16);
	size_t len = 0;
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *line = text_line(text, lines[i]);

		MUST(line);
		len += snprintf(all + len, (1 << 16) - len, "%s\n", line);
		free(line);
	}
	free(text);
	return all;
}

/* a child that takes other credentials with @take and must have them still */
static void with_child(void (*take)(void), void (*check)(void))
{
	char *before;
	pid_t pid;

	/* events are files */
	MUST(!chmod(".", 0777));
	pid = fork_child();
	if (!pid) {
		take();
		before = status_creds();
		event_set("taken");
		event_wait("go");
		MUST_STR(status_creds(), before);
		if (check)
			check();
		_exit(0);
	}
	event_wait("taken");
	checkpoint_here();
	event_set("go");
	reap(pid);
}

static void take_user(void)
{
	MUST(!setresgid(1001, 1001, 1001));
	MUST(!setresuid(1000, 1000, 1000));
}

ROUNDTRIP(other_user)
{
	with_child(take_user, NULL);
}

static void take_all_different(void)
{
	gid_t groups[] = { 5, 77, 1000, 100000 };

	MUST(!setgroups(4, groups));
	MUST(!setresgid(11, 12, 13));
	setfsgid(12);
	MUST(!setresuid(21, 0, 23));
	setfsuid(24);
	setfsgid(14);
}

ROUNDTRIP(eight_ids)
{
	with_child(take_all_different, NULL);
}

static void take_many_groups(void)
{
	gid_t groups[3000];
	int i;

	for (i = 0; i < 3000; i++)
		groups[i] = 100 + 3 * i;
	MUST(!setgroups(3000, groups));
}

static void check_many_groups(void)
{
	gid_t groups[3001];

	MUST_EQ(getgroups(3001, groups), 3000);
	MUST_EQ(groups[2999], 100 + 3 * 2999);
}

ROUNDTRIP(many_groups)
{
	with_child(take_many_groups, check_many_groups);
}

static void take_no_new_privs(void)
{
	MUST(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void check_no_new_privs(void)
{
	MUST_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

ROUNDTRIP(no_new_privs)
{
	with_child(take_no_new_privs, check_no_new_privs);
}

static void take_dumpable(void)
{
	take_user();
	MUST(!prctl(PR_SET_DUMPABLE, 1));
}

static void check_dumpable(void)
{
	MUST_EQ(prctl(PR_GET_DUMPABLE), 1);
}

ROUNDTRIP(dumpable)
{
	with_child(take_dumpable, check_dumpable);
}

static void check_not_dumpable(void)
{
	MUST_EQ(prctl(PR_GET_DUMPABLE), 0);
}

static void take_not_dumpable(void)
{
	take_user();
	MUST(!prctl(PR_SET_DUMPABLE, 0));
}

ROUNDTRIP(not_dumpable)
{
	with_child(take_not_dumpable, check_not_dumpable);
}

static sem_t taken;

static void *other_thread(void *arg)
{
	char *before;

	/* raw: the C library would change all threads */
	MUST(!syscall(SYS_setresgid, 41, 41, 41));
	MUST(!syscall(SYS_setresuid, 31, 32, 33));
	before = status_creds();
	sem_post(&taken);
	event_wait("go");
	MUST_STR(status_creds(), before);
	return arg;
}

ROUNDTRIP(one_thread_only)
{
	char *before = status_creds();
	pthread_t t;

	sem_init(&taken, 0, 0);
	MUST(!pthread_create(&t, NULL, other_thread, NULL));
	MUST(!sem_wait(&taken));
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(t, NULL));
	MUST_STR(status_creds(), before);
	MUST_EQ(getuid(), 0);
}

TEST_HARNESS_MAIN
