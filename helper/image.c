// SPDX-License-Identifier: GPL-2.0
/*
 * Images: magics, messages with their length before them, raw bytes.  A small image stays in memory while it is
 * written, so that nothing waits for a file system during a freeze; imgdir.c puts it on disk at the commit.  What was
 * read and checked when the directory was opened is read from memory.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "imgdir.h"
#include "log.h"
#include "util.h"

#define MAGIC_COMMON	0x54564319U	/* first word of CRIU's images */
#define MAGIC_SERVICE	0x55105940U	/* of those that are not part of the checkpoint: statistics */
#define MAGIC_CRK	0x206b7263U	/* "crk " */

#define IMG_V1		(1U << 0)	/* has one magic only */
#define IMG_SERVICE	(1U << 1)
#define IMG_CRK		(1U << 2)
#define IMG_RAW		(1U << 3)	/* has no magic and no messages */

#define BUFFER_SIZE	(64UL << 10)		/* of reading from a file */
#define MEMORY_MAX	(64UL << 20)	/* kept in memory, all images of a directory */

struct img_type {
	const char *name;
	uint32_t magic;
	uint32_t flags;
	const ProtobufCMessageDescriptor *first, *further;
};

static const struct img_type img_types[CRK_NR_IMG_TYPES] = {
#define CRK_IMAGE(type, img_name, img_magic, img_first, img_further, img_flags)		\
	[CRK_IMG_##type] = { .name = img_name, .magic = img_magic, .flags = img_flags,		\
		.first = &img_first##__descriptor, .further = &img_further##__descriptor },
#define CRK_IMAGE_RAW(type, img_name)	[CRK_IMG_##type] = { .name = img_name, .flags = IMG_RAW },
#include "image.def"
#undef CRK_IMAGE
#undef CRK_IMAGE_RAW
};

struct crk_img {
	struct crk_imgdir *dir;
	const struct img_type *type;
	char name[IMG_NAME_MAX];
	int fd;			/* -1: not open */
	size_t nr_messages;
	int err;		/* first error of writing, reported */

	/* writing: what is not yet in the file */
	unsigned char *buf;
	size_t len, room;
	size_t index;		/* in dir->files if fd is open */

	/* reading */
	struct crk_imgfile *file;
	uint64_t pos;
	uint64_t buf_pos;	/* of @buf, @len bytes, if the contents are not in memory */
};

static struct crk_img *img_new(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id)
{
	struct crk_img *img = calloc(1, sizeof(*img));

	if (!img) {
		crk_oom();
		return NULL;
	}
	img->dir = dir;
	img->type = &img_types[type];
	img->fd = -1;
	/* every name of image.def is a format for one unsigned int, or for none */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(img->name, sizeof(img->name), img->type->name, id);
#pragma GCC diagnostic pop
	return img;
}

static void img_free(struct crk_img *img)
{
	int saved = errno;

	if (img->fd >= 0)
		close(img->fd);
	free(img->buf);
	free(img);
	errno = saved;
}

static size_t img_header(const struct img_type *type, uint32_t words[2])
{
	if (type->flags & IMG_RAW)
		return 0;
	words[0] = type->magic;
	if (type->flags & IMG_V1)
		return 4;
	words[0] = type->flags & IMG_CRK ? MAGIC_CRK :
		   type->flags & IMG_SERVICE ? MAGIC_SERVICE : MAGIC_COMMON;
	words[1] = type->magic;
	return 8;
}

static const ProtobufCMessageDescriptor *img_message(const struct crk_img *img)
{
	return img->nr_messages ? img->type->further : img->type->first;
}

/* ---- writing ---- */

static int img_failed(struct crk_img *img, int err)
{
	img->err = err;
	return crk_err(err, "cannot write image %s", img->name);
}

static int img_flush(struct crk_img *img)
{
	int err;

	if (img->fd < 0) {
		err = crk_imgdir_add_file(img->dir, img->name, &img->fd, &img->index);
		if (err) {
			img->err = err;
			return err;
		}
	}
	err = write_all(img->fd, img->buf, img->len);
	if (err)
		return img_failed(img, err);
	img->len = 0;
	return 0;
}

/* @len bytes at the end of the buffer, to be filled in */
static int img_room(struct crk_img *img, size_t len, unsigned char **ret)
{
	if (img->err)
		return img->err;
	if (img->room - img->len < len) {
		size_t room = max(max(img->room * 2, img->len + len), (size_t)512);
		unsigned char *buf = realloc(img->buf, room);

		if (!buf)
			return img->err = crk_oom();
		img->buf = buf;
		img->room = room;
	}
	*ret = img->buf + img->len;
	return 0;
}

static int img_filled(struct crk_img *img, size_t len)
{
	img->len += len;
	/* the commit knows one chunk for what is in memory */
	return img->len > CRK_IMG_CHUNK ? img_flush(img) : 0;
}

int crk_img_create(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		   struct crk_img **ret)
{
	struct crk_img *img = img_new(dir, type, id);
	uint32_t header[2];
	int err;

	if (!img)
		return -ENOMEM;
	err = crk_img_put_raw(img, header, img_header(img->type, header));
	if (err) {
		img_free(img);
		return err;
	}
	dir->nr_writing++;
	*ret = img;
	return 0;
}

int crk_img_put_raw(struct crk_img *img, const void *buf, size_t len)
{
	unsigned char *to;
	int err;

	if (!len)
		return img->err;
	if (len > CRK_IMG_CHUNK) {
		/* not through the buffer */
		err = img->err ? img->err : img_flush(img);
		if (err)
			return err;
		err = write_all(img->fd, buf, len);
		return err ? img_failed(img, err) : 0;
	}
	err = img_room(img, len, &to);
	if (err)
		return err;
	memcpy(to, buf, len);
	return img_filled(img, len);
}

int crk_img_put(struct crk_img *img, const ProtobufCMessage *msg)
{
	unsigned char *to;
	uint32_t len;
	int err;

	if (img->err)
		return img->err;
	if (msg->descriptor != img_message(img) || !protobuf_c_message_check(msg))
		return img->err = crk_fail(-EINVAL, "image %s: message %zu (%s) is not complete, or does not belong here: a bug of crkhelper",
					   img->name, img->nr_messages, msg->descriptor->name);
	len = protobuf_c_message_get_packed_size(msg);
	err = img_room(img, sizeof(len) + len, &to);
	if (err)
		return err;
	memcpy(to, &len, sizeof(len));
	protobuf_c_message_pack(msg, to + sizeof(len));
	img->nr_messages++;
	return img_filled(img, sizeof(len) + len);
}

static int img_close_writing(struct crk_img *img)
{
	struct stat st;
	int err;

	if (img->fd < 0 && img->dir->in_memory + img->len <= MEMORY_MAX) {
		err = crk_imgdir_add_data(img->dir, img->name, img->buf, img->len);
		if (!err)
			img->buf = NULL;
		return err;
	}
	err = img_flush(img);
	if (err)
		return err;
	if (fstat(img->fd, &st))
		return img_failed(img, -errno);
	img->dir->files[img->index].size = st.st_size;
	return 0;
}

/* ---- reading ---- */

static int img_truncated(const struct crk_img *img)
{
	return crk_imgdir_damaged(img->dir, img->name, "it ends too early");
}

static int img_open_file(struct crk_img *img)
{
	if (img->fd >= 0)
		return 0;
	img->fd = openat(img->dir->fd, img->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (img->fd < 0)
		return crk_err(-errno, "cannot open image %s", img->name);
	return 0;
}

static int img_pread(struct crk_img *img, void *buf, size_t len, uint64_t pos)
{
	int err = img_open_file(img);

	if (err)
		return err;
	err = pread_all(img->fd, buf, len, pos);
	if (err == -ENODATA)
		return img_truncated(img);
	return err ? crk_err(err, "cannot read image %s", img->name) : 0;
}

static int img_fill(struct crk_img *img)
{
	int err;

	if (!img->buf) {
		img->buf = malloc(BUFFER_SIZE);
		if (!img->buf)
			return crk_oom();
	}
	img->len = 0;
	img->buf_pos = img->pos;
	err = img_pread(img, img->buf, min(BUFFER_SIZE, img->file->size - img->pos), img->pos);
	if (err)
		return err;
	img->len = min(BUFFER_SIZE, img->file->size - img->pos);
	return 0;
}

int crk_img_get_raw(struct crk_img *img, void *buf, size_t len)
{
	unsigned char *to = buf;
	int err;

	if (len > crk_img_left(img))
		return img_truncated(img);
	if (img->file->data) {
		if (len)
			memcpy(to, img->file->data + img->pos, len);
		img->pos += len;
		return 0;
	}
	while (len) {
		size_t n;

		if (img->pos < img->buf_pos || img->pos >= img->buf_pos + img->len) {
			if (len >= BUFFER_SIZE) {
				err = img_pread(img, to, len, img->pos);
				if (!err)
					img->pos += len;
				return err;
			}
			err = img_fill(img);
			if (err)
				return err;
		}
		n = min(len, (size_t)(img->buf_pos + img->len - img->pos));
		memcpy(to, img->buf + (img->pos - img->buf_pos), n);
		to += n;
		img->pos += n;
		len -= n;
	}
	return 0;
}

uint64_t crk_img_left(struct crk_img *img)
{
	return img->file->size - img->pos;
}

int crk_img_open(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		 struct crk_img **ret)
{
	struct crk_img *img = img_new(dir, type, id);
	uint32_t want[2], have[2];
	size_t len;
	int err;

	if (!img)
		return -ENOMEM;
	img->file = crk_imgdir_find(dir, img->name);
	if (!img->file) {
		img_free(img);
		return -ENOENT;
	}
	err = crk_imgdir_data_get(dir, img->file);
	if (err) {
		img_free(img);
		return err;
	}
	len = img_header(img->type, want);
	err = crk_img_get_raw(img, have, len);
	if (!err && len && memcmp(want, have, len))
		err = crk_imgdir_damaged(img->dir, img->name, "it is an image of another kind");
	if (err) {
		crk_img_close(img);
		return err;
	}
	*ret = img;
	return 0;
}

int crk_img_get(struct crk_img *img, ProtobufCMessage **ret)
{
	_cleanup_free_ unsigned char *copy = NULL;
	const unsigned char *packed;
	uint32_t len;
	int err;

	if (!crk_img_left(img))
		return 0;
	err = crk_img_get_raw(img, &len, sizeof(len));
	if (err)
		return err;
	if (len > crk_img_left(img))
		return img_truncated(img);
	if (img->file->data) {
		packed = img->file->data + img->pos;
		img->pos += len;
	} else {
		copy = malloc(len + 1UL);
		if (!copy)
			return crk_oom();
		err = crk_img_get_raw(img, copy, len);
		if (err)
			return err;
		packed = copy;
	}
	*ret = protobuf_c_message_unpack(img_message(img), NULL, len, packed);
	if (!*ret)
		return crk_imgdir_damaged(img->dir, img->name, "entry %zu makes no sense", img->nr_messages);
	img->nr_messages++;
	return 1;
}

/* ---- both ---- */

int crk_img_fd(struct crk_img *img)
{
	int err;

	if (!img->file) {
		err = img->err ? img->err : img_flush(img);
		return err ? err : img->fd;
	}
	err = img_open_file(img);
	if (err)
		return err;
	if (lseek(img->fd, img->pos, SEEK_SET) < 0)
		return crk_err(-errno, "cannot read image %s", img->name);
	return img->fd;
}

int crk_img_close(struct crk_img *img)
{
	int err = 0;

	if (!img)
		return 0;
	if (!img->file) {
		img->dir->nr_writing--;
		if (!img->err)
			err = img_close_writing(img);
	} else {
		crk_imgdir_data_put(img->file);
	}
	img_free(img);
	return err;
}

int crk_img_write_one(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		      const ProtobufCMessage *msg)
{
	struct crk_img *img;
	int err, close_err;

	err = crk_img_create(dir, type, id, &img);
	if (err)
		return err;
	err = crk_img_put(img, msg);
	close_err = crk_img_close(img);
	return err ? err : close_err;
}

int crk_img_read_one(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		     ProtobufCMessage **ret)
{
	struct crk_img *img;
	int err;

	err = crk_img_open(dir, type, id, &img);
	if (err)
		return err;
	err = crk_img_get(img, ret);
	if (!err)
		err = crk_imgdir_damaged(img->dir, img->name, "it is empty");
	crk_img_close(img);
	return err < 0 ? err : 0;
}
