// SPDX-License-Identifier: GPL-2.0
/*
 * What the device gives away beside what it should: addresses of the kernel, and bytes that nobody has written.  The same
 * frozen tasks are read by three jobs with different keys, into buffers with different poison.  A kernel address is the same
 * for all, an identity is not; a byte that is the poison of each was not written: by chance one of an identity is in two of
 * them once in hundred runs.  What the structs of all calls and their logs give away, device_call() looks at in every test.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "leak.h"

#define ROOM (1 << 20)
#define NR_GIVEN 3

static const uint8_t poisons[NR_GIVEN] = { 0x5b, 0xa7, 0x1e };

/* what one job gave: everything behind each other, in the same order each time */
struct given {
	uint8_t poison;
	uint8_t *buf;
	size_t len;
};

static void busy(void *arg)
{
	struct sembuf give = { .sem_num = 1, .sem_op = 3, .sem_flg = SEM_UNDO };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	struct itimerspec when = { .it_value.tv_sec = 1000 };
	sigset_t set;
	timer_t timer;
	int p[2], e, id = *(int *)arg;
	char *map;

	map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(map, 1, 1 << 18);
	if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM, 0, p) || eventfd(1, 0) < 0)
		_exit(1);
	e = epoll_create1(0);
	epoll_ctl(e, EPOLL_CTL_ADD, p[0], &(struct epoll_event){ .events = EPOLLIN });
	timer_create(CLOCK_MONOTONIC, &ev, &timer);
	timer_settime(timer, 0, &when, NULL);
	if (semop(id, &give, 1))
		_exit(1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	raise(SIGRTMIN + 1);
	if (!fork())
		for (;;)
			pause();
	task_ready();
	for (;;)
		sleep(1000);
}

FIXTURE(leaks) {
	char *cgroup;
	pid_t pid;
	int sems;
	struct given given[NR_GIVEN];
};

/* room for @len bytes of poison at the end; what is written there is kept by given_keep() */
static void *room(struct given *g, size_t len)
{
	g->buf = realloc(g->buf, g->len + len);
	memset(g->buf + g->len, g->poison, len);
	return g->buf + g->len;
}

static void give_tasks(struct __test_metadata *_metadata, int dev, struct given *g)
{
	CMD(crk_tasks, cmd, .nr = 100, .entry_size = sizeof(struct crk_task));

	cmd.tasks_uptr = (uintptr_t)room(g, 100 * sizeof(struct crk_task));
	ASSERT_EQ(0, device_call(dev, CRK_IOC_TASKS, &cmd));
	ASSERT_EQ(2, cmd.out_nr);
	g->len += cmd.out_nr * sizeof(struct crk_task);
}

static void give_capture(struct __test_metadata *_metadata, int dev, struct given *g)
{
	CMD(crk_capture, cmd, .buf_len = ROOM);

	cmd.buf_uptr = (uintptr_t)room(g, ROOM);
	ASSERT_EQ(0, device_call(dev, CRK_IOC_CAPTURE, &cmd));
	ASSERT_EQ(CRK_CURSOR_END, cmd.cursor);
	g->len += cmd.out_len;
}

static void give_vmas(struct __test_metadata *_metadata, int dev, struct given *g, pid_t pid)
{
	CMD(crk_vmas, cmd, .pid = pid, .entry_size = sizeof(struct crk_vma), .nr = 1000);

	cmd.vmas_uptr = (uintptr_t)room(g, 1000 * sizeof(struct crk_vma));
	ASSERT_EQ(0, device_call(dev, CRK_IOC_VMAS, &cmd));
	ASSERT_GT(cmd.out_nr, 5);
	g->len += cmd.out_nr * sizeof(struct crk_vma);
}

static void give_pages(struct __test_metadata *_metadata, int dev, struct given *g, pid_t pid)
{
	static uint64_t ids[100000];
	CMD(crk_pagerun, cmd, .pid = pid, .entry_size = sizeof(struct crk_pages), .end = task_end(),
	    .ids_uptr = (uintptr_t)ids, .nr_ids = 100000, .nr = 10000);
	size_t len;

	cmd.pages_uptr = (uintptr_t)room(g, 10000 * sizeof(struct crk_pages));
	memset(ids, g->poison, sizeof(ids));
	ASSERT_EQ(0, device_call(dev, CRK_IOC_PAGES, &cmd));
	ASSERT_GT(cmd.out_nr, 5);
	ASSERT_GT(cmd.out_nr_ids, 0);
	g->len += cmd.out_nr * sizeof(struct crk_pages);
	len = cmd.out_nr_ids * sizeof(*ids);
	memcpy(room(g, len), ids, len);
	g->len += len;
}

