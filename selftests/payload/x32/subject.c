// SPDX-License-Identifier: GPL-2.0
/*
 * What roundtrip/x32 dumps: a program of the x32 ABI, without a C library, which nobody has for it.  Its arguments
 * are which part to do, and whether every dump leaves it running.  It writes the file "ready" when it may be dumped, goes on
 * when there is "go.1", checks itself and ends with status 0; or says in the file "failed" what was wrong.
 */
#include <stdint.h>

#include "x32.h"

enum {
	READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, POLL = 7, MMAP = 9, MUNMAP = 11, BRK = 12, PROCMASK = 14, ACCESS = 21,
	PIPE = 22, NANOSLEEP = 35, SETITIMER = 38, GETPID = 39, SENDTO = 44, SOCKETPAIR = 53, CLONE = 56, EXIT = 60,
	WAIT4 = 61, ARCH_PRCTL = 158, GETTID = 186, FUTEX = 202, TIMER_SETTIME = 223, CLOCK_GETTIME = 228,
	EXIT_GROUP = 231, EPOLL_WAIT = 232, EPOLL_CTL = 233, TGKILL = 234, EVENTFD2 = 290, EPOLL_CREATE1 = 291,
	/* those that have a struct in common with ia32 */
	SIGACTION = 512, READV = 515, RECVFROM = 517, SIGTIMEDWAIT = 523, SIGQUEUEINFO = 524, SIGALTSTACK = 525,
	TIMER_CREATE = 526, SET_ROBUST_LIST = 530,
};
#define EINTR		4
#define EAGAIN		11
#define ETIMEDOUT	110

#define ARG(x)	((long long)(x))
#define PTR(p)	((long long)(uintptr_t)(p))
#define CALL0(nr)		x32_call(nr, 0, 0, 0, 0, 0, 0)
#define CALL1(nr, a)		x32_call(nr, a, 0, 0, 0, 0, 0)
#define CALL2(nr, a, b)		x32_call(nr, a, b, 0, 0, 0, 0)
#define CALL3(nr, a, b, c)	x32_call(nr, a, b, c, 0, 0, 0)
#define CALL4(nr, a, b, c, d)	x32_call(nr, a, b, c, d, 0, 0)

struct timespec { long long sec, nsec; };

/* ---- what goes wrong ---- */

static int length(const char *s)
{
	int n = 0;

	while (s[n])
		n++;
	return n;
}

static int same(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return *a == *b;
}

static void put(int fd, const char *text)
{
	CALL3(WRITE, fd, PTR(text), length(text));
}

static void put_number(int fd, long long n)
{
	char text[24], *at = text + sizeof(text) - 1;
	unsigned long long u = n < 0 ? -n : n;

	*at = '\0';
	do {
		*--at = '0' + u % 10;
	} while (u /= 10);
	if (n < 0)
		*--at = '-';
	put(fd, at);
}

static void must_eq(long long a, long long b, const char *what, int line)
{
	int fd;

	if (a == b)
		return;
	fd = CALL3(OPEN, PTR("failed"), 02001 /* append */ | 0100, 0666);
	put(fd, "payload/x32/subject.c:");
	put_number(fd, line);
	put(fd, ": not so: ");
	put(fd, what);
	put(fd, ": ");
	put_number(fd, a);
	put(fd, " and ");
	put_number(fd, b);
	put(fd, "\n");
	CALL1(EXIT_GROUP, 1);
}

#define MUST_EQ(a, b)	must_eq(a, b, #a " == " #b, __LINE__)
#define MUST(cond)	must_eq(!!(cond), 1, #cond, __LINE__)

/* ---- the dump ---- */

static int left_running;

static void nap(void)
{
	struct timespec ts = { 0, 10000000 };

	CALL2(NANOSLEEP, PTR(&ts), 0);
}

#define WAIT_FOR(cond) do {								\
	int _tries = 6000;								\
											\
	while (!(cond)) {								\
		MUST(--_tries);								\
		nap();									\
	}										\
} while (0)

static void checkpoint_here(void)
{
	CALL1(CLOSE, CALL3(OPEN, PTR("ready"), 0101, 0666));
	while (CALL2(ACCESS, PTR("go.1"), 0))
		nap();
}

/* ---- threads ---- */

struct thread {
	struct thread *self;		/* where fs leads */
	long long (*run)(struct thread *t);
	volatile int tid;		/* 0 when it has ended */
	int own_tid;
	volatile int begun;
	volatile long long ret;
	int fd[2];
	volatile uint32_t word;
	char stack[8192] __attribute__((aligned(16)));
};

