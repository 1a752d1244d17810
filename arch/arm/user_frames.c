// SPDX-License-Identifier: GPL-2.0
/*
 * ARM for the helper: the frames that the kernel puts on stacks for signal handlers, and takes back when these return.
 *
 * Behind the registers a frame has blocks: magic number, size, contents; a magic number of 0 ends them.  A kernel with CONFIG_IWMMXT
 * begins with one of 160 bytes, used or not, and does without it in a frame from elsewhere if the program has not used
 * iWMMXt.  A kernel without that option takes nothing but its own first block, that of the VFP, and ends the program with
 * SIGSEGV otherwise (seen: frames of Debian's 6.1, which has it, on 6.12 and 7.2, which have not).
 */
#include <signal.h>
#include <string.h>

#include "user.h"

#define IWMMXT_UNUSED	0xb0d9ed01U	/* DUMMY_MAGIC of asm/ucontext.h */
#define IWMMXT_USED	0x12ef842aU	/* IWMMXT_MAGIC */
#define IWMMXT_SIZE	160
#define VFP		0x56465001U	/* VFP_MAGIC */
#define VFP_SIZE	288
#define ROOM		512		/* uc_regspace: all blocks */

/* what the inventory says of the kernel's frames */
enum { FRAMES_PLAIN = 1, FRAMES_IWMMXT = 2 };

static bool is_block(const uint8_t *at, uint32_t magic, uint32_t size)
{
	const uint32_t head[] = { magic, size };

	return !memcmp(at, head, sizeof(head));
}

#ifdef __arm__
#include <ucontext.h>

static volatile uint32_t first_block;

static void look(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)info;
	memcpy((void *)&first_block, ((ucontext_t *)uc)->uc_regspace, sizeof(first_block));
}

uint32_t crk_arm_frame_format(void)
{
	struct sigaction sa = { .sa_sigaction = look, .sa_flags = SA_SIGINFO }, old_sa;
	sigset_t set, old_set;

	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	sigaction(SIGURG, &sa, &old_sa);
	pthread_sigmask(SIG_UNBLOCK, &set, &old_set);
	raise(SIGURG);
	pthread_sigmask(SIG_SETMASK, &old_set, NULL);
	sigaction(SIGURG, &old_sa, NULL);
	return first_block == IWMMXT_UNUSED || first_block == IWMMXT_USED ? FRAMES_IWMMXT : FRAMES_PLAIN;
}
#endif

/* the block that nobody used goes, and what is behind it takes its place */
ssize_t crk_arm_frame_convert(uint8_t *buf, size_t len, uint32_t from, uint32_t to, size_t *changed_ret)
{
	size_t i;

	if (from != FRAMES_IWMMXT || to != FRAMES_PLAIN)
		return -1;
	for (i = 0; i + ROOM <= len; i += 8) {
		if (!is_block(buf + i, IWMMXT_UNUSED, IWMMXT_SIZE) || !is_block(buf + i + IWMMXT_SIZE, VFP, VFP_SIZE))
			continue;
		memmove(buf + i, buf + i + IWMMXT_SIZE, ROOM - IWMMXT_SIZE);
		memset(buf + i + ROOM - IWMMXT_SIZE, 0, IWMMXT_SIZE);
		*changed_ret = ROOM;
		return i;
	}
	return -1;
}
