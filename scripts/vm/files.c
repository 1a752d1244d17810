// SPDX-License-Identifier: GPL-2.0
/* See files.h. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf += n;
		len -= n;
	}
}

char *slurp(const char *path, size_t *len_ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, size = 4096;
	char *buf;
	ssize_t n;

	if (fd < 0)
		return NULL;
	buf = malloc(size + 1);
	while (buf && (n = read(fd, buf + len, size - len)) > 0) {
		len += n;
		if (len == size) {
			size *= 2;
			buf = realloc(buf, size + 1);
		}
	}
	close(fd);
	if (!buf)
		return NULL;
	buf[len] = 0;
	if (len_ret)
		*len_ret = len;
	return buf;
}

void mkdirs(const char *path)
{
	char buf[PATH_MAX];
	char *p;

	snprintf(buf, sizeof(buf), "%s", path);
	for (p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(buf, 0755);
		*p = '/';
	}
	mkdir(buf, 0755);
}

int copy_file(const char *from, const char *to, mode_t mode)
{
	char buf[65536];
	int in, out;
	ssize_t n;

	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (out < 0) {
		close(in);
		return -errno;
	}
	while ((n = read(in, buf, sizeof(buf))) > 0)
		write_all(out, buf, n);
	close(in);
	close(out);
	return n < 0 ? -EIO : 0;
}

int copy_tree(const char *from, const char *to)
{
	struct dirent *d;
	int err = 0;
	DIR *dir;

	mkdir(to, 0755);
	dir = opendir(from);
	while (dir && !err && (d = readdir(dir))) {
		char src[PATH_MAX], dst[PATH_MAX], link[PATH_MAX];
		struct stat st;
		ssize_t len;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(src, sizeof(src), "%s/%s", from, d->d_name);
		snprintf(dst, sizeof(dst), "%s/%s", to, d->d_name);
		if (lstat(src, &st))
			continue;
		if (S_ISDIR(st.st_mode)) {
			err = copy_tree(src, dst);
		} else if (S_ISLNK(st.st_mode)) {
			len = readlink(src, link, sizeof(link) - 1);
			if (len < 0)
				continue;
			link[len] = 0;
			if (symlink(link, dst) && errno != EEXIST)
				err = -errno;
		} else {
			err = copy_file(src, dst, st.st_mode & 07777);
		}
	}
	if (dir)
		closedir(dir);
	return err;
}
