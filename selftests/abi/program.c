// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_PROGRAM and the way of a restored process through the gate: what its memory becomes, which programs are
 * refused, and that nothing is left of one that fails.
 *
 * crk-test: timeout=600 abi=x86_64
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <crk.h>
#include <crk_regs.h>
#include <kselftest_harness.h>

#include "child.h"
#include "leak.h"

/* exit_group(*(int *)DATA) */
PIECE(code_data, "mov 0x20000000, %edi; mov $231, %eax; syscall");

/* ---- the fixture ---- */

FIXTURE(crk) {
	struct child c;
};

FIXTURE_SETUP(crk)
{
	if (!child_init(&self->c))
		SKIP(return, "no " CRK_DEVICE);
}

FIXTURE_TEARDOWN(crk)
{
	child_exit(&self->c);
}

/* the line of /proc/PID/maps that begins at @addr */
static bool maps_line(pid_t pid, unsigned long addr, char *line, size_t size)
{
	char path[64], start[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	snprintf(start, sizeof(start), "%08lx-", addr);
	f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, size, f)) {
		if (!strncmp(line, start, strlen(start))) {
			fclose(f);
			return true;
		}
	}
	fclose(f);
	return false;
}

/* ---- it works ---- */

TEST_F(crk, becomes_another_process)
{
	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
}

TEST_F(crk, fill_reads_the_range)
{
	int word = 43;

	ASSERT_EQ(4, pwrite(self->c.image, &word, 4, PAGE));
	PLAN_CODE(code_data);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(43, child_status(&self->c));
}

/* what comes out of a pipe, in pieces and late, the first of it after the program has begun to wait */
TEST_F(crk, fill_reads_from_a_pipe)
{
	char page[PAGE] = "";
	struct crk_op *op;
	int p[2];

	*(int *)page = 44;
	ASSERT_EQ(0, pipe(p));
	PLAN_CODE(code_data);
	op = &self->c.plan.ops[self->c.plan.nr - 1];
	op->fd = p[0];
	op->off = 0;
	child_begin(&self->c);
	usleep(50000);
	ASSERT_EQ(3, write(p[1], page, 3));
	usleep(50000);
	ASSERT_EQ(PAGE - 3, write(p[1], page + 3, PAGE - 3));
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(44, child_status(&self->c));
	close(p[0]);
	close(p[1]);
}

TEST_F(crk, moved_page_keeps_contents)
{
	struct crk_op *op;

	PLAN_CODE(code_data);
	self->c.plan.nr -= 2;		/* no data page of its own */
	op = op_add(&self->c.plan, CRK_OP_MOVE, DATA, PAGE);
	op->arg = STAGE;
	ASSERT_EQ((void *)STAGE, mmap((void *)STAGE, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(int *)STAGE = 46;
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(46, child_status(&self->c));
	munmap((void *)STAGE, PAGE);
}

/* what /proc shows while it is parked */
TEST_F(crk, exe_and_descriptors)
{
	char path[64], link[PATH_MAX] = "", line[256];
	struct crk_op *op;
	int exe;

	exe = open("/proc/self/exe", O_RDONLY);
	ASSERT_LE(0, exe);
	PLAN_CODE(code_exit);
	op = op_add(&self->c.plan, CRK_OP_EXE, 0, 0);
	op->fd = exe;
	op = op_add(&self->c.plan, CRK_OP_ADVISE, DATA, PAGE);
	op->arg = MADV_DONTDUMP;
	child_begin(&self->c);
	ALL_PARKED();
	snprintf(path, sizeof(path), "/proc/%d/exe", self->c.pid);
	EXPECT_LT(0, readlink(path, link, sizeof(link) - 1));
	EXPECT_NE(NULL, strstr(link, "program"))
		TH_LOG("%s", link);
	EXPECT_TRUE(maps_line(self->c.pid, CODE, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "r-xp"));
	EXPECT_FALSE(maps_line(self->c.pid, STAGE, line, sizeof(line)));
	/* all of the helper's descriptors are gone */
	snprintf(path, sizeof(path), "/proc/%d/fd/0", self->c.pid);
	EXPECT_EQ(-1, readlink(path, link, sizeof(link)));
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
	close(exe);
}

TEST_F(crk, name_of_anonymous_memory)
{
	char line[256] = "";

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0, 0, 0))
		SKIP(return, "no CONFIG_ANON_VMA_NAME");
	PLAN_CODE(code_exit);
	op_add(&self->c.plan, CRK_OP_NAME, DATA, PAGE)->arg = (uintptr_t)"a name";
	child_begin(&self->c);
	ALL_PARKED();
	EXPECT_TRUE(maps_line(self->c.pid, DATA, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "[anon:a name]"))
		TH_LOG("%s", line);
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
}

