// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoint directories and images: every kind goes round, and a directory is a checkpoint only after the commit.  Runs on
 * the host as well as in a guest.
 *
 * crk-test: rootfs=host timeout=300 abi=x86_64
 *
 * With CRK_SAMPLES=DIR in the environment the test "samples" leaves a checkpoint with one of each image there.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "small.h"

#define NR_FURTHER	3	/* messages after the first */

static const struct kind {
	enum crk_img_type type;
	const char *name;
	const ProtobufCMessageDescriptor *first, *further;
} kinds[] = {
#define CRK_IMAGE(type, name, magic, first, further, flags)	\
	{ CRK_IMG_##type, name, &first##__descriptor, &further##__descriptor },
#define CRK_IMAGE_RAW(type, name)	{ CRK_IMG_##type, name, NULL, NULL },
#include "image.def"
};

#define for_each_kind(k)	for ((k) = kinds; (k) < kinds + ARRAY_SIZE(kinds); (k)++)

/* ---- messages with every field set, to values that differ ---- */

static ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *desc, unsigned int seed);

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

static void value_set(const ProtobufCFieldDescriptor *field, void *to, unsigned int seed)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*(uint64_t *)to = seed * 0x9e3779b97f4a7c15ULL;
		break;
	case PROTOBUF_C_TYPE_STRING:
		if (asprintf((char **)to, "%s %u", field->name, seed) < 0)
			abort();
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)to = message_make(field->descriptor, seed);
		break;
	case PROTOBUF_C_TYPE_BYTES: {
		ProtobufCBinaryData *bin = to;

		bin->len = 128;
		bin->data = malloc(bin->len);
		memset(bin->data, seed, bin->len);
		break;
	}
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = 1;
		break;
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumDescriptor *values = field->descriptor;

		*(int *)to = values->values[seed % values->n_values].value;
		break;
	}
	default:
		*(uint32_t *)to = seed * 0x9e3779b1U;
	}
}

static ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *desc, unsigned int seed)
{
	ProtobufCMessage *msg = malloc(desc->sizeof_message);
	unsigned int i, n;

	protobuf_c_message_init(desc, msg);
	for (i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		char *member = (char *)msg + field->offset;
		char *quantifier = (char *)msg + field->quantifier_offset;

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t size = value_size(field->type), nr = 16;
			char *items = calloc(nr, size);

			for (n = 0; n < nr; n++)
				value_set(field, items + n * size, seed + i + n);
			*(size_t *)quantifier = nr;
			*(void **)member = items;
			continue;
		}
		if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
		    field->type != PROTOBUF_C_TYPE_MESSAGE)
			*(protobuf_c_boolean *)quantifier = 1;
		value_set(field, member, seed + i);
	}
	return msg;
}

/* bytes that follow a message of this kind; says so in the message */
static size_t payload_len(ProtobufCMessage *msg)
{
	if (msg->descriptor == &pipe_data_entry__descriptor)
		return ((PipeDataEntry *)msg)->bytes = 5000;
	if (msg->descriptor == &sk_packet_entry__descriptor)
		return ((SkPacketEntry *)msg)->length = 300;
	if (msg->descriptor == &ghost_chunk_entry__descriptor)
		return ((GhostChunkEntry *)msg)->len = 4096;
	if (msg->descriptor == &ipc_shm_entry__descriptor) {
		((IpcShmEntry *)msg)->in_pagemaps = 0;
		return ((IpcShmEntry *)msg)->size = 8192;
	}
	return 0;
}

static bool same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t len = protobuf_c_message_get_packed_size(a);
	uint8_t *pa, *pb;
	bool same;

	if (a->descriptor != b->descriptor || protobuf_c_message_get_packed_size(b) != len)
		return false;
	pa = malloc(len + 1);
	pb = malloc(len + 1);
	protobuf_c_message_pack(a, pa);
	protobuf_c_message_pack(b, pb);
	same = !memcmp(pa, pb, len);
	free(pa);
	free(pb);
	return same;
}

static bool is_inventory(enum crk_img_type type)
{
	return type == CRK_IMG_INVENTORY || type == CRK_IMG_CRK_INVENTORY ||
	       type == CRK_IMG_CRK_CHECKSUM;
}

