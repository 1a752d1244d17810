// SPDX-License-Identifier: GPL-2.0
/*
 * The log of a call: what errno can't tell, as text for the caller.  Nothing a user does may reach dmesg.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "private.h"

#define CRK_LOG_MAX	(64 << 10)

int crk_log_init(struct crk_log *log, u64 uptr, u32 size)
{
	*log = (struct crk_log){};
	if (!uptr || !size)
		return 0;
	log->size = min_t(u32, size, CRK_LOG_MAX);
	log->buf = kvzalloc(log->size, GFP_KERNEL_ACCOUNT);
	return log->buf ? 0 : -ENOMEM;
}

/* a log that can't be written changes nothing: the call's own result counts */
void crk_log_flush(struct crk_log *log, u64 uptr, u32 size)
{
	if (log->buf && copy_to_user(u64_to_user_ptr(uptr), log->buf, log->len + 1))
		log->len = 0;
	kvfree(log->buf);
	*log = (struct crk_log){};
}

int crk_log(struct crk_log *log, int ret, const char *fmt, ...)
{
	va_list args;

	if (!log || !log->buf)
		return ret;
	if (log->len)
		log->len += scnprintf(log->buf + log->len, log->size - log->len, "\n");
	va_start(args, fmt);
	log->len += vscnprintf(log->buf + log->len, log->size - log->len, fmt, args);
	va_end(args);
	return ret;
}