static void give_files(struct __test_metadata *_metadata, int dev, struct given *g, pid_t pid)
{
	CMD(crk_files, cmd, .pid = pid, .entry_size = sizeof(struct crk_fd), .nr = 100);

	cmd.fds_uptr = (uintptr_t)room(g, 100 * sizeof(struct crk_fd));
	ASSERT_EQ(0, device_call(dev, CRK_IOC_FILES, &cmd));
	ASSERT_GT(cmd.out_nr, 5);
	g->len += cmd.out_nr * sizeof(struct crk_fd);
}

static void give_events(struct __test_metadata *_metadata, int dev, struct given *g)
{
	CMD(crk_events, cmd, .fd = inotify_init1(IN_CLOEXEC), .buf_len = 1000);
	int file;

	ASSERT_LT(0, inotify_add_watch(cmd.fd, "/tmp", IN_CREATE));
	file = open("/tmp/crk-leaks", O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
	ASSERT_EQ(0, unlink("/tmp/crk-leaks"));
	close(file);
	cmd.buf_uptr = (uintptr_t)room(g, 1000);
	ASSERT_EQ(0, device_call(dev, CRK_IOC_EVENTS, &cmd));
	ASSERT_EQ(32, cmd.out_len);
	g->len += cmd.out_len;
	close(cmd.fd);
}

static void give_info(struct __test_metadata *_metadata, int dev, struct given *g)
{
	struct crk_info *cmd = room(g, sizeof(*cmd));

	memset(cmd, 0, sizeof(*cmd));
	cmd->size = sizeof(*cmd);
	ASSERT_EQ(0, device_call(dev, CRK_IOC_INFO, cmd));
	g->len += sizeof(*cmd);
}

FIXTURE_SETUP(leaks)
{
	int i, dev;

	dev = device_open();
	if (dev < 0)
		SKIP(return, "no /dev/crk: %s", strerror(errno));
	close(dev);
	self->cgroup = cgroup_make(NULL, "leaks");
	self->sems = semget(IPC_PRIVATE, 3, 0600);
	ASSERT_LE(0, self->sems);
	self->pid = task_start(self->cgroup, busy, &self->sems);
	/* frozen by us too, so that nothing changes between the two jobs */
	cgroup_freeze(self->cgroup, true);
	for (i = 0; i < NR_GIVEN; i++) {
		struct given *g = &self->given[i];

		g->poison = poisons[i];
		dev = freeze(self->cgroup);
		give_info(_metadata, dev, g);
		give_tasks(_metadata, dev, g);
		give_capture(_metadata, dev, g);
		give_vmas(_metadata, dev, g, self->pid);
		give_pages(_metadata, dev, g, self->pid);
		give_files(_metadata, dev, g, self->pid);
		give_events(_metadata, dev, g);
		close(dev);
	}
	for (i = 1; i < NR_GIVEN; i++)
		ASSERT_EQ(self->given[0].len, self->given[i].len);
	TH_LOG("%zu bytes", self->given[0].len);
}

FIXTURE_TEARDOWN(leaks)
{
	cgroup_freeze(self->cgroup, false);
	cgroup_remove(self->cgroup);
	semctl(self->sems, 0, IPC_RMID);
}

static uint64_t word_at(const struct given *g, size_t at)
{
	uint64_t word;

	memcpy(&word, g->buf + at, sizeof(word));
	return word;
}

TEST_F(leaks, no_kernel_address)
{
	const struct given *a = &self->given[0], *b = &self->given[1];
	size_t at;

	if (sizeof(long) < 8)
		SKIP(return, "64-bit kernels only");
	/* no field of 8 bytes is anywhere else, and all structs are a multiple of 8 */
	for (at = 0; at + sizeof(uint64_t) <= a->len; at += sizeof(uint64_t)) {
		if (!is_kernel_address(word_at(a, at)) || word_at(a, at) != word_at(b, at))
			continue;
		EXPECT_EQ(0, word_at(a, at)) {
			TH_LOG("at byte %zu", at);
		}
	}
}

TEST_F(leaks, every_byte_is_written)
{
	size_t at;
	int i;

	for (at = 0; at < self->given[0].len; at++) {
		for (i = 0; i < NR_GIVEN && self->given[i].buf[at] == self->given[i].poison; i++)
			;
		EXPECT_NE(NR_GIVEN, i) {
			TH_LOG("byte %zu was not written", at);
		}
	}
}

/* the same object, another name for each job */
TEST_F(leaks, identities_are_keyed)
{
	const struct crk_task *a = (void *)(self->given[0].buf + sizeof(struct crk_info));
	const struct crk_task *b = (void *)(self->given[1].buf + sizeof(struct crk_info));

	EXPECT_EQ(a->tid, b->tid);
	EXPECT_NE(0, a->mm_id);
	EXPECT_NE(a->mm_id, b->mm_id);
	EXPECT_NE(a->files_id, b->files_id);
	EXPECT_NE(a->sighand_id, b->sighand_id);
}

TEST_HARNESS_MAIN
