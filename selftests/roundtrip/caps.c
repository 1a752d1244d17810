// SPDX-License-Identifier: GPL-2.0
/*
 * Capabilities: the five sets and securebits.
 */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#define BIT(cap)	(1ULL << (cap))

static void caps_set(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ effective, permitted, inheritable },
		{ effective >> 32, permitted >> 32, inheritable >> 32 },
	};

	MUST(!syscall(SYS_capset, &head, data));
}

static char *cap_lines(void)
{
	static const char *const lines[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:" };
	char *text = file_text("/proc/self/status"), *all = calloc(1, 1024);
	size_t i;

	for (i = 0; i < 5; i++) {
		char *line = text_line(text, lines[i]);

		MUST(line);
		strcat(strcat(all, line), "\n");
	}
	return all;
}

static void with_child(void (*take)(void))
{
	char *before;
	int bits;
	pid_t pid;

	MUST(!chmod(".", 0777));
	pid = fork_child();
	if (!pid) {
		take();
		before = cap_lines();
		bits = prctl(PR_GET_SECUREBITS);
		event_set("taken");
		event_wait("go");
		MUST_STR(cap_lines(), before);
		MUST_EQ(prctl(PR_GET_SECUREBITS), bits);
		_exit(0);
	}
	event_wait("taken");
	checkpoint_here();
	event_set("go");
	reap(pid);
}

static void take_none(void)
{
	caps_set(0, 0, 0);
}

ROUNDTRIP(none)
{
	with_child(take_none);
}

static void take_some(void)
{
	caps_set(BIT(CAP_CHOWN) | BIT(CAP_KILL) | BIT(CAP_SYS_TIME) | BIT(CAP_BPF), BIT(CAP_KILL),
		 BIT(CAP_SYS_TIME) | BIT(CAP_PERFMON));
}

ROUNDTRIP(different_sets)
{
	with_child(take_some);
}

static void take_bounded(void)
{
	int cap;

	for (cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_NET_RAW && cap != CAP_SETPCAP)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

ROUNDTRIP(bounding_set)
{
	with_child(take_bounded);
}

/* inheritable beyond the bounding set: allowed if it was raised before */
static void take_beyond(void)
{
	caps_set(~0ULL >> (63 - CAP_LAST_CAP), ~0ULL >> (63 - CAP_LAST_CAP), BIT(CAP_SYS_BOOT));
	MUST(!prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
}

ROUNDTRIP(inheritable_beyond_bound)
{
	with_child(take_beyond);
}

static void take_ambient(void)
{
	uint64_t some = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW);

	MUST(!prctl(PR_SET_KEEPCAPS, 1));
	MUST(!setresuid(1000, 1000, 1000));
	caps_set(some, some, some);
	MUST(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	MUST(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
}

ROUNDTRIP(ambient)
{
	with_child(take_ambient);
}

static void take_securebits(void)
{
	MUST(!prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		    SECBIT_KEEP_CAPS_LOCKED));
}

ROUNDTRIP(securebits)
{
	with_child(take_securebits);
}

TEST_HARNESS_MAIN
