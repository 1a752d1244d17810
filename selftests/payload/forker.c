// SPDX-License-Identifier: GPL-2.0
/*
 * forker FILE: makes children all the time, up to 8 at once, which exit with their number after a moment.  Some of them
 * make two children first, which may do so too: up to 120 processes come and go.  Each must be waited for once, with its
 * number or killed by SIGKILL.  Counts into FILE at a USR1; "BAD ..." when one is lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_CHILDREN	8
#define DEPTH		3
#define LOST		99	/* exit status of one that has lost a child */

static volatile sig_atomic_t asked = 1;
static const char *path;

static void on_usr1(int sig)
{
	(void)sig;
	asked = 1;
}

static void write_line(const char *what, long a, long b)
{
	char tmp[4096];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	f = fopen(tmp, "w");
	if (!f || fprintf(f, "%s %ld %ld\n", what, a, b) < 0 || fclose(f) || rename(tmp, path))
		_exit(1);
}

static void bad(const char *what, long a, long b)
{
	write_line(what, a, b);
	_exit(1);
}

static pid_t child_make(int number, int depth, unsigned int seed);

/* a child: does it have some of its own, and are they as they should be? */
static bool breed(int depth, unsigned int *seed)
{
	pid_t pids[2], pid;
	int status, i;

	if (!depth || rand_r(seed) % 3)
		return true;
	for (i = 0; i < 2; i++)
		pids[i] = child_make(i, depth - 1, rand_r(seed));
	for (i = 0; i < 2; i++) {
		pid = pids[i] < 0 ? -1 : waitpid(pids[i], &status, 0);
		if (pid != pids[i] || (WIFEXITED(status) ? WEXITSTATUS(status) != i : WTERMSIG(status) != SIGKILL))
			return false;
	}
	return true;
}

static pid_t child_make(int number, int depth, unsigned int seed)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	signal(SIGUSR1, SIG_IGN);
	if (!breed(depth, &seed))
		_exit(LOST);
	usleep(1000 + rand_r(&seed) % 20000);
	_exit(number);
}

int main(int argc, char **argv)
{
	pid_t pids[NR_CHILDREN] = {}, pid;
	long reaped = 0, killed = 0;
	int status, i;

	if (argc != 2)
		return 1;
	path = argv[1];
	signal(SIGUSR1, on_usr1);
	for (;;) {
		for (i = 0; i < NR_CHILDREN; i++) {
			if (pids[i])
				continue;
			pids[i] = child_make(i, DEPTH, rand());
			if (pids[i] < 0)
				bad("BAD fork", errno, 0);
		}
		pid = wait(&status);
		if (pid < 0 && errno == EINTR)
			goto report;
		for (i = 0; i < NR_CHILDREN && pids[i] != pid; i++)
			;
		if (pid < 0 || i == NR_CHILDREN)
			bad("BAD wait", pid, errno);
		pids[i] = 0;
		if (WIFEXITED(status) ? WEXITSTATUS(status) != i : WTERMSIG(status) != SIGKILL)
			bad("BAD status", i, status);
		reaped++;
		killed += WIFSIGNALED(status);
report:
		if (asked) {
			asked = 0;
			write_line("ok", reaped, killed);
		}
	}
}