static void *fs_word(void)
{
	uint32_t word;

	__asm__ volatile ("mov %%fs:0, %0" : "=r" (word));
	return (void *)word;
}

__attribute__((used, noreturn)) static void thread_main(struct thread *t)
{
	MUST(fs_word() == t);
	t->own_tid = CALL0(GETTID);
	t->begun = 1;
	t->ret = t->run(t);
	MUST(fs_word() == t);
	CALL1(EXIT, 0);
	__builtin_unreachable();
}

/* clone() gives the child a stack with nothing to return to */
int clone_to_main(uint32_t flags, char *stack, volatile int *tid, struct thread *t);
__asm__ (
	"	.text\n"
	"clone_to_main:\n"
	"	mov	%edi, %edi\n"
	"	mov	%ecx, %r8d\n"
	"	mov	%edx, %r10d\n"
	"	mov	$0x40000038, %eax\n"
	"	syscall\n"
	"	test	%eax, %eax\n"
	"	jz	1f\n"
	"	ret\n"
	"1:	mov	%r8d, %edi\n"
	"	call	thread_main\n"
);

static void start(struct thread *t, long long (*run)(struct thread *t))
{
	/* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID */
	const uint32_t flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000 | 0x100000 | 0x200000;

	t->self = t;
	t->run = run;
	MUST(clone_to_main(flags, t->stack + sizeof(t->stack), &t->tid, t) > 0);
	WAIT_FOR(t->begun);
}

static void end(struct thread *t, long long want, const char *what)
{
	int tid;

	while ((tid = t->tid))
		CALL4(FUTEX, PTR(&t->tid), 0, tid, 0);
	must_eq(t->ret, want, what, 0);
}

static long long in_nanosleep(struct thread *t)
{
	struct timespec ts = { 3, 0 };

	return CALL2(NANOSLEEP, PTR(&ts), 0);
}

static long long in_poll(struct thread *t)
{
	return CALL3(POLL, 0, 0, 3000);
}

static long long in_futex_for_time(struct thread *t)
{
	struct timespec ts = { 3, 0 };

	return CALL4(FUTEX, PTR(&t->word), 0, 0, PTR(&ts));
}

static long long in_futex(struct thread *t)
{
	return CALL4(FUTEX, PTR(&t->word), 0, 0, 0);
}

static long long in_read(struct thread *t)
{
	char c;

	return CALL3(READ, t->fd[0], PTR(&c), 1);
}

static long long in_readv(struct thread *t)
{
	char c[2] = "";
	uint32_t vec[4] = { PTR(&c[0]), 1, PTR(&c[1]), 1 };
	long long ret = CALL3(READV, t->fd[0], PTR(vec), 2);

	return ret == 2 && c[0] == 'x' && c[1] == 'y' ? ret : -1000;
}

static long long in_recvfrom(struct thread *t)
{
	char c;

	return x32_call(RECVFROM, t->fd[0], PTR(&c), 1, 0, 0, 0);
}

static long long in_epoll(struct thread *t)
{
	char event[12];

	return CALL4(EPOLL_WAIT, t->fd[0], PTR(event), 1, -1);
}

static long long in_sigtimedwait(struct thread *t)
{
	uint64_t set = 1ULL << (12 - 1);	/* SIGUSR2 */
	struct timespec ts = { 3, 0 };

	return CALL4(SIGTIMEDWAIT, PTR(&set), 0, PTR(&ts), sizeof(set));
}

/* what is left of the time, when a handler ends it */
static long long in_long_sleep(struct thread *t)
{
	struct timespec ts = { 1000, 0 }, left = { -1, -1 };
	long long ret = CALL2(NANOSLEEP, PTR(&ts), PTR(&left));

	return left.sec >= 900 && left.sec < 1000 && left.nsec >= 0 ? ret : left.sec;
}

/* all 64 bits of registers, though pointers have 32 */
static long long in_user_mode(struct thread *t)
{
	unsigned long long bad;

	__asm__ volatile (
		"	movabs	$0x1122334455667788, %%rax\n"
		"	mov	%%rax, %%rbx; not %%rax; mov %%rax, %%r8; not %%rax; mov %%rax, %%r12; bswap %%rax\n"
		"	mov	%%rax, %%r13; movq %%rax, %%xmm9\n"
		"1:	pause\n"
		"	cmpl	$0, (%1)\n"
		"	je	1b\n"
		"	movq	%%xmm9, %0\n"
		"	xor	%%r13, %0\n"
		"	xor	%%r13, %%rax; or %%rax, %0\n"
		"	bswap	%%r13; xor %%r12, %%r13; or %%r13, %0\n"
		"	xor	%%r12, %%rbx; or %%rbx, %0\n"
		"	not	%%r8; xor %%r12, %%r8; or %%r8, %0\n"
		: "=&r" (bad) : "r" (&t->word) : "rax", "rbx", "r8", "r12", "r13", "xmm9", "memory");
	return bad;
}

