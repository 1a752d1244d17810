// SPDX-License-Identifier: GPL-2.0
/* See leak.h. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crk.h"
#include "leak.h"

uint64_t leak_own;

/* calls that have a log: where its address is; its length follows */
static const struct {
	unsigned long nr;
	size_t log;
} logs[] = {
	{ CRK_IOC_INFO, offsetof(struct crk_info, log_uptr) },
	{ CRK_IOC_FREEZE, offsetof(struct crk_freeze, log_uptr) },
	{ CRK_IOC_VERIFY, offsetof(struct crk_verify, log_uptr) },
	{ CRK_IOC_CAPTURE, offsetof(struct crk_capture, log_uptr) },
	{ CRK_IOC_SNAPSHOT, offsetof(struct crk_snapshot, log_uptr) },
	{ CRK_IOC_READ, offsetof(struct crk_read, log_uptr) },
	{ CRK_IOC_PROGRAM, offsetof(struct crk_program, log_uptr) },
	{ CRK_IOC_WAIT, offsetof(struct crk_wait, log_uptr) },
	{ CRK_IOC_SET, offsetof(struct crk_set, log_uptr) },
	{ CRK_IOC_GO, offsetof(struct crk_go, log_uptr) },
};

/*
 * The kernel's half, without the last 2^40 bytes below zero: small negative numbers and masks of signals are there, and
 * neither memory nor text of a kernel.
 */
bool is_kernel_address(uint64_t word)
{
	bool text = word >= 0xffffffff80000000 && word < 0xffffffffff000000;

	return sizeof(long) == 8 && (text || (word >= 0xffff800000000000 && word < 0xffffff0000000000));
}

/* as the kernel prints them, hashed or not; those of programs are shorter, negative numbers are no addresses */
static bool has_address(const char *text)
{
	uint64_t number;
	size_t len;

	for (; *text; text += len ?: 1) {
		len = strspn(text, "0123456789abcdef");
		number = strtoull(text, NULL, 16);
		if (len >= 16 && number != leak_own && number < 0xffffffffff000000)
			return true;
	}
	return false;
}

/* tests give away pointers to nowhere */
static bool log_get(uint64_t from, uint32_t size, char *text, size_t room)
{
	struct iovec local = { text, size < room ? size : room - 1 }, remote = { (void *)(uintptr_t)from, local.iov_len };
	ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

void must_not_leak(unsigned long nr, const void *cmd, int err)
{
	uint32_t size, log_size, at;
	char text[16384];
	uint64_t word;
	size_t i;

	if (err == EFAULT || !cmd)
		return;
	memcpy(&size, cmd, sizeof(size));
	/* of a struct that is longer than any of ours the kernel wrote nothing */
	for (at = 0; size <= 4096 && at + sizeof(word) <= size; at += sizeof(word)) {
		memcpy(&word, (const char *)cmd + at, sizeof(word));
		if (is_kernel_address(word)) {
			fprintf(stderr, "# call %#lx: %#llx at byte %u is an address of the kernel\n", nr,
				(unsigned long long)word, at);
			exit(1);
		}
	}
	for (i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		if (logs[i].nr != nr || size < logs[i].log + sizeof(word) + sizeof(log_size))
			continue;
		memcpy(&word, (const char *)cmd + logs[i].log, sizeof(word));
		memcpy(&log_size, (const char *)cmd + logs[i].log + sizeof(word), sizeof(log_size));
		if (log_get(word, log_size, text, sizeof(text)) && has_address(text)) {
			fprintf(stderr, "# call %#lx: an address is in its log: %s\n", nr, text);
			exit(1);
		}
	}
}
