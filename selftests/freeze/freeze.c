// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_FREEZE, CRK_IOC_THAW, CRK_IOC_VERIFY: what is refused, who may thaw, what is noticed, and that a target
 * never stays frozen by accident.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

static void spin(void *arg)
{
	task_ready();
	for (;;)
		;
}

static void on_signal(int sig)
{
}

static void sleep_forever(void *arg)
{
	sigset_t usr;

	signal(SIGUSR2, on_signal);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr, NULL);
	task_ready();
	for (;;)
		pause();
}

static bool runs(pid_t pid)
{
	long long before = task_cpu_ns(pid);
	int i;

	for (i = 0; i < 200; i++) {
		usleep(10000);
		if (task_cpu_ns(pid) > before)
			return true;
	}
	return false;
}

FIXTURE(frz) {
	char *cgroup;
	int dev, dir;
};

FIXTURE_SETUP(frz)
{
	self->cgroup = cgroup_make(NULL, "freeze");
	self->dir = cgroup_fd(self->cgroup);
	self->dev = device_open();
	ASSERT_LE(0, self->dev);
}

FIXTURE_TEARDOWN(frz)
{
	close(self->dev);
	close(self->dir);
	cgroup_remove(self->cgroup);
}

#define FREEZE(_err, ...) do {								\
	CMD_LOG(crk_freeze, _cmd, .timeout_ms = 30000, ##__VA_ARGS__);			\
	ASSERT_EQ(_err, device_call(self->dev, CRK_IOC_FREEZE, &_cmd)) TH_LOG("%s", _cmd_log);	\
} while (0)
#define THAW(_flags) do {								\
	CMD(crk_thaw, _cmd, .flags = _flags);						\
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_THAW, &_cmd));			\
	EXPECT_LT(0, _cmd.out_frozen_ns);						\
} while (0)
#define VERIFY(_err, _text) do {							\
	CMD_LOG(crk_verify, _cmd);							\
	EXPECT_EQ(_err, device_call(self->dev, CRK_IOC_VERIFY, &_cmd)) TH_LOG("%s", _cmd_log);	\
	EXPECT_TRUE(strstr(_cmd_log, _text)) TH_LOG("%s", _cmd_log);			\
} while (0)

TEST_F(frz, stops_and_goes_on)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);
	long long cpu;

	FREEZE(0, .cgroup_fd = self->dir);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	cpu = task_cpu_ns(pid);
	usleep(100000);
	EXPECT_EQ(cpu, task_cpu_ns(pid));
	VERIFY(0, "");
	THAW(0);
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	EXPECT_TRUE(runs(pid));
}

TEST_F(frz, once_per_job)
{
	task_start(self->cgroup, spin, NULL);
	FREEZE(0, .cgroup_fd = self->dir);
	FREEZE(EBUSY, .cgroup_fd = self->dir);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	THAW(0);
	FREEZE(EBUSY, .cgroup_fd = self->dir);
}

TEST_F(frz, empty_cgroup)
{
	CMD(crk_tasks, tasks);

	FREEZE(0, .cgroup_fd = self->dir);
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_TASKS, &tasks));
	EXPECT_EQ(0, tasks.out_nr);
}

TEST_F(frz, refuses_what_is_no_cgroup)
{
	int fd = open("/tmp", O_RDONLY), null = open("/dev/null", O_RDONLY);

	FREEZE(EBADF, .cgroup_fd = -1);
	FREEZE(EBADF, .cgroup_fd = fd);
	FREEZE(EBADF, .cgroup_fd = null);
	FREEZE(0, .cgroup_fd = self->dir);		/* a refusal leaves the job as it was */
	close(fd);
	close(null);
}

TEST_F(frz, refuses_the_root)
{
	char root[256];
	int fd;

	snprintf(root, sizeof(root), "%s/..", self->cgroup);
	fd = cgroup_fd(root);
	FREEZE(EOPNOTSUPP, .cgroup_fd = fd);
	close(fd);
}

TEST_F(frz, refuses_its_own)
{
	char *below = cgroup_make(self->cgroup, "below");

	cgroup_add(below, getpid());
	FREEZE(EDEADLK, .cgroup_fd = self->dir);
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	{
		char root[256];

		snprintf(root, sizeof(root), "%s/..", self->cgroup);
		cgroup_add(root, getpid());
	}
	cgroup_remove(below);
}

TEST_F(frz, close_thaws)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	close(self->dev);
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	EXPECT_TRUE(runs(pid));
	self->dev = -1;
}

/* the opener dies, a child still has the device open: the death of the opener counts */
/* which has copied all descriptors by then, and closes them again */
TEST_F(frz, failed_fork_thaws_nothing)
{
	pid_t own = getpid();
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&own, .set_tid_size = 1 };

	task_start(self->cgroup, spin, NULL);
	FREEZE(0, .cgroup_fd = self->dir);
	ASSERT_EQ(-1, syscall(SYS_clone3, &args, sizeof(args)));
	ASSERT_EQ(EEXIST, errno);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	THAW(0);
}

