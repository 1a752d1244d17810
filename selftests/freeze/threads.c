// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_CAPTURE: what threads are found to be, against what they made of themselves: the interrupted system call
 * of another task too (requirements 2.1, 2.9, 2.10).  Expects the records of tasks that are no compat ones.
 *
 * crk-test: abi=x86_64,arm,armel
 */
#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "target.h"

FIXTURE(cap) {
	char *cgroup;
	int dev;
	struct capture c;
};

FIXTURE_SETUP(cap)
{
	shared_make();
	self->cgroup = cgroup_make(NULL, "capture");
	self->dev = -1;
}

FIXTURE_TEARDOWN(cap)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
}

/* ---- asleep in all kinds of calls ---- */

TEST_F(cap, interrupted_calls)
{
	const struct sleeper *s;
	int i;

	task_start(self->cgroup, sleep_all, NULL);
	usleep(300000);		/* they sleep now; one that doesn't yet fails the test, not the kernel */
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	for (i = 0; i < nr_sleepers; i++) {
		struct crk_rec_thread *t = record(&self->c, shared->tid[i], CRK_REC_THREAD, NULL);

		s = &sleepers[i];
		ASSERT_NE(NULL, t) TH_LOG("%s", s->name);
		EXPECT_EQ(s->kind, t->syscall) TH_LOG("%s", s->name);
		EXPECT_EQ(s->nr, t->syscall_nr) TH_LOG("%s", s->name);
		EXPECT_EQ(s->abi, t->syscall_abi) TH_LOG("%s", s->name);
		EXPECT_EQ(s->restart, t->restart.kind) TH_LOG("%s", s->name);
		EXPECT_EQ(s->flags, t->restart.flags) TH_LOG("%s", s->name);
		if (s->remaining)
			EXPECT_TRUE(soon(t->restart.remaining_ns, s->remaining))
				TH_LOG("%s: %lld ns", s->name, (long long)t->restart.remaining_ns);
		EXPECT_NE(NULL, record(&self->c, shared->tid[i], CRK_REC_REGSET, NULL));
		EXPECT_NE(NULL, record(&self->c, shared->tid[i], CRK_REC_CREDS, NULL));
		if (s->blocked) {
			EXPECT_TRUE(t->flags & CRK_THREAD_RESTORE_MASK);
			EXPECT_EQ(s->blocked, t->blocked);
			EXPECT_EQ(0, t->saved_mask);
		}
	}
	capture_put(&self->c);
}

/* ---- registers and thread state ---- */

static char altstack[65536];

static void fill_registers(void *arg)
{
	stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
	sigset_t set;

	sigaltstack(&ss, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	shared->addr[0] = (unsigned long)altstack;
	prctl(PR_SET_NAME, "registers");
	task_ready();
#ifdef __x86_64__
	asm volatile("mov $0x1122334455667788, %%rbx\n"
		     "mov $0x99aabbccddeeff00, %%r12\n"
		     "movq %%rbx, %%xmm7\n"
		     "1: jmp 1b" ::: "rbx", "r12", "xmm7");
#elif defined(__arm__)
	asm volatile("ldr	r4, =0x11223344\n"
		     "ldr	r5, =0x99aabbcc\n"
		     "2: b 2b\n"
		     ".ltorg" ::: "r4", "r5");
#endif
	for (;;)
		;
}

TEST_F(cap, registers)
{
	pid_t pid = task_start(self->cgroup, fill_registers, NULL);
	struct crk_rec_regset *r;
	struct crk_rec_thread *t;
	struct crk_rec_task *task;
	unsigned long seen = 0;

	usleep(100000);
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, pid);
	task = record(&self->c, pid, CRK_REC_TASK, NULL);
	ASSERT_NE(NULL, task);
	EXPECT_EQ(pid, task->tgid);
	EXPECT_TRUE(task->flags & CRK_TASK_LEADER);
	for (r = NULL; (r = record(&self->c, pid, CRK_REC_REGSET, r));) {
		EXPECT_LE(r->len + sizeof(*r), r->rec.size);
#ifdef __x86_64__
		struct user_regs_struct *regs = (void *)r->data;

		EXPECT_EQ(EM_X86_64, task->machine);
		if (r->note == NT_PRSTATUS) {
			EXPECT_EQ(sizeof(*regs), r->len);
			EXPECT_EQ(0x1122334455667788, regs->rbx);
			EXPECT_EQ(0x99aabbccddeeff00, regs->r12);
			EXPECT_EQ(-1, regs->orig_rax);
			seen |= 1;
		}
		if (r->note == NT_X86_XSTATE) {
			EXPECT_EQ(0x1122334455667788, *(unsigned long *)(r->data + 160 + 7 * 16));
			seen |= 2;
		}
#elif defined(__arm__)
		struct user_regs *regs = (void *)r->data;

		EXPECT_EQ(EM_ARM, task->machine);
		if (r->note == NT_PRSTATUS) {
			EXPECT_EQ(sizeof(*regs), r->len);
			EXPECT_EQ(0x11223344, regs->uregs[4]);
			EXPECT_EQ(0x99aabbcc, regs->uregs[5]);
			EXPECT_EQ(-1UL, regs->uregs[17]);	/* ORIG_r0 */
			seen |= 1;
		}
		if (r->note == NT_ARM_VFP) {
			EXPECT_EQ(65 * 4, r->len);
			seen |= 2;
		}
#endif
	}
	EXPECT_EQ(3, seen);
	t = record(&self->c, pid, CRK_REC_THREAD, NULL);
	ASSERT_NE(NULL, t);
	EXPECT_EQ(CRK_SYSCALL_NONE, t->syscall);
	EXPECT_EQ(-1, t->syscall_nr);
	EXPECT_EQ(shared->addr[0], t->altstack_sp);
	EXPECT_EQ(sizeof(altstack), t->altstack_size);
	EXPECT_EQ((1ULL << (SIGUSR1 - 1)) | (1ULL << (SIGRTMIN + 2)), t->blocked);
	EXPECT_STREQ("registers", (char *)t->comm);
	EXPECT_EQ(50000, t->timer_slack_ns);
	EXPECT_NE(0, t->robust_list);
	EXPECT_LT(0, t->utime_ns + t->stime_ns);
	if (t->rseq) {
		EXPECT_EQ(RSEQ_SIG, t->rseq_sig);
		EXPECT_EQ(32, t->rseq_len);
		EXPECT_EQ(1, t->rseq_version);
	}
	capture_put(&self->c);
}

