// SPDX-License-Identifier: GPL-2.0
/*
 * Files that are open and have no name any more.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

ROUNDTRIP(removed)
{
	int fd = open("file", O_RDWR | O_CREAT, 0640);
	char *before;
	struct stat st;

	MUST_EQ(write(fd, "contents", 8), 8);
	MUST(!fchown(fd, 12, 34));
	MUST(!futimens(fd, (struct timespec[]){ { 1000, 0 }, { 2000, 5000 } }));
	MUST(!unlink("file"));
	MUST_EQ(lseek(fd, 3, SEEK_SET), 3);
	before = link_text("/proc/self/fd/%d", fd);
	checkpoint_here();
	MUST_STR(link_text("/proc/self/fd/%d", fd), before);
	MUST(access("file", F_OK) && errno == ENOENT);
	MUST(!fstat(fd, &st));
	MUST_EQ(st.st_nlink, 0);
	MUST_EQ(st.st_size, 8);
	MUST_EQ(st.st_mode, S_IFREG | 0640);
	MUST_EQ(st.st_uid, 12);
	MUST_EQ(st.st_gid, 34);
	MUST_EQ(st.st_mtim.tv_sec, 2000);
	MUST_EQ(st.st_mtim.tv_nsec, 5000);
	MUST(text_is(fd, "tents"));
}

ROUNDTRIP(write_only)
{
	int fd = open("file", O_WRONLY | O_CREAT, 0), rd;
	char path[32];

	MUST_EQ(write(fd, "abc", 3), 3);
	MUST(!unlink("file"));
	checkpoint_here();
	MUST_EQ(write(fd, "d", 1), 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rd = open(path, O_RDONLY);
	MUST(text_is(rd, "abcd"));
}

ROUNDTRIP(several_openings)
{
	int a = open("file", O_RDWR | O_CREAT, 0644), b = open("file", O_RDONLY), c = open("file", O_WRONLY | O_APPEND);
	struct stat sa, sb;

	MUST_EQ(write(a, "abc", 3), 3);
	MUST(!unlink("file"));
	checkpoint_here();
	MUST_EQ(write(c, "def", 3), 3);
	MUST(text_is(b, "abcdef"));
	MUST_EQ(lseek(a, 0, SEEK_CUR), 3);
	MUST(!fstat(a, &sa) && !fstat(b, &sb));
	MUST_EQ(sa.st_ino, sb.st_ino);
}

ROUNDTRIP(sparse_stays_sparse)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644), i;
	struct stat before, after;
	char c;

	for (i = 0; i < 20; i++)
		MUST_EQ(pwrite(fd, "x", 1, (off_t)i << 30), 1);
	MUST(!ftruncate(fd, 100LL << 30));
	MUST(!unlink("file"));
	fsync(fd);
	MUST(!fstat(fd, &before));
	checkpoint_here();
	fsync(fd);
	MUST(!fstat(fd, &after));
	MUST_EQ(after.st_size, 100LL << 30);
	MUST(after.st_blocks <= before.st_blocks + 64);
	for (i = 0; i < 20; i++) {
		MUST_EQ(pread(fd, &c, 1, (off_t)i << 30), 1);
		MUST_EQ(c, 'x');
	}
	MUST_EQ(pread(fd, &c, 1, 12345678), 1);
	MUST_EQ(c, 0);
}

ROUNDTRIP(large)
{
	enum { SIZE = 20 << 20 };
	unsigned char *buf = malloc(SIZE), *again = malloc(SIZE);
	int fd = open("file", O_RDWR | O_CREAT, 0644), i;

	for (i = 0; i < SIZE; i++)
		buf[i] = i * 7 + (i >> 12);
	MUST_EQ(write(fd, buf, SIZE), SIZE);
	MUST(!unlink("file"));
	checkpoint_here();
	MUST_EQ(pread(fd, again, SIZE, 0), SIZE);
	MUST(!memcmp(buf, again, SIZE));
}

ROUNDTRIP(name_taken_by_another)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644), other;

	MUST_EQ(write(fd, "old", 3), 3);
	other = open("new", O_RDWR | O_CREAT, 0644);
	MUST_EQ(write(other, "new", 3), 3);
	MUST(!rename("new", "file"));
	checkpoint_here();
	MUST(!lseek(fd, 0, SEEK_SET) && !lseek(other, 0, SEEK_SET));
	MUST(text_is(fd, "old"));
	MUST(text_is(other, "new"));
	MUST_STR(file_text("file"), "new");
}

ROUNDTRIP(directory_gone_too)
{
	int fd;

	MUST(!mkdir("a", 0755) && !mkdir("a/b", 0755));
	fd = open("a/b/file", O_RDWR | O_CREAT, 0644);
	MUST_EQ(write(fd, "abc", 3), 3);
	MUST(!unlink("a/b/file") && !rmdir("a/b") && !rmdir("a"));
	checkpoint_here();
	MUST(access("a", F_OK) && errno == ENOENT);
	MUST(!lseek(fd, 0, SEEK_SET));
	MUST(text_is(fd, "abc"));
}

ROUNDTRIP(removed_directory)
{
	struct stat st;
	int fd;

	MUST(!mkdir("dir", 0700));
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	MUST(!rmdir("dir"));
	checkpoint_here();
	MUST(!fstat(fd, &st));
	MUST_EQ(st.st_mode, S_IFDIR | 0700);
	MUST(openat(fd, "x", O_CREAT | O_RDWR, 0644) < 0 && errno == ENOENT);
	MUST(access("dir", F_OK) && errno == ENOENT);
}

ROUNDTRIP(o_tmpfile)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600), other, fl;
	char path[32];

	if (fd < 0)
		subject_skip("O_TMPFILE: %s", strerror(errno));
	fl = fcntl(fd, F_GETFL);
	MUST_EQ(write(fd, "abc", 3), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY);
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), fl);
	MUST(text_is(other, "abc"));
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 3);
	MUST(!linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	MUST_STR(file_text("named"), "abc");
}

REFUSED(another_name_is_left, "its name was removed, but the file has others")
{
	int fd = open("one", O_RDWR | O_CREAT, 0644);

	MUST(!link("one", "two"));
	MUST(!unlink("one"));
	checkpoint_here();
	MUST_EQ(write(fd, "x", 1), 1);
}

ROUNDTRIP(another_name_is_left_and_may_be_linked, .dump_args = "--link-remap")
{
	int fd = open("one", O_RDWR | O_CREAT, 0644);

	MUST(!link("one", "two"));
	MUST(!unlink("one"));
	checkpoint_here();
	MUST_EQ(write(fd, "x", 1), 1);
	MUST_STR(file_text("two"), "x");
	MUST(access("one", F_OK) && errno == ENOENT);
}

TEST_HARNESS_MAIN
