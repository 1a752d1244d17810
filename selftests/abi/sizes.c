// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl of /dev/crk: structs too short, too long with garbage, too long with zeros; unknown flags; the wrong
 * state of the job; the wrong caller (requirement 2.22).
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

static const struct {
	const char *name;
	unsigned long nr;
	size_t size;
	int fresh;		/* what a new job says, once the struct is right */
	unsigned int flags;	/* known ones */
} calls[] = {
	{ "INFO",	CRK_IOC_INFO,		CRK_INFO_SIZE_VER0,	0 },
	{ "FREEZE",	CRK_IOC_FREEZE,		CRK_FREEZE_SIZE_VER0,	EBADF },
	{ "VERIFY",	CRK_IOC_VERIFY,		CRK_VERIFY_SIZE_VER0,	EBUSY },
	{ "THAW",	CRK_IOC_THAW,		CRK_THAW_SIZE_VER0,	EBUSY, CRK_THAW_LEAVE_FROZEN },
	{ "TASKS",	CRK_IOC_TASKS,		CRK_TASKS_SIZE_VER0,	EBUSY },
	{ "CAPTURE",	CRK_IOC_CAPTURE,	CRK_CAPTURE_SIZE_VER0,	EBUSY },
	{ "VMAS",	CRK_IOC_VMAS,		CRK_VMAS_SIZE_VER0,	EBUSY },
	{ "PAGES",	CRK_IOC_PAGES,		CRK_PAGERUN_SIZE_VER0,	EBUSY },
	{ "READ",	CRK_IOC_READ,		CRK_READ_SIZE_VER0,	EBUSY, CRK_READ_DROP },
	{ "SNAPSHOT",	CRK_IOC_SNAPSHOT,	CRK_SNAPSHOT_SIZE_VER0,	EBUSY, CRK_SNAPSHOT_LOCKED },
	{ "FILES",	CRK_IOC_FILES,		CRK_FILES_SIZE_VER0,	EBUSY },
	{ "QUEUE",	CRK_IOC_QUEUE,		CRK_QUEUE_SIZE_VER0,	EBUSY },
	{ "FD_GET",	CRK_IOC_FD_GET,		CRK_FD_GET_SIZE_VER0,	EBUSY },
	{ "EVENTS",	CRK_IOC_EVENTS,		CRK_EVENTS_SIZE_VER0,	EBUSY },
	{ "PROGRAM",	CRK_IOC_PROGRAM,	CRK_PROGRAM_SIZE_VER0,	EBUSY, CRK_PROGRAM_SHARED },
	{ "PARK",	CRK_IOC_PARK,		CRK_PARK_SIZE_VER0,	EBUSY },
	{ "WAIT",	CRK_IOC_WAIT,		CRK_WAIT_SIZE_VER0,	EBUSY },
	{ "SET",	CRK_IOC_SET,		CRK_SET_SIZE_VER0,	EBUSY, CRK_SET_TIMES },
	{ "GO",		CRK_IOC_GO,		CRK_GO_SIZE_VER0,	EBUSY, CRK_GO_PREPARE },
	{ "EVENTS_PUT",	CRK_IOC_EVENTS_PUT,	CRK_EVENTS_PUT_SIZE_VER0, EBUSY },
	{ "LAZY",	CRK_IOC_LAZY,		CRK_LAZY_SIZE_VER0,	0 },
	{ "VDSO",	CRK_IOC_VDSO,		CRK_VDSO_SIZE_VER0,	0 },
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

/* a struct as large as may be, with a size that is what the test says */
struct blob {
	__u32 size;
	__u32 flags;
	__u8 rest[4096];
};

/* cgroup_fd is the first field after the flags: make it one that does not exist */
static struct blob blob(size_t size)
{
	struct blob b = { .size = size };

	memset(b.rest, 0, sizeof(b.rest));
	return b;
}

static void fix(struct blob *b, unsigned long nr)
{
	__s32 bad = -1;

	if (nr == CRK_IOC_FREEZE)
		memcpy(b->rest, &bad, sizeof(bad));
}

FIXTURE(dev) {
	int fd;
};

FIXTURE_SETUP(dev)
{
	self->fd = device_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(dev)
{
	close(self->fd);
}

TEST_F(dev, too_short)
{
	size_t i, size;

	for (i = 0; i < NR_CALLS; i++) {
		for (size = 0; size < calls[i].size; size += 4) {
			struct blob b = blob(size);

			fix(&b, calls[i].nr);
			EXPECT_EQ(EINVAL, device_call(self->fd, calls[i].nr, &b))
				TH_LOG("%s with %zu bytes", calls[i].name, size);
		}
	}
}

TEST_F(dev, as_it_is)
{
	size_t i;

	for (i = 0; i < NR_CALLS; i++) {
		struct blob b = blob(calls[i].size);

		fix(&b, calls[i].nr);
		EXPECT_EQ(calls[i].fresh, device_call(self->fd, calls[i].nr, &b))
			TH_LOG("%s", calls[i].name);
		EXPECT_EQ(calls[i].size, b.size);
	}
}

TEST_F(dev, longer_with_zeros)
{
	size_t i;

	for (i = 0; i < NR_CALLS; i++) {
		struct blob b = blob(calls[i].size + 64);

		fix(&b, calls[i].nr);
		EXPECT_EQ(calls[i].fresh, device_call(self->fd, calls[i].nr, &b))
			TH_LOG("%s", calls[i].name);
	}
}

TEST_F(dev, longer_with_garbage)
{
	size_t i;

	for (i = 0; i < NR_CALLS; i++) {
		struct blob b = blob(calls[i].size + 64);

		fix(&b, calls[i].nr);
		((__u8 *)&b)[calls[i].size + 63] = 1;
		EXPECT_EQ(E2BIG, device_call(self->fd, calls[i].nr, &b))
			TH_LOG("%s", calls[i].name);
	}
}

TEST_F(dev, unknown_flags)
{
	unsigned int bit;
	size_t i;

	for (i = 0; i < NR_CALLS; i++) {
		for (bit = 0; bit < 32; bit++) {
			struct blob b = blob(calls[i].size);

			if (calls[i].flags & (1U << bit))
				continue;
			fix(&b, calls[i].nr);
			b.flags = 1U << bit;
			EXPECT_EQ(EINVAL, device_call(self->fd, calls[i].nr, &b))
				TH_LOG("%s bit %u", calls[i].name, bit);
		}
	}
}

TEST_F(dev, no_such_ioctl)
{
	struct blob b = blob(64);

	EXPECT_EQ(ENOTTY, device_call(self->fd, _IO(CRK_IOC_MAGIC, 0x1f), &b));
	EXPECT_EQ(ENOTTY, device_call(self->fd, _IO(CRK_IOC_MAGIC, 0xff), &b));
	EXPECT_EQ(ENOTTY, device_call(self->fd, _IOW(CRK_IOC_MAGIC, 0, struct crk_info), &b));
	EXPECT_EQ(ENOTTY, device_call(self->fd, FIONREAD, &b));
}

TEST_F(dev, bad_pointers)
{
	CMD_LOG(crk_info, info);
	size_t i;

	for (i = 0; i < NR_CALLS; i++) {
		EXPECT_EQ(EFAULT, device_call(self->fd, calls[i].nr, NULL));
		EXPECT_EQ(EFAULT, device_call(self->fd, calls[i].nr, (void *)-4096L));
	}
	/* a log that cannot be written changes nothing */
	info.log_uptr = 8;
	EXPECT_EQ(0, device_call(self->fd, CRK_IOC_INFO, &info));
}

TEST_F(dev, info)
{
	CMD_LOG(crk_info, info);

	/* results are set whatever was there before */
	info.out_abi = 0xcccccccc;
	info.out_machine = 0xcccccccc;
	info.out_features = 0xccccccccccccccccULL;
	info.out_page_size = 0xcccccccc;
	ASSERT_EQ(0, device_call(self->fd, CRK_IOC_INFO, &info));
	EXPECT_EQ(CRK_ABI, info.out_abi);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), info.out_page_size);
	EXPECT_TRUE(info.out_features & CRK_FEAT_FREEZE_GUARD) TH_LOG("%s", info_log);
	EXPECT_EQ(0, info.out_features >> 32);
}

