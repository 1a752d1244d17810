// SPDX-License-Identifier: GPL-2.0
/*
 * The restore half of /dev/crk without the helper: a child of the test turns itself into a tiny process made of a page
 * of code and a page of data, gets registers from the test, and shows by its exit status what it found.
 *
 * crk-test: timeout=600 abi=x86_64
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <crk.h>
#include <crk_regs.h>
#include <kselftest_harness.h>

#define PAGE		4096UL
#define CODE		0x10000000UL
#define DATA		0x20000000UL
#define STAGE		0x30000000UL
#define RETURNED	7		/* exit status of a child whose ioctl came back */
#define MAX_THREADS	128

/* ---- what the new process executes: each piece begins at the start of the code page ---- */

#ifdef __x86_64__
#define PIECE(name, text)							\
	asm(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name "_end:\n.popsection");	\
	extern const char name[], name##_end[]

/* exit_group(42) */
PIECE(code_exit, "mov $42, %edi; mov $231, %eax; syscall");
/* exit_group(*(int *)DATA) */
PIECE(code_data, "mov 0x20000000, %edi; mov $231, %eax; syscall");
/* two threads: the one with rdi = 0 waits for the other's word, then exit_group(word); the other exits alone */
PIECE(code_threads, "test %edi, %edi; jnz 2f; 1: mov 0x20000000, %edi; test %edi, %edi; jz 1b;"
		    "mov $231, %eax; syscall; 2: mov %edi, 0x20000000; xor %edi, %edi; mov $60, %eax; syscall");
/* exit_group(low word of xmm0) */
PIECE(code_fpu, "movd %xmm0, %edi; mov $231, %eax; syscall");
/* starts behind a nanosleep: exit_group(-its result, plus 40) */
PIECE(code_slept, "syscall; neg %eax; lea 40(%rax), %edi; mov $231, %eax; syscall");
/* pause() for ever */
PIECE(code_pause, "1: mov $34, %eax; syscall; jmp 1b");
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

static void regs_init(struct user_regs_struct *r, unsigned long arg)
{
	*r = (struct user_regs_struct){
		.rip = CODE, .rsp = DATA + PAGE, .rdi = arg, .cs = 0x33, .ss = 0x2b, .eflags = 0x202,
		.orig_rax = -1UL,
	};
}
#define MACHINE	EM_X86_64
#endif

/* ---- records ---- */

struct recs {
	size_t len;
	char buf[131072];
};

static void *rec_add(struct recs *r, unsigned int type, size_t size)
{
	struct crk_rec *rec = (void *)(r->buf + r->len);

	memset(rec, 0, size);
	rec->type = type;
	rec->size = (size + 7) & ~7UL;
	r->len += rec->size;
	return rec;
}

static struct crk_rec_mm *mm_add(struct recs *r)
{
	struct crk_rec_mm *mm = rec_add(r, CRK_REC_MM, sizeof(*mm));

	mm->task_size = 0x7ffffffff000;
	mm->mmap_base = 0x7f0000000000;
	mm->mmap_legacy_base = 0x2aaaaaaaa000;
	mm->mmap_compat_base = 0xf0000000;
	mm->mmap_compat_legacy_base = 0x55555000;
	mm->start_code = CODE;
	mm->end_code = CODE + PAGE;
	mm->start_data = mm->end_data = DATA;
	mm->start_brk = mm->brk = 0x40000000;
	mm->start_stack = 0x50000000;
	mm->flags = CRK_MM_VSYSCALL;
	return mm;
}

static void set_add(struct recs *r, unsigned int note, const void *data, size_t len)
{
	struct crk_rec_regset *set = rec_add(r, CRK_REC_REGSET, sizeof(*set) + len);

	set->note = note;
	set->len = len;
	memcpy(set->data, data, len);
}

static struct crk_rec_thread *machine_thread_add(struct recs *r, pid_t tgid, pid_t tid, unsigned int machine,
						 const void *regs, size_t len)
{
	struct crk_rec_task *task = rec_add(r, CRK_REC_TASK, sizeof(*task));
	struct crk_rec_thread *t;

	task->tid = tid;
	task->tgid = tgid;
	task->machine = machine;
	set_add(r, NT_PRSTATUS, regs, len);
	t = rec_add(r, CRK_REC_THREAD, sizeof(*t));
	t->syscall_nr = -1;
	t->altstack_flags = SS_DISABLE;
	t->timer_slack_ns = 50000;
	strcpy((char *)t->comm, "restored");
	return t;
}

