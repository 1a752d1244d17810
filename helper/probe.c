// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper check: a table of what a dump or a restore needs from kernel and machine, each with a probe that tries
 * it.  A row that is needed and missing makes the exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../arch/host.h"
#include "helper.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77
#define PR_TIMER_CREATE_RESTORE_IDS_GET	2
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA		0x53564d41
#define PR_SET_VMA_ANON_NAME	0
#endif

/* what the module said, asked once */
struct probe_ctx {
	int dev;
	int dev_err;
	struct crk_info info;
};

enum { PROBE_NO, PROBE_YES };

struct probe {
	const char *name;
	bool needed;
	int (*run)(const struct probe_ctx *ctx, char *why, size_t size);
	const char *without;		/* what does not work then */
};

static int probe_device(const struct probe_ctx *ctx, char *why, size_t size)
{
	if (ctx->dev >= 0)
		snprintf(why, size, "ABI %u", ctx->info.out_abi);
	else
		snprintf(why, size, "%s", strerror(-ctx->dev_err));
	return ctx->dev >= 0;
}

static int probe_capability(const struct probe_ctx *ctx, char *why, size_t size)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	unsigned int cap = CAP_CHECKPOINT_RESTORE;
	bool has;

	(void)ctx;
	has = !syscall(SYS_capget, &head, data) && data[cap / 32].effective & (1U << cap % 32);
	if (geteuid())
		snprintf(why, size, "effective uid is %u%s", geteuid(), has ? ": processes of this user" : "");
	return has;
}

static int probe_cgroup2(const struct probe_ctx *ctx, char *why, size_t size)
{
	_cleanup_close_ int fd = -1;

	(void)ctx;
	if (crk_cgroup_open("/", &fd)) {
		snprintf(why, size, "no cgroup v2 file system is mounted");
		return PROBE_NO;
	}
	return PROBE_YES;
}

static int probe_feature(const struct probe_ctx *ctx, uint64_t bit, char *why, size_t size)
{
	if (ctx->dev < 0)
		snprintf(why, size, "the module can't be asked");
	return ctx->dev >= 0 && (ctx->info.out_features & bit);
}

static int probe_guard(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_FREEZE_GUARD, why, size);
}

static int probe_rseq(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_RSEQ, why, size);
}

const struct crk_host_abi *crk_abi_find(uint32_t abi)
{
	const struct crk_host_abi *a;

	for (a = crk_host->abis; a->name; a++)
		if (a->abi == abi)
			return a;
	return NULL;
}

bool crk_abi_works(const struct crk_host_abi *a)
{
	pid_t pid;
	int status;

	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){});
		_exit(a->call() == getpid() ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static int probe_abi(const struct probe_ctx *ctx, const struct crk_host_abi *a, char *why, size_t size)
{
	if (!probe_feature(ctx, a->feature, why, size))
		return PROBE_NO;
	if (crk_abi_works(a))
		return PROBE_YES;
	snprintf(why, size, "%s", a->off);
	return PROBE_NO;
}

static int probe_shmat(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_SHMAT, why, size);
}

static int probe_inotify(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_INOTIFY, why, size);
}

static int probe_snapshot(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_SNAPSHOT, why, size);
}

static int probe_lazy(const struct probe_ctx *ctx, char *why, size_t size)
{
	const char *off = crk_lazy_off();

	if (off)
		snprintf(why, size, "%s", off);
	return !off && probe_feature(ctx, CRK_FEAT_LAZY, why, size);
}

static int probe_soft_dirty(const struct probe_ctx *ctx, char *why, size_t size)
{
	return probe_feature(ctx, CRK_FEAT_SOFT_DIRTY, why, size);
}

/* a process with a chosen pid: our own pid is surely taken, so EEXIST is the answer of a kernel that can */
static int probe_set_tid(const struct probe_ctx *ctx, char *why, size_t size)
{
	pid_t pid = getpid();
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
		uint64_t set_tid, set_tid_size;
	} args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	long ret = syscall(SYS_clone3, &args, sizeof(args));

	(void)ctx;
	if (!ret)
		_exit(0);
	if (ret > 0)
		waitpid(ret, NULL, 0);
	if (ret < 0 && errno != EEXIST)
		snprintf(why, size, "clone3 with set_tid: %s", strerror(errno));
	return ret > 0 || errno == EEXIST;
}

static int probe_timer_ids(const struct probe_ctx *ctx, char *why, size_t size)
{
	(void)ctx;
	if (prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0)
		return PROBE_YES;
	snprintf(why, size, "before Linux 6.15");
	return PROBE_NO;
}

