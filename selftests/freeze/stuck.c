// SPDX-License-Identifier: GPL-2.0
/*
 * A freeze that times out: it names the task that did not stop, where it sleeps and its kernel stack, and leaves all as
 * it was (issue "what only the kernel can see", point 4).
 *
 * The task sleeps in state D because it reads its own memory with process_vm_readv(), and that memory is another
 * thread's to provide, by userfaultfd: such a sleep ends for a fatal signal only.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

static int go[2];
static int uffd;
static char *page;

static void *serve(void *arg)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)page, 4096 } };
	char c;

	prctl(PR_SET_NAME, "server");
	if (read(go[0], &c, 1) != 1 || ioctl(uffd, UFFDIO_ZEROPAGE, &zero))
		_exit(2);
	return NULL;
}

static void read_what_nobody_serves(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char buf[4096] = "not zero";
	struct iovec local = { buf, sizeof(buf) }, remote = { NULL, sizeof(buf) };
	pthread_t server;

	close(go[1]);
	prctl(PR_SET_NAME, "stuck");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	reg.range.start = (uintptr_t)page;
	reg.range.len = 4096;
	remote.iov_base = page;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg) ||
	    pthread_create(&server, NULL, serve, NULL))
		_exit(3);
	task_ready();
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != sizeof(buf) || buf[0])
		_exit(4);
	pthread_join(server, NULL);
}

static bool file_has(const char *path, const char *text)
{
	char buf[16384] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	return n > 0 && strstr(buf, text);
}

/* numbers that are no offsets in functions */
static bool has_address(const char *text)
{
	size_t len;

	for (; *text; text += len ?: 1) {
		len = strspn(text, "0123456789abcdef");
		if (len > 8)
			return true;
	}
	return false;
}

static bool comes_to_d(const char *stat)
{
	int i;

	for (i = 0; !file_has(stat, ") D "); i++) {
		if (i == 3000)
			return false;
		usleep(10000);
	}
	return true;
}

FIXTURE(stuck) {
	char *cgroup, path[64];
	pid_t pid;
	int dir;
};

FIXTURE_SETUP(stuck)
{
	if (syscall(SYS_userfaultfd, O_CLOEXEC) < 0)
		SKIP(return, "no userfaultfd: %s", strerror(errno));
	ASSERT_EQ(0, pipe(go));
	self->cgroup = cgroup_make(NULL, "stuck");
	self->dir = cgroup_fd(self->cgroup);
	self->pid = task_start(self->cgroup, read_what_nobody_serves, NULL);
	close(go[0]);
	snprintf(self->path, sizeof(self->path), "/proc/%d/stat", self->pid);
	ASSERT_TRUE(comes_to_d(self->path));
}

FIXTURE_TEARDOWN(stuck)
{
	if (!self->cgroup)
		return;
	close(self->dir);
	cgroup_remove(self->cgroup);
	close(go[1]);
}

static int try_freeze(int dir, char *log, size_t size)
{
	CMD(crk_freeze, cmd, .cgroup_fd = dir, .timeout_ms = 1500, .log_uptr = (uintptr_t)log, .log_size = size);
	int dev = device_open(), err = device_call(dev, CRK_IOC_FREEZE, &cmd);

	close(dev);
	return err;
}

/* it waits again (a thaw wakes whoever sleeps), gets what it waits for and ends as it should */
#define GOES_ON() do {									\
	int _status = -1;								\
											\
	EXPECT_FALSE(cgroup_frozen(self->cgroup));					\
	EXPECT_TRUE(comes_to_d(self->path));						\
	ASSERT_EQ(1, write(go[1], "g", 1));						\
	ASSERT_EQ(self->pid, waitpid(self->pid, &_status, 0));				\
	EXPECT_EQ(0, _status);								\
} while (0)

TEST_F(stuck, is_named_with_its_stack)
{
	char log[16384] = "", what[128];

	ASSERT_EQ(ETIMEDOUT, try_freeze(self->dir, log, sizeof(log)));
	snprintf(what, sizeof(what), "task %d (stuck) of process %d did not stop: state D, asleep in handle_userfault",
		 self->pid, self->pid);
	EXPECT_TRUE(strstr(log, what)) TH_LOG("no \"%s\" in: %s", what, log);
#ifndef __arm__		/* whose kernels for several CPUs tell no other thread's stack */
	EXPECT_TRUE(strstr(log, "\n  in handle_userfault+0x")) TH_LOG("%s", log);
	EXPECT_TRUE(strstr(log, "process_vm_rw")) TH_LOG("%s", log);
#endif
	EXPECT_FALSE(strstr(log, "(server)")) TH_LOG("%s", log);
	EXPECT_FALSE(has_address(log)) TH_LOG("%s", log);
	GOES_ON();
}

TEST_F(stuck, log_is_cut_where_it_ends)
{
	char log[32];

	memset(log, 'x', sizeof(log));
	ASSERT_EQ(ETIMEDOUT, try_freeze(self->dir, log, 16));
	EXPECT_EQ(0, log[15]);
	EXPECT_EQ('x', log[16]);
	GOES_ON();
}

/* who may not read /proc/PID/stack isn't told by the log */
TEST_F(stuck, stack_needs_the_capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	char log[16384] = "";

	ASSERT_EQ(0, syscall(SYS_capget, &head, data));
	data[CAP_SYS_ADMIN / 32].effective &= ~(1U << CAP_SYS_ADMIN % 32);
	ASSERT_EQ(0, syscall(SYS_capset, &head, data));
	ASSERT_EQ(ETIMEDOUT, try_freeze(self->dir, log, sizeof(log)));
	EXPECT_TRUE(strstr(log, "asleep in handle_userfault")) TH_LOG("%s", log);
	EXPECT_FALSE(strstr(log, "  in ")) TH_LOG("%s", log);
	GOES_ON();
}

TEST_F(stuck, helper_says_it)
{
	char cmd[1024], images[] = "/tmp/stuck.XXXXXX", text[64];
	int status;

	ASSERT_TRUE(mkdtemp(images));
	snprintf(cmd, sizeof(cmd), "crkhelper dump -g %s -D %s/img --leave-running --timeout 1 >%s/log 2>&1", self->cgroup,
		 images, images);
	status = system(cmd);
	EXPECT_EQ(1, WEXITSTATUS(status));
	snprintf(text, sizeof(text), "task %d (stuck)", self->pid);
	snprintf(cmd, sizeof(cmd), "%s/log", images);
	EXPECT_TRUE(file_has(cmd, text));
	EXPECT_TRUE(file_has(cmd, "handle_userfault"));
	EXPECT_TRUE(file_has(cmd, "hint: "));
	snprintf(cmd, sizeof(cmd), "%s/img", images);
	EXPECT_NE(0, access(cmd, F_OK));
	GOES_ON();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", images);
	EXPECT_EQ(0, system(cmd));
}

TEST_HARNESS_MAIN