/* ---- at system calls ---- */

static void many_calls(void *arg)
{
	task_ready();
	for (;;)
		getppid();
}

TEST_F(cap, traced_at_entry)
{
	pid_t pid = task_start(self->cgroup, many_calls, NULL);
	struct crk_rec_thread *t;
	struct crk_rec_task *task;
	int status;

	usleep(100000);		/* on from task_ready(), into the loop */

	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	task = record(&self->c, pid, CRK_REC_TASK, NULL);
	t = record(&self->c, pid, CRK_REC_THREAD, NULL);
	ASSERT_NE(NULL, t);
	EXPECT_TRUE(task->flags & CRK_TASK_TRACED);
	EXPECT_EQ(CRK_SYSCALL_ENTRY, t->syscall);
	EXPECT_EQ(SYS_getppid, t->syscall_nr);
	capture_put(&self->c);
	close(self->dev);
	self->dev = -1;

	ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	t = record(&self->c, pid, CRK_REC_THREAD, NULL);
	ASSERT_NE(NULL, t);
	EXPECT_EQ(CRK_SYSCALL_DONE, t->syscall);
	capture_put(&self->c);
}

/* ---- many of them ---- */

static void many_threads(void *arg)
{
	pthread_attr_t attr;
	pthread_t t;
	long i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (i = 0; i < 1000; i++)
		if (pthread_create(&t, &attr, idle_thread, (void *)i))
			_exit(1);
	while (__atomic_load_n(&shared->nr, __ATOMIC_SEQ_CST) < 1000)
		usleep(1000);
	task_ready();
	for (;;)
		pause();
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

TEST_F(cap, many_threads)
{
	static char buf[1 << 18];
	unsigned int nr = 0, calls = 0;
	struct crk_rec_task *r;
	struct crk_task *t;
	double t0, t1, t2;
	unsigned int n;
	size_t pos;

	task_start(self->cgroup, many_threads, NULL);
	t0 = seconds();
	self->dev = freeze(self->cgroup);
	t1 = seconds();
	self->c = capture_get(self->dev, 0);
	t2 = seconds();
	TH_LOG("1001 threads: frozen in %.1f ms, captured in %.1f ms, %zu bytes", (t1 - t0) * 1e3, (t2 - t1) * 1e3,
	       self->c.len);
	for (r = NULL; (r = record(&self->c, 0, CRK_REC_TASK, r));)
		nr++;
	EXPECT_EQ(1001, nr);
	t = tasks_get(self->dev, &nr);
	EXPECT_EQ(1001, nr);
	free(t);
	/* piece by piece it is the same */
	{
		CMD(crk_capture, cmd, .buf_uptr = (uintptr_t)buf, .buf_len = sizeof(buf));

		for (pos = 0; cmd.cursor != CRK_CURSOR_END; pos += cmd.out_len, calls++) {
			ASSERT_EQ(0, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
			ASSERT_LE(pos + cmd.out_len, self->c.len);
			n = ((struct crk_rec_task *)buf)->tid;
			EXPECT_EQ(((struct crk_rec_task *)(self->c.buf + pos))->tid, n);
		}
		EXPECT_EQ(self->c.len, pos);
		EXPECT_LT(1, calls);
	}
	capture_put(&self->c);
}

TEST_HARNESS_MAIN
