// SPDX-License-Identifier: GPL-2.0
/*
 * crk-checksum.img, the list of all files of a checkpoint with their sizes and checksums: written and read.  It ends
 * with its own checksum.  Looks into no other file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"

#define CHECKSUM_MAX	(256UL << 20)	/* a list longer than that is not one of ours */

static const uint32_t checksum_header[2] = { 0x206b7263, 0x6d757363 };	/* "crk ", "csum" */

/* appends a message in the framing of images to a growing buffer */
static int append_checksum(unsigned char **buf, size_t *len, const CrkChecksumEntry *e)
{
	uint32_t packed = crk_checksum_entry__get_packed_size(e);
	unsigned char *bigger = realloc(*buf, *len + sizeof(packed) + packed);

	if (!bigger)
		return crk_oom();
	*buf = bigger;
	memcpy(bigger + *len, &packed, sizeof(packed));
	crk_checksum_entry__pack(e, bigger + *len + sizeof(packed));
	*len += sizeof(packed) + packed;
	return 0;
}

int crk_imgdir_pack_checksums(struct crk_imgdir *dir, unsigned char **buf_ret, size_t *len_ret)
{
	_cleanup_free_ unsigned char *buf = NULL;
	size_t i, len = sizeof(checksum_header);
	CrkChecksumEntry e;
	uint64_t sum;
	int err = 0;

	buf = malloc(len);
	if (!buf)
		return crk_oom();
	memcpy(buf, checksum_header, len);
	for (i = 0; i < dir->nr_files && !err; i++) {
		const struct crk_imgfile *file = &dir->files[i];

		crk_checksum_entry__init(&e);
		e.name = file->name;
		e.size = file->size;
		*(file->nr_dead ? &e.live_chunk : &e.chunk) = file->chunks;
		*(file->nr_dead ? &e.n_live_chunk : &e.n_chunk) = file->nr_chunks;
		e.dead = file->dead;
		e.n_dead = file->nr_dead;
		err = append_checksum(&buf, &len, &e);
	}
	if (err)
		return err;
	sum = crk_checksum(buf, len);
	crk_checksum_entry__init(&e);
	e.name = "";
	e.size = len;
	e.chunk = &sum;
	e.n_chunk = 1;
	err = append_checksum(&buf, &len, &e);
	if (err)
		return err;
	*buf_ret = steal_ptr(&buf);
	*len_ret = len;
	return 0;
}

int crk_imgdir_write_checksums(struct crk_imgdir *dir)
{
	_cleanup_free_ unsigned char *buf = NULL;
	_cleanup_close_ int fd = -1;
	size_t index, len;
	int err = crk_imgdir_pack_checksums(dir, &buf, &len);

	err = err ?: crk_imgdir_add_file(dir, CHECKSUM_IMG, &fd, &index);
	if (err)
		return err;
	dir->files[index].size = len;
	err = write_all(fd, buf, len);
	return err ? crk_err(err, "cannot write image %s", CHECKSUM_IMG) : 0;
}

/* one entry of the list of files: 0, or -EBADMSG without a message */
static int take_checksum(struct crk_imgdir *dir, const CrkChecksumEntry *e)
{
	const uint64_t *chunks = e->n_dead ? e->live_chunk : e->chunk;
	size_t nr_chunks = e->n_dead ? e->n_live_chunk : e->n_chunk, i;
	struct crk_imgfile *file;

	if (strchr(e->name, '/') || nr_chunks != crk_imgdir_nr_chunks(e->size) || e->n_dead % 2)
		return -EBADMSG;
	for (i = 0; i < e->n_dead; i++)
		if (e->dead[i] > e->size || (i && e->dead[i] <= e->dead[i - 1]))
			return -EBADMSG;
	if (dir->nr_files && strcmp(dir->files[dir->nr_files - 1].name, e->name) >= 0)
		return -EBADMSG;	/* not in order */
	file = crk_imgdir_add(dir, e->name);
	if (!file)
		return -ENOMEM;
	file->size = e->size;
	file->nr_chunks = nr_chunks;
	file->nr_dead = e->n_dead;
	file->chunks = calloc(nr_chunks + 1, sizeof(*file->chunks));
	file->dead = calloc(e->n_dead + 1, sizeof(*file->dead));
	if (!file->chunks || !file->dead)
		return -ENOMEM;
	if (nr_chunks)
		memcpy(file->chunks, chunks, nr_chunks * sizeof(*file->chunks));
	if (e->n_dead)
		memcpy(file->dead, e->dead, e->n_dead * sizeof(*file->dead));
	return 0;
}

static bool is_trailer(const CrkChecksumEntry *e, const unsigned char *buf, size_t before,
		       bool at_end)
{
	return at_end && e->size == before && e->n_chunk == 1 &&
	       e->chunk[0] == crk_checksum(buf, before);
}

static int parse_checksums(struct crk_imgdir *dir, const unsigned char *buf, size_t len)
{
	size_t pos = sizeof(checksum_header);

	if (len < pos || memcmp(buf, checksum_header, pos))
		return -EBADMSG;
	for (;;) {
		CrkChecksumEntry *e;
		size_t before = pos;
		bool trailer;
		uint32_t packed;
		int err;

		if (len - pos < sizeof(packed))
			return -EBADMSG;
		memcpy(&packed, buf + pos, sizeof(packed));
		pos += sizeof(packed);
		if (len - pos < packed)
			return -EBADMSG;
		e = crk_checksum_entry__unpack(NULL, packed, buf + pos);
		if (!e)
			return -EBADMSG;
		pos += packed;
		trailer = !*e->name;
		if (trailer)
			err = is_trailer(e, buf, before, pos == len) ? 0 : -EBADMSG;
		else
			err = take_checksum(dir, e);
		crk_checksum_entry__free_unpacked(e, NULL);
		if (err || trailer)
			return err;
	}
}

int crk_imgdir_read_checksums(struct crk_imgdir *dir)
{
	_cleanup_free_ char *buf = NULL;
	char label[4096];
	struct stat st;
	size_t len;
	int err;

	if (fstatat(dir->fd, CHECKSUM_IMG, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ?
		       crk_fail(-EBADMSG, "image %s is missing; take another copy of the checkpoint",
				crk_imgdir_label(dir, CHECKSUM_IMG, label)) :
		       crk_err(-errno, "cannot read image %s", CHECKSUM_IMG);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > CHECKSUM_MAX)
		return crk_imgdir_damaged(dir, CHECKSUM_IMG, "it is not a list of checksums");
	err = read_file_at(dir->fd, CHECKSUM_IMG, &buf, &len);
	if (err)
		return crk_err(err, "cannot read image %s", CHECKSUM_IMG);
	err = parse_checksums(dir, (unsigned char *)buf, len);
	if (err == -ENOMEM)
		return crk_oom();
	return err ? crk_imgdir_damaged(dir, CHECKSUM_IMG, "checksum differs") : 0;
}
