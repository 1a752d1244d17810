// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips, in the subject: what it says to the test that dumps and restores it, and what it checks itself with.
 */
#define CHECKPOINT_LIB
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

static char subject_dir[PATH_MAX];	/* ends in '/' */
static int nr_checkpoints;

static const char *event_path(const char *name)
{
	static _Thread_local char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s%s", subject_dir, name);
	return path;
}

static void event_write(const char *name, const char *text)
{
	int fd = open(event_path(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(99);
	close(fd);
}

void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

void event_set(const char *name)
{
	event_write(name, "");
}

bool event_is_set(const char *name)
{
	return !access(event_path(name), F_OK);
}

void event_wait(const char *name)
{
	while (!event_is_set(name))
		nap();
}

void checkpoint_here(void)
{
	char name[32];

	nr_checkpoints++;
	snprintf(name, sizeof(name), "ready.%d", nr_checkpoints);
	event_set(name);
	snprintf(name, sizeof(name), "go.%d", nr_checkpoints);
	event_wait(name);
}

bool is_left_running(void)
{
	return getenv("CRK_LEFT_RUNNING");
}

void subject_fail(const char *file, int line, const char *what, int err)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s:%d: not so: %s%s%s (pid %d, %s checkpoint %d)\n", file, line, what,
		 err ? ": " : "", err ? strerror(err) : "", getpid(), nr_checkpoints ? "after" : "before",
		 nr_checkpoints ?: 1);
	event_write("failed", text);
	_exit(1);
}

void subject_fail_eq(const char *file, int line, const char *a, const char *b, long long va, long long vb, int err)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s == %s: %lld (%#llx) and %lld (%#llx)", a, b, va, va, vb, vb);
	subject_fail(file, line, text, err);
}

void subject_must_str(const char *file, int line, const char *a, const char *b, const char *va, const char *vb)
{
	char text[4096];

	if (va && vb && !strcmp(va, vb))
		return;
	snprintf(text, sizeof(text), "%s == %s: \"%s\" and \"%s\"", a, b, va ?: "(null)", vb ?: "(null)");
	subject_fail(file, line, text, 0);
}

void subject_skip(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	event_write("skipped", text);
	_exit(0);
}

char *file_text(const char *fmt, ...)
{
	size_t len = 0, room = 65536;
	char path[PATH_MAX], *text = malloc(room);
	ssize_t n = 1;
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !text)
		subject_fail(path, 0, "can be read", errno);
	while (n > 0) {
		if (len + 1 >= room)
			text = realloc(text, room *= 2);
		n = read(fd, text + len, room - len - 1);
		if (n < 0)
			subject_fail(path, 0, "can be read", errno);
		len += n;
	}
	text[len] = '\0';
	close(fd);
	return text;
}

char *link_text(const char *fmt, ...)
{
	char path[PATH_MAX], text[PATH_MAX];
	ssize_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	len = readlink(path, text, sizeof(text) - 1);
	if (len < 0)
		subject_fail(path, 0, "is a link", errno);
	text[len] = '\0';
	return strdup(text);
}

char *text_line(const char *text, const char *start)
{
	size_t len = strlen(start);

	for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
		if (!strncmp(text, start, len))
			return strndup(text, strcspn(text, "\n"));
	return NULL;
}

bool text_is(int fd, const char *text)
{
	size_t len = strlen(text);
	char buf[len + 2];

	return read(fd, buf, len + 1) == (ssize_t)len && !memcmp(buf, text, len);
}

char *read_text(int fd)
{
	char buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		subject_fail("read_text", fd, "can be read", errno);
	return strndup(buf, n);
}

bool at_eof(int fd)
{
	char c;

	return read(fd, &c, 1) == 0;
}

bool is_empty(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		subject_fail("fork_child", 0, "fork()", errno);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

void reap(pid_t pid)
{
	int status;

	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST_EQ(status, 0);
}

static void core_pattern_set(const char *text)
{
	int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

void core_must_be(pid_t pid, int elf_class, int machine)
{
	char *pattern = file_text("/proc/sys/kernel/core_pattern"), name[32];
	Elf32_Ehdr head;	/* as far as it is looked at, that of 64 bits is the same */
	int status, fd;

	core_pattern_set("core.%p");
	MUST(!kill(pid, SIGABRT));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	core_pattern_set(pattern);
	MUST(WIFSIGNALED(status) && WCOREDUMP(status));
	snprintf(name, sizeof(name), "core.%d", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(read(fd, &head, sizeof(head)), sizeof(head));
	MUST_EQ(head.e_ident[EI_CLASS], elf_class);
	MUST_EQ(head.e_machine, machine);
	close(fd);
	free(pattern);
}

/* before main(): are we a subject? */
static void __attribute__((constructor)) subject_main(int argc, char **argv)
{
	extern const struct subject __start_subjects[] __attribute__((weak));
	extern const struct subject __stop_subjects[] __attribute__((weak));
	const struct subject *s;

	if (argc != 3 || strcmp(argv[1], "--subject"))
		return;
	if (!getcwd(subject_dir, sizeof(subject_dir) - 1))
		_exit(99);
	strcat(subject_dir, "/");
	for (s = __start_subjects; s < __stop_subjects; s++) {
		if (strcmp(s->name, argv[2]))
			continue;
		s->run();
		event_set("done");
		_exit(0);
	}
	_exit(99);
}
