// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoints that are not whole: every truncation and every flipped bit is found and its file named; so is what is missing,
 * and what another tool, machine or version has made.
 *
 * crk-test: rootfs=host timeout=300 abi=x86_64
 */
#include <elf.h>

#include "small.h"

/* do @change to the file at every position; each time a restore must refuse and name the file */
static void every(struct __test_metadata *_metadata, FIXTURE_DATA(images) *self, const char *name,
		  bool truncate_it)
{
	unsigned char buf[65536];
	char file[512], why[512];
	ssize_t len, i, bit, found = 0, tried = 0;
	int fd;

	snprintf(file, sizeof(file), "%s/%s", self->path, name);
	fd = open(file, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	len = pread(fd, buf, sizeof(buf), 0);
	ASSERT_LT(0, len);
	for (i = 0; i < len; i++)
		for (bit = 0; bit < (truncate_it ? 1 : 8); bit++) {
			unsigned char byte = buf[i] ^ (1 << bit);

			if (truncate_it) {
				ASSERT_EQ(0, ftruncate(fd, i));
			} else {
				ASSERT_EQ(1, pwrite(fd, &byte, 1, i));
			}
			tried++;
			if (open_it(self->path, CRK_VERIFY_ALL) == -EBADMSG) {
				snprintf(why, sizeof(why), "%.500s", log_text(self->log));
				/* a damaged list of checksums may not be able to tell what is damaged */
				found += strstr(why, name) && strchr(why, '\n') == strrchr(why, '\n');
			}
			ASSERT_EQ(len, pwrite(fd, buf, len, 0));
		}
	close(fd);
	EXPECT_EQ(tried, found) {
		TH_LOG("%s: %zd of %zd were not found; last: %s", name, tried - found, tried, why);
	}
	EXPECT_EQ(0, open_it(self->path, CRK_VERIFY_ALL));
}

static const char *const small_files[] = {
	"inventory.img", "crk-inventory.img", "crk-checksum.img", "pstree.img", "fs-41.img", "pages-1.img",
};

TEST_F(images, every_truncation_is_found)
{
	size_t i;

	ASSERT_EQ(0, write_small(self->path, 600));
	for (i = 0; i < ARRAY_SIZE(small_files); i++)
		every(_metadata, self, small_files[i], true);
}

TEST_F(images, every_flipped_bit_is_found)
{
	size_t i;

	ASSERT_EQ(0, write_small(self->path, 600));
	for (i = 0; i < ARRAY_SIZE(small_files); i++)
		every(_metadata, self, small_files[i], false);
}

TEST_F(images, damaged_pages)
{
	struct crk_imgdir *dir;
	char file[512];
	int fd;

	ASSERT_EQ(0, write_small(self->path, PAGES_LEN));
	snprintf(file, sizeof(file), "%s/pages-1.img", self->path);
	fd = open(file, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(4, pwrite(fd, "oops", 4, CRK_IMG_CHUNK + 17));
	EXPECT_EQ(-EBADMSG, open_it(self->path, CRK_VERIFY_ALL));
	EXPECT_STREQ("crkhelper: test: image pages-1.img is damaged (checksum differs); "
		     "take another copy of the checkpoint\n", log_text(self->log));

	/* to look at it, pages are not read */
	ASSERT_EQ(0, crk_imgdir_open(self->path, CRK_VERIFY_TABLES, &dir));
	EXPECT_EQ(-EBADMSG, crk_imgdir_verify_pages(dir));
	crk_imgdir_close(dir);
	log_text(self->log);

	ASSERT_EQ(0, ftruncate(fd, PAGES_LEN - 1));
	EXPECT_EQ(-EBADMSG, open_it(self->path, CRK_VERIFY_TABLES));
	EXPECT_NE(NULL, strstr(log_text(self->log), "pages-1.img is damaged (it has "));
	close(fd);
}

TEST_F(images, missing_files)
{
	char file[512], away[512];
	size_t i;

	ASSERT_EQ(0, write_small(self->path, 100));
	for (i = 0; i < ARRAY_SIZE(small_files); i++) {
		const char *text;

		snprintf(file, sizeof(file), "%s/%s", self->path, small_files[i]);
		snprintf(away, sizeof(away), "%s/away", self->base);
		ASSERT_EQ(0, rename(file, away));
		EXPECT_EQ(i ? -EBADMSG : -ENODATA, open_it(self->path, CRK_VERIFY_ALL));
		text = log_text(self->log);
		EXPECT_NE(NULL, strstr(text, small_files[i])) {
			TH_LOG("%s: %s", small_files[i], text);
		}
		EXPECT_NE(NULL, strstr(text, i ? "missing" : "not a complete checkpoint"));
		ASSERT_EQ(0, rename(away, file));
	}
	EXPECT_EQ(0, open_it(self->path, CRK_VERIFY_ALL));

	EXPECT_EQ(-ENOENT, open_it(away, CRK_VERIFY_ALL));
	EXPECT_NE(NULL, strstr(log_text(self->log), "No such file"));
}

TEST_F(images, made_by_another_tool)
{
	char file[512];

	ASSERT_EQ(0, write_small(self->path, 100));
	snprintf(file, sizeof(file), "%s/crk-checksum.img", self->path);
	ASSERT_EQ(0, unlink(file));
	snprintf(file, sizeof(file), "%s/crk-inventory.img", self->path);
	ASSERT_EQ(0, unlink(file));
	EXPECT_EQ(-EPROTO, open_it(self->path, CRK_VERIFY_ALL));
	EXPECT_NE(NULL, strstr(log_text(self->log), "was made by another tool"));
}

/* a file that is not listed is not part of the checkpoint */
TEST_F(images, foreign_file)
{
	struct crk_imgdir *dir;
	struct crk_img *img;
	char file[512];
	int fd;

	ASSERT_EQ(0, write_small(self->path, 100));
	snprintf(file, sizeof(file), "%s/core-7.img", self->path);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, crk_imgdir_open(self->path, CRK_VERIFY_RESTORE, &dir));
	EXPECT_EQ(-ENOENT, crk_img_open(dir, CRK_IMG_CORE, 7, &img));
	crk_imgdir_close(dir);
}

static int write_odd_inventory(const char *path, uint32_t format, uint32_t machine, uint32_t version)
{
	CrkInventoryEntry e = CRK_INVENTORY_ENTRY__INIT;
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	struct crk_imgdir *dir;
	int err;

	remove_all(path);
	err = crk_imgdir_create(path, &dir);
	if (err)
		return err;
	e.format = format;
	e.crk_version = (char *)"9.9";
	e.machine = machine;
	inv.img_version = version;
	err = crk_img_write_one(dir, CRK_IMG_CRK_INVENTORY, 0, &e.base) ?:
	      crk_img_write_one(dir, CRK_IMG_INVENTORY, 0, &inv.base) ?: crk_imgdir_commit(dir);
	crk_imgdir_close(dir);
	return err;
}

TEST_F(images, other_machine_and_format)
{
	ASSERT_EQ(0, write_odd_inventory(self->path, CRK_IMG_FORMAT, EM_AARCH64, CRK_IMG_VERSION));
	EXPECT_EQ(-ENOEXEC, open_it(self->path, CRK_VERIFY_ALL));
	EXPECT_NE(NULL, strstr(log_text(self->log), "is of another machine: arm64"));
	EXPECT_EQ(0, open_it(self->path, CRK_VERIFY_TABLES));	/* can be shown anywhere */

	ASSERT_EQ(0, write_odd_inventory(self->path, CRK_IMG_FORMAT_PACKED + 1, crk_machine(), CRK_IMG_VERSION));
	EXPECT_EQ(-EPROTO, open_it(self->path, CRK_VERIFY_ALL));
	EXPECT_EQ(-EPROTO, open_it(self->path, CRK_VERIFY_TABLES));
	EXPECT_NE(NULL, strstr(log_text(self->log), "made by crkhelper 9.9"));

	ASSERT_EQ(0, write_odd_inventory(self->path, CRK_IMG_FORMAT, crk_machine(), CRK_IMG_VERSION + 1));
	EXPECT_EQ(-EPROTO, open_it(self->path, CRK_VERIFY_ALL));
}

TEST_HARNESS_MAIN
