/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Chunks of memory compressed, each on its own, and the way back.
 */
#ifndef _CRK_PACK_H
#define _CRK_PACK_H

#include <stddef.h>
#include <stdint.h>

/* numbers are in crk-packed-N.img */
enum crk_pack_algorithm {
	CRK_PACK_NONE,
	CRK_PACK_ZSTD,		/* level 1: pages are many, and their writer is waited for */
	CRK_PACK_LZ4,
	CRK_NR_PACK_ALGORITHMS
};

#define CRK_PACK_CHUNK	(128UL << 10)	/* much less compresses worse, more is held for each process that is restored */

extern const char * const crk_pack_names[CRK_NR_PACK_ALGORITHMS];	/* "none", "zstd", "lz4" */
extern const char * const crk_pack_suffixes[CRK_NR_PACK_ALGORITHMS];	/* of file names: ".zst" */

/* what compressing and decompressing need beside the data; for one thread at a time */
struct crk_packer;

struct crk_packer *crk_packer_create(void);	/* NULL after crk_oom() */
void crk_packer_destroy(struct crk_packer *p);
/* a buffer of @p, at least @len bytes, contents lost at the next call; NULL after crk_oom() */
unsigned char *crk_packer_buffer(struct crk_packer *p, size_t len);

/* what a frame of @len bytes needs at most */
size_t crk_pack_bound(enum crk_pack_algorithm how, size_t len);
/* 0 or a negative errno, prints nothing */
int crk_pack(struct crk_packer *p, enum crk_pack_algorithm how, const void *from, size_t len, void *to, size_t room,
	     size_t *len_ret);
/* exactly @len bytes; -EBADMSG if the frame is another */
int crk_unpack(struct crk_packer *p, enum crk_pack_algorithm how, const void *frame, size_t frame_len, void *to,
	       size_t len);

#endif /* _CRK_PACK_H */
