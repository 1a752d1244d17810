// SPDX-License-Identifier: GPL-2.0
/*
 * Restore: pages images read, whether they are compressed or not.  What is in them is the business of mem/.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "imgdir.h"
#include "log.h"
#include "pack.h"

struct crk_pages {
	struct crk_imgdir *dir;
	char name[IMG_NAME_MAX];
	int fd;
	enum crk_pack_algorithm how;

	/* compressed */
	uint64_t size;			/* of what is in it */
	size_t chunk_size, nr;
	uint64_t *at;			/* where each frame begins; one more: where the last ends */
	struct crk_packer *packer;
	unsigned char *chunk;		/* the last one of which a part was read */
	size_t chunk_nr;		/* which, from 1 on; 0: none */
};

static int packed_wrong(struct crk_pages *p, uint32_t id)
{
	char name[IMG_NAME_MAX];

	snprintf(name, sizeof(name), "crk-packed-%u.img", id);
	return crk_imgdir_damaged(p->dir, name, "it does not fit its pages");
}

static int packed_take(struct crk_pages *p, uint32_t id, const CrkPackedEntry *e)
{
	const struct crk_imgfile *file;
	size_t i;

	if (e->algorithm == CRK_PACK_NONE || e->algorithm >= CRK_NR_PACK_ALGORITHMS)
		return crk_fail(-EOPNOTSUPP, "pages-%u.img of '%s' is compressed in a way that this crkhelper does not know (%u)",
				id, p->dir->path, e->algorithm);
	p->how = e->algorithm;
	snprintf(p->name, sizeof(p->name), "pages-%u.img%s", id, crk_pack_suffixes[p->how]);
	file = crk_imgdir_find(p->dir, p->name);
	p->size = e->size;
	p->chunk_size = e->chunk_size;
	p->nr = e->n_frame_len;
	if (!file || !p->chunk_size || p->chunk_size > CRK_IMG_CHUNK || p->nr != (e->size + p->chunk_size - 1) / p->chunk_size)
		return packed_wrong(p, id);
	p->at = calloc(p->nr + 1, sizeof(*p->at));
	if (!p->at)
		return crk_oom();
	for (i = 0; i < p->nr; i++)
		p->at[i + 1] = p->at[i] + e->frame_len[i];
	return p->at[p->nr] == file->size ? 0 : packed_wrong(p, id);
}

int crk_pages_open(struct crk_imgdir *dir, uint32_t id, int min_fd, struct crk_pages **ret)
{
	struct crk_pages *p = calloc(1, sizeof(*p));
	_cleanup_close_ int fd = -1;
	ProtobufCMessage *msg;
	int err;

	if (!p)
		return crk_oom();
	p->dir = dir;
	p->fd = -1;
	snprintf(p->name, sizeof(p->name), "pages-%u.img", id);
	if (!crk_imgdir_find(dir, p->name)) {
		err = crk_img_read_one(dir, CRK_IMG_CRK_PACKED, id, &msg);
		if (!err) {
			err = packed_take(p, id, (const CrkPackedEntry *)msg);
			protobuf_c_message_free_unpacked(msg, NULL);
		}
		if (err)
			goto err_close;
	}
	fd = openat(dir->fd, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		err = crk_err(-errno, "cannot open image %s", p->name);
		goto err_close;
	}
	p->fd = fcntl(fd, F_DUPFD_CLOEXEC, min_fd);
	if (p->fd < 0) {
		err = crk_err(-errno, "cannot move a descriptor above %d", min_fd);
		goto err_close;
	}
	*ret = p;
	return 0;

err_close:
	crk_pages_close(p);
	return err;
}

enum crk_pack_algorithm crk_imgdir_packed(struct crk_imgdir *dir, uint64_t *before_ret, uint64_t *after_ret)
{
	enum crk_pack_algorithm how = CRK_PACK_NONE;
	struct crk_pages *p;
	uint32_t id;
	size_t i;

	*before_ret = *after_ret = 0;
	for (i = 0; i < dir->nr_files; i++) {
		if (sscanf(dir->files[i].name, "crk-packed-%u.img", &id) != 1 || crk_pages_open(dir, id, 0, &p))
			continue;
		how = p->how;
		*before_ret += p->size;
		*after_ret += p->nr ? p->at[p->nr] : 0;
		crk_pages_close(p);
	}
	return how;
}

void crk_pages_close(struct crk_pages *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	crk_packer_destroy(p->packer);
	free(p->chunk);
	free(p->at);
	free(p);
}

int crk_pages_fd(const struct crk_pages *p)
{
	return p->how ? -1 : p->fd;
}

size_t crk_pages_chunk_size(const struct crk_pages *p)
{
	return p->chunk_size;
}

static size_t chunk_len(const struct crk_pages *p, size_t i)
{
	return min(p->size - (uint64_t)i * p->chunk_size, (uint64_t)p->chunk_size);
}

static int read_failed(const struct crk_pages *p, int err)
{
	if (err == -ENODATA)
		return crk_imgdir_damaged(p->dir, p->name, "it ends too early");
	if (err == -EBADMSG)
		return crk_imgdir_damaged(p->dir, p->name, "it cannot be decompressed");
	return crk_err(err, "cannot read image %s", p->name);
}

int crk_pages_chunk(const struct crk_pages *p, struct crk_packer *packer, size_t i, void *to, size_t *len_ret)
{
	size_t frame_len;
	unsigned char *frame;
	int err;

	if (i >= p->nr)
		return read_failed(p, -ENODATA);
	frame_len = p->at[i + 1] - p->at[i];
	frame = crk_packer_buffer(packer, frame_len);
	if (!frame)
		return -ENOMEM;
	*len_ret = chunk_len(p, i);
	err = pread_all(p->fd, frame, frame_len, p->at[i]);
	err = err ?: crk_unpack(packer, p->how, frame, frame_len, to, *len_ret);
	return err ? read_failed(p, err) : 0;
}

/* the chunk that has @off, in memory */
static int chunk_get(struct crk_pages *p, uint64_t off)
{
	size_t i = off / p->chunk_size, len;
	int err;

	if (p->chunk_nr == i + 1)
		return 0;
	p->chunk_nr = 0;
	if (!p->packer)
		p->packer = crk_packer_create();
	if (!p->chunk)
		p->chunk = malloc(p->chunk_size);
	if (!p->packer || !p->chunk)
		return p->chunk ? -ENOMEM : crk_oom();
	err = crk_pages_chunk(p, p->packer, i, p->chunk, &len);
	if (!err)
		p->chunk_nr = i + 1;
	return err;
}

int crk_pages_read(struct crk_pages *p, void *buf, size_t len, uint64_t off)
{
	char *to = buf;
	int err = 0;

	if (!p->how) {
		err = pread_all(p->fd, buf, len, off);
		return err ? read_failed(p, err) : 0;
	}
	if (off > p->size || len > p->size - off)
		return read_failed(p, -ENODATA);
	while (len && !err) {
		size_t in = off % p->chunk_size, n = min(len, p->chunk_size - in);

		err = chunk_get(p, off);
		if (!err)
			memcpy(to, p->chunk + in, n);
		to += n;
		off += n;
		len -= n;
	}
	return err;
}
