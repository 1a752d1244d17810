// SPDX-License-Identifier: GPL-2.0
/*
 * Working directory, root directory and umask.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

ROUNDTRIP(directory_and_umask)
{
	char before[256], after[256];

	MUST(!mkdir("dir", 0755) && !chdir("dir"));
	MUST(getcwd(before, sizeof(before)));
	umask(0137);
	checkpoint_here();
	MUST(getcwd(after, sizeof(after)));
	MUST_STR(after, before);
	MUST_EQ(umask(0), 0137);
}

ROUNDTRIP(removed_directory)
{
	char buf[256], *before;

	MUST(!mkdir("dir", 0755) && !chdir("dir") && !rmdir("../dir"));
	before = link_text("/proc/self/cwd");
	checkpoint_here();
	MUST_STR(link_text("/proc/self/cwd"), before);
	MUST(!getcwd(buf, sizeof(buf)) && errno == ENOENT);
}

/* the processes talk by files: the one in another root has its own events there */
ROUNDTRIP(other_root)
{
	pid_t pid;

	MUST(!mkdir("jail", 0755) && !mkdir("jail/sub", 0755));
	pid = fork_child();
	if (!pid) {
		MUST(!chdir("jail/sub") && !chroot(".."));
		MUST_EQ(close(creat("/in", 0600)), 0);
		while (access("/restored", F_OK))
			nap();
		_exit(access("../sub/../restored", F_OK) || !access("/proc", F_OK));
	}
	WAIT_FOR(!access("jail/in", F_OK));
	checkpoint_here();
	MUST(strstr(link_text("/proc/%d/root", pid), "/jail"));
	MUST(strstr(link_text("/proc/%d/cwd", pid), "/jail/sub"));
	MUST_EQ(close(creat("jail/restored", 0600)), 0);
	reap(pid);
}

ROUNDTRIP(shared_with_a_child)
{
	pid_t pid;

	MUST(!mkdir("dir", 0755));
	pid = syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		event_wait("restored");
		MUST(!chdir("dir"));
		umask(0111);
		_exit(0);
	}
	checkpoint_here();
	event_set("restored");
	reap(pid);
	MUST(strstr(link_text("/proc/self/cwd"), "/dir"));
	MUST_EQ(umask(0), 0111);
}

TEST_HARNESS_MAIN
