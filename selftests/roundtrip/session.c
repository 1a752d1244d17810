// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions and process groups, with leaders that are there, that made their session late, and that are gone.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

struct place {
	pid_t ppid, pgid, sid;
};

static struct place here(void)
{
	return (struct place){ getppid(), getpgrp(), getsid(0) };
}

/* waits until the round trip is over and checks that it is where it was */
static void stay(const char *ready)
{
	struct place before = here(), after;

	event_set(ready);
	event_wait("go");
	after = here();
	MUST_EQ(after.ppid, before.ppid);
	MUST_EQ(after.pgid, before.pgid);
	MUST_EQ(after.sid, before.sid);
}

ROUNDTRIP(leader_with_members)
{
	pid_t leader = fork_child(), member;

	if (!leader) {
		MUST(setsid() == getpid());
		member = fork_child();
		if (!member) {
			stay("member");
			_exit(0);
		}
		stay("leader");
		reap(member);
		_exit(0);
	}
	event_wait("member");
	event_wait("leader");
	checkpoint_here();
	MUST_EQ(getsid(leader), leader);
	event_set("go");
	reap(leader);
}

/* a child made before its parent made a session of its own */
ROUNDTRIP(older_session)
{
	pid_t leader = fork_child(), old, new;

	if (!leader) {
		old = fork_child();
		if (!old) {
			event_wait("leader");
			MUST(getsid(0) != getppid());
			stay("old");
			_exit(0);
		}
		MUST(setsid() == getpid());
		new = fork_child();
		if (!new) {
			stay("new");
			_exit(0);
		}
		stay("leader");
		reap(old);
		reap(new);
		_exit(0);
	}
	event_wait("old");
	event_wait("new");
	checkpoint_here();
	event_set("go");
	reap(leader);
}

ROUNDTRIP(groups)
{
	pid_t leader, member;

	leader = fork_child();
	if (!leader) {
		MUST(!setpgid(0, 0));
		stay("leader");
		_exit(0);
	}
	event_wait("leader");
	member = fork_child();
	if (!member) {
		MUST(!setpgid(0, leader));
		stay("member");
		_exit(0);
	}
	event_wait("member");
	checkpoint_here();
	MUST_EQ(getpgid(member), leader);
	event_set("go");
	reap(leader);
	reap(member);
}

ROUNDTRIP(group_leader_gone)
{
	pid_t leader, member[2];
	int i;

	leader = fork_child();
	if (!leader) {
		MUST(!setpgid(0, 0));
		event_set("leader");
		event_wait("leader-end");
		_exit(0);
	}
	event_wait("leader");
	for (i = 0; i < 2; i++) {
		member[i] = fork_child();
		if (!member[i]) {
			MUST(!setpgid(0, leader));
			stay(i ? "member1" : "member0");
			_exit(0);
		}
	}
	event_wait("member0");
	event_wait("member1");
	event_set("leader-end");
	reap(leader);
	checkpoint_here();
	MUST_EQ(getpgid(member[0]), leader);
	MUST_EQ(getpgid(member[1]), leader);
	/* nobody has that number, it only names the group */
	MUST(kill(leader, 0) < 0);
	event_set("go");
	reap(member[0]);
	reap(member[1]);
}

/* what a daemon does: its session's leader is gone and init, or a subreaper, is its parent */
ROUNDTRIP(session_leader_gone)
{
	pid_t leader, daemon;
	FILE *f;

	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	leader = fork_child();
	if (!leader) {
		MUST(setsid() == getpid());
		daemon = fork();
		MUST(daemon >= 0);
		if (daemon) {
			f = fopen("daemon-pid", "w");
			MUST(f && fprintf(f, "%d", daemon) > 0 && !fclose(f));
			_exit(0);
		}
		WAIT_FOR(getppid() != getsid(0));
		stay("daemon");
		_exit(0);
	}
	reap(leader);
	event_wait("daemon");
	f = fopen("daemon-pid", "r");
	MUST(f && fscanf(f, "%d", &daemon) == 1);
	fclose(f);
	checkpoint_here();
	MUST_EQ(getsid(daemon), leader);
	event_set("go");
	reap(daemon);
}

/* the group's leader leads nothing any more, but its zombie holds the number */
ROUNDTRIP(group_leader_zombie)
{
	pid_t leader, member;
	int status;

	leader = fork_child();
	if (!leader) {
		MUST(!setpgid(0, 0));
		event_set("leader");
		event_wait("leader-end");
		_exit(9);
	}
	event_wait("leader");
	member = fork_child();
	if (!member) {
		MUST(!setpgid(0, leader));
		stay("member");
		_exit(0);
	}
	event_wait("member");
	event_set("leader-end");
	MUST(!waitid(P_PID, leader, NULL, WEXITED | WNOWAIT));
	checkpoint_here();
	MUST_EQ(getpgid(member), leader);
	MUST_EQ(waitpid(leader, &status, 0), leader);
	MUST_EQ(WEXITSTATUS(status), 9);
	event_set("go");
	reap(member);
}

TEST_HARNESS_MAIN
