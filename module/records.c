// SPDX-License-Identifier: GPL-2.0
/*
 * Walks the records of crk_regs.h that userspace hands in.  Knows their framing and growth, not what they mean.
 */
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "restore.h"

#define CRK_RECS_MAX	SZ_256M		/* some thousand bytes per thread, 32 for a timer */

void *crk_recs_copy(u64 uptr, u64 len, struct crk_log *log)
{
	void *recs;

	if (!len || len % 8 || len > CRK_RECS_MAX)
		return ERR_PTR(crk_log(log, -EINVAL, "records of %llu bytes", len));
	recs = vmemdup_user(u64_to_user_ptr(uptr), len);
	if (IS_ERR(recs))
		crk_log(log, 0, "cannot read the records at %#llx", uptr);
	return recs;
}

const struct crk_rec *crk_rec_next(const void *recs, u64 len, u64 *pos, struct crk_log *log)
{
	const struct crk_rec *rec = recs + *pos;
	u64 left = len - *pos;

	if (!left)
		return NULL;
	if (left < sizeof(*rec) || rec->size < sizeof(*rec) || rec->size > left || rec->size % 8)
		return ERR_PTR(crk_log(log, -EINVAL, "record at byte %llu: its size is wrong", *pos));
	*pos += rec->size;
	return rec;
}

int crk_rec_get(const struct crk_rec *rec, void *dst, size_t size, struct crk_log *log)
{
	size_t len = min_t(size_t, rec->size, size);

	if (rec->size > size && memchr_inv((const void *)rec + size, 0, rec->size - size))
		return crk_log(log, -E2BIG, "record of type %u has fields that this module does not know",
			       rec->type);
	memcpy(dst, rec, len);
	memset(dst + len, 0, size - len);
	return 0;
}