/* where pointers can reach */
static long long in_mmap(struct thread *t)
{
	long long at = x32_call(MMAP, 0, 4096, 1, 0x22 /* private, anonymous */, -1, 0);

	return at > 0 && at < 1LL << 32 ? 0 : at;
}

/* ends with a lock that it holds */
static volatile uint32_t robust_lock;
static uint32_t robust_entry, robust_head[3];	/* as 32-bit pointers: next; offset, pending */

static long long with_robust_lock(struct thread *t)
{
	robust_entry = PTR(robust_head);
	robust_head[0] = PTR(&robust_entry);
	robust_head[1] = PTR(&robust_lock) - PTR(&robust_entry);
	robust_lock = t->own_tid;
	MUST_EQ(CALL2(SET_ROBUST_LIST, PTR(robust_head), sizeof(robust_head)), 0);
	return in_futex(t);
}

static void wake(struct thread *t)
{
	t->word = 1;
	CALL4(FUTEX, PTR(&t->word), 1, 1, 0);
}

enum {
	T_NANOSLEEP, T_POLL, T_FUTEX_FOR_TIME, T_FUTEX, T_READ, T_READV, T_RECVFROM, T_EPOLL, T_SIGTIMEDWAIT,
	T_LONG_SLEEP, T_USER_MODE, T_ROBUST, NR_THREADS
};

static struct thread threads[NR_THREADS];

static void on_signal(int signo, const uint32_t *info, void *context);
static void handle(int signo, uint32_t flags);

static struct {
	volatile uint32_t go, seen;
} *shared;

static void part_threads(void)
{
	static const int eintr = EINTR;
	int child, status = -1, event;
	uint64_t one = 1;
	char entry[12] = { 1 };		/* EPOLLIN */

	shared = (void *)(uintptr_t)x32_call(MMAP, 0, 4096, 3, 0x21 /* shared, anonymous */, -1, 0);
	child = CALL2(CLONE, 17, 0);
	if (!child) {
		CALL4(FUTEX, PTR(&shared->go), 0, 0, 0);
		shared->seen = shared->go + 1;
		CALL1(EXIT_GROUP, shared->go);
	}
	handle(10, 0);		/* SIGUSR1 */
	MUST_EQ(CALL4(PROCMASK, 0, PTR(&(uint64_t){ 1ULL << (12 - 1) }), 0, 8), 0);
	MUST_EQ(CALL1(PIPE, PTR(threads[T_READ].fd)), 0);
	MUST_EQ(CALL1(PIPE, PTR(threads[T_READV].fd)), 0);
	MUST_EQ(CALL4(SOCKETPAIR, 1, 1, 0, PTR(threads[T_RECVFROM].fd)), 0);
	threads[T_EPOLL].fd[0] = CALL1(EPOLL_CREATE1, 0);
	event = CALL2(EVENTFD2, 0, 0);
	MUST_EQ(CALL4(EPOLL_CTL, threads[T_EPOLL].fd[0], 1, event, PTR(entry)), 0);
	start(&threads[T_NANOSLEEP], in_nanosleep);
	start(&threads[T_POLL], in_poll);
	start(&threads[T_FUTEX_FOR_TIME], in_futex_for_time);
	start(&threads[T_FUTEX], in_futex);
	start(&threads[T_READ], in_read);
	start(&threads[T_READV], in_readv);
	start(&threads[T_RECVFROM], in_recvfrom);
	start(&threads[T_EPOLL], in_epoll);
	start(&threads[T_SIGTIMEDWAIT], in_sigtimedwait);
	start(&threads[T_LONG_SLEEP], in_long_sleep);
	start(&threads[T_USER_MODE], in_user_mode);
	start(&threads[T_ROBUST], with_robust_lock);
	nap();
	checkpoint_here();

	/* these the kernel itself ends if the program goes on after a freeze */
	end(&threads[T_SIGTIMEDWAIT], left_running ? -eintr : -EAGAIN, "sigtimedwait");
	MUST_EQ(CALL3(WRITE, event, PTR(&one), sizeof(one)), sizeof(one));
	end(&threads[T_EPOLL], left_running ? -eintr : 1, "epoll_wait");
	end(&threads[T_NANOSLEEP], 0, "nanosleep");
	end(&threads[T_POLL], 0, "poll");
	end(&threads[T_FUTEX_FOR_TIME], -ETIMEDOUT, "futex with a time");
	wake(&threads[T_FUTEX]);
	end(&threads[T_FUTEX], 0, "futex");
	MUST_EQ(CALL3(WRITE, threads[T_READ].fd[1], PTR("x"), 1), 1);
	end(&threads[T_READ], 1, "read");
	MUST_EQ(CALL3(WRITE, threads[T_READV].fd[1], PTR("xy"), 2), 2);
	end(&threads[T_READV], 2, "readv");
	MUST_EQ(x32_call(SENDTO, threads[T_RECVFROM].fd[1], PTR("z"), 1, 0, 0, 0), 1);
	end(&threads[T_RECVFROM], 1, "recvfrom");
	MUST_EQ(CALL3(TGKILL, CALL0(GETPID), threads[T_LONG_SLEEP].own_tid, 10), 0);
	end(&threads[T_LONG_SLEEP], -EINTR, "the rest of a long sleep");
	threads[T_USER_MODE].word = 1;
	end(&threads[T_USER_MODE], 0, "registers");
	wake(&threads[T_ROBUST]);
	end(&threads[T_ROBUST], 0, "the owner of a robust lock");
	MUST_EQ(robust_lock, 0x40000000);	/* owner died */
	shared->go = 6;
	CALL4(FUTEX, PTR(&shared->go), 1, 1, 0);
	MUST_EQ(CALL4(WAIT4, child, PTR(&status), 0, 0), child);
	MUST_EQ(status, 6 << 8);
	MUST_EQ(shared->seen, 7);

	/* made after the restore */
	threads[T_NANOSLEEP].begun = 0;
	start(&threads[T_NANOSLEEP], in_mmap);
	end(&threads[T_NANOSLEEP], 0, "memory of a new thread");
	child = CALL2(CLONE, 17, 0);
	if (!child)
		CALL1(EXIT_GROUP, in_mmap(0) != 0);
	MUST_EQ(CALL4(WAIT4, child, PTR(&status), 0, 0), child);
	MUST_EQ(status, 0);
}

