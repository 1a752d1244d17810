// SPDX-License-Identifier: GPL-2.0
/*
 * disturb CGROUP OTHER: while the file "go" is in the working directory, does all that may come in the way of a dump of
 * CGROUP: thaws it, freezes and thaws its parent, moves its "bystander"s to OTHER and back, stops and continues its
 * processes, kills the short-lived ones.  When "go" is gone it thaws and continues all, puts the bystanders back and
 * makes the file "idle".
 * One process that makes no others, so that it takes no pid that a restore needs.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *group, *other;
static char parent[PATH_MAX];
static atomic_bool running;
static atomic_int nr_busy;

static void put(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static void comm_of(int pid, char comm[32])
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "r");
	if (!f || !fgets(comm, 32, f))
		*comm = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* the pids of a group; how many.  One that is being reaped has 0 there, which kill() takes for all around the caller. */
static int members(const char *dir, int *pids, int max)
{
	char path[PATH_MAX];
	int nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (nr < max && fscanf(f, "%d", &pids[nr]) == 1)
		nr += pids[nr] > 0;
	fclose(f);
	return nr;
}

static void thaw(unsigned int *seed)
{
	(void)seed;
	put(group, "cgroup.freeze", "0");
	usleep(200);
}

/* as long as it is frozen nobody would see that a thaw of the group itself has got through */
static void thaw_parent(unsigned int *seed)
{
	put(parent, "cgroup.freeze", "1");
	usleep(rand_r(seed) % 1000);
	put(parent, "cgroup.freeze", "0");
	usleep(rand_r(seed) % 20000);
}

static void move_all(const char *from, const char *to)
{
	int pids[256], nr = members(from, pids, 256), i;
	char comm[32], text[16];

	for (i = 0; i < nr; i++) {
		comm_of(pids[i], comm);
		if (strcmp(comm, "bystander"))
			continue;
		snprintf(text, sizeof(text), "%d", pids[i]);
		put(to, "cgroup.procs", text);
	}
}

static void move(unsigned int *seed)
{
	usleep(rand_r(seed) % 1000000);
	move_all(group, other);
	usleep(rand_r(seed) % 5000);
	move_all(other, group);
}

/* children of the forker, told by their parent being in the group; the rest of the group is only stopped */
static bool is_short_lived(int pid)
{
	char path[64], text[512], comm[32];
	int ppid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f) || sscanf(strrchr(text, ')') + 2, "%*c %d", &ppid) != 1)
		ppid = 0;
	fclose(f);
	comm_of(ppid, comm);
	return !strcmp(comm, "forker");
}

static void storm(unsigned int *seed)
{
	static const int signals[] = { SIGSTOP, SIGCONT, SIGCONT, SIGWINCH, SIGURG };
	int pids[256], nr = members(group, pids, 256), pid, i;

	usleep(500);
	for (i = 0; i < 4 && nr; i++) {
		pid = pids[rand_r(seed) % nr];
		if (rand_r(seed) % 3000 == 0 && is_short_lived(pid))
			kill(pid, SIGKILL);
		else
			kill(pid, signals[rand_r(seed) % 5]);
	}
}

static void *worker(void *arg)
{
	unsigned int seed = (uintptr_t)arg;

	for (;;) {
		if (!running) {
			usleep(1000);
			continue;
		}
		nr_busy++;
		if (running)
			((void (*)(unsigned int *))arg)(&seed);
		nr_busy--;
	}
	return NULL;
}

static void calm(void)
{
	int pids[256], nr, i;

	running = false;
	while (nr_busy)
		usleep(500);
	put(parent, "cgroup.freeze", "0");
	move_all(other, group);
	nr = members(group, pids, 256);
	for (i = 0; i < nr; i++)
		kill(pids[i], SIGCONT);
	close(open("idle", O_WRONLY | O_CREAT, 0644));
}

int main(int argc, char **argv)
{
	void (*jobs[])(unsigned int *) = { thaw, thaw_parent, move, storm };
	pthread_t thread;
	size_t i;

	if (argc != 3)
		return 1;
	group = argv[1];
	other = argv[2];
	/* not by "..": the group goes and comes */
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(group, '/') - group), group);
	for (i = 0; i < sizeof(jobs) / sizeof(*jobs); i++)
		if (pthread_create(&thread, NULL, worker, (void *)jobs[i]))
			return 1;
	for (;;) {
		bool go = !access("go", F_OK);

		if (go && !running) {
			unlink("idle");
			running = true;
		} else if (!go && running) {
			calm();
		}
		usleep(1000);
	}
}
