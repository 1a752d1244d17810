// SPDX-License-Identifier: GPL-2.0
/*
 * Registers of x86_64, in leaders and threads that are in user mode all the time: general ones, flags, x87 with its
 * control word, SSE with MXCSR, AVX, fs and gs bases.
 *
 * crk-test: abi=x86_64
 */
#include <asm/prctl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

struct state {
	uint64_t gp[13];		/* rax rbx rcx rdx rsi rdi r8-r14; r15 and rbp lead the way */
	uint64_t flags;
	double st[4];
	uint32_t mxcsr;
	uint16_t fcw;
	uint16_t pad;
	uint8_t ymm[16][32] __attribute__((aligned(32)));
};

struct spin {
	struct state in, out;
	uint32_t spinning;		/* set by the loop */
	uint32_t *stop;
	uint32_t avx;
};

/* loads @in, spins until *stop, saves to @out; nothing between touches a register but the flags of the comparison */
void spin_regs(struct spin *s, uint32_t *stop);
__asm__ (
	"	.text\n"
	"	.globl spin_regs\n"
	"spin_regs:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	sub $24, %rsp\n"
	"	fnstcw (%rsp)\n"
	"	stmxcsr 8(%rsp)\n"
	"	mov %rdi, %r15\n"
	"	mov %rsi, %rbp\n"
	"	ldmxcsr 144(%r15)\n"
	"	fninit\n"
	"	fldcw 148(%r15)\n"
	"	fldl 112(%r15); fldl 120(%r15); fldl 128(%r15); fldl 136(%r15)\n"
	"	cmpl $0, 672*2+16(%r15)\n"	/* avx */
	"	jne 1f\n"
	".set i, 0\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movdqu 160+32*\\n(%r15), %xmm\\n\n"
	".endr\n"
	"	jmp 2f\n"
	"1:\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu 160+32*\\n(%r15), %ymm\\n\n"
	".endr\n"
	"2:	mov 0(%r15), %rax; mov 8(%r15), %rbx; mov 16(%r15), %rcx; mov 24(%r15), %rdx\n"
	"	mov 32(%r15), %rsi; mov 40(%r15), %rdi; mov 48(%r15), %r8; mov 56(%r15), %r9\n"
	"	mov 64(%r15), %r10; mov 72(%r15), %r11; mov 80(%r15), %r12; mov 88(%r15), %r13\n"
	"	mov 96(%r15), %r14\n"
	"	movl $1, 672*2(%r15)\n"		/* spinning */
	"3:	pause\n"
	"	cmpl $0, (%rbp)\n"
	"	je 3b\n"
	"	mov %rax, 672(%r15); mov %rbx, 680(%r15); mov %rcx, 688(%r15); mov %rdx, 696(%r15)\n"
	"	mov %rsi, 704(%r15); mov %rdi, 712(%r15); mov %r8, 720(%r15); mov %r9, 728(%r15)\n"
	"	mov %r10, 736(%r15); mov %r11, 744(%r15); mov %r12, 752(%r15); mov %r13, 760(%r15)\n"
	"	mov %r14, 768(%r15)\n"
	"	fnstcw 672+148(%r15)\n"
	"	stmxcsr 672+144(%r15)\n"
	"	fstpl 672+136(%r15); fstpl 672+128(%r15); fstpl 672+120(%r15); fstpl 672+112(%r15)\n"
	"	cmpl $0, 672*2+16(%r15)\n"
	"	jne 4f\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movdqu %xmm\\n, 672+160+32*\\n(%r15)\n"
	".endr\n"
	"	jmp 5f\n"
	"4:\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu %ymm\\n, 672+160+32*\\n(%r15)\n"
	".endr\n"
	"	vzeroupper\n"
	"5:	fninit\n"
	"	fldcw (%rsp)\n"
	"	ldmxcsr 8(%rsp)\n"
	"	add $24, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
);

_Static_assert(offsetof(struct state, st) == 112 && offsetof(struct state, mxcsr) == 144 &&
	       offsetof(struct state, fcw) == 148 && offsetof(struct state, ymm) == 160, "spin_regs() knows these");