static int probe_anon_name(const struct probe_ctx *ctx, char *why, size_t size)
{
	(void)ctx;
	/* an empty range is accepted by kernels that know the call */
	if (!prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0, 0, NULL))
		return PROBE_YES;
	snprintf(why, size, "CONFIG_ANON_VMA_NAME is off");
	return PROBE_NO;
}

static int probe_pagemap(const struct probe_ctx *ctx, char *why, size_t size)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	(void)ctx;
	if (fd < 0)
		snprintf(why, size, "/proc/self/pagemap: %s", strerror(errno));
	return fd >= 0;
}

static const struct probe probes[] = {
	{ "CAP_CHECKPOINT_RESTORE", true, probe_capability, "nothing: run as root, or with this capability" },
	{ "/dev/crk", true, probe_device, "nothing: load crk.ko" },
	{ "cgroup v2", true, probe_cgroup2, "nothing: mount -t cgroup2 none /sys/fs/cgroup" },
	{ "chosen pids", true, probe_set_tid, "restore: needs Linux 5.5 and CAP_CHECKPOINT_RESTORE" },
	{ "/proc/PID/pagemap", false, probe_pagemap, "tests of page sharing" },
	{ "freeze guard", false, probe_guard, "holding off foreign thaws (they are still noticed)" },
	{ "rseq", false, probe_rseq, "programs with restartable sequences (glibc 2.35 and newer)" },
	{ "SysV shm attach", false, probe_shmat, "programs with SysV shared memory" },
	{ "inotify events", false, probe_inotify, "programs with inotify events that they have not read yet" },
	{ "memory snapshots", false, probe_snapshot, "dump -R holds the processes while their memory is written" },
	{ "write tracking", false, probe_soft_dirty, "--prev-images-dir saves all pages each time" },
	{ "lazy pages", false, probe_lazy, "restore --lazy-pages" },
	{ "timer ids", false, probe_timer_ids, "fast restore of POSIX timers with high ids" },
	{ "names of memory", false, probe_anon_name, "names given by PR_SET_VMA_ANON_NAME" },
};

static void print_row(const struct probe *p, int ok, const char *why, bool json, bool last)
{
	if (json)
		printf("    { \"name\": \"%s\", \"ok\": %s, \"needed\": %s, \"detail\": \"%s\" }%s\n", p->name,
		       ok ? "true" : "false", p->needed ? "true" : "false", why, last ? "" : ",");
	else if (ok)
		printf("  ok       %-22s %s\n", p->name, why);
	else
		printf("  %s  %-22s %s%swithout it: %s\n", p->needed ? "MISSING" : "missing", p->name, why,
		       *why ? "; " : "", p->without);
}

int crk_cmd_check(const struct crk_opts *opts)
{
	struct probe_ctx ctx = { .dev = -1 };
	const struct crk_host_abi *a;
	int failed = 0;
	struct utsname uts;
	size_t i;

	ctx.dev_err = crk_dev_open(&ctx.dev);
	if (!ctx.dev_err)
		ctx.dev_err = crk_dev_info(ctx.dev, &ctx.info);
	if (ctx.dev_err && ctx.dev >= 0) {
		close(ctx.dev);
		ctx.dev = -1;
	}
	uname(&uts);
	if (opts->json)
		printf("{\n  \"kernel\": \"%s\", \"machine\": \"%s\",\n  \"checks\": [\n", uts.release, uts.machine);
	else
		printf("Linux %s on %s\n", uts.release, uts.machine);
	for (a = crk_host->abis; a->name; a++) {
		const struct probe p = { .name = a->name, .without = a->programs };
		char why[128] = "";
		int ok = probe_abi(&ctx, a, why, sizeof(why));

		print_row(&p, ok, why, opts->json, false);
	}
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		char why[128] = "";
		int ok = probes[i].run(&ctx, why, sizeof(why));

		if (!ok && probes[i].needed)
			failed++;
		print_row(&probes[i], ok, why, opts->json, i + 1 == ARRAY_SIZE(probes));
	}
	if (opts->json)
		printf("  ],\n  \"ok\": %s\n}\n", failed ? "false" : "true");
	else
		printf(failed ? "crk can't work here: %d of the needed things missing\n" : "crk can work here\n", failed);
	if (ctx.dev >= 0)
		close(ctx.dev);
	return failed ? CRK_EXIT_FAILED : CRK_EXIT_DONE;
}
