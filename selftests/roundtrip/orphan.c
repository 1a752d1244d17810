// SPDX-License-Identifier: GPL-2.0
/*
 * Processes whose parent is gone and who were adopted, by init or by a subreaper.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

static void pid_put(const char *name, pid_t pid)
{
	FILE *f = fopen(name, "w");

	MUST(f && fprintf(f, "%d", pid) > 0 && !fclose(f));
}

static pid_t pid_get(const char *name)
{
	FILE *f = fopen(name, "r");
	pid_t pid;

	MUST(f && fscanf(f, "%d", &pid) == 1);
	fclose(f);
	return pid;
}

/* a child that ends at once, leaving its own child to whoever adopts it */
static void make_orphan(const char *name)
{
	pid_t middle = fork_child(), orphan, parent;
	char text[64];

	if (middle) {
		reap(middle);
		event_wait(name);
		return;
	}
	middle = getpid();
	orphan = fork();
	MUST(orphan >= 0);
	if (orphan)
		_exit(0);
	WAIT_FOR(getppid() != middle);
	parent = getppid();
	snprintf(text, sizeof(text), "%s-pid", name);
	pid_put(text, getpid());
	event_set(name);
	event_wait("go");
	MUST_EQ(getppid(), parent);
	snprintf(text, sizeof(text), "%s-fine", name);
	event_set(text);
	_exit(0);
}

ROUNDTRIP(of_subreaper)
{
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	make_orphan("orphan");
	checkpoint_here();
	event_set("go");
	reap(pid_get("orphan-pid"));
	MUST(event_is_set("orphan-fine"));
}

/* one that was a subreaper when it adopted, and is none any more */
ROUNDTRIP(of_former_subreaper)
{
	int on = -1;

	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	make_orphan("orphan");
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 0));
	checkpoint_here();
	MUST(!prctl(PR_GET_CHILD_SUBREAPER, &on));
	MUST_EQ(on, 0);
	event_set("go");
	reap(pid_get("orphan-pid"));
	MUST(event_is_set("orphan-fine"));
}

ROUNDTRIP(of_init)
{
	make_orphan("orphan");
	checkpoint_here();
	event_set("go");
	event_wait("orphan-fine");
}

/* its session is led by a process that is neither its parent nor above it */
ROUNDTRIP(in_session_of_sibling)
{
	pid_t leader, middle, orphan, subject = getpid();

	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	leader = fork_child();
	if (!leader) {
		MUST(setsid() == getpid());
		middle = fork();
		MUST(middle >= 0);
		if (!middle) {
			orphan = fork();
			MUST(orphan >= 0);
			if (orphan) {
				pid_put("orphan-pid", orphan);
				_exit(0);
			}
			WAIT_FOR(getppid() == subject && event_is_set("leader"));
			event_set("orphan");
			event_wait("go");
			_exit(0);
		}
		MUST_EQ(waitpid(middle, NULL, 0), middle);
		event_set("leader");
		event_wait("go");
		_exit(0);
	}
	event_wait("orphan");
	orphan = pid_get("orphan-pid");
	MUST_EQ(getsid(orphan), leader);
	checkpoint_here();
	MUST_EQ(getsid(orphan), leader);
	event_set("go");
	reap(orphan);
	reap(leader);
}

TEST_HARNESS_MAIN
