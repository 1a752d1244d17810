// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_SET: restored threads begin with the registers and the state that they were given, go on with the call that
 * was interrupted, and bad state is refused.
 *
 * crk-test: timeout=600 abi=x86_64
 */
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <crk.h>
#include <crk_regs.h>
#include <kselftest_harness.h>

#include "child.h"

/* ---- what the threads execute ---- */

/* two threads: the one with rdi = 0 waits for the other's word, then exit_group(word); the other exits alone */
PIECE(code_threads, "test %edi, %edi; jnz 2f; 1: mov 0x20000000, %edi; test %edi, %edi; jz 1b;"
		    "mov $231, %eax; syscall; 2: mov %edi, 0x20000000; xor %edi, %edi; mov $60, %eax; syscall");
/* exit_group(low word of xmm0) */
PIECE(code_fpu, "movd %xmm0, %edi; mov $231, %eax; syscall");
/* starts behind a nanosleep: exit_group(-its result, plus 40) */
PIECE(code_slept, "syscall; neg %eax; lea 40(%rax), %edi; mov $231, %eax; syscall");
/* the kernel wrote a CPU number into the rseq area at DATA + 0x100, and knows its size and signature: exit_group(49) */
PIECE(code_rseq, "mov 0x20000104, %ebx; mov $0x20000100, %edi; mov $32, %esi; mov $1, %edx; mov $0x12345678, %r10d;"
		 "mov $334, %eax; syscall; mov %eax, %edi; test %edi, %edi; jnz 1f; mov %ebx, %edi; test %edi, %edi;"
		 "js 1f; mov $49, %edi; 1: mov $231, %eax; syscall");
/* pause() for ever; 64 bytes on, a handler: exit_group(50) if it has its own stack, which ends at STAGE, else 1 */
PIECE(code_handler, "1: mov $34, %eax; syscall; jmp 1b; .skip 64 - (. - code_handler);"
		    "mov $1, %edi; lea 0x10000(%rsp), %rax; cmp $0x30000000, %rax; jb 2f; cmp $0x30000000, %rsp;"
		    "jae 2f; mov $50, %edi; 2: mov $231, %eax; syscall");
#define CODE_AFTER_SYSCALL	(CODE + 2)

/* 32 bit: anonymous mmap2() by int $0x80, then exit(47) if it gave an address, exit(1) if an error */
PIECE(code_ia32, ".code32; mov $192, %eax; xor %ebx, %ebx; mov $4096, %ecx; mov $3, %edx; mov $0x22, %esi;"
		 "mov $-1, %edi; xor %ebp, %ebp; int $0x80; mov $1, %ebx; cmp $0xfffff000, %eax; jae 1f;"
		 "movl $2, (%eax); mov $47, %ebx; 1: mov $1, %eax; int $0x80; .code64");
/* 32 bit, behind an interrupted call: exit(40 - its result) */
PIECE(code_ia32_slept, ".code32; int $0x80; neg %eax; lea 40(%eax), %ebx; mov $1, %eax; int $0x80; .code64");
/* x32: exit_group(48) by its own number */
PIECE(code_x32, "mov $48, %edi; mov $0x400000e7, %eax; syscall; mov $1, %edi; mov $231, %eax; syscall");

struct regs32 {
	uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags, esp, ss;
};

static void regs32_init(struct regs32 *r)
{
	*r = (struct regs32){
		.eip = CODE, .esp = DATA + PAGE, .cs = 0x23, .ss = 0x2b, .ds = 0x2b, .es = 0x2b, .eflags = 0x202,
		.orig_eax = -1U,
	};
}

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

/* ---- registers ---- */

TEST_F(crk, two_threads)
{
	struct user_regs_struct regs;

	self->c.plan.nr_threads = 2;
	PLAN_CODE(code_threads);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	regs_init(&regs, 44);
	thread_add(&self->c.set, self->c.pid, self->c.report->tid[1], &regs);
	SET();
	GO();
	EXPECT_EQ(44, child_status(&self->c));
}

