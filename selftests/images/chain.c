// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoints that build on others: the link, by what a parent is known, and what is said when it is not there or not the
 * one.  Runs on the host as well as in a guest.
 *
 * crk-test: rootfs=host timeout=60 abi=x86_64
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "log.h"
#include "kselftest_harness.h"

#define PAGES	(CRK_IMG_CHUNK + 4096)

FIXTURE(chain)
{
	char base[64];
	int log;
};

FIXTURE_SETUP(chain)
{
	snprintf(self->base, sizeof(self->base), "%s/crk-chain.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	ASSERT_NE(NULL, mkdtemp(self->base));
	ASSERT_EQ(0, chdir(self->base));
	self->log = memfd_create("log", MFD_CLOEXEC);
	crk_log_fd(self->log);
	crk_log_phase("test");
}

FIXTURE_TEARDOWN(chain)
{
	char cmd[128];

	crk_log_fd(STDERR_FILENO);
	close(self->log);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", self->base);
	EXPECT_EQ(0, system(cmd));
}

/* was this said since the last call? */
static bool said(int log, const char *text)
{
	static char all[8192];
	ssize_t n = pread(log, all, sizeof(all) - 1, 0);
	bool ret;

	all[n > 0 ? n : 0] = '\0';
	ret = strstr(all, text);
	if (!ret)
		printf("# '%s' is not in: %s\n", text, all);
	if (ftruncate(log, 0) || lseek(log, 0, SEEK_SET))
		return false;
	return ret;
}

static int pages_write(struct crk_imgdir *dir, char with)
{
	static char page[4096];
	struct crk_img *img;
	size_t n;
	int err = crk_img_create(dir, CRK_IMG_PAGES, 1, &img);

	memset(page, with, sizeof(page));
	for (n = 0; n < PAGES && !err; n += sizeof(page))
		err = crk_img_put_raw(img, page, sizeof(page));
	return err ?: crk_img_close(img);
}

/* checkpoint @path with the id @id repeated, on top of @parent */
static int make(const char *path, char id, const char *parent)
{
	CrkInventoryEntry e = CRK_INVENTORY_ENTRY__INIT;
	uint8_t own[CRK_IMG_ID_LEN], theirs[CRK_IMG_ID_LEN];
	struct crk_imgdir *dir;
	int err = crk_imgdir_create(path, &dir);

	if (err)
		return err;
	memset(own, id, sizeof(own));
	e.has_id = 1;
	e.id = (ProtobufCBinaryData){ sizeof(own), own };
	if (parent)
		err = crk_imgdir_set_parent(dir, parent);
	if (!err && parent) {
		memcpy(theirs, crk_imgdir_inventory(crk_imgdir_parent(dir))->id.data, sizeof(theirs));
		e.parent = (char *)parent;
		e.has_parent_id = 1;
		e.parent_id = (ProtobufCBinaryData){ sizeof(theirs), theirs };
	}
	err = err ?: pages_write(dir, id) ?: crk_inventory_write(dir, &e, NULL) ?: crk_imgdir_commit(dir);
	crk_imgdir_close(dir);
	return err;
}

static int open_all(const char *path, unsigned int *nr_ret)
{
	struct crk_imgdir *dir, *d;
	int err = crk_imgdir_open(path, CRK_VERIFY_RESTORE, &dir);

	if (err)
		return err;
	err = crk_imgdir_open_parents(dir, CRK_VERIFY_RESTORE);
	for (*nr_ret = 0, d = dir; (d = crk_imgdir_parent(d)); )
		++*nr_ret;
	err = err ?: crk_imgdir_verify_pages(dir);
	crk_imgdir_close(dir);
	return err;
}

static int relink(const char *path, const char *to)
{
	char link[64];

	snprintf(link, sizeof(link), "%s/parent", path);
	unlink(link);
	return to ? symlink(to, link) : 0;
}

static int spoil(const char *path, off_t at)
{
	int fd = open(path, O_WRONLY), ret = fd < 0 || pwrite(fd, "crk", 3, at) != 3;

	close(fd);
	return ret;
}

TEST_F(chain, leads_to_the_first)
{
	unsigned int nr;
	char link[64];

	ASSERT_EQ(0, make("a", 'a', NULL));
	ASSERT_EQ(0, make("b", 'b', "../a"));
	ASSERT_EQ(0, make("c", 'c', "../b"));
	ASSERT_EQ(4, readlink("c/parent", link, sizeof(link)));
	EXPECT_EQ(0, memcmp("../b", link, 4));
	EXPECT_EQ(0, open_all("c", &nr));
	EXPECT_EQ(2, nr);
	EXPECT_EQ(0, open_all("a", &nr));
	EXPECT_EQ(0, nr);
	/* elsewhere, it is the same one */
	ASSERT_EQ(0, rename("a", "elsewhere"));
	ASSERT_EQ(0, relink("b", "../elsewhere"));
	EXPECT_EQ(0, open_all("c", &nr));
	EXPECT_EQ(2, nr);
}

TEST_F(chain, parents_that_are_not_there)
{
	unsigned int nr;

	ASSERT_EQ(0, make("a", 'a', NULL));
	ASSERT_EQ(0, make("b", 'b', "../a"));
	ASSERT_EQ(0, rename("a", "elsewhere"));
	EXPECT_EQ(-EPROTO, open_all("b", &nr));
	EXPECT_TRUE(said(self->log, "the parent of checkpoint 'b' is missing: its link 'parent' (made to '../a') leads nowhere\n"));
	ASSERT_EQ(0, relink("b", NULL));
	EXPECT_EQ(-EPROTO, open_all("b", &nr));
	EXPECT_TRUE(said(self->log, "the parent of checkpoint 'b' is missing"));
	ASSERT_EQ(0, mkdir("a", 0700) || relink("b", "../a"));
	EXPECT_EQ(-ENODATA, open_all("b", &nr));
	EXPECT_TRUE(said(self->log, "is not a complete checkpoint (inventory.img is missing)\n"));
}

TEST_F(chain, parents_that_are_others)
{
	unsigned int nr;

	ASSERT_EQ(0, make("a", 'a', NULL));
	ASSERT_EQ(0, make("b", 'b', "../a"));
	ASSERT_EQ(0, make("c", 'c', "../b"));
	ASSERT_EQ(0, rename("a", "elsewhere"));
	ASSERT_EQ(0, make("a", 'A', NULL));
	EXPECT_EQ(-EPROTO, open_all("c", &nr));
	EXPECT_TRUE(said(self->log, "/b': another dump was made there since, or the link is wrong\n"));
	/* a circle */
	ASSERT_EQ(0, relink("b", "../c"));
	EXPECT_EQ(-EPROTO, open_all("c", &nr));
	EXPECT_TRUE(said(self->log, "/c' is not the parent of checkpoint '"));
	ASSERT_EQ(0, make("d", 'd', NULL));
	ASSERT_EQ(0, make("e", 'd', "../d"));
	ASSERT_EQ(0, relink("e", "."));
	EXPECT_EQ(-ELOOP, open_all("e", &nr));
	EXPECT_TRUE(said(self->log, "'e' builds on more than 1000 others\n"));
}

TEST_F(chain, parents_that_are_damaged)
{
	char text[512], *path;
	unsigned int nr;

	ASSERT_EQ(0, make("a", 'a', NULL));
	ASSERT_EQ(0, make("b", 'b', "../a"));
	ASSERT_EQ(0, make("c", 'c', "../b"));
	path = realpath("a", NULL);
	ASSERT_NE(NULL, path);
	ASSERT_EQ(0, spoil("a/pages-1.img", 4096));
	EXPECT_EQ(-EBADMSG, open_all("c", &nr));
	snprintf(text, sizeof(text), "image %s/pages-1.img is damaged (checksum differs)", path);
	EXPECT_TRUE(said(self->log, text));
	ASSERT_EQ(0, unlink("a/pages-1.img"));
	EXPECT_EQ(-EBADMSG, open_all("c", &nr));
	snprintf(text, sizeof(text), "image %s/pages-1.img is missing; take another copy of the checkpoint", path);
	EXPECT_TRUE(said(self->log, text));
	ASSERT_EQ(0, spoil("a/crk-checksum.img", 20));
	EXPECT_EQ(-EBADMSG, open_all("c", &nr));
	snprintf(text, sizeof(text), "image %s/crk-checksum.img is damaged", path);
	EXPECT_TRUE(said(self->log, text));
	free(path);
}

/* neither the link nor the directory is left behind */
TEST_F(chain, undone)
{
	struct crk_imgdir *dir;

	EXPECT_EQ(-ENOENT, make("b", 'b', "../a"));
	EXPECT_TRUE(said(self->log, "no parent checkpoint '../a' there"));
	EXPECT_NE(0, access("b", F_OK));
	ASSERT_EQ(0, make("a", 'a', NULL));
	ASSERT_EQ(0, mkdir("b", 0700) || crk_imgdir_create("b", &dir) || crk_imgdir_set_parent(dir, "../a"));
	crk_imgdir_close(dir);
	EXPECT_EQ(0, rmdir("b"));
	/* what a kill leaves */
	ASSERT_EQ(0, mkdir("b", 0700) || symlink("../a", "b/parent"));
	EXPECT_EQ(-EEXIST, crk_imgdir_create("b", &dir));
	EXPECT_TRUE(said(self->log, "it holds the remains of a dump that was killed, which can be removed"));
}

TEST_HARNESS_MAIN
