// SPDX-License-Identifier: GPL-2.0
/*
 * forker FILE: makes children all the time, up to 8 at once, which exit with their number after a moment.  Each must
 * be waited for once, with its number or killed by SIGKILL.  Counts into FILE at a USR1; "BAD ..." when one is lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_CHILDREN	8

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
			pids[i] = fork();
			if (pids[i] < 0)
				bad("BAD fork", errno, 0);
			if (!pids[i]) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				signal(SIGUSR1, SIG_IGN);
				usleep(1000 + rand() % 20000);
				_exit(i);
			}
			rand();
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
