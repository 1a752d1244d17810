// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips, in the test: starts a subject, dumps and restores it with crkhelper, tells whether it found all as it was.
 * The subject is this program again: a constructor sees "--subject NAME" before the harness does.
 *
 * The two talk by files in the subject's directory only, since a descriptor that leads out of the subject would be
 * part of the dump: ready.N (the subject waits in its N-th checkpoint_here()), go.N, failed, skipped, done.
 */
#define CHECKPOINT_LIB
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

struct trip {
	const struct subject *s;
	char dir[64];		/* subject/ and img.N are in it */
	char cgroup[PATH_MAX];	/* absolute */
	char *why;
	size_t size;
	int nr_dumps;
	int nr_restores;
};

static int failed(struct trip *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int failed(struct trip *t, const char *fmt, ...)
{
	size_t len = strlen(t->why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why + len, t->size - len, fmt, ap);
	va_end(ap);
	return -1;
}

static char *slurp(const char *path)
{
	size_t room = 1 << 16, len;
	char *text = NULL;
	FILE *f = fopen(path, "re");

	if (f) {
		text = calloc(1, room);
		len = fread(text, 1, room - 1, f);
		text[len] = '\0';
		fclose(f);
	}
	return text;
}

static bool trip_has(struct trip *t, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/subject/%s", t->dir, name);
	return !access(path, F_OK);
}

/* starts @argv with output and errors to @log; its status as wait4() tells it */
static int run(char *const argv[], const char *log)
{
	int status = -1, fd;
	pid_t pid = fork();

	if (!pid) {
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
		dup2(fd, 1);
		dup2(fd, 2);
		fd = open("/dev/null", O_RDONLY);
		dup2(fd, 0);
		execvp(argv[0], argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool cgroup_populated(struct trip *t)
{
	char path[PATH_MAX + 16], *text;
	bool ret;

	snprintf(path, sizeof(path), "%s/cgroup.events", t->cgroup);
	text = slurp(path);
	ret = text && strstr(text, "populated 1");
	free(text);
	return ret;
}

/* all that ended and came to us: the subject, and as subreaper what it leaves */
static void reap_all(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* a dump comes back when all can be waited for */
static int must_have_ended(struct trip *t)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, t->s->outsiders ? 0 : WNOHANG)) > 0)
		;
	if (!pid || cgroup_populated(t))
		return failed(t, "processes are there after the dump");
	return 0;
}

/*
 * With a second helper, of another ABI, named in the environment, the first dumps and the second restores, and then the
 * other way round.
 */
static char *helper_of(const struct trip *t)
{
	char *other = getenv("CRK_OTHER_HELPER");

	return other && (t->nr_dumps + t->nr_restores) / 2 % 2 ? other : "crkhelper";
}

static int crkhelper(struct trip *t, const char *verb, const char *args, const char *more, bool must_fail)
{
	char log[128], cgroup[PATH_MAX], images[128], words[1024], *argv[64] = { helper_of(t) }, *text;
	int n = 1, status;

	snprintf(log, sizeof(log), "%s/log", t->dir);
	snprintf(images, sizeof(images), "%s/img.%d", t->dir, t->nr_dumps);
	snprintf(cgroup, sizeof(cgroup), "%s", t->cgroup);
	snprintf(words, sizeof(words), "%s %s", args, more ?: "");
	unlink(log);
	argv[n++] = (char *)verb;
	argv[n++] = "-g";
	argv[n++] = cgroup;
	argv[n++] = "-D";
	argv[n++] = images;
	for (char *w = strtok(words, " "); w && n < 63; w = strtok(NULL, " "))
		argv[n++] = w;
	argv[n] = NULL;
	status = run(argv, log);
	text = slurp(log);
	if (must_fail) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
			return failed(t, "%s %s: expected a refusal (exit status 1), got wait status %#x: %s", *argv, verb,
				      status, text ?: "");
		if (!text || !strstr(text, t->s->refused))
			return failed(t, "%s %s: expected a refusal with \"%s\", it says: %s", *argv, verb,
				      t->s->refused, text ?: "");
		if (!strstr(text, ": pid "))
			return failed(t, "%s %s: the refusal names no process: %s", *argv, verb, text);
	} else if (status) {
		return failed(t, "%s %s %s: wait status %#x: %s", *argv, verb, args, status, text ?: "");
	} else if (t->s->said && t->nr_dumps == 1 && !t->nr_restores && !(text && strstr(text, t->s->said))) {
		return failed(t, "%s %s: it does not say \"%s\", but: %s", *argv, verb, t->s->said, text ?: "");
	}
	free(text);
	return 0;
}