TEST_F(dev, reserved_fields)
{
	CMD(crk_info, info, .__reserved = 1);
	CMD(crk_restore, restore, .__reserved = 1, .nr_tasks = 1);

	EXPECT_EQ(EINVAL, device_call(self->fd, CRK_IOC_INFO, &info));
	EXPECT_EQ(EINVAL, device_call(self->fd, CRK_IOC_RESTORE, &restore));
}

/* 0 or the errno of the call in a child, after @prepare */
static int call_in_child(int fd, unsigned long nr, void *cmd, void (*prepare)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (prepare)
			prepare();
		_exit(device_call(fd, nr, cmd));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(dev, only_the_opener)
{
	CMD(crk_freeze, freeze, .cgroup_fd = -1);
	CMD(crk_verify, verify);
	CMD(crk_info, info);

	EXPECT_EQ(EPERM, call_in_child(self->fd, CRK_IOC_FREEZE, &freeze, NULL));
	EXPECT_EQ(EPERM, call_in_child(self->fd, CRK_IOC_VERIFY, &verify, NULL));
	EXPECT_EQ(0, call_in_child(self->fd, CRK_IOC_INFO, &info, NULL));
}

static void drop_caps(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capset, &head, data))
		_exit(99);
}

static void keep_checkpoint_restore(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {};

	data[1].effective = data[1].permitted = 1U << (40 - 32);
	if (syscall(SYS_capset, &head, data))
		_exit(99);
}

TEST_F(dev, needs_capability)
{
	CMD(crk_info, info);

	EXPECT_EQ(EPERM, call_in_child(self->fd, CRK_IOC_INFO, &info, drop_caps));
	EXPECT_EQ(0, call_in_child(self->fd, CRK_IOC_INFO, &info, keep_checkpoint_restore));
}

TEST_HARNESS_MAIN