static struct crk_rec_thread *thread_add(struct recs *r, pid_t tgid, pid_t tid, const struct user_regs_struct *regs)
{
	return machine_thread_add(r, tgid, tid, MACHINE, regs, sizeof(*regs));
}

/* ---- the child ---- */

struct plan {
	struct crk_op ops[16];
	unsigned int nr;
	unsigned int nr_threads;
	unsigned int close_from;
	bool makes_timer;	/* POSIX timer 0 */
	struct recs recs;
};

/* shared with the child */
struct report {
	pid_t tid[MAX_THREADS];
	int err;
	unsigned int bad_op;
	char log[512];
};

static struct crk_op *op_add(struct plan *p, unsigned int op, unsigned long addr, unsigned long len)
{
	p->ops[p->nr] = (struct crk_op){ .op = op, .addr = addr, .len = len, .fd = -1 };
	return &p->ops[p->nr++];
}

static struct plan *child_plan;
static struct report *report;
static int child_dev;

static void *child_thread(void *arg)
{
	struct crk_park park = { .size = sizeof(park) };

	__atomic_store_n(&report->tid[(long)arg], syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	syscall(SYS_ioctl, child_dev, CRK_IOC_PARK, &park);
	syscall(SYS_exit, 0);
	return NULL;
}

static void child_main(void)
{
	struct crk_program cmd = {
		.size = sizeof(cmd), .ops_uptr = (uintptr_t)child_plan->ops, .nr_ops = child_plan->nr,
		.op_size = sizeof(struct crk_op), .nr_threads = child_plan->nr_threads,
		.close_from = child_plan->close_from, .recs_uptr = (uintptr_t)child_plan->recs.buf,
		.recs_len = child_plan->recs.len, .log_uptr = (uintptr_t)report->log, .log_size = sizeof(report->log),
	};
	pthread_t thread;
	sigset_t all;
	long i;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	report->tid[0] = getpid();
	if (child_plan->makes_timer && syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &(int){ 0 }))
		_exit(98);
	for (i = 1; i < child_plan->nr_threads; i++) {
		if (pthread_create(&thread, NULL, child_thread, (void *)i))
			_exit(99);
		while (!__atomic_load_n(&report->tid[i], __ATOMIC_SEQ_CST))
			sched_yield();
	}
	ioctl(child_dev, CRK_IOC_PROGRAM, &cmd);
	report->err = errno;
	report->bad_op = cmd.out_bad_op;
	_exit(RETURNED);
}

/* ---- the fixture ---- */

FIXTURE(crk) {
	int dev;
	int image;		/* of two pages: code, then data */
	struct plan plan;
	struct recs set;
	pid_t pid;
};

FIXTURE_SETUP(crk)
{
#ifndef __x86_64__
	SKIP(return, "no code for this architecture");
#endif
	self->dev = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
	if (self->dev < 0)
		SKIP(return, "no " CRK_DEVICE);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, report);
	self->image = memfd_create("image", 0);
	ASSERT_EQ(0, ftruncate(self->image, 2 * PAGE));
	self->plan.nr_threads = 1;
	self->plan.close_from = 0;
	mm_add(&self->plan.recs);
}

FIXTURE_TEARDOWN(crk)
{
	close(self->dev);
	close(self->image);
}