TEST_F(frz, killed_opener_thaws)
{
	pid_t pid = task_start(self->cgroup, spin, NULL), helper, child;
	int ready[2], i;

	ASSERT_EQ(0, pipe(ready));
	helper = fork();
	if (!helper) {
		freeze(self->cgroup);
		child = fork();
		if (!child) {
			prctl(PR_SET_PDEATHSIG, 0);
			sleep(60);
			_exit(0);
		}
		if (write(ready[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		pause();
	}
	ASSERT_EQ((int)sizeof(child), read(ready[0], &child, sizeof(child)));
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	kill(helper, SIGKILL);
	waitpid(helper, NULL, 0);
	for (i = 0; cgroup_frozen(self->cgroup) && i < 500; i++)
		usleep(10000);
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	EXPECT_TRUE(runs(pid));
	kill(child, SIGKILL);
	close(ready[0]);
	close(ready[1]);
}

TEST_F(frz, left_frozen)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	THAW(CRK_THAW_LEAVE_FROZEN);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(runs(pid));
}

TEST_F(frz, was_frozen_before)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);

	cgroup_freeze(self->cgroup, true);
	FREEZE(0, .cgroup_fd = self->dir);
	THAW(0);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(runs(pid));
}

TEST_F(frz, foreign_thaw_does_nothing)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);
	CMD(crk_verify, verify);

	FREEZE(0, .cgroup_fd = self->dir);
	cgroup_freeze(self->cgroup, false);
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_VERIFY, &verify));
	EXPECT_EQ(2, verify.out_nr_thaws);
	THAW(0);
	EXPECT_TRUE(runs(pid));
	cgroup_freeze(self->cgroup, true);
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(runs(pid));
}

TEST_F(frz, below_and_above)
{
	char *below = cgroup_make(self->cgroup, "below");
	pid_t pid = task_start(below, spin, NULL);
	int dir = cgroup_fd(below), other = device_open();
	CMD(crk_freeze, cmd, .cgroup_fd = dir);
	CMD(crk_tasks, tasks);

	FREEZE(0, .cgroup_fd = self->dir);
	EXPECT_TRUE(cgroup_frozen(below));
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_TASKS, &tasks));
	EXPECT_EQ(1, tasks.out_nr);
	/* another job may not have a part of it */
	EXPECT_EQ(EBUSY, device_call(other, CRK_IOC_FREEZE, &cmd));
	cgroup_freeze(below, false);
	EXPECT_TRUE(cgroup_frozen(below));
	VERIFY(0, "");
	THAW(0);
	EXPECT_TRUE(runs(pid));
	close(dir);
	close(other);
	cgroup_remove(below);
}

/* somebody else's freeze and thaw of a cgroup above, and one that holds from before */
TEST_F(frz, thaw_of_an_ancestor)
{
	char *below = cgroup_make(self->cgroup, "below"), *deep = cgroup_make(below, "deep");
	pid_t pid = task_start(deep, spin, NULL);
	int dir = cgroup_fd(below);
	CMD(crk_verify, verify);
	long long cpu;

	cgroup_freeze(self->cgroup, true);
	FREEZE(0, .cgroup_fd = dir);
	cpu = task_cpu_ns(pid);
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(cgroup_frozen(below));
	EXPECT_TRUE(cgroup_frozen(deep));
	cgroup_freeze(self->cgroup, true);
	cgroup_freeze(self->cgroup, false);
	cgroup_freeze(deep, true);
	cgroup_freeze(deep, false);
	usleep(50000);
	EXPECT_TRUE(cgroup_frozen(deep));
	EXPECT_EQ(cpu, task_cpu_ns(pid));
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_VERIFY, &verify));
	EXPECT_EQ(2, verify.out_nr_thaws);	/* of those above, not of one below */
	THAW(0);
	EXPECT_TRUE(runs(pid));
	close(dir);
	cgroup_remove(deep);
	cgroup_remove(below);
}

/* one below that its owner has frozen: the job changes nothing of that, in whatever order they thaw */
TEST_F(frz, frozen_below)
{
	char *below = cgroup_make(self->cgroup, "below");
	pid_t pid = task_start(below, spin, NULL), other = task_start(self->cgroup, spin, NULL);
	long long cpu;

	cgroup_freeze(below, true);
	while (!cgroup_frozen(below))
		usleep(1000);
	/* the kernel says "frozen" before the last task has left its CPU; a job waits for that */
	FREEZE(0, .cgroup_fd = self->dir);
	cpu = task_cpu_ns(pid);
	VERIFY(0, "");
	THAW(0);
	EXPECT_TRUE(runs(other));
	EXPECT_TRUE(cgroup_frozen(below));
	EXPECT_EQ(cpu, task_cpu_ns(pid));
	cgroup_freeze(below, false);
	EXPECT_TRUE(runs(pid));
	cgroup_remove(below);
}

