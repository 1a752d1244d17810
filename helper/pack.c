// SPDX-License-Identifier: GPL-2.0
/*
 * Compression: chunks to frames of the standard formats of zstd and lz4, and back.  Knows no images and no files.
 */
#include <errno.h>
#include <stdlib.h>

#include <lz4frame.h>
#include <zstd.h>

#include "log.h"
#include "pack.h"

#define ZSTD_LEVEL	1

const char * const crk_pack_names[CRK_NR_PACK_ALGORITHMS] = {
	[CRK_PACK_NONE] = "none", [CRK_PACK_ZSTD] = "zstd", [CRK_PACK_LZ4] = "lz4",
};

const char * const crk_pack_suffixes[CRK_NR_PACK_ALGORITHMS] = {
	[CRK_PACK_NONE] = "", [CRK_PACK_ZSTD] = ".zst", [CRK_PACK_LZ4] = ".lz4",
};

/* made when they are first needed */
struct crk_packer {
	ZSTD_CCtx *zstd_c;
	ZSTD_DCtx *zstd_d;
	LZ4F_dctx *lz4_d;
	unsigned char *buf;
	size_t room;
};

struct crk_packer *crk_packer_create(void)
{
	struct crk_packer *p = calloc(1, sizeof(*p));

	if (!p)
		crk_oom();
	return p;
}

void crk_packer_destroy(struct crk_packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->zstd_c);
	ZSTD_freeDCtx(p->zstd_d);
	LZ4F_freeDecompressionContext(p->lz4_d);
	free(p->buf);
	free(p);
}

unsigned char *crk_packer_buffer(struct crk_packer *p, size_t len)
{
	if (len > p->room) {
		free(p->buf);
		p->buf = malloc(len);
		p->room = p->buf ? len : 0;
		if (!p->buf)
			crk_oom();
	}
	return p->buf;
}

/* ---- zstd ---- */

static int zstd_pack(struct crk_packer *p, const void *from, size_t len, void *to, size_t room, size_t *len_ret)
{
	if (!p->zstd_c)
		p->zstd_c = ZSTD_createCCtx();
	if (!p->zstd_c)
		return -ENOMEM;
	*len_ret = ZSTD_compressCCtx(p->zstd_c, to, room, from, len, ZSTD_LEVEL);
	return ZSTD_isError(*len_ret) ? -EIO : 0;
}

static int zstd_unpack(struct crk_packer *p, const void *frame, size_t frame_len, void *to, size_t len)
{
	if (!p->zstd_d)
		p->zstd_d = ZSTD_createDCtx();
	if (!p->zstd_d)
		return -ENOMEM;
	return ZSTD_decompressDCtx(p->zstd_d, to, len, frame, frame_len) == len ? 0 : -EBADMSG;
}

/* ---- lz4 ---- */

static LZ4F_preferences_t lz4_preferences(size_t len)
{
	return (LZ4F_preferences_t){
		.frameInfo = { .blockSizeID = LZ4F_max256KB, .blockMode = LZ4F_blockIndependent, .contentSize = len },
	};
}

static int lz4_pack(const void *from, size_t len, void *to, size_t room, size_t *len_ret)
{
	LZ4F_preferences_t prefs = lz4_preferences(len);

	*len_ret = LZ4F_compressFrame(to, room, from, len, &prefs);
	return LZ4F_isError(*len_ret) ? -EIO : 0;
}

static int lz4_unpack(struct crk_packer *p, const unsigned char *frame, size_t frame_len, unsigned char *to, size_t len)
{
	size_t more = 1;

	if (!p->lz4_d && LZ4F_isError(LZ4F_createDecompressionContext(&p->lz4_d, LZ4F_VERSION))) {
		p->lz4_d = NULL;
		return -ENOMEM;
	}
	/* it keeps where it was in a frame that was not ended */
	LZ4F_resetDecompressionContext(p->lz4_d);
	while (more) {
		size_t out = len, in = frame_len;

		more = LZ4F_decompress(p->lz4_d, to, &out, frame, &in, NULL);
		if (LZ4F_isError(more) || (!out && !in))
			return -EBADMSG;
		to += out;
		len -= out;
		frame += in;
		frame_len -= in;
	}
	return len || frame_len ? -EBADMSG : 0;
}

/* ---- either ---- */

size_t crk_pack_bound(enum crk_pack_algorithm how, size_t len)
{
	LZ4F_preferences_t prefs = lz4_preferences(len);

	return how == CRK_PACK_ZSTD ? ZSTD_compressBound(len) : LZ4F_compressFrameBound(len, &prefs);
}

int crk_pack(struct crk_packer *p, enum crk_pack_algorithm how, const void *from, size_t len, void *to, size_t room,
	     size_t *len_ret)
{
	return how == CRK_PACK_ZSTD ? zstd_pack(p, from, len, to, room, len_ret) : lz4_pack(from, len, to, room, len_ret);
}

int crk_unpack(struct crk_packer *p, enum crk_pack_algorithm how, const void *frame, size_t frame_len, void *to,
	       size_t len)
{
	return how == CRK_PACK_ZSTD ? zstd_unpack(p, frame, frame_len, to, len) : lz4_unpack(p, frame, frame_len, to, len);
}