static int write_kind(struct crk_imgdir *dir, const struct kind *k)
{
	unsigned char payload[8192];
	struct crk_img *img;
	unsigned int i;
	int err;

	if (!k->first)
		return write_pages(dir, SAMPLE_ID, PAGES_LEN);
	err = crk_img_create(dir, k->type, SAMPLE_ID, &img);
	for (i = 0; i <= NR_FURTHER && !err; i++) {
		ProtobufCMessage *msg = message_make(i ? k->further : k->first, i);
		size_t len = payload_len(msg);

		fill(payload, len, i);
		err = crk_img_put(img, msg) ?: crk_img_put_raw(img, payload, len);
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	return crk_img_close(img) ?: err;
}

static int write_samples(const char *path)
{
	const struct kind *k;
	struct crk_imgdir *dir;
	int err;

	err = crk_imgdir_create(path, &dir);
	if (err)
		return err;
	for_each_kind(k)
		if (!err && !is_inventory(k->type))
			err = write_kind(dir, k);
	err = err ?: write_inventory(dir) ?: crk_imgdir_commit(dir);
	crk_imgdir_close(dir);
	return err;
}

static int check_kind(struct crk_imgdir *dir, const struct kind *k)
{
	unsigned char payload[8192], want[8192];
	struct crk_img *img;
	unsigned int i;
	int ret;

	ret = crk_img_open(dir, k->type, SAMPLE_ID, &img);
	for (i = 0; i <= NR_FURTHER && !ret; i++) {
		ProtobufCMessage *msg = message_make(i ? k->further : k->first, i), *got = NULL;
		size_t len = payload_len(msg);

		fill(want, len, i);
		ret = crk_img_get(img, &got) == 1 && same_message(msg, got) ? 0 : -EINVAL;
		if (!ret)
			ret = crk_img_get_raw(img, payload, len);
		if (!ret && memcmp(payload, want, len))
			ret = -EINVAL;
		protobuf_c_message_free_unpacked(msg, NULL);
		protobuf_c_message_free_unpacked(got, NULL);
	}
	if (!ret) {
		ProtobufCMessage *end;

		ret = crk_img_get(img, &end);
	}
	crk_img_close(img);
	return ret;
}

/* ---- tests ---- */

TEST_F(images, every_kind_goes_round)
{
	unsigned char *pages = malloc(PAGES_LEN), *want = malloc(PAGES_LEN);
	struct crk_imgdir *dir;
	struct crk_img *img;
	const struct kind *k;

	ASSERT_EQ(0, write_samples(self->path));
	ASSERT_EQ(0, crk_imgdir_open(self->path, CRK_VERIFY_RESTORE, &dir));
	for_each_kind(k)
		if (k->first && !is_inventory(k->type))
			EXPECT_EQ(0, check_kind(dir, k)) {
				TH_LOG("type %d: %s", k->type, log_text(self->log));
			}
	EXPECT_STREQ("/job", crk_imgdir_inventory(dir)->cgroup);
	EXPECT_EQ(crk_machine(), crk_imgdir_inventory(dir)->machine);
	EXPECT_EQ(getpagesize(), crk_imgdir_inventory(dir)->page_size);

	ASSERT_EQ(0, crk_img_open(dir, CRK_IMG_PAGES, SAMPLE_ID, &img));
	fill(want, PAGES_LEN, SAMPLE_ID);
	ASSERT_EQ(0, crk_img_get_raw(img, pages, 100));
	EXPECT_EQ(0, memcmp(pages, want, 100));
	ASSERT_EQ(PAGES_LEN - 100, read(crk_img_fd(img), pages, PAGES_LEN));
	EXPECT_EQ(0, memcmp(pages, want + 100, PAGES_LEN - 100));
	EXPECT_EQ(0, crk_img_close(img));
	EXPECT_STREQ("", log_text(self->log));
	EXPECT_EQ(-ENOENT, crk_img_open(dir, CRK_IMG_CORE, 999, &img));
	EXPECT_STREQ("", log_text(self->log));
	crk_imgdir_close(dir);
	free(pages);
	free(want);
}

/* more messages than memory is used for, and a long one, behind a kernel-written part */
TEST_F(images, large_image)
{
	const unsigned int nr = 200000, len = 3 << 20;
	unsigned char *big = malloc(len), *back = malloc(len);
	PagemapHead head = PAGEMAP_HEAD__INIT;
	PagemapEntry e = PAGEMAP_ENTRY__INIT;
	struct crk_imgdir *dir;
	ProtobufCMessage *msg;
	struct crk_img *img;
	unsigned int i;

	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	ASSERT_EQ(0, crk_img_create(dir, CRK_IMG_PAGEMAP, 1, &img));
	ASSERT_EQ(0, crk_img_put(img, &head.base));
	for (i = 0; i < nr; i++) {
		crk_pagemap_set(&e, 4096ULL * i, i, PE_PRESENT);
		ASSERT_EQ(0, crk_img_put(img, &e.base));
	}
	fill(big, len, 3);
	ASSERT_EQ(0, crk_img_put_raw(img, big, len));
	ASSERT_EQ(0, crk_img_put(img, &e.base));
	ASSERT_EQ(4, write(crk_img_fd(img), "tail", 4));
	ASSERT_EQ(0, crk_img_close(img));
	ASSERT_EQ(0, write_inventory(dir));
	ASSERT_EQ(0, crk_imgdir_commit(dir));
	crk_imgdir_close(dir);

	ASSERT_EQ(0, crk_imgdir_open(self->path, CRK_VERIFY_RESTORE, &dir));
	ASSERT_EQ(0, crk_img_open(dir, CRK_IMG_PAGEMAP, 1, &img));
	ASSERT_EQ(1, crk_img_get(img, &msg));
	protobuf_c_message_free_unpacked(msg, NULL);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(1, crk_img_get(img, &msg));
		ASSERT_EQ(4096ULL * i, ((PagemapEntry *)msg)->vaddr);
		ASSERT_EQ(i, crk_pagemap_nr((PagemapEntry *)msg));
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	ASSERT_EQ(0, crk_img_get_raw(img, back, len));
	EXPECT_EQ(0, memcmp(big, back, len));
	ASSERT_EQ(1, crk_img_get(img, &msg));
	protobuf_c_message_free_unpacked(msg, NULL);
	EXPECT_EQ(4, crk_img_left(img));
	ASSERT_EQ(0, crk_img_get_raw(img, back, 4));
	EXPECT_EQ(0, memcmp("tail", back, 4));
	EXPECT_EQ(-EBADMSG, crk_img_get_raw(img, back, 1));
	EXPECT_NE(NULL, strstr(log_text(self->log), "pagemap-1.img is damaged"));
	crk_img_close(img);
	crk_imgdir_close(dir);
	free(big);
	free(back);
}

static unsigned int nr_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int nr = 0;

	while (d && readdir(d))
		nr++;
	if (d)
		closedir(d);
	return nr;
}

