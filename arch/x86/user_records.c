// SPDX-License-Identifier: GPL-2.0
/*
 * x86 for the helper: what a restored thread sets for itself, by system calls: the ports that it may use, and the local
 * descriptor table of its process.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user.h"

#if defined(__x86_64__) || defined(__i386__)
#include <asm/ldt.h>

#define NR_PORTS	65536U
#define LDT_WRITE	0x11

/* ---- ports ---- */

static bool is_allowed(const struct crk_x86_ports *ports, uint32_t port)
{
	return port / 8 < ports->nr_bytes && !(ports->denied[port / 8] >> port % 8 & 1);
}

static int ports_set(const struct crk_x86_ports *ports)
{
	uint32_t from, to;

	for (from = 0; from < NR_PORTS; from = to) {
		for (to = from + 1; to < NR_PORTS && is_allowed(ports, to) == is_allowed(ports, from); to++)
			;
		if (is_allowed(ports, from) && syscall(SYS_ioperm, from, to - from, 1))
			return -errno;
	}
	return syscall(SYS_iopl, ports->level) ? -errno : 0;
}

/* all of them, for a moment */
static int ports_try(void)
{
	if (syscall(SYS_iopl, 3))
		return -errno;
	syscall(SYS_iopl, 0);
	return 0;
}

/* ---- the local descriptor table ---- */

/* an entry as the CPU has it to what modify_ldt() asks for; the inverse of what the kernel does then */
static void entry_unpack(uint64_t raw, struct user_desc *d)
{
	d->base_addr = (raw >> 16 & 0xffffff) | (raw >> 56 << 24);
	d->limit = (raw & 0xffff) | (raw >> 48 & 0xf) << 16;
	d->seg_32bit = raw >> 54 & 1;
	d->contents = raw >> 42 & 3;
	d->read_exec_only = !(raw >> 41 & 1);
	d->limit_in_pages = raw >> 55 & 1;
	d->seg_not_present = !(raw >> 47 & 1);
	d->useable = raw >> 52 & 1;
}

static int entry_set(uint32_t nr, uint64_t raw)
{
	struct user_desc d = { .entry_number = nr, .read_exec_only = 1, .seg_not_present = 1 };
	int ret;

	if (raw)
		entry_unpack(raw, &d);
	/* an int in a register that the kernel does not extend */
	ret = syscall(SYS_modify_ldt, LDT_WRITE, &d, sizeof(d));
	return ret < 0 ? ret == -1 ? -errno : ret : 0;
}

/* the last one first: each longer table is a new one */
static int segments_set(const struct crk_rec_arch *rec)
{
	uint32_t i;
	int ret = 0;

	for (i = rec->len / sizeof(uint64_t); i-- && !ret;) {
		uint64_t raw;

		memcpy(&raw, rec->data + i * sizeof(raw), sizeof(raw));
		if (raw || i + 1 == rec->len / sizeof(raw))
			ret = entry_set(i, raw);
	}
	return ret;
}

static int segments_try(void)
{
	uint64_t entry;
	int ret = syscall(SYS_modify_ldt, 0, &entry, sizeof(entry));

	return ret < 0 ? ret == -1 ? -errno : ret : 0;
}

/* ---- records ---- */

static bool ports_ok(const struct crk_rec_arch *rec)
{
	const struct crk_x86_ports *ports = (const void *)rec->data;

	return rec->len >= sizeof(*ports) && ports->nr_bytes <= rec->len - sizeof(*ports);
}

static int record_do(const struct crk_rec_arch *rec, bool try, bool leader)
{
	switch (rec->what) {
	case CRK_ARCH_PORTS:
		if (!ports_ok(rec))
			return -EBADMSG;
		return try ? ports_try() : ports_set((const void *)rec->data);
	case CRK_ARCH_SEGMENTS:
		if (try)
			return segments_try();
		return leader ? segments_set(rec) : 0;
	default:
		return 0;
	}
}

static int records_do(const struct crk_rec *recs, size_t len, bool try, bool leader, const char **what)
{
	const struct crk_rec_arch *rec = NULL;
	int ret;

	while ((rec = crk_rec_find(recs, len, CRK_REC_ARCH, rec))) {
		if (rec->rec.size < sizeof(*rec) || rec->len > rec->rec.size - sizeof(*rec))
			ret = -EBADMSG;
		else
			ret = record_do(rec, try, leader);
		if (ret) {
			*what = rec->what == CRK_ARCH_PORTS ? "I/O ports (ioperm, iopl)" :
							      "local descriptor table (modify_ldt)";
			return ret;
		}
	}
	return 0;
}

int crk_x86_thread_check(const struct crk_rec *recs, size_t len, const char **what)
{
	return records_do(recs, len, true, false, what);
}

int crk_x86_thread_set(const struct crk_rec *recs, size_t len, bool leader, const char **what)
{
	return records_do(recs, len, false, leader, what);
}
#endif