/* ---- signals and timers ---- */

#define ONSTACK		0x08000000
#define NR_NOTES	64

static volatile struct {
	int signo, code, value;
} notes[NR_NOTES];
static volatile int nr_notes, in_handler;
static char signal_stack[32768];

void restorer(void);
__asm__ (
	"	.text\n"
	"restorer:\n"
	"	mov	$0x40000201, %eax\n"
	"	syscall\n"
);

/* siginfo is that of 32 bit: the value lies behind two words of who sent it */
static void on_signal(int signo, const uint32_t *info, void *context)
{
	int n = nr_notes;

	if (n == NR_NOTES)
		return;
	notes[n].signo = info[0] == (uint32_t)signo ? signo : -1;
	notes[n].code = info[2];
	notes[n].value = info[5];
	nr_notes = n + 1;
	if (!in_handler || signo != 10)
		return;
	MUST((char *)&n > signal_stack && (char *)&n < signal_stack + sizeof(signal_stack));
	checkpoint_here();
	in_handler = 2;
}

static void handle(int signo, uint32_t flags)
{
	/* SA_RESTORER, SA_SIGINFO; none interrupts another */
	uint32_t action[5] = { PTR(on_signal), 0x04000004 | flags, PTR(restorer), ~0U, ~0U };

	MUST_EQ(CALL4(SIGACTION, signo, PTR(action), 0, 8), 0);
}

static void queue(int signo, int value)
{
	uint32_t info[32] = { signo, 0, -1 /* SI_QUEUE */, CALL0(GETPID), 0, value };

	MUST_EQ(CALL3(SIGQUEUEINFO, CALL0(GETPID), signo, PTR(info)), 0);
}

static void note_must_be(int n, int signo, int code, int value)
{
	MUST_EQ(notes[n].signo, signo);
	MUST_EQ(notes[n].code, code);
	MUST_EQ(notes[n].value, value);
}

static int timer_start(int signo, int value, int sec, int interval)
{
	struct timespec its[2] = { { interval, 0 }, { sec, 0 } };
	uint32_t event[16] = { value, signo, 0 /* SIGEV_SIGNAL */ };
	int id = -1;

	MUST_EQ(CALL3(TIMER_CREATE, 1 /* CLOCK_MONOTONIC */, PTR(event), PTR(&id)), 0);
	MUST_EQ(CALL4(TIMER_SETTIME, id, 0, PTR(its), 0), 0);
	return id;
}