static void spin_fill(struct spin *s, unsigned int seed)
{
	uint8_t *p = (uint8_t *)&s->in;
	size_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < sizeof(s->in); i++)
		p[i] = (i * 7 + seed * 13 + 5) & 0xff;
	for (i = 0; i < 4; i++)
		s->in.st[i] = 1.0 / (3 + i + seed);
	s->in.flags = 0;
	s->in.pad = 0;
	/* round up, round down; denormals are zero; an exception already seen */
	s->in.mxcsr = seed % 2 ? 0x1f80 | 0x4000 | 0x40 | 0x20 : 0x1f80 | 0x2000 | 0x8000;
	s->in.fcw = seed % 2 ? 0x037f : 0x0f7f;
	s->avx = __builtin_cpu_supports("avx");
	if (!s->avx)
		for (i = 0; i < 16; i++)
			memset(s->in.ymm[i] + 16, 0, 16);
}

static void spin_check(const struct spin *s)
{
	int i;

	for (i = 0; i < 13; i++)
		MUST_EQ(s->out.gp[i], s->in.gp[i]);
	for (i = 0; i < 4; i++)
		MUST(s->out.st[i] == s->in.st[i]);
	MUST_EQ(s->out.mxcsr, s->in.mxcsr);
	MUST_EQ(s->out.fcw, s->in.fcw);
	for (i = 0; i < 16; i++)
		MUST(!memcmp(s->out.ymm[i], s->in.ymm[i], 32));
}

static void *shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

_Static_assert(sizeof(struct state) == 672 && offsetof(struct spin, spinning) == 1344 &&
	       offsetof(struct spin, avx) == 1360, "spin_regs() knows these");

ROUNDTRIP(leader)
{
	struct { struct spin s; uint32_t stop; } *shared = shared_page();
	pid_t pid;

	spin_fill(&shared->s, 1);
	pid = fork_child();
	if (!pid) {
		WAIT_FOR(*(volatile uint32_t *)&shared->s.spinning);
		checkpoint_here();
		*(volatile uint32_t *)&shared->stop = 1;
		_exit(0);
	}
	spin_regs(&shared->s, &shared->stop);
	spin_check(&shared->s);
	reap(pid);
}

static void *spinner(void *arg)
{
	struct spin *s = arg;

	spin_regs(s, s->stop);
	return NULL;
}

ROUNDTRIP(threads)
{
	enum { NR = 4 };
	static struct spin s[NR] __attribute__((aligned(32)));
	static uint32_t stop;
	pthread_t t[NR];
	int i;

	for (i = 0; i < NR; i++) {
		spin_fill(&s[i], i);
		s[i].stop = &stop;
		MUST(!pthread_create(&t[i], NULL, spinner, &s[i]));
	}
	for (i = 0; i < NR; i++)
		WAIT_FOR(*(volatile uint32_t *)&s[i].spinning);
	checkpoint_here();
	*(volatile uint32_t *)&stop = 1;
	for (i = 0; i < NR; i++) {
		MUST(!pthread_join(t[i], NULL));
		spin_check(&s[i]);
	}
	stop = 0;
}

/* bases are set without the C library knowing */
ROUNDTRIP(gs_base)
{
	static uint64_t target = 0x1234567890abcdef;
	uint64_t got;

	MUST(!syscall(SYS_arch_prctl, ARCH_SET_GS, &target));
	checkpoint_here();
	__asm__ volatile ("mov %%gs:0, %0" : "=r" (got));
	MUST_EQ(got, target);
}

/* spins with @flags and gives those it ends with; nothing between changes one */
uint64_t spin_flags(uint64_t flags, uint32_t *spinning, uint32_t *stop);
__asm__ (
	"	.text\n"
	"	.globl spin_flags\n"
	"spin_flags:\n"
	"	movl $1, (%rsi)\n"
	"	push %rdi; popfq\n"
	"1:	mov (%rdx), %ecx\n"
	"	jrcxz 1b\n"
	"	pushfq; pop %rax\n"
	"	push $0x202; popfq\n"
	"	ret\n"
);

