/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of images: a directory to have a checkpoint in, a small checkpoint, and what crkhelper has to say about it.
 */
#ifndef _SMALL_H
#define _SMALL_H

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "log.h"
#include "kselftest_harness.h"

#define SAMPLE_ID	41
#define PAGES_LEN	(2 * CRK_IMG_CHUNK + 4096)

static void fill(unsigned char *buf, size_t len, unsigned int seed)
{
	uint64_t x = seed + 1;
	size_t i;

	for (i = 0; i < len; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		buf[i] = x >> 56;
	}
}

FIXTURE(images)
{
	char base[64];
	char path[128];
	int log;
};

FIXTURE_SETUP(images)
{
	snprintf(self->base, sizeof(self->base), "%s/crk-images.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	ASSERT_NE(NULL, mkdtemp(self->base));
	snprintf(self->path, sizeof(self->path), "%s/dir", self->base);
	self->log = memfd_create("log", MFD_CLOEXEC);
	ASSERT_LE(0, self->log);
	crk_log_fd(self->log);
	crk_log_phase("test");
}

static void remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;
	char name[512];

	while (d && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..")) {
			snprintf(name, sizeof(name), "%s/%s", path, de->d_name);
			if (unlink(name))
				remove_all(name);
		}
	if (d)
		closedir(d);
	rmdir(path);
}

FIXTURE_TEARDOWN(images)
{
	crk_log_fd(STDERR_FILENO);
	close(self->log);
	remove_all(self->base);
}

/* the messages since the last call, in a static buffer */
static const char *log_text(int log)
{
	static char text[8192];
	off_t end = lseek(log, 0, SEEK_CUR);
	ssize_t n = pread(log, text, sizeof(text) - 1, 0);

	(void)end;
	text[n > 0 ? n : 0] = '\0';
	(void)!ftruncate(log, 0);
	lseek(log, 0, SEEK_SET);
	return text;
}

static int write_inventory(struct crk_imgdir *dir)
{
	CrkInventoryEntry e = CRK_INVENTORY_ENTRY__INIT;
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	uint32_t root = SAMPLE_ID;

	e.cgroup = (char *)"/job";
	e.roots = &root;
	e.n_roots = 1;
	return crk_inventory_write(dir, &e, &ids);
}

static int write_pages(struct crk_imgdir *dir, unsigned int id, size_t len)
{
	unsigned char *buf = malloc(len + 1);
	struct crk_img *img;
	int err, fd;

	fill(buf, len, id);
	err = crk_img_create(dir, CRK_IMG_PAGES, id, &img);
	if (err)
		return err;
	fd = crk_img_fd(img);
	if (fd < 0 || write(fd, buf, len) != (ssize_t)len)
		err = -EIO;
	free(buf);
	return crk_img_close(img) ?: err;
}

/* a directory with a core image, a pages image of @pages bytes and an inventory, all small but the pages */
static int write_small(const char *path, size_t pages)
{
	PstreeEntry ps = PSTREE_ENTRY__INIT;
	FsEntry fs = FS_ENTRY__INIT;
	struct crk_imgdir *dir;
	int err;

	err = crk_imgdir_create(path, &dir);
	if (err)
		return err;
	ps.pid = SAMPLE_ID;
	fs.cwd_id = 7;
	err = crk_img_write_one(dir, CRK_IMG_PSTREE, 0, &ps.base) ?:
	      crk_img_write_one(dir, CRK_IMG_FS, SAMPLE_ID, &fs.base) ?:
	      write_pages(dir, 1, pages) ?: write_inventory(dir) ?: crk_imgdir_commit(dir);
	crk_imgdir_close(dir);
	return err;
}

static int open_it(const char *path, enum crk_img_verify verify)
{
	struct crk_imgdir *dir = NULL;
	int err = crk_imgdir_open(path, verify, &dir);

	crk_imgdir_close(err ? NULL : dir);
	return err;
}

#endif /* _SMALL_H */