TEST_F(images, nothing_is_left_without_a_commit)
{
	struct crk_imgdir *dir;

	/* a directory that we make */
	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	ASSERT_EQ(0, write_pages(dir, 1, 5000));
	ASSERT_EQ(0, write_inventory(dir));
	EXPECT_EQ(-ENODATA, open_it(self->path, CRK_VERIFY_ALL));
	EXPECT_NE(NULL, strstr(log_text(self->log), "is not a complete checkpoint (inventory.img is missing)"));
	crk_imgdir_close(dir);
	EXPECT_EQ(-1, access(self->path, F_OK));

	/* one that was there */
	ASSERT_EQ(0, mkdir(self->path, 0700));
	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	ASSERT_EQ(0, write_pages(dir, 1, 5000));
	EXPECT_EQ(3, nr_entries(self->path));
	crk_imgdir_close(dir);
	EXPECT_EQ(2, nr_entries(self->path));
	crk_imgdir_close(NULL);
	EXPECT_EQ(0, crk_img_close(NULL));
}

TEST_F(images, directory_must_be_empty)
{
	struct crk_imgdir *dir;
	char file[512];
	int fd;

	ASSERT_EQ(0, write_small(self->path, 100));
	EXPECT_EQ(-EEXIST, crk_imgdir_create(self->path, &dir));
	EXPECT_NE(NULL, strstr(log_text(self->log), "already holds a checkpoint"));
	EXPECT_EQ(0, open_it(self->path, CRK_VERIFY_ALL));

	snprintf(file, sizeof(file), "%s/inventory.img", self->path);
	ASSERT_EQ(0, unlink(file));
	EXPECT_EQ(-EEXIST, crk_imgdir_create(self->path, &dir));
	EXPECT_NE(NULL, strstr(log_text(self->log), "remains of a dump that was killed"));

	snprintf(file, sizeof(file), "%s/notes", self->base);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_EQ(-EEXIST, crk_imgdir_create(self->base, &dir));
	EXPECT_EQ(NULL, strstr(log_text(self->log), "hint"));
	EXPECT_EQ(-ENOTDIR, crk_imgdir_create(file, &dir));
	snprintf(file, sizeof(file), "%s/no/dir", self->base);
	EXPECT_EQ(-ENOENT, crk_imgdir_create(file, &dir));
}