/* code and one writable page */
static void plan_code(struct __test_metadata *_metadata, FIXTURE_DATA(crk) *self, const char *code, const char *end)
{
	struct crk_op *op;

	ASSERT_EQ(end - code, pwrite(self->image, code, end - code, 0));
	op = op_add(&self->plan, CRK_OP_MAP, CODE, PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_EXEC;
	op = op_add(&self->plan, CRK_OP_FILL, CODE, PAGE);
	op->fd = self->image;
	op = op_add(&self->plan, CRK_OP_MAP, DATA, PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_WRITE;
	op = op_add(&self->plan, CRK_OP_FILL, DATA, PAGE);
	op->fd = self->image;
	op->off = PAGE;
}
#define PLAN_CODE(name)	plan_code(_metadata, self, name, name##_end)

static void child_begin(struct __test_metadata *_metadata, FIXTURE_DATA(crk) *self)
{
	struct crk_restore cmd = { .size = sizeof(cmd), .nr_tasks = self->plan.nr_threads };

	ASSERT_EQ(0, ioctl(self->dev, CRK_IOC_RESTORE, &cmd));
	child_plan = &self->plan;
	child_dev = self->dev;
	self->pid = fork();
	ASSERT_NE(-1, self->pid);
	if (!self->pid)
		child_main();
}

/* as long as some come, the others are waited for */
static int parked_wait(FIXTURE_DATA(crk) *self, struct crk_wait *cmd, char *log, size_t size)
{
	unsigned int before;
	int ret;

	*cmd = (struct crk_wait){
		.size = sizeof(*cmd), .timeout_ms = 10000, .log_uptr = (uintptr_t)log, .log_size = size,
	};
	do {
		before = cmd->out_nr_parked;
		ret = ioctl(self->dev, CRK_IOC_WAIT, cmd) ? -errno : 0;
	} while (ret == -ETIMEDOUT && cmd->out_nr_parked > before);
	return ret;
}

static int state_set(FIXTURE_DATA(crk) *self, char *log, size_t size)
{
	struct crk_set cmd = {
		.size = sizeof(cmd), .recs_uptr = (uintptr_t)self->set.buf, .recs_len = self->set.len,
		.log_uptr = (uintptr_t)log, .log_size = size,
	};

	return ioctl(self->dev, CRK_IOC_SET, &cmd) ? -errno : 0;
}

static int gate_go(FIXTURE_DATA(crk) *self, char *log, size_t size)
{
	struct crk_go cmd = { .size = sizeof(cmd), .log_uptr = (uintptr_t)log, .log_size = size };

	return ioctl(self->dev, CRK_IOC_GO, &cmd) ? -errno : 0;
}

/* 0 with the registers that code begins with, or an error with its text */
#define OK(expr) do {								\
	char _log[512] = "";							\
	int _ret = (expr);							\
										\
	ASSERT_EQ(0, _ret)							\
		TH_LOG("%s %s", _log, report->log);				\
} while (0)
#define ALL_PARKED()	({ struct crk_wait _w; OK(parked_wait(self, &_w, _log, sizeof(_log))); })
#define SET()		OK(state_set(self, _log, sizeof(_log)))
#define GO()		OK(gate_go(self, _log, sizeof(_log)))

static struct crk_rec_thread *leader_state(FIXTURE_DATA(crk) *self)
{
	struct user_regs_struct regs;

	regs_init(&regs, 0);
	return thread_add(&self->set, self->pid, self->pid, &regs);
}

static int child_status(FIXTURE_DATA(crk) *self)
{
	int status;

	if (waitpid(self->pid, &status, 0) != self->pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
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
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(42, child_status(self));
}

TEST_F(crk, fill_reads_the_range)
{
	int word = 43;

	ASSERT_EQ(4, pwrite(self->image, &word, 4, PAGE));
	PLAN_CODE(code_data);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(43, child_status(self));
}

TEST_F(crk, two_threads)
{
	struct user_regs_struct regs;

	self->plan.nr_threads = 2;
	PLAN_CODE(code_threads);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	regs_init(&regs, 44);
	thread_add(&self->set, self->pid, report->tid[1], &regs);
	SET();
	GO();
	EXPECT_EQ(44, child_status(self));
}

/* one stays and ends the process, the others come from the gate and exit */
TEST_F_TIMEOUT(crk, many_threads, 120)
{
	struct user_regs_struct regs;
	int i;

	self->plan.nr_threads = MAX_THREADS;
	PLAN_CODE(code_threads);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	for (i = 1; i < MAX_THREADS; i++) {
		regs_init(&regs, 44);
		thread_add(&self->set, self->pid, report->tid[i], &regs);
	}
	SET();
	GO();
	EXPECT_EQ(44, child_status(self));
}

TEST_F(crk, fpu_registers)
{
	struct user_fpregs_struct fp = { .cwd = 0x37f, .mxcsr = 0x1f80, .mxcr_mask = 0xffff };

	PLAN_CODE(code_fpu);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	fp.xmm_space[0] = 45;
	set_add(&self->set, NT_PRFPREG, &fp, sizeof(fp));
	SET();
	GO();
	EXPECT_EQ(45, child_status(self));
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
	child_begin(_metadata, self);
	ALL_PARKED();

	/* of another CPU */
	leader_state(self);
	set_add(&self->set, NT_X86_XSTATE, xstate, len - 64);
	EXPECT_EQ(-EOPNOTSUPP, state_set(self, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "0x202"))
		TH_LOG("%s", log);

	self->set.len = 0;
	leader_state(self);
	set_add(&self->set, NT_X86_XSTATE, xstate, len);
	SET();
	GO();
	EXPECT_EQ(45, child_status(self));
}

TEST_F(crk, moved_page_keeps_contents)
{
	struct crk_op *op;

	PLAN_CODE(code_data);
	self->plan.nr -= 2;		/* no data page of its own */
	op = op_add(&self->plan, CRK_OP_MOVE, DATA, PAGE);
	op->arg = STAGE;
	ASSERT_EQ((void *)STAGE, mmap((void *)STAGE, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(int *)STAGE = 46;
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(46, child_status(self));
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
	op = op_add(&self->plan, CRK_OP_EXE, 0, 0);
	op->fd = exe;
	op = op_add(&self->plan, CRK_OP_ADVISE, DATA, PAGE);
	op->arg = MADV_DONTDUMP;
	child_begin(_metadata, self);
	ALL_PARKED();
	snprintf(path, sizeof(path), "/proc/%d/exe", self->pid);
	EXPECT_LT(0, readlink(path, link, sizeof(link) - 1));
	EXPECT_NE(NULL, strstr(link, "program"))
		TH_LOG("%s", link);
	EXPECT_TRUE(maps_line(self->pid, CODE, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "r-xp"));
	EXPECT_FALSE(maps_line(self->pid, STAGE, line, sizeof(line)));
	/* all of the helper's descriptors are gone */
	snprintf(path, sizeof(path), "/proc/%d/fd/0", self->pid);
	EXPECT_EQ(-1, readlink(path, link, sizeof(link)));
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(42, child_status(self));
	close(exe);
}

TEST_F(crk, name_of_anonymous_memory)
{
	char line[256] = "";

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0, 0, 0))
		SKIP(return, "no CONFIG_ANON_VMA_NAME");
	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_NAME, DATA, PAGE)->arg = (uintptr_t)"a name";
	child_begin(_metadata, self);
	ALL_PARKED();
	EXPECT_TRUE(maps_line(self->pid, DATA, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "[anon:a name]"))
		TH_LOG("%s", line);
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(42, child_status(self));
}

TEST_F(crk, vdso_where_asked)
{
	char line[256];

	PLAN_CODE(code_pause);
	op_add(&self->plan, CRK_OP_VDSO, STAGE, 0);
	child_begin(_metadata, self);
	ALL_PARKED();
	EXPECT_TRUE(maps_line(self->pid, STAGE, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "[vvar"));
	leader_state(self);
	SET();
	GO();
	kill(self->pid, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
}

/* requirement: a sleep goes on with its remaining time */
TEST_F(crk, sleep_goes_on)
{
	struct user_regs_struct regs;
	struct crk_rec_thread *t;
	uint64_t start;

	PLAN_CODE(code_slept);
	child_begin(_metadata, self);
	ALL_PARKED();
	regs_init(&regs, 0);
	regs.rip = CODE_AFTER_SYSCALL;
	regs.orig_rax = SYS_nanosleep;
	regs.rax = -516L;
	t = thread_add(&self->set, self->pid, self->pid, &regs);
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
	EXPECT_EQ(40, child_status(self));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

TEST_F(crk, interrupted_call_begins_again)
{
	struct user_regs_struct regs;
	struct crk_rec_thread *t;

	PLAN_CODE(code_slept);
	child_begin(_metadata, self);
	ALL_PARKED();
	regs_init(&regs, 0);
	regs.rip = CODE_AFTER_SYSCALL;
	regs.orig_rax = SYS_getpgid;	/* with a pid that is not there: ESRCH tells that it ran */
	regs.rdi = 0x7ffffff0;
	regs.rax = -4L;
	t = thread_add(&self->set, self->pid, self->pid, &regs);
	t->syscall = CRK_SYSCALL_EINTR;
	t->syscall_nr = SYS_getpgid;
	SET();
	GO();
	EXPECT_EQ(40 + ESRCH, child_status(self));
}

TEST_F(crk, blocked_and_pending_signals)
{
	struct crk_rec_thread *t;

	PLAN_CODE(code_pause);
	child_begin(_metadata, self);
	ALL_PARKED();
	EXPECT_EQ(0, kill(self->pid, SIGUSR1));	/* the child has all signals blocked */
	EXPECT_EQ(0, kill(self->pid, SIGUSR2));
	t = leader_state(self);
	t->blocked = 1ULL << (SIGUSR1 - 1);
	SET();
	GO();
	EXPECT_EQ(1000 + SIGUSR2, child_status(self));
}

TEST_F(crk, handler_and_signal_stack)
{
	struct crk_rec_actions *a;
	struct crk_rec_thread *t;
	struct crk_op *op;

	a = rec_add(&self->plan.recs, CRK_REC_ACTIONS, sizeof(*a) + 64 * sizeof(a->actions[0]));
	a->nr = 64;
	a->actions[SIGUSR1 - 1].handler = CODE + 64;
	a->actions[SIGUSR1 - 1].restorer = CODE;
	a->actions[SIGUSR1 - 1].flags = SA_SIGINFO | SA_ONSTACK | 0x04000000;	/* SA_RESTORER */
	PLAN_CODE(code_handler);
	op = op_add(&self->plan, CRK_OP_MAP, STAGE - 16 * PAGE, 16 * PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_WRITE;
	child_begin(_metadata, self);
	ALL_PARKED();
	t = leader_state(self);
	t->altstack_sp = STAGE - 16 * PAGE;
	t->altstack_size = 16 * PAGE;
	t->altstack_flags = 0;
	SET();
	GO();
	EXPECT_EQ(0, kill(self->pid, SIGUSR1));
	EXPECT_EQ(50, child_status(self));
}

/* requirement 5.1 */
TEST_F(crk, rseq_is_registered)
{
	uint32_t area[8] = { 0, -1U };
	struct crk_rec_thread *t;

	ASSERT_EQ(sizeof(area), pwrite(self->image, area, sizeof(area), PAGE + 0x100));
	PLAN_CODE(code_rseq);
	child_begin(_metadata, self);
	ALL_PARKED();
	t = leader_state(self);
	t->rseq = DATA + 0x100;
	t->rseq_len = 32;
	t->rseq_sig = 0x12345678;
	t->rseq_version = 1;
	SET();
	GO();
	EXPECT_EQ(49, child_status(self));
}

TEST_F(crk, interval_timer_counts_from_go)
{
	struct crk_rec_itimer *it = rec_add(&self->plan.recs, CRK_REC_ITIMER, sizeof(*it));
	uint64_t start;

	it->which = ITIMER_REAL;
	it->remaining_ns = 300000000;
	PLAN_CODE(code_pause);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	usleep(100000);
	start = now_ns();
	GO();
	EXPECT_EQ(1000 + SIGALRM, child_status(self));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

TEST_F(crk, posix_timer_counts_from_go)
{
	struct crk_rec_posix_timer *pt = rec_add(&self->plan.recs, CRK_REC_POSIX_TIMER, sizeof(*pt));
	uint64_t start;

	pt->flags = CRK_TIMER_ARMED;
	pt->remaining_ns = 300000000;
	self->plan.makes_timer = true;
	PLAN_CODE(code_pause);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	usleep(100000);
	start = now_ns();
	GO();
	EXPECT_EQ(1000 + SIGALRM, child_status(self));
	EXPECT_LE(300000000ULL, now_ns() - start);
}

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

	plan_ia32((void *)self->plan.recs.buf);
	PLAN_CODE(code_ia32);
	child_begin(_metadata, self);
	ALL_PARKED();
	regs32_init(&regs);
	t = machine_thread_add(&self->set, self->pid, self->pid, EM_386, &regs, sizeof(regs));
	t->flags = CRK_THREAD_COMPAT | CRK_THREAD_ADDR32;
	SET();
	GO();
	EXPECT_EQ(47, child_status(self));
}

TEST_F(crk, ia32_sleep_goes_on)
{
	struct crk_rec_thread *t;
	struct regs32 regs;
	uint64_t start;

	plan_ia32((void *)self->plan.recs.buf);
	PLAN_CODE(code_ia32_slept);
	child_begin(_metadata, self);
	ALL_PARKED();
	regs32_init(&regs);
	regs.eip = CODE_AFTER_SYSCALL;
	regs.orig_eax = 162;		/* nanosleep */
	regs.eax = -516;
	t = machine_thread_add(&self->set, self->pid, self->pid, EM_386, &regs, sizeof(regs));
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
	EXPECT_EQ(40, child_status(self));
	EXPECT_LE(200000000ULL, now_ns() - start);
}

TEST_F(crk, x32_process)
{
	struct crk_rec_mm *mm = (void *)self->plan.recs.buf;
	struct user_regs_struct regs;
	struct crk_rec_thread *t;

	if (syscall(0x40000000 + SYS_getpid) < 0)
		SKIP(return, "no x32: the kernel wants syscall.x32=y");
	mm->flags = CRK_MM_X32;
	PLAN_CODE(code_x32);
	child_begin(_metadata, self);
	ALL_PARKED();
	regs_init(&regs, 0);
	t = thread_add(&self->set, self->pid, self->pid, &regs);
	t->flags = CRK_THREAD_ADDR32;
	SET();
	GO();
	EXPECT_EQ(48, child_status(self));
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
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	fd = open(path, O_WRONLY);
	n = snprintf(text, sizeof(text), "%d", self->pid);
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
	EXPECT_EQ(0, waitpid(self->pid, &n, WNOHANG));
	EXPECT_EQ(1, pwrite(fd, "0", 1, 0));
	close(fd);
	EXPECT_EQ(42, child_status(self));
	EXPECT_EQ(0, rmdir(group));
	umount(dir);
	rmdir(dir);
}

/* ---- it refuses, and nothing has changed ---- */

static void refuse(struct __test_metadata *_metadata, FIXTURE_DATA(crk) *self, int err, unsigned int bad_op,
		   const char *why)
{
	child_begin(_metadata, self);
	ASSERT_EQ(RETURNED, child_status(self));
	EXPECT_EQ(err, report->err)
		TH_LOG("%s", report->log);
	EXPECT_EQ(bad_op, report->bad_op);
	EXPECT_NE(NULL, strstr(report->log, why))
		TH_LOG("%s", report->log);
}
#define REFUSED(err, bad_op, why)	refuse(_metadata, self, err, bad_op, why)

TEST_F(crk, refuses_unknown_record)
{
	PLAN_CODE(code_exit);
	op_add(&self->plan, 99, DATA, PAGE);
	REFUSED(EINVAL, 4, "no such record");
}

TEST_F(crk, refuses_unknown_flag)
{
	PLAN_CODE(code_exit);
	self->plan.ops[2].flags |= 1U << 30;
	REFUSED(EINVAL, 2, "unknown flags");
}

TEST_F(crk, refuses_half_a_page)
{
	PLAN_CODE(code_exit);
	self->plan.ops[2].addr += 8;
	REFUSED(EINVAL, 2, "not whole pages");
}

TEST_F(crk, refuses_addresses_beyond_the_end)
{
	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_PROTECT, 0xffff888000000000, PAGE);
	REFUSED(EINVAL, 4, "beyond the address space");
}

TEST_F(crk, refuses_meaningless_field)
{
	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_PROTECT, DATA, PAGE)->off = PAGE;
	REFUSED(EINVAL, 4, "no meaning");
}

TEST_F(crk, refuses_closed_fd)
{
	PLAN_CODE(code_exit);
	self->plan.ops[1].fd = 999;
	REFUSED(EBADF, 1, "999");
}

TEST_F(crk, refuses_truncated_image)
{
	PLAN_CODE(code_exit);
	self->plan.ops[3].off = 16 * PAGE;
	REFUSED(EINVAL, 3, "image truncated");
}

TEST_F(crk, refuses_overlap)
{
	struct crk_op *op;

	PLAN_CODE(code_exit);
	op = op_add(&self->plan, CRK_OP_MAP, CODE - PAGE, 2 * PAGE);
	op->flags = CRK_MAP_ANON;
	REFUSED(EINVAL, 4, "overlaps");
}

TEST_F(crk, refuses_move_of_nothing)
{
	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_MOVE, STAGE + PAGE, PAGE)->arg = STAGE;
	REFUSED(EINVAL, 4, "nothing is mapped");
}

TEST_F(crk, refuses_without_address_space)
{
	PLAN_CODE(code_exit);
	self->plan.recs.len = 0;
	rec_add(&self->plan.recs, CRK_REC_ITIMER, sizeof(struct crk_rec_itimer));
	REFUSED(EINVAL, ~0U, "address space");
}

TEST_F(crk, refuses_wrong_number_of_threads)
{
	struct crk_restore cmd = { .size = sizeof(cmd), .nr_tasks = 1 };
	struct crk_park park = { .size = sizeof(park) };

	PLAN_CODE(code_exit);
	ASSERT_EQ(0, ioctl(self->dev, CRK_IOC_RESTORE, &cmd));
	EXPECT_EQ(-1, ioctl(self->dev, CRK_IOC_RESTORE, &cmd));
	EXPECT_EQ(EBUSY, errno);
	/* a leader does not come this way */
	EXPECT_EQ(-1, ioctl(self->dev, CRK_IOC_PARK, &park));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(crk, set_refuses_bad_state)
{
	struct crk_info info = { .size = sizeof(info) };
	struct user_regs_struct regs;
	struct crk_rec_thread *t;
	char log[512] = "";

	PLAN_CODE(code_exit);
	child_begin(_metadata, self);
	ALL_PARKED();
	EXPECT_EQ(-EBUSY, gate_go(self, NULL, 0));	/* no state yet */

	regs_init(&regs, 0);
	regs.cs = 0x10;					/* the kernel's */
	thread_add(&self->set, self->pid, self->pid, &regs);
	EXPECT_EQ(-EOPNOTSUPP, state_set(self, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "code segment"))
		TH_LOG("%s", log);

	self->set.len = 0;
	regs_init(&regs, 0);
	regs.fs_base = 0xffff888000000000;
	thread_add(&self->set, self->pid, self->pid, &regs);
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	self->set.len = 0;
	t = leader_state(self);
	t->rseq = 0xffff888000000000;
	t->rseq_len = 32;
	t->rseq_version = 1;
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	/* a time slice extension of no area; where the kernel has none at all, that is said */
	self->set.len = 0;
	t = leader_state(self);
	t->flags = CRK_THREAD_RSEQ_SLICE;
	EXPECT_EQ(0, ioctl(self->dev, CRK_IOC_INFO, &info));
	EXPECT_EQ(info.out_features & CRK_FEAT_RSEQ_SLICE ? -EINVAL : -EOPNOTSUPP, state_set(self, log, sizeof(log)));

	self->set.len = 0;
	regs_init(&regs, 0);
	thread_add(&self->set, getpid(), getpid(), &regs);
	EXPECT_EQ(-ESRCH, state_set(self, NULL, 0));

	self->set.len = 0;
	leader_state(self);
	set_add(&self->set, 0x12345, &regs, 8);
	EXPECT_EQ(-EOPNOTSUPP, state_set(self, NULL, 0));

	self->set.len = 0;
	leader_state(self)->flags = 1U << 31;
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	EXPECT_EQ(-EBUSY, gate_go(self, NULL, 0));
	self->set.len = 0;
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(42, child_status(self));
}

/* ---- it fails, and nothing is left ---- */

static struct crk_rec_settings *settings_add(FIXTURE_DATA(crk) *self)
{
	self->set.len = 0;
	leader_state(self);
	return rec_add(&self->set, CRK_REC_SETTINGS, sizeof(struct crk_rec_settings));
}

TEST_F(crk, set_refuses_bad_settings)
{
	struct crk_rec_settings *s;
	char log[512] = "";

	PLAN_CODE(code_exit);
	child_begin(_metadata, self);
	ALL_PARKED();

	s = settings_add(self);
	s->flags = 1U << 31;
	EXPECT_EQ(-EINVAL, state_set(self, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "settings"))
		TH_LOG("%s", log);

	s = settings_add(self);
	s->dispatch_len = PAGE;			/* without its flag */
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	s = settings_add(self);
	s->flags = CRK_SETTING_DISPATCH;
	s->dispatch_selector = 0xffff888000000000;
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	s = settings_add(self);
	s->__reserved = 1;
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	s = settings_add(self);
	s->default_slack_ns = 60000;
	EXPECT_EQ(0, state_set(self, NULL, 0));
	EXPECT_EQ(0, gate_go(self, NULL, 0));
	EXPECT_EQ(42, child_status(self));
}

#ifdef __x86_64__
static struct crk_x86_breakpoints *breakpoints_add(FIXTURE_DATA(crk) *self, unsigned int what, unsigned int len)
{
	struct crk_rec_arch *rec;

	self->set.len = 0;
	leader_state(self);
	rec = rec_add(&self->set, CRK_REC_ARCH, sizeof(*rec) + sizeof(struct crk_x86_breakpoints));
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
	child_begin(_metadata, self);
	ALL_PARKED();

	breakpoints_add(self, 99, size);
	EXPECT_EQ(-EOPNOTSUPP, state_set(self, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "record 99 of the architecture"))
		TH_LOG("%s", log);

	breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size - 8);
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));
	breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size + 8);	/* beyond the record */
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	bp = breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size);
	bp->addr[1] = 0xffff888000000000;
	EXPECT_EQ(-EINVAL, state_set(self, NULL, 0));

	bp = breakpoints_add(self, CRK_ARCH_BREAKPOINTS, size);
	bp->addr[0] = CODE + 1;
	bp->control = 0xd0001;			/* 4 bytes, but where no such thing can begin */
	EXPECT_EQ(-EOPNOTSUPP, state_set(self, NULL, 0));
	EXPECT_EQ(-EBUSY, gate_go(self, NULL, 0));

	/* passed over */
	breakpoints_add(self, CRK_ARCH_NONE, size);
	EXPECT_EQ(0, state_set(self, NULL, 0));
	EXPECT_EQ(0, gate_go(self, NULL, 0));
	EXPECT_EQ(42, child_status(self));
}
#endif