/* for crit, which reads them on the host (runner/crit.py): all but the contents of memory */
static int images_keep(struct trip *t)
{
	const char *all = getenv("CRK_IMAGES");
	char images[128], from[512], to[512], dir[256];
	const struct dirent *de;
	DIR *d;

	if (!all)
		return 0;
	snprintf(dir, sizeof(dir), "%s/%s.XXXXXX", all, program_invocation_short_name);
	snprintf(images, sizeof(images), "%s/img.%d", t->dir, t->nr_dumps);
	d = opendir(images);
	if (!d || !mkdtemp(dir))
		return failed(t, "cannot keep %s in %s: %s", images, dir, strerror(errno));
	while ((de = readdir(d))) {
		snprintf(from, sizeof(from), "%s/%s", images, de->d_name);
		snprintf(to, sizeof(to), "%s/%s", dir, de->d_name);
		if (*de->d_name != '.' && strncmp(de->d_name, "pages-", 6) && link(from, to))
			return failed(t, "cannot keep %s: %s", from, strerror(errno));
	}
	closedir(d);
	return 0;
}

static int dump(struct trip *t, bool leave_running)
{
	int ret;

	t->nr_dumps++;
	ret = crkhelper(t, "dump", leave_running ? "--leave-running" : "", t->s->dump_args, t->s->refused);
	if (ret || t->s->refused)
		return ret;
	if (t->nr_dumps == 1)
		ret = images_keep(t);
	return ret ?: leave_running ? ret : must_have_ended(t);
}

static int restore(struct trip *t)
{
	if (t->s->away)
		sleep(t->s->away);
	t->nr_restores++;
	return crkhelper(t, "restore", "-d", t->s->restore_args, false);
}

static void __attribute__((noreturn)) subject_exec(struct trip *t, bool leave_running)
{
	char path[PATH_MAX + 16], self[PATH_MAX] = "";
	sigset_t none;
	int fd, sig;

	snprintf(path, sizeof(path), "%s/cgroup.procs", t->cgroup);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(98);
	snprintf(path, sizeof(path), "%s/subject", t->dir);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || mkdir(path, 0777) || chdir(path))
		_exit(98);
	setsid();
	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_close_range, 0, ~0U, 0);
	open("/dev/null", O_RDWR);
	fd = dup(0) < 0 ? -1 : dup(0);
	umask(022);
	if (leave_running)
		setenv("CRK_LEFT_RUNNING", "1", 1);
	execl(self, self, "--subject", t->s->name, NULL);
	_exit(98);
}

/* waits until the subject is at its N-th checkpoint (1) or has ended (0) */
static int wait_ready(struct trip *t, int n)
{
	char name[32];

	snprintf(name, sizeof(name), "ready.%d", n);
	for (;;) {
		bool there = cgroup_populated(t);

		reap_all();
		if (trip_has(t, "failed") || trip_has(t, "skipped"))
			return 0;
		if (trip_has(t, name))
			return 1;
		if (trip_has(t, "done") || !there)
			return 0;
		nap();
	}
}

static int result(struct trip *t)
{
	static const char * const names[] = { "failed", "skipped" };
	char path[PATH_MAX], *text;
	size_t i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/subject/%s", t->dir, names[i]);
		text = slurp(path);
		if (!text)
			continue;
		failed(t, "%s", text);
		free(text);
		return i ? ROUNDTRIP_SKIPPED : ROUNDTRIP_FAILED;
	}
	if (trip_has(t, "done"))
		return ROUNDTRIP_OK;
	failed(t, "the subject died without a word");
	return ROUNDTRIP_FAILED;
}