/* one stays and ends the process, the others come from the gate and exit */
TEST_F_TIMEOUT(crk, many_threads, 120)
{
	struct user_regs_struct regs;
	int i;

	self->c.plan.nr_threads = MAX_THREADS;
	PLAN_CODE(code_threads);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	for (i = 1; i < MAX_THREADS; i++) {
		regs_init(&regs, 44);
		thread_add(&self->c.set, self->c.pid, self->c.report->tid[i], &regs);
	}
	SET();
	GO();
	EXPECT_EQ(44, child_status(&self->c));
}

TEST_F(crk, fpu_registers)
{
	struct user_fpregs_struct fp = { .cwd = 0x37f, .mxcsr = 0x1f80, .mxcr_mask = 0xffff };

	PLAN_CODE(code_fpu);
	child_begin(&self->c);
	ALL_PARKED();
	leader_state(&self->c);
	fp.xmm_space[0] = 45;
	set_add(&self->c.set, NT_PRFPREG, &fp, sizeof(fp));
	SET();
	GO();
	EXPECT_EQ(45, child_status(&self->c));
}

/* the whole of the extended state, in the size that this CPU has */
static size_t xstate_get(char *buf, size_t size)
{
	struct iovec iov = { buf, size };
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &iov))
		iov.iov_len = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return iov.iov_len;
}

TEST_F(crk, extended_state)
{
	static char xstate[16384];
	size_t len = xstate_get(xstate, sizeof(xstate));
	char log[512] = "";

	if (!len)
		SKIP(return, "no XSAVE");
	*(uint64_t *)(xstate + 512) |= 3;	/* x87 and SSE are in it */
	*(uint32_t *)(xstate + 160) = 45;	/* xmm0 */
	PLAN_CODE(code_fpu);
	child_begin(&self->c);
	ALL_PARKED();

	/* of another CPU */
	leader_state(&self->c);
	set_add(&self->c.set, NT_X86_XSTATE, xstate, len - 64);
	EXPECT_EQ(-EOPNOTSUPP, state_set(&self->c, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "0x202"))
		TH_LOG("%s", log);

	self->c.set.len = 0;
	leader_state(&self->c);
	set_add(&self->c.set, NT_X86_XSTATE, xstate, len);
	SET();
	GO();
	EXPECT_EQ(45, child_status(&self->c));
}

/* ---- calls, signals, rseq ---- */