TEST_F(crk, failed_record_is_told)
{
	char log[512] = "";
	struct crk_wait cmd;

	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_PROTECT, STAGE, PAGE);	/* nothing is there */
	child_begin(_metadata, self);
	EXPECT_EQ(-ECHILD, parked_wait(self, &cmd, log, sizeof(log)));
	EXPECT_EQ(self->pid, cmd.out_pid);
	EXPECT_EQ(4, cmd.out_bad_op);
	EXPECT_EQ(ENOMEM, cmd.out_err);
	EXPECT_NE(NULL, strstr(log, "protect"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
}

TEST_F(crk, vdso_of_another_kernel)
{
	char log[512] = "";
	struct crk_wait cmd;

	PLAN_CODE(code_exit);
	op_add(&self->plan, CRK_OP_VDSO, STAGE, 64 * PAGE);
	child_begin(_metadata, self);
	EXPECT_EQ(-ECHILD, parked_wait(self, &cmd, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "vDSO of another kernel"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
}

/* a timer that nobody made: found when the gate is about to open, and then none goes */
TEST_F(crk, timer_that_is_not_there)
{
	struct crk_rec_posix_timer *pt = rec_add(&self->plan.recs, CRK_REC_POSIX_TIMER, sizeof(*pt));
	char log[512] = "";

	pt->id = 12345;
	pt->flags = CRK_TIMER_ARMED;
	pt->remaining_ns = 300000000;
	PLAN_CODE(code_pause);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	EXPECT_EQ(-ESRCH, gate_go(self, log, sizeof(log)));
	EXPECT_NE(NULL, strstr(log, "POSIX timer 12345"))
		TH_LOG("%s", log);
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
}

TEST_F(crk, killed_while_parked)
{
	struct crk_wait cmd;

	self->plan.nr_threads = 2;
	PLAN_CODE(code_exit);
	child_begin(_metadata, self);
	ALL_PARKED();
	ASSERT_EQ(0, kill(self->pid, SIGKILL));
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
	EXPECT_EQ(-ECHILD, parked_wait(self, &cmd, NULL, 0));
	EXPECT_EQ(~0U, cmd.out_bad_op);
	EXPECT_EQ(-ESRCH, gate_go(self, NULL, 0));
}

TEST_F(crk, close_kills_the_half_restored)
{
	self->plan.nr_threads = 2;
	PLAN_CODE(code_exit);
	child_begin(_metadata, self);
	ALL_PARKED();
	close(self->dev);
	EXPECT_EQ(1000 + SIGKILL, child_status(self));
}

/* whatever it is doing: making threads, unmapping, filling, parked */
TEST_F_TIMEOUT(crk, close_at_any_time, 120)
{
	int i;

	self->plan.nr_threads = 8;
	PLAN_CODE(code_pause);
	for (i = 0; i < 60; i++) {
		memset(report, 0, sizeof(*report));
		child_begin(_metadata, self);
		usleep(i * 300);
		/* a kill from the outside now and then */
		if (i % 3 == 2)
			EXPECT_EQ(0, kill(self->pid, SIGKILL));
		close(self->dev);
		/* or it came when the job was over, or one of its threads did and is not there any more */
		if (child_status(self) != 1000 + SIGKILL)
			EXPECT_TRUE(report->err == EBUSY || report->err == EINVAL);
		self->dev = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, self->dev);
	}
}

/* the fd is inherited by the restored task, and must not keep it alive */
TEST_F(crk, death_of_the_opener_kills_the_half_restored)
{
	pid_t opener, orphan;
	int status;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	self->plan.close_from = ~0U;
	PLAN_CODE(code_exit);
	opener = fork();
	if (!opener) {
		close(self->dev);
		self->dev = open(CRK_DEVICE, O_RDWR);
		child_begin(_metadata, self);
		ALL_PARKED();
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(opener, waitpid(opener, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	orphan = waitpid(-1, &status, 0);
	EXPECT_EQ(report->tid[0], orphan);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* after GO the job is finished: closing it kills nobody */
TEST_F(crk, close_after_go)
{
	PLAN_CODE(code_pause);
	child_begin(_metadata, self);
	ALL_PARKED();
	leader_state(self);
	SET();
	GO();
	close(self->dev);
	usleep(50000);
	EXPECT_EQ(0, kill(self->pid, SIGUSR1));
	EXPECT_EQ(1000 + SIGUSR1, child_status(self));
}

/* a module whose code tasks are in can't be unloaded */
TEST_F(crk, unload_while_parked)
{
	PLAN_CODE(code_exit);
	child_begin(_metadata, self);
	ALL_PARKED();
	EXPECT_EQ(-1, syscall(SYS_delete_module, "crk", O_NONBLOCK));
	leader_state(self);
	SET();
	GO();
	EXPECT_EQ(42, child_status(self));
}

TEST_HARNESS_MAIN
