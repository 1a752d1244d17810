// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a command and kills it (SIGKILL) so many microseconds after its start.
 *
 * usage: killat USEC CMD [ARG]...
 * Exit status: 0 killed before its end, 1 it had ended, 2 it could not be run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long usec = argc > 2 ? strtol(argv[1], NULL, 10) : -1;
	struct timespec when;
	int status;
	pid_t pid;

	if (usec < 0)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_nsec += usec % 1000000 * 1000;
	when.tv_sec += usec / 1000000 + when.tv_nsec / 1000000000;
	when.tv_nsec %= 1000000000;
	pid = fork();
	if (!pid) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
	if (pid < 0 || kill(pid, SIGKILL) || waitpid(pid, &status, 0) != pid)
		return 2;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? 2 : 1;
}