TEST_F(images, bugs_are_refused)
{
	CoreEntry core = CORE_ENTRY__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	PstreeEntry ps = PSTREE_ENTRY__INIT;
	struct crk_imgdir *dir;
	struct crk_img *img;

	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	EXPECT_EQ(-EINVAL, crk_imgdir_commit(dir));		/* no inventory */
	core.tc = &tc;					/* without comm */
	EXPECT_EQ(-EINVAL, crk_img_write_one(dir, CRK_IMG_CORE, 1, &core.base));
	EXPECT_NE(NULL, strstr(log_text(self->log), "core-1.img"));
	EXPECT_EQ(-EINVAL, crk_img_write_one(dir, CRK_IMG_CORE, 1, &ps.base));	/* of another image */
	ASSERT_EQ(0, write_inventory(dir));
	ASSERT_EQ(0, crk_img_create(dir, CRK_IMG_PSTREE, 0, &img));
	EXPECT_EQ(-EBUSY, crk_imgdir_commit(dir));		/* an image is open */
	EXPECT_EQ(0, crk_img_close(img));
	EXPECT_EQ(0, crk_img_write_one(dir, CRK_IMG_PSTREE, 0, &ps.base));
	EXPECT_EQ(-EEXIST, crk_imgdir_commit(dir));		/* pstree.img twice */
	crk_imgdir_close(dir);
	EXPECT_EQ(-1, access(self->path, F_OK));
}

/* a file system that takes no more */
TEST_F(images, write_error)
{
	struct rlimit old, limit;
	struct crk_imgdir *dir;
	struct crk_img *img;
	unsigned char *buf = calloc(1, 3 << 20);

	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = 100;

	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	ASSERT_EQ(0, crk_img_create(dir, CRK_IMG_GHOST_FILE, 31, &img));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-EFBIG, crk_img_put_raw(img, buf, 3 << 20));
	EXPECT_EQ(-EFBIG, crk_img_put_raw(img, buf, 1));
	EXPECT_STREQ("", strstr(log_text(self->log), "\n") + 1);	/* said once */
	EXPECT_EQ(0, crk_img_close(img));
	crk_imgdir_close(dir);
	EXPECT_EQ(-1, access(self->path, F_OK));

	/* in memory until the commit */
	ASSERT_EQ(0, crk_imgdir_create(self->path, &dir));
	ASSERT_EQ(0, crk_img_create(dir, CRK_IMG_GHOST_FILE, 31, &img));
	ASSERT_EQ(0, crk_img_put_raw(img, buf, 1000));
	ASSERT_EQ(0, crk_img_close(img));
	ASSERT_EQ(0, write_inventory(dir));
	EXPECT_EQ(-EFBIG, crk_imgdir_commit(dir));
	EXPECT_NE(NULL, strstr(log_text(self->log), "cannot write image "));
	crk_imgdir_close(dir);
	EXPECT_EQ(-1, access(self->path, F_OK));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
	free(buf);
}

TEST_F(images, descriptor_is_moved)
{
	struct crk_imgdir *dir;

	ASSERT_EQ(0, write_small(self->path, 100));
	ASSERT_EQ(0, crk_imgdir_open(self->path, CRK_VERIFY_RESTORE, &dir));
	EXPECT_EQ(0, crk_imgdir_raise_fd(dir, 500));
	EXPECT_LE(500, crk_imgdir_fd(dir));
	EXPECT_EQ(FD_CLOEXEC, fcntl(crk_imgdir_fd(dir), F_GETFD));
	EXPECT_EQ(0, crk_imgdir_verify_pages(dir));
	crk_imgdir_close(dir);
}

TEST_F(images, samples)
{
	EXPECT_EQ(0, write_samples(getenv("CRK_SAMPLES") ?: self->path)) {
		TH_LOG("%s", log_text(self->log));
	}
}

TEST_HARNESS_MAIN