/* requirement: a sleep goes on with its remaining time */
TEST_F(crk, sleep_goes_on)
{
	struct user_regs_struct regs;
	struct crk_rec_thread *t;
	uint64_t start;

	PLAN_CODE(code_slept);
	child_begin(&self->c);
	ALL_PARKED();
	regs_init(&regs, 0);
	regs.rip = CODE_AFTER_SYSCALL;
	regs.orig_rax = SYS_nanosleep;
	regs.rax = -516L;
	t = thread_add(&self->c.set, self->c.pid, self->c.pid, &regs);
	t->syscall = CRK_SYSCALL_BLOCK;
	t->syscall_nr = SYS_nanosleep;
	t->restart.kind = CRK_RESTART_NANOSLEEP;
	t->restart.flags = CRK_RESTART_HAS_TIME;
	t->restart.clockid = CLOCK_MONOTONIC;
	t->restart.remaining_ns = 300000000;
	SET();
	usleep(100000);			/* counts from GO, not from here */
	start = now_ns();
	GO();
	EXPECT_EQ(40, child_status(&self->c));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

TEST_F(crk, interrupted_call_begins_again)
{
	struct user_regs_struct regs;
	struct crk_rec_thread *t;

	PLAN_CODE(code_slept);
	child_begin(&self->c);
	ALL_PARKED();
	regs_init(&regs, 0);
	regs.rip = CODE_AFTER_SYSCALL;
	regs.orig_rax = SYS_getpgid;	/* with a pid that is not there: ESRCH tells that it ran */
	regs.rdi = 0x7ffffff0;
	regs.rax = -4L;
	t = thread_add(&self->c.set, self->c.pid, self->c.pid, &regs);
	t->syscall = CRK_SYSCALL_EINTR;
	t->syscall_nr = SYS_getpgid;
	SET();
	GO();
	EXPECT_EQ(40 + ESRCH, child_status(&self->c));
}

TEST_F(crk, blocked_and_pending_signals)
{
	struct crk_rec_thread *t;

	PLAN_CODE(code_pause);
	child_begin(&self->c);
	ALL_PARKED();
	EXPECT_EQ(0, kill(self->c.pid, SIGUSR1));	/* the child has all signals blocked */
	EXPECT_EQ(0, kill(self->c.pid, SIGUSR2));
	t = leader_state(&self->c);
	t->blocked = 1ULL << (SIGUSR1 - 1);
	SET();
	GO();
	EXPECT_EQ(1000 + SIGUSR2, child_status(&self->c));
}

TEST_F(crk, handler_and_signal_stack)
{
	struct crk_rec_actions *a;
	struct crk_rec_thread *t;
	struct crk_op *op;

	a = rec_add(&self->c.plan.recs, CRK_REC_ACTIONS, sizeof(*a) + 64 * sizeof(a->actions[0]));
	a->nr = 64;
	a->actions[SIGUSR1 - 1].handler = CODE + 64;
	a->actions[SIGUSR1 - 1].restorer = CODE;
	a->actions[SIGUSR1 - 1].flags = SA_SIGINFO | SA_ONSTACK | 0x04000000;	/* SA_RESTORER */
	PLAN_CODE(code_handler);
	op = op_add(&self->c.plan, CRK_OP_MAP, STAGE - 16 * PAGE, 16 * PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_WRITE;
	child_begin(&self->c);
	ALL_PARKED();
	t = leader_state(&self->c);
	t->altstack_sp = STAGE - 16 * PAGE;
	t->altstack_size = 16 * PAGE;
	t->altstack_flags = 0;
	SET();
	GO();
	EXPECT_EQ(0, kill(self->c.pid, SIGUSR1));
	EXPECT_EQ(50, child_status(&self->c));
}

/* requirement 5.1 */
TEST_F(crk, rseq_is_registered)
{
	uint32_t area[8] = { 0, -1U };
	struct crk_rec_thread *t;

	ASSERT_EQ(sizeof(area), pwrite(self->c.image, area, sizeof(area), PAGE + 0x100));
	PLAN_CODE(code_rseq);
	child_begin(&self->c);
	ALL_PARKED();
	t = leader_state(&self->c);
	t->rseq = DATA + 0x100;
	t->rseq_len = 32;
	t->rseq_sig = 0x12345678;
	t->rseq_version = 1;
	SET();
	GO();
	EXPECT_EQ(49, child_status(&self->c));
}

/* ---- tasks of other ABIs ---- */

/* requirement 3.2: a 32-bit task comes back as a native exec would have made it, by a 64-bit helper */
static void plan_ia32(struct crk_rec_mm *mm)
{
	mm->flags = CRK_MM_COMPAT;
	mm->task_size = 0xffffe000;
	mm->mmap_base = mm->mmap_legacy_base = 0x80000000;
}

TEST_F(crk, ia32_process)
{
	struct crk_rec_thread *t;
	struct regs32 regs;

	plan_ia32((void *)self->c.plan.recs.buf);
	PLAN_CODE(code_ia32);
	child_begin(&self->c);
	ALL_PARKED();
	regs32_init(&regs);
	t = machine_thread_add(&self->c.set, self->c.pid, self->c.pid, EM_386, &regs, sizeof(regs));
	t->flags = CRK_THREAD_COMPAT | CRK_THREAD_ADDR32;
	SET();
	GO();
	EXPECT_EQ(47, child_status(&self->c));
}

TEST_F(crk, ia32_sleep_goes_on)
{
	struct crk_rec_thread *t;
	struct regs32 regs;
	uint64_t start;

	plan_ia32((void *)self->c.plan.recs.buf);
	PLAN_CODE(code_ia32_slept);
	child_begin(&self->c);
	ALL_PARKED();
	regs32_init(&regs);
	regs.eip = CODE_AFTER_SYSCALL;
	regs.orig_eax = 162;		/* nanosleep */
	regs.eax = -516;
	t = machine_thread_add(&self->c.set, self->c.pid, self->c.pid, EM_386, &regs, sizeof(regs));
	t->flags = CRK_THREAD_COMPAT | CRK_THREAD_ADDR32;
	t->syscall = CRK_SYSCALL_BLOCK;
	t->syscall_abi = CRK_ABI_COMPAT;
	t->syscall_nr = 162;
	t->restart.kind = CRK_RESTART_NANOSLEEP;
	t->restart.flags = CRK_RESTART_HAS_TIME | CRK_RESTART_COMPAT_TIME;
	t->restart.clockid = CLOCK_MONOTONIC;
	t->restart.remaining_ns = 200000000;
	SET();
	start = now_ns();
	GO();
	EXPECT_EQ(40, child_status(&self->c));
	EXPECT_LE(200000000ULL, now_ns() - start);
}

TEST_F(crk, x32_process)
{
	struct crk_rec_mm *mm = (void *)self->c.plan.recs.buf;
	struct user_regs_struct regs;
	struct crk_rec_thread *t;

	if (syscall(0x40000000 + SYS_getpid) < 0)
		SKIP(return, "no x32: the kernel wants syscall.x32=y");
	mm->flags = CRK_MM_X32;
	PLAN_CODE(code_x32);
	child_begin(&self->c);
	ALL_PARKED();
	regs_init(&regs, 0);
	t = thread_add(&self->c.set, self->c.pid, self->c.pid, &regs);
	t->flags = CRK_THREAD_ADDR32;
	SET();
	GO();
	EXPECT_EQ(48, child_status(&self->c));
}

/* ---- it refuses, and nothing has changed ---- */

TEST_F(crk, set_refuses_bad_state)
{
	struct crk_info info = { .size = sizeof(info) };
	struct user_regs_struct regs;
	struct crk_rec_thread *t;
	char log[512] = "";

	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();
	EXPECT_EQ(-EBUSY, gate_go(&self->c, NULL, 0));	/* no state yet */

	regs_init(&regs, 0);
	regs.cs = 0x10;					/* the kernel's */
	thread_add(&self->c.set, self->c.pid, self->c.pid, &regs);
	EXPECT_EQ(-EOPNOTSUPP, state_set(&self->c, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "code segment"))
		TH_LOG("%s", log);

	self->c.set.len = 0;
	regs_init(&regs, 0);
	regs.fs_base = 0xffff888000000000;
	thread_add(&self->c.set, self->c.pid, self->c.pid, &regs);
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	self->c.set.len = 0;
	t = leader_state(&self->c);
	t->rseq = 0xffff888000000000;
	t->rseq_len = 32;
	t->rseq_version = 1;
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	/* a time slice extension of no area; where the kernel has none at all, that is said */
	self->c.set.len = 0;
	t = leader_state(&self->c);
	t->flags = CRK_THREAD_RSEQ_SLICE;
	EXPECT_EQ(0, ioctl(self->c.dev, CRK_IOC_INFO, &info));
	EXPECT_EQ(info.out_features & CRK_FEAT_RSEQ_SLICE ? -EINVAL : -EOPNOTSUPP, state_set(&self->c, log, sizeof(log)));

	self->c.set.len = 0;
	regs_init(&regs, 0);
	thread_add(&self->c.set, getpid(), getpid(), &regs);
	EXPECT_EQ(-ESRCH, state_set(&self->c, NULL, 0));

	self->c.set.len = 0;
	leader_state(&self->c);
	set_add(&self->c.set, 0x12345, &regs, 8);
	EXPECT_EQ(-EOPNOTSUPP, state_set(&self->c, NULL, 0));

	self->c.set.len = 0;
	leader_state(&self->c)->flags = 1U << 31;
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	EXPECT_EQ(-EBUSY, gate_go(&self->c, NULL, 0));
	self->c.set.len = 0;
	leader_state(&self->c);
	SET();
	GO();
	EXPECT_EQ(42, child_status(&self->c));
}

static struct crk_rec_settings *settings_add(FIXTURE_DATA(crk) *self)
{
	self->c.set.len = 0;
	leader_state(&self->c);
	return rec_add(&self->c.set, CRK_REC_SETTINGS, sizeof(struct crk_rec_settings));
}

TEST_F(crk, set_refuses_bad_settings)
{
	struct crk_rec_settings *s;
	char log[512] = "";

	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();

	s = settings_add(self);
	s->flags = 1U << 31;
	EXPECT_EQ(-EINVAL, state_set(&self->c, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "settings"))
		TH_LOG("%s", log);

	s = settings_add(self);
	s->dispatch_len = PAGE;			/* without its flag */
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	s = settings_add(self);
	s->flags = CRK_SETTING_DISPATCH;
	s->dispatch_selector = 0xffff888000000000;
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	s = settings_add(self);
	s->__reserved = 1;
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	s = settings_add(self);
	s->default_slack_ns = 60000;
	EXPECT_EQ(0, state_set(&self->c, NULL, 0));
	EXPECT_EQ(0, gate_go(&self->c, NULL, 0));
	EXPECT_EQ(42, child_status(&self->c));
}

#ifdef __x86_64__
static struct crk_x86_breakpoints *breakpoints_add(FIXTURE_DATA(crk) *self, unsigned int what, unsigned int len)
{
	struct crk_rec_arch *rec;

	self->c.set.len = 0;
	leader_state(&self->c);
	rec = rec_add(&self->c.set, CRK_REC_ARCH, sizeof(*rec) + sizeof(struct crk_x86_breakpoints));
	rec->what = what;
	rec->len = len;
	return (void *)rec->data;
}

TEST_F(crk, set_refuses_bad_breakpoints)
{
	const unsigned int size = sizeof(struct crk_x86_breakpoints);
	struct crk_x86_breakpoints *bp;
	char log[512] = "";

	PLAN_CODE(code_exit);
	child_begin(&self->c);
	ALL_PARKED();

	breakpoints_add(self, 99, size);
	EXPECT_EQ(-EOPNOTSUPP, state_set(&self->c, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "record 99 of the architecture"))
		TH_LOG("%s", log);

	breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size - 8);
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));
	breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size + 8);	/* beyond the record */
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	bp = breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size);
	bp->addr[1] = 0xffff888000000000;
	EXPECT_EQ(-EINVAL, state_set(&self->c, NULL, 0));

	bp = breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size);
	bp->addr[0] = CODE + 1;
	bp->control = 0xd0001;			/* 4 bytes, but where no such thing can begin */
	EXPECT_EQ(-EOPNOTSUPP, state_set(&self->c, NULL, 0));
	EXPECT_EQ(-EBUSY, gate_go(&self->c, NULL, 0));

	/* passed over */
	breakpoints_add(self, CRK_ARCH_NONE, size);
	EXPECT_EQ(0, state_set(&self->c, NULL, 0));
	EXPECT_EQ(0, gate_go(&self->c, NULL, 0));
	EXPECT_EQ(42, child_status(&self->c));
}
#endif

TEST_HARNESS_MAIN