static void part_signals(void)
{
	uint32_t stack[3] = { PTR(signal_stack), 0, sizeof(signal_stack) }, now[3];
	long long itimer[4] = { 0, 0, 4, 0 };
	uint64_t set = 1ULL << (12 - 1) | 1ULL << (40 - 1), mask;
	struct timespec before, after;
	int i;

	MUST_EQ(CALL2(SIGALTSTACK, PTR(stack), 0), 0);
	handle(10, ONSTACK);
	handle(12, 0);
	handle(14, 0);
	handle(40, 0);
	handle(41, 0);
	handle(42, 0);
	MUST_EQ(CALL4(PROCMASK, 0, PTR(&set), 0, 8), 0);
	queue(40, 1);
	queue(12, 7);
	queue(40, 2);
	CALL2(CLOCK_GETTIME, 1, PTR(&before));
	timer_start(41, 41000, 3, 0);
	timer_start(42, 42000, 3, 1);
	MUST_EQ(CALL3(SETITIMER, 0, PTR(itimer), 0), 0);
	in_handler = 1;
	queue(10, 4711);
	/* the frame was there at the dump */
	MUST_EQ(in_handler, 2);
	in_handler = 0;
	note_must_be(0, 10, -1, 4711);
	MUST_EQ(CALL4(PROCMASK, 0, 0, PTR(&mask), 8), 0);
	MUST_EQ(mask, set);
	MUST_EQ(CALL2(SIGALTSTACK, 0, PTR(now)), 0);
	for (i = 0; i < 3; i++)
		MUST_EQ(now[i], stack[i]);
	/* the timers */
	WAIT_FOR(nr_notes >= 5);
	CALL2(CLOCK_GETTIME, 1, PTR(&after));
	MUST(after.sec - before.sec >= 3);
	for (i = 1; i < nr_notes; i++)
		if (notes[i].signo != 14)
			note_must_be(i, notes[i].signo, -2 /* SI_TIMER */, notes[i].signo * 1000);
	/* what was pending */
	nr_notes = 0;
	set = 1ULL << (12 - 1);
	MUST_EQ(CALL4(PROCMASK, 1, PTR(&set), 0, 8), 0);
	for (i = 0; i < nr_notes && notes[i].signo != 12; i++)
		;
	MUST(i < nr_notes);
	note_must_be(i, 12, -1, 7);
	for (i = 1; i <= 2; i++) {
		struct timespec none = {};
		uint32_t info[32] = {};

		set = 1ULL << (40 - 1);
		MUST_EQ(CALL4(SIGTIMEDWAIT, PTR(&set), PTR(info), PTR(&none), 8), 40);
		MUST_EQ(info[5], i);
	}
	/* and new frames on the same stack */
	nr_notes = 0;
	queue(10, 4712);
	for (i = 0; i < nr_notes && notes[i].signo != 10; i++)
		;
	MUST(i < nr_notes);
	note_must_be(i, 10, -1, 4712);
}

/* ---- memory ---- */

static int read_maps(char *text, int room)
{
	int fd = CALL3(OPEN, PTR("/proc/self/maps"), 0, 0), len = 0, n;

	while ((n = CALL3(READ, fd, PTR(text + len), room - len - 1)) > 0)
		len += n;
	CALL1(CLOSE, fd);
	text[len] = '\0';
	return len;
}

static void part_memory(void)
{
	static char before[16384], after[16384];
	long long top;
	int i;

	top = CALL1(BRK, 0);
	MUST(CALL1(BRK, top + 8192) == top + 8192);
	MUST(read_maps(before, sizeof(before)) > 0);
	checkpoint_here();
	MUST(read_maps(after, sizeof(after)) > 0);
	MUST(same(before, after));
	MUST_EQ(CALL1(BRK, 0), top + 8192);
	/* neighbours that differ are not merged */
	for (i = 0; i < 10000; i++) {
		long long at = x32_call(MMAP, 0, 4096, i % 2, 0x22, -1, 0);

		MUST(at > 0 && at < 1LL << 32);
	}
	/* the core dump is its parent's to look at */
	CALL1(CLOSE, CALL3(OPEN, PTR("checked"), 0101, 0666));
	for (;;)
		nap();
}

__attribute__((used, noreturn)) static void begin_here(const uint32_t *stack)
{
	const char *part = (const char *)stack[2];

	left_running = same((const char *)stack[3], "running");
	if (same(part, "threads"))
		part_threads();
	else if (same(part, "signals"))
		part_signals();
	else if (same(part, "memory"))
		part_memory();
	else
		CALL1(EXIT_GROUP, 97);
	CALL1(EXIT_GROUP, 0);
	__builtin_unreachable();
}

X32_START(begin_here);