TEST_F(frz, two_jobs)
{
	char *cgroup = cgroup_make(NULL, "other");
	pid_t a = task_start(self->cgroup, spin, NULL), b = task_start(cgroup, spin, NULL);
	int other;

	FREEZE(0, .cgroup_fd = self->dir);
	other = freeze(cgroup);
	close(other);
	EXPECT_TRUE(runs(b));
	cgroup_freeze(self->cgroup, false);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));	/* the other job took no guard away */
	VERIFY(0, "");
	THAW(0);
	EXPECT_TRUE(runs(a));
	cgroup_remove(cgroup);
}

/* a child in vfork of which the parent is outside: in state D while it sleeps uninterruptibly */
static void vfork_uninterruptible(void *arg)
{
	task_ready();
	if (!vfork()) {
		pause();
		_exit(0);
	}
	pause();
}

TEST_F(frz, vfork_is_no_obstacle)
{
	task_start(self->cgroup, vfork_uninterruptible, NULL);
	FREEZE(0, .cgroup_fd = self->dir);
	VERIFY(0, "");
}

TEST_F(frz, signals_do_not_run_tasks)
{
	pid_t pid = task_start(self->cgroup, sleep_forever, NULL);

	task_wait_state(pid, 'S');
	FREEZE(0, .cgroup_fd = self->dir);
	kill(pid, SIGUSR1);
	kill(pid, SIGUSR2);
	kill(pid, SIGSTOP);
	kill(pid, SIGCONT);
	usleep(50000);
	VERIFY(0, "");
}

static void with_timer(void *arg)
{
	struct itimerval it = { { 0, 10000 }, { 0, 10000 } };

	signal(SIGALRM, on_signal);
	setitimer(ITIMER_REAL, &it, NULL);
	task_ready();
	for (;;)
		pause();
}

TEST_F(frz, timers_do_not_run_tasks)
{
	pid_t pid = task_start(self->cgroup, with_timer, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	usleep(100000);
	VERIFY(0, "");
	THAW(0);
	EXPECT_TRUE(runs(pid));
}

TEST_F(frz, notices_a_killed_task)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	VERIFY(ESTALE, "has exited");
}

TEST_F(frz, notices_a_newcomer)
{
	char *cgroup = cgroup_make(NULL, "other");
	pid_t pid = task_start(cgroup, spin, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	cgroup_add(self->cgroup, pid);
	VERIFY(ESTALE, "came into the cgroup");
	THAW(0);
	cgroup_add(cgroup, pid);
	cgroup_remove(cgroup);
}

TEST_F(frz, notices_one_that_was_moved)
{
	char *cgroup = cgroup_make(NULL, "other");
	pid_t pid = task_start(self->cgroup, spin, NULL);

	FREEZE(0, .cgroup_fd = self->dir);
	cgroup_add(cgroup, pid);
	VERIFY(ESTALE, "moved");
	EXPECT_TRUE(runs(pid));
	cgroup_add(self->cgroup, pid);
	while (!cgroup_frozen(self->cgroup))
		usleep(1000);
	VERIFY(ESTALE, "has run");
	cgroup_remove(cgroup);
}

TEST_F(frz, notices_changed_registers)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	FREEZE(0, .cgroup_fd = self->dir);
	VERIFY(0, "");
#ifdef __x86_64__
	ASSERT_EQ(0, ptrace(PTRACE_POKEUSER, pid, 8 * 5 /* rbx */, 4711));
	VERIFY(ESTALE, "has run");
#endif
}

TEST_F(frz, stopped_task)
{
	pid_t pid = task_start(self->cgroup, spin, NULL);

	kill(pid, SIGSTOP);
	task_wait_state(pid, 'T');
	FREEZE(0, .cgroup_fd = self->dir);
	VERIFY(0, "");
	THAW(0);
	task_wait_state(pid, 'T');
	kill(pid, SIGCONT);
	EXPECT_TRUE(runs(pid));
}

TEST_F_TIMEOUT(frz, time_limit, 120)
{
	/* nobody comes to rest in a millisecond when there are many; each that is started waits for all before it */
	pid_t pids[16];
	int i;

	for (i = 0; i < 16; i++)
		pids[i] = task_start(self->cgroup, spin, NULL);
	{
		CMD_LOG(crk_freeze, cmd, .cgroup_fd = self->dir, .timeout_ms = 1);
		int err = device_call(self->dev, CRK_IOC_FREEZE, &cmd);

		ASSERT_TRUE(err == 0 || err == ETIMEDOUT) TH_LOG("errno %d: %s", err, cmd_log);
		if (err) {
			EXPECT_TRUE(strstr(cmd_log, "did not stop")) TH_LOG("log: %s", cmd_log);
			EXPECT_TRUE(runs(pids[0]));
		}
	}
}

TEST_HARNESS_MAIN