struct flags_spin {
	pthread_t thread;
	uint64_t in, out;
	uint32_t spinning;
};
static uint32_t flags_stop;

static void *flags_spinner(void *arg)
{
	struct flags_spin *s = arg;

	s->out = spin_flags(s->in, &s->spinning, &flags_stop);
	return NULL;
}

/* CF PF AF ZF SF DF OF NT AC ID: each alone, all, none */
ROUNDTRIP(flags)
{
	enum { ALL = 0x244cd5, IF = 0x202 };
	static struct flags_spin s[12];
	uint64_t bit = 1;
	int i;

	flags_stop = 0;
	for (i = 0; i < 12; i++) {
		while (i < 10 && !(ALL & bit))
			bit <<= 1;
		s[i] = (struct flags_spin){ .in = IF | (i < 10 ? bit : i == 10 ? ALL : 0) };
		bit <<= 1;
		MUST(!pthread_create(&s[i].thread, NULL, flags_spinner, &s[i]));
		WAIT_FOR(*(volatile uint32_t *)&s[i].spinning);
	}
	checkpoint_here();
	*(volatile uint32_t *)&flags_stop = 1;
	for (i = 0; i < 12; i++) {
		MUST(!pthread_join(s[i].thread, NULL));
		MUST_EQ(s[i].out, s[i].in);
	}
}

/*
 * What looks like a system call that is to begin again, or that has failed, but is in the result register of a thread in
 * user mode: a value like any other (requirement 2.5).  Through the freezer twice more: the restored are such threads too.
 */
static int results_stop, results_spinning;

static void *results_spinner(void *arg)
{
	long value = (long)arg, got;

	__atomic_add_fetch(&results_spinning, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile (
		"1:	cmpl	$0, %2\n"
		"	je	1b\n"
		: "=a" (got) : "a" (value), "m" (results_stop) : "memory", "cc");
	return (void *)got;
}

ROUNDTRIP(results_in_user_mode)
{
	static const long values[] = { -512, -513, -514, -516, -4, -4095, -1, 0xfffff000, 0xfffffe00, LONG_MIN };
	pthread_t t[10];
	void *got;
	int i;

	results_stop = results_spinning = 0;
	for (i = 0; i < 10; i++)
		MUST(!pthread_create(&t[i], NULL, results_spinner, (void *)values[i]));
	WAIT_FOR(__atomic_load_n(&results_spinning, __ATOMIC_SEQ_CST) == 10);
	usleep(100000);
	checkpoint_here();
	checkpoint_here();
	__atomic_store_n(&results_stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < 10; i++) {
		MUST(!pthread_join(t[i], &got));
		MUST_EQ((long)got, values[i]);
	}
}

/* rights by protection keys, which a program may change without having a key */
ROUNDTRIP(pkru)
{
	uint32_t had, got;

	if (!__builtin_cpu_supports("pku") || pkey_get(0) < 0)
		subject_skip("no protection keys on this CPU");
	__asm__ volatile ("rdpkru" : "=a" (had) : "c" (0) : "rdx");
	__asm__ volatile ("wrpkru" : : "a" (had ^ 0xa5a5a5a0), "c" (0), "d" (0) : "memory");
	checkpoint_here();
	__asm__ volatile ("rdpkru" : "=a" (got) : "c" (0) : "rdx");
	MUST_EQ(got, had ^ 0xa5a5a5a0);
}

/* a program that steps through itself */
static volatile unsigned long steps;

static void step(int sig)
{
	steps++;
}

ROUNDTRIP(trap_flag)
{
	static struct flags_spin s = { .in = 0x302 };
	unsigned long before;

	flags_stop = s.spinning = steps = 0;
	signal(SIGTRAP, step);
	MUST(!pthread_create(&s.thread, NULL, flags_spinner, &s));
	WAIT_FOR(steps > 20);
	checkpoint_here();
	before = steps;
	WAIT_FOR(steps > before + 20);
	*(volatile uint32_t *)&flags_stop = 1;
	MUST(!pthread_join(s.thread, NULL));
	MUST_EQ(s.out, s.in);
}

TEST_HARNESS_MAIN
