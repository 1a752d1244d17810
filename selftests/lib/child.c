// SPDX-License-Identifier: GPL-2.0
/* See child.h. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "device.h"

#define die(...) (fprintf(stderr, "# " __VA_ARGS__), fprintf(stderr, " (%s)\n", strerror(errno)), exit(1))

/* ---- records ---- */

void *rec_add(struct recs *r, unsigned int type, size_t size)
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

void set_add(struct recs *r, unsigned int note, const void *data, size_t len)
{
	struct crk_rec_regset *set = rec_add(r, CRK_REC_REGSET, sizeof(*set) + len);

	set->note = note;
	set->len = len;
	memcpy(set->data, data, len);
}

struct crk_rec_thread *machine_thread_add(struct recs *r, pid_t tgid, pid_t tid, unsigned int machine,
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

/* ---- the child ---- */

struct crk_op *op_add(struct plan *p, unsigned int op, unsigned long addr, unsigned long len)
{
	p->ops[p->nr] = (struct crk_op){ .op = op, .addr = addr, .len = len, .fd = -1 };
	return &p->ops[p->nr++];
}

static struct child *me;

static void *child_thread(void *arg)
{
	struct crk_park park = { .size = sizeof(park) };

	__atomic_store_n(&me->report->tid[(long)arg], syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	syscall(SYS_ioctl, me->dev, CRK_IOC_PARK, &park);
	syscall(SYS_exit, 0);
	return NULL;
}

static void child_main(void)
{
	struct crk_program cmd = {
		.size = sizeof(cmd), .ops_uptr = (uintptr_t)me->plan.ops, .nr_ops = me->plan.nr,
		.op_size = sizeof(struct crk_op), .nr_threads = me->plan.nr_threads,
		.close_from = me->plan.close_from, .recs_uptr = (uintptr_t)me->plan.recs.buf,
		.recs_len = me->plan.recs.len, .log_uptr = (uintptr_t)me->report->log, .log_size = sizeof(me->report->log),
	};
	pthread_t thread;
	sigset_t all;
	unsigned long i;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	me->report->tid[0] = getpid();
	if (me->plan.makes_timer && syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &(int){ 0 }))
		_exit(98);
	for (i = 1; i < me->plan.nr_threads; i++) {
		if (pthread_create(&thread, NULL, child_thread, (void *)i))
			_exit(99);
		while (!__atomic_load_n(&me->report->tid[i], __ATOMIC_SEQ_CST))
			sched_yield();
	}
	me->report->err = device_call(me->dev, CRK_IOC_PROGRAM, &cmd);
	me->report->bad_op = cmd.out_bad_op;
	_exit(RETURNED);
}

bool child_init(struct child *c)
{
	c->dev = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
	if (c->dev < 0)
		return false;
	c->report = mmap(NULL, sizeof(*c->report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->report == MAP_FAILED)
		die("report");
	c->image = memfd_create("image", 0);
	if (ftruncate(c->image, 2 * PAGE))
		die("image");
	c->plan.nr_threads = 1;
	c->plan.close_from = 0;
	mm_add(&c->plan.recs);
	return true;
}

void child_exit(struct child *c)
{
	close(c->dev);
	close(c->image);
}

void plan_code(struct child *c, const char *code, const char *end)
{
	struct crk_op *op;

	if (pwrite(c->image, code, end - code, 0) != end - code)
		die("image");
	op = op_add(&c->plan, CRK_OP_MAP, CODE, PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_EXEC;
	op = op_add(&c->plan, CRK_OP_FILL, CODE, PAGE);
	op->fd = c->image;
	op = op_add(&c->plan, CRK_OP_MAP, DATA, PAGE);
	op->flags = CRK_MAP_ANON;
	op->prot = PROT_READ | PROT_WRITE;
	op = op_add(&c->plan, CRK_OP_FILL, DATA, PAGE);
	op->fd = c->image;
	op->off = PAGE;
}

void child_begin(struct child *c)
{
	struct crk_restore cmd = { .size = sizeof(cmd), .nr_tasks = c->plan.nr_threads };

	if (device_call(c->dev, CRK_IOC_RESTORE, &cmd))
		die("restore");
	me = c;
	c->pid = fork();
	if (c->pid < 0)
		die("fork");
	if (!c->pid)
		child_main();
}

int child_status(struct child *c)
{
	int status;

	if (waitpid(c->pid, &status, 0) != c->pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int parked_wait(struct child *c, struct crk_wait *cmd, char *log, size_t size)
{
	unsigned int before;
	int ret;

	*cmd = (struct crk_wait){
		.size = sizeof(*cmd), .timeout_ms = 10000, .log_uptr = (uintptr_t)log, .log_size = size,
	};
	do {
		before = cmd->out_nr_parked;
		ret = -device_call(c->dev, CRK_IOC_WAIT, cmd);
	} while (ret == -ETIMEDOUT && cmd->out_nr_parked > before);
	return ret;
}

int state_set(struct child *c, char *log, size_t size)
{
	struct crk_set cmd = {
		.size = sizeof(cmd), .recs_uptr = (uintptr_t)c->set.buf, .recs_len = c->set.len,
		.log_uptr = (uintptr_t)log, .log_size = size,
	};

	return -device_call(c->dev, CRK_IOC_SET, &cmd);
}

int gate_go(struct child *c, char *log, size_t size)
{
	struct crk_go cmd = { .size = sizeof(cmd), .log_uptr = (uintptr_t)log, .log_size = size };

	return -device_call(c->dev, CRK_IOC_GO, &cmd);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- what it executes ---- */

#ifdef __x86_64__
PIECE(code_exit, "mov $42, %edi; mov $231, %eax; syscall");
PIECE(code_pause, "1: mov $34, %eax; syscall; jmp 1b");

void regs_init(struct user_regs_struct *r, unsigned long arg)
{
	*r = (struct user_regs_struct){
		.rip = CODE, .rsp = DATA + PAGE, .rdi = arg, .cs = 0x33, .ss = 0x2b, .eflags = 0x202,
		.orig_rax = -1UL,
	};
}

struct crk_rec_thread *thread_add(struct recs *r, pid_t tgid, pid_t tid, const struct user_regs_struct *regs)
{
	return machine_thread_add(r, tgid, tid, EM_X86_64, regs, sizeof(*regs));
}

struct crk_rec_thread *leader_state(struct child *c)
{
	struct user_regs_struct regs;

	regs_init(&regs, 0);
	return thread_add(&c->set, c->pid, c->pid, &regs);
}
#endif