TEST_F(crk, vdso_where_asked)
{
	char line[256];

	PLAN_CODE(code_pause);
	op_add(&self->c.plan, CRK_OP_VDSO, STAGE, 0);
	child_begin(&self->c);
	ALL_PARKED();
	EXPECT_TRUE(maps_line(self->c.pid, STAGE, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "[vvar"));
	leader_state(&self->c);
	SET();
	GO();
	kill(self->c.pid, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
}

TEST_F(crk, interval_timer_counts_from_go)
{
	struct crk_rec_itimer *it = rec_add(&self->c.plan.recs, CRK_REC_ITIMER, sizeof(*it));
	uint64_t start;

	it->which = ITIMER_REAL;
	it->remaining_ns = 300000000;
	PLAN_CODE(code_pause);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	usleep(100000);
	start = now_ns();
	GO();
	EXPECT_EQ(1000 + SIGALRM, child_status(&self->c));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

TEST_F(crk, posix_timer_counts_from_go)
{
	struct crk_rec_posix_timer *pt = rec_add(&self->c.plan.recs, CRK_REC_POSIX_TIMER, sizeof(*pt));
	uint64_t start;

	pt->flags = CRK_TIMER_ARMED;
	pt->remaining_ns = 300000000;
	self->c.plan.makes_timer = true;
	PLAN_CODE(code_pause);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	usleep(100000);
	start = now_ns();
	GO();
	EXPECT_EQ(1000 + SIGALRM, child_status(&self->c));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

/* requirement: GO works in a frozen cgroup; the start is one moment for all */
TEST_F(crk, go_in_a_frozen_cgroup)
{
	char dir[] = "/tmp/cgroup.XXXXXX", group[64], path[96], text[256] = "";
	int fd, n, tries = 1000;

	ASSERT_NE(NULL, mkdtemp(dir));
	if (mount("none", dir, "cgroup2", 0, NULL)) {
		rmdir(dir);
		SKIP(return, "no cgroup2 to mount");
	}
	snprintf(group, sizeof(group), "%s/crk-program", dir);
	ASSERT_EQ(0, mkdir(group, 0755));
	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	fd = open(path, O_WRONLY);
	n = snprintf(text, sizeof(text), "%d", self->c.pid);
	EXPECT_EQ(n, write(fd, text, n));
	close(fd);
	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	fd = open(path, O_RDWR);
	EXPECT_EQ(1, write(fd, "1", 1));
	GO();
	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	do {
		int events = open(path, O_RDONLY);

		n = read(events, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = '\0';
		close(events);
		usleep(1000);
	} while (!strstr(text, "frozen 1") && --tries);
	EXPECT_NE(0, tries);
	EXPECT_EQ(0, waitpid(self->c.pid, &n, WNOHANG));
	EXPECT_EQ(1, pwrite(fd, "0", 1, 0));
	close(fd);
	EXPECT_EQ(42, child_status(&self->c));
	EXPECT_EQ(0, rmdir(group));
	umount(dir);
	rmdir(dir);
}

/* ---- it refuses, and nothing has changed ---- */

static void refuse(struct __test_metadata *_metadata, FIXTURE_DATA(crk) *self, int err, unsigned int bad_op,
		   const char *why)
{
	child_begin(&self->c);
	ASSERT_EQ(RETURNED, child_status(&self->c));
	EXPECT_EQ(err, self->c.report->err)
		TH_LOG("%s", self->c.report->log);
	EXPECT_EQ(bad_op, self->c.report->bad_op);
	EXPECT_NE(NULL, strstr(self->c.report->log, why))
		TH_LOG("%s", self->c.report->log);
}
#define REFUSED(err, bad_op, why)	refuse(_metadata, self, err, bad_op, why)

static struct crk_rec_mm *auxv_fill(struct child *c, unsigned int nr)
{
	struct crk_rec_mm *mm = (void *)c->plan.recs.buf;
	unsigned int i;

	for (i = 0; i < nr; i += 2) {
		mm->auxv[i] = i + 2 < nr ? 100 + i : AT_NULL;
		mm->auxv[i + 1] = mm->auxv[i] ? i : 0;
	}
	mm->nr_auxv = nr;
	return mm;
}

/* entries that Linux has since 6.3 are left out where they make it too long, and nothing else is */
TEST_F(crk, auxv_of_a_newer_kernel)
{
	unsigned long auxv[CRK_AUXV_MAX] = {};
	struct crk_rec_mm *mm;
	unsigned int room, i;
	const char *text;
	char path[64];
	int fd;

	PLAN_CODE(code_exit);
	auxv_fill(&self->c, CRK_AUXV_MAX);
	REFUSED(EINVAL, ~0U, "auxiliary vector of 64 words, this kernel has room for ");
	text = strstr(self->c.report->log, "room for ");
	ASSERT_NE(NULL, text);
	room = atoi(text + strlen("room for "));
	ASSERT_GE(CRK_AUXV_MAX, room + 4);
	child_exit(&self->c);
	memset(&self->c, 0, sizeof(self->c));
	ASSERT_TRUE(child_init(&self->c));

	PLAN_CODE(code_exit);
	mm = auxv_fill(&self->c, room + 4);
	mm->auxv[4] = 27;	/* AT_RSEQ_FEATURE_SIZE */
	mm->auxv[8] = 28;	/* AT_RSEQ_ALIGN */
	child_begin(&self->c);
	ALL_PARKED();
	snprintf(path, sizeof(path), "/proc/%d/auxv", self->c.pid);
	fd = open(path, O_RDONLY);
	EXPECT_EQ(room * sizeof(long), read(fd, auxv, sizeof(auxv)));
	close(fd);
	for (i = 0; i < room; i += 2) {
		unsigned int from = i + 2 * (i >= 4) + 2 * (i >= 6);

		EXPECT_EQ(i + 2 < room ? 100 + from : AT_NULL, auxv[i]);
		EXPECT_EQ(i + 2 < room ? from : 0, auxv[i + 1]);
	}
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
}

TEST_F(crk, refuses_unknown_record)
{
	PLAN_CODE(code_exit);
	op_add(&self->c.plan, 99, DATA, PAGE);
	REFUSED(EINVAL, 4, "no such record");
}

TEST_F(crk, refuses_unknown_flag)
{
	PLAN_CODE(code_exit);
	self->c.plan.ops[2].flags |= 1U << 30;
	REFUSED(EINVAL, 2, "unknown flags");
}

TEST_F(crk, refuses_half_a_page)
{
	PLAN_CODE(code_exit);
	self->c.plan.ops[2].addr += 8;
	REFUSED(EINVAL, 2, "not whole pages");
}

TEST_F(crk, refuses_addresses_beyond_the_end)
{
	PLAN_CODE(code_exit);
	leak_own = 0xffff888000000000;
	op_add(&self->c.plan, CRK_OP_PROTECT, leak_own, PAGE);
	REFUSED(EINVAL, 4, "beyond the address space");
}

TEST_F(crk, refuses_meaningless_field)
{
	PLAN_CODE(code_exit);
	op_add(&self->c.plan, CRK_OP_PROTECT, DATA, PAGE)->off = PAGE;
	REFUSED(EINVAL, 4, "no meaning");
}

TEST_F(crk, refuses_closed_fd)
{
	PLAN_CODE(code_exit);
	self->c.plan.ops[1].fd = 999;
	REFUSED(EBADF, 1, "999");
}

TEST_F(crk, refuses_truncated_image)
{
	PLAN_CODE(code_exit);
	self->c.plan.ops[3].off = 16 * PAGE;
	REFUSED(EINVAL, 3, "image truncated");
}

TEST_F(crk, refuses_overlap)
{
	struct crk_op *op;

	PLAN_CODE(code_exit);
	op = op_add(&self->c.plan, CRK_OP_MAP, CODE - PAGE, 2 * PAGE);
	op->flags = CRK_MAP_ANON;
	REFUSED(EINVAL, 4, "overlaps");
}

TEST_F(crk, refuses_offset_in_a_pipe)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	PLAN_CODE(code_data);
	self->c.plan.ops[self->c.plan.nr - 1].fd = p[0];
	REFUSED(EINVAL, 3, "is a pipe, and has no offsets");
	close(p[0]);
	close(p[1]);
}

TEST_F(crk, refuses_pipe_that_does_not_wait)
{
	struct crk_op *op;
	int p[2];

	ASSERT_EQ(0, pipe2(p, O_NONBLOCK));
	PLAN_CODE(code_data);
	op = &self->c.plan.ops[self->c.plan.nr - 1];
	op->fd = p[0];
	op->off = 0;
	REFUSED(EINVAL, 3, "is not the end of a pipe that a read waits at");
	close(p[0]);
	close(p[1]);
}

TEST_F(crk, refuses_move_of_nothing)
{
	PLAN_CODE(code_exit);
	op_add(&self->c.plan, CRK_OP_MOVE, STAGE + PAGE, PAGE)->arg = STAGE;
	REFUSED(EINVAL, 4, "nothing is mapped");
}

TEST_F(crk, refuses_without_address_space)
{
	PLAN_CODE(code_exit);
	self->c.plan.recs.len = 0;
	rec_add(&self->c.plan.recs, CRK_REC_ITIMER, sizeof(struct crk_rec_itimer));
	REFUSED(EINVAL, ~0U, "address space");
}

TEST_F(crk, refuses_wrong_number_of_threads)
{
	struct crk_restore cmd = { .size = sizeof(cmd), .nr_tasks = 1 };
	struct crk_park park = { .size = sizeof(park) };

	PLAN_CODE(code_exit);
	ASSERT_EQ(0, ioctl(self->c.dev, CRK_IOC_RESTORE, &cmd));
	EXPECT_EQ(-1, ioctl(self->c.dev, CRK_IOC_RESTORE, &cmd));
	EXPECT_EQ(EBUSY, errno);
	/* a leader does not come this way */
	EXPECT_EQ(-1, ioctl(self->c.dev, CRK_IOC_PARK, &park));
	EXPECT_EQ(EINVAL, errno);
}

/* ---- it fails, and nothing is left ---- */

TEST_F(crk, failed_record_is_told)
{
	char log[512] = "";
	struct crk_wait cmd;

	PLAN_CODE(code_exit);
	op_add(&self->c.plan, CRK_OP_PROTECT, STAGE, PAGE);	/* nothing is there */
	child_begin(&self->c);
	EXPECT_EQ(-ECHILD, parked_wait(&self->c, &cmd, log, sizeof(log)));
	EXPECT_EQ(self->c.pid, cmd.out_pid);
	EXPECT_EQ(4, cmd.out_bad_op);
	EXPECT_EQ(ENOMEM, cmd.out_err);
	EXPECT_NE(NULL, strstr(log, "protect"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
}

TEST_F(crk, vdso_of_another_kernel)
{
	char log[512] = "";
	struct crk_wait cmd;

	PLAN_CODE(code_exit);
	op_add(&self->c.plan, CRK_OP_VDSO, STAGE, 64 * PAGE);
	child_begin(&self->c);
	EXPECT_EQ(-ECHILD, parked_wait(&self->c, &cmd, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "vDSO of another kernel"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
}

/* a timer that nobody made: found when the gate is about to open, and then none goes */
TEST_F(crk, timer_that_is_not_there)
{
	struct crk_rec_posix_timer *pt = rec_add(&self->c.plan.recs, CRK_REC_POSIX_TIMER, sizeof(*pt));
	char log[512] = "";

	pt->id = 12345;
	pt->flags = CRK_TIMER_ARMED;
	pt->remaining_ns = 300000000;
	PLAN_CODE(code_pause);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	EXPECT_EQ(-ESRCH, gate_go(&self->c, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "POSIX timer 12345"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
}

TEST_F(crk, killed_while_parked)
{
	struct crk_wait cmd;

	self->c.plan.nr_threads = 2;
	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	ASSERT_EQ(0, kill(self->c.pid, SIGKILL));
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
	EXPECT_EQ(-ECHILD, parked_wait(&self->c, &cmd, NULL, 0));
	EXPECT_EQ(~0U, cmd.out_bad_op);
	EXPECT_EQ(-ESRCH, gate_go(&self->c, NULL, 0));
}

TEST_F(crk, close_kills_the_half_restored)
{
	self->c.plan.nr_threads = 2;
	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	close(self->c.dev);
	EXPECT_EQ(1000 + SIGKILL, child_status(&self->c));
}

/* whatever it is doing: making threads, unmapping, filling, parked */
TEST_F_TIMEOUT(crk, close_at_any_time, 120)
{
	int i;

	self->c.plan.nr_threads = 8;
	PLAN_CODE(code_pause);
	for (i = 0; i < 60; i++) {
		memset(self->c.report, 0, sizeof(*self->c.report));
		child_begin(&self->c);
		usleep(i * 300);
		/* a kill from the outside now and then */
		if (i % 3 == 2)
			EXPECT_EQ(0, kill(self->c.pid, SIGKILL));
		close(self->c.dev);
		/* or it came when the job was over, or one of its threads did and is not there any more */
		if (child_status(&self->c) != 1000 + SIGKILL)
			EXPECT_TRUE(self->c.report->err == EBUSY || self->c.report->err == EINVAL);
		self->c.dev = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, self->c.dev);
	}
}

/* the fd is inherited by the restored task, and must not keep it alive */
TEST_F(crk, death_of_the_opener_kills_the_half_restored)
{
	pid_t opener, orphan;
	int status;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	self->c.plan.close_from = ~0U;
	PLAN_CODE(code_exit);
	opener = fork();
	if (!opener) {
		close(self->c.dev);
		self->c.dev = open(CRK_DEVICE, O_RDWR);
		child_begin(&self->c);
		ALL_PARKED();
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(opener, waitpid(opener, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	orphan = waitpid(-1, &status, 0);
	EXPECT_EQ(self->c.report->tid[0], orphan);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* after GO the job is finished: closing it kills nobody */
TEST_F(crk, close_after_go)
{
	PLAN_CODE(code_pause);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	SET();
	GO();
	close(self->c.dev);
	usleep(50000);
	EXPECT_EQ(0, kill(self->c.pid, SIGUSR1));
	EXPECT_EQ(1000 + SIGUSR1, child_status(&self->c));
}

/* a module whose code tasks are in can't be unloaded */
TEST_F(crk, unload_while_parked)
{
	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	EXPECT_EQ(-1, syscall(SYS_delete_module, "crk", O_NONBLOCK));
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
}

TEST_HARNESS_MAIN
