// SPDX-License-Identifier: GPL-2.0
/*
 * Small things that every file of the helper uses; see util.h.  Knows nothing of checkpoints.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "util.h"

void crk_cleanup_closedir(void *dir)
{
	int saved = errno;

	if (*(DIR **)dir)
		closedir(*(DIR **)dir);
	errno = saved;
}

void crk_cleanup_pid(pid_t *pid)
{
	int saved = errno;

	if (*pid > 0) {
		kill(*pid, SIGKILL);
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	errno = saved;
}

int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= n;
	}
	return 0;
}

int pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

int read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		len -= n;
	}
	return 0;
}

int pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

int read_file_at(int dirfd, const char *path, char **buf_ret, size_t *len_ret)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, room = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		/* 4096 or more of free room: /proc files give no more than a page at once, nor less before their end */
		if (room - len < 4097) {
			char *bigger;

			room = room ? room * 2 : 8192;
			bigger = realloc(buf, room);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = read(fd, buf + len, room - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += n;
	}
	buf[len] = '\0';
	if (len_ret)
		*len_ret = len;
	*buf_ret = steal_ptr(&buf);
	return 0;
}

int write_file_at(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write_all(fd, text, strlen(text));
}

int read_link_at(int dirfd, const char *path, char **ret)
{
	char buf[PATH_MAX + 1];
	ssize_t n = readlinkat(dirfd, path, buf, sizeof(buf) - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	*ret = strdup(buf);
	return *ret ? 0 : -ENOMEM;
}

int xvasprintf(char **ret, const char *fmt, va_list ap)
{
	if (vasprintf(ret, fmt, ap) >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

int xasprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = xvasprintf(ret, fmt, ap);
	va_end(ap);
	return err;
}

void *crk_array_more(void *items, size_t nr, size_t *room, size_t item_size)
{
	if (nr >= *room) {
		size_t want = max(*room * 2, (size_t)8);

		items = reallocarray(items, want, item_size);
		if (!items)
			return NULL;
		*room = want;
	}
	memset((char *)items + nr * item_size, 0, item_size);
	return items;
}

bool crk_pid_ended(pid_t pid)
{
	_cleanup_free_ char *stat = NULL;
	const char *state;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_file_at(AT_FDCWD, path, &stat, NULL))
		return true;
	state = strrchr(stat, ')');
	return state && state[1] && (state[2] == 'Z' || state[2] == 'X');
}

void crk_pid_comm(pid_t pid, char comm[17])
{
	_cleanup_free_ char *text = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (read_file_at(AT_FDCWD, path, &text, NULL))
		strcpy(comm, "?");
	else
		snprintf(comm, 17, "%.*s", (int)strcspn(text, "\n"), text);
}

int crk_limit_raise(int resource, uint64_t want)
{
	struct rlimit limit, more;

	if (getrlimit(resource, &limit))
		return -errno;
	if (limit.rlim_cur >= want)
		return 0;
	more = (struct rlimit){ .rlim_cur = want, .rlim_max = max(limit.rlim_max, (rlim_t)want) };
	if (!setrlimit(resource, &more))
		return 0;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) ? -errno : -EPERM;
}

int crk_limit_raise_files(uint64_t at_least)
{
	_cleanup_free_ char *text = NULL;
	uint64_t most = 1 << 20;

	if (!read_file_at(AT_FDCWD, "/proc/sys/fs/nr_open", &text, NULL))
		most = strtoull(text, NULL, 10);
	return crk_limit_raise(RLIMIT_NOFILE, most) ? crk_limit_raise(RLIMIT_NOFILE, at_least) : 0;
}

uint64_t crk_clock_ns(clockid_t clock)
{
	struct timespec ts = {};

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}