static int trip_run(struct trip *t, bool leave_running)
{
	char path[PATH_MAX];
	pid_t pid;
	int n, fd;

	pid = fork();
	if (pid < 0)
		return failed(t, "fork: %s", strerror(errno));
	if (!pid)
		subject_exec(t, leave_running);
	/* it is in its cgroup and in its directory; one that skips may have ended by now */
	while (!trip_has(t, "."))
		if (waitpid(pid, NULL, WNOHANG) == pid && !trip_has(t, "."))
			return failed(t, "the subject cannot be started");
	for (n = 1; wait_ready(t, n); n++) {
		if (t->s->refused || leave_running) {
			if (dump(t, leave_running))
				return -1;
		} else {
			if (dump(t, false) || restore(t) || dump(t, false) || restore(t))
				return -1;
		}
		snprintf(path, sizeof(path), "%s/subject/go.%d", t->dir, n);
		fd = open(path, O_WRONLY | O_CREAT, 0666);
		close(fd);
	}
	if (!t->nr_dumps && !trip_has(t, "failed") && !trip_has(t, "skipped"))
		return failed(t, "the subject ended before its first checkpoint");
	return 0;
}

static int cgroup_mount(struct trip *t, char *path, size_t size)
{
	char line[PATH_MAX], where[PATH_MAX], type[64];
	FILE *f = fopen("/proc/self/mounts", "re");

	*path = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %4095s %63s", where, type) == 2 && !strcmp(type, "cgroup2"))
			snprintf(path, size, "%.2000s", where);
	if (f)
		fclose(f);
	return *path ? 0 : failed(t, "cgroup2 is not mounted");
}

static void trip_end(struct trip *t)
{
	char path[PATH_MAX + 16], cmd[128];
	int fd, tries = 500;

	snprintf(path, sizeof(path), "%s/cgroup.kill", t->cgroup);
	fd = open(path, O_WRONLY);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		failed(t, "cgroup.kill: %s", strerror(errno));
	close(fd);
	while (cgroup_populated(t) && --tries) {
		reap_all();
		nap();
	}
	reap_all();
	rmdir(t->cgroup);
	if (*(getenv("CRK_KEEP") ?: "")) {
		fprintf(stderr, "# %s: kept in %s\n", t->s->name, t->dir);
		return;
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", t->dir);
	if (system(cmd))
		fprintf(stderr, "# cannot remove %s\n", t->dir);
}

static int trip(const struct subject *s, bool leave_running, char *why, size_t size)
{
	struct trip t = { .s = s, .why = why, .size = size };
	char mount[PATH_MAX / 2];
	int ret = ROUNDTRIP_FAILED;

	*why = '\0';
	if (cgroup_mount(&t, mount, sizeof(mount)))
		return ret;
	strcpy(t.dir, "/tmp/roundtrip.XXXXXX");
	if (!mkdtemp(t.dir)) {
		failed(&t, "mkdtemp: %s", strerror(errno));
		return ret;
	}
	chmod(t.dir, 0755);
	snprintf(t.cgroup, sizeof(t.cgroup), "%s/roundtrip-%d", mount, getpid());
	failed(&t, s->refused ? "" : leave_running ? "left running: " : "restored: ");
	if (mkdir(t.cgroup, 0755) && errno != EEXIST)
		failed(&t, "%s: %s", t.cgroup, strerror(errno));
	else if (!trip_run(&t, leave_running))
		ret = result(&t);
	trip_end(&t);
	return ret;
}

enum roundtrip_result roundtrip(const struct subject *s, char *why, size_t size)
{
	const char *only = getenv("CRK_ROUNDTRIP");	/* "running" or "restored": half the time while debugging */
	int ret = ROUNDTRIP_OK;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (s->refused || !only || !strcmp(only, "running"))
		ret = trip(s, true, why, size);
	if (ret == ROUNDTRIP_OK && !s->refused && (!only || !strcmp(only, "restored")))
		ret = trip(s, false, why, size);
	return ret;
}
