// SPDX-License-Identifier: GPL-2.0
/*
 * What only 32-bit ARM has: its registers, those of the VFP with FPSCR's modes and of the FPA, both TLS words, condition
 * blocks of Thumb code, ThumbEE, code that was written just now, function pointers to descriptors, hardware breakpoints
 * (requirements 1.1, 1.8, 1.12, 1.17, 2.14, 2.15, 2.17).  System calls are arm_calls.c's.
 *
 * crk-test: abi=arm,armel
 */
#include <asm/hwcap.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

/* ---- registers, in user mode all the time ---- */

struct state {
	uint32_t gp[12];		/* r1 to r10, ip, lr; r0 and fp lead the way */
	uint32_t flags;			/* N Z C V Q GE, but Z, which the loop needs */
	uint32_t fpscr;
	uint64_t d[32];
};

struct spin {
	struct state in, out;
	uint32_t spinning;		/* set by the loop */
	uint32_t nr_d;			/* 0, 16 or 32 */
	uint32_t *stop;
};

_Static_assert(offsetof(struct state, flags) == 48 && offsetof(struct state, d) == 56 && sizeof(struct state) == 312 &&
	       offsetof(struct spin, out) == 312 && offsetof(struct spin, spinning) == 624, "spin_regs() knows these");

/* loads @in, spins until *stop, saves to @out */
void spin_regs(struct spin *s, uint32_t *stop);
__asm__ (
	"	.text\n"
	"	.arm\n"
	"	.arch	armv7-a\n"
	"	.fpu	neon\n"
	"	.align	2\n"
	"	.globl	spin_regs\n"
	"	.type	spin_regs, %function\n"
	"spin_regs:\n"
	"	push	{r0, r4-r11, lr}\n"
	"	mov	fp, r1\n"
	"	ldr	r1, [r0, #628]\n"
	"	cmp	r1, #0\n"
	"	beq	1f\n"
	"	vmrs	r2, fpscr\n"
	"	push	{r2, r3}\n"
	"	vpush	{d8-d15}\n"
	"	ldr	r2, [r0, #52]\n"
	"	vmsr	fpscr, r2\n"
	"	add	r2, r0, #56\n"
	"	vldmia	r2!, {d0-d15}\n"
	"	cmp	r1, #32\n"
	"	bne	1f\n"
	"	vldmia	r2, {d16-d31}\n"
	"1:	ldr	r1, [r0, #48]\n"
	"	msr	APSR_nzcvqg, r1\n"
	"	add	r1, r0, #4\n"
	"	ldmia	r1, {r2-r10, ip, lr}\n"
	"	mov	r1, #1\n"
	"	str	r1, [r0, #624]\n"
	"	ldr	r1, [r0, #0]\n"
	/* r1 is saved around the look at the word; the flags are not touched but for Z, by nothing that sets C and V */
	"2:	str	r1, [sp, #-4]!\n"
	"	ldr	r1, [fp]\n"
	"	teq	r1, #0\n"
	"	ldr	r1, [sp], #4\n"
	"	beq	2b\n"
	"	str	r1, [r0, #312]!\n"
	"	add	r1, r0, #4\n"
	"	stmia	r1, {r2-r10, ip, lr}\n"
	"	mrs	r1, APSR\n"
	"	str	r1, [r0, #48]\n"
	"	sub	r3, r0, #312\n"
	"	ldr	r1, [r3, #628]\n"
	"	cmp	r1, #0\n"
	"	beq	4f\n"
	"	vmrs	r2, fpscr\n"
	"	str	r2, [r0, #52]\n"
	"	add	r2, r0, #56\n"
	"	vstmia	r2!, {d0-d15}\n"
	"	cmp	r1, #32\n"
	"	bne	3f\n"
	"	vstmia	r2, {d16-d31}\n"
	"3:	vpop	{d8-d15}\n"
	"	pop	{r2, r3}\n"
	"	vmsr	fpscr, r2\n"
	"4:	pop	{r0, r4-r11, pc}\n"
	"	.size	spin_regs, . - spin_regs\n"
);

#define FLAGS_KEPT	0x380f0000	/* not N and Z, which teq sets */

static void spin_fill(struct spin *s, unsigned int seed)
{
	unsigned long hwcap = getauxval(AT_HWCAP);
	size_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 12; i++)
		s->in.gp[i] = 0x01234567 * (i + 1) ^ seed * 0x11111111;
	/* C, V, Q, GE */
	s->in.flags = seed % 2 ? 0x28000000 | 0x000a0000 : 0x10000000 | 0x00050000;
	if (!(hwcap & HWCAP_VFP))
		return;
	s->nr_d = hwcap & HWCAP_VFPD32 ? 32 : 16;
	for (i = 0; i < s->nr_d; i++)
		s->in.d[i] = 0x0123456789abcdefULL * (i + 1) + seed;
	/* rounding, flush to zero, default NaN, and exceptions already seen: inexact, overflow */
	s->in.fpscr = seed % 2 ? 0x00400000 | 0x03000000 | 0x10 : 0x00c00000 | 0x04 | 0xa0000000;
}

static void spin_check(const struct spin *s)
{
	size_t i;

	for (i = 0; i < 12; i++)
		MUST_EQ(s->out.gp[i], s->in.gp[i]);
	MUST_EQ(s->out.flags & FLAGS_KEPT, s->in.flags & FLAGS_KEPT);
	MUST_EQ(s->out.fpscr, s->in.fpscr);
	for (i = 0; i < s->nr_d; i++)
		MUST_EQ(s->out.d[i], s->in.d[i]);
}

static void *shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

ROUNDTRIP(vfp_leader)
{
	struct { struct spin s; uint32_t stop; } *shared = shared_page();
	pid_t pid;

	spin_fill(&shared->s, 1);
	if (!shared->s.nr_d)
		subject_skip("this CPU has no VFP");
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

/* more than there are CPUs: some have their registers in the CPU, some in memory */
static void threads_spin(bool vfp)
{
	enum { NR = 5 };
	static struct spin s[NR];
	static uint32_t stop;
	pthread_t t[NR];
	int i;

	for (i = 0; i < NR; i++) {
		spin_fill(&s[i], i);
		if (!vfp) {
			s[i].nr_d = 0;
			s[i].in.fpscr = 0;
		}
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

ROUNDTRIP(vfp_threads)
{
	if (!(getauxval(AT_HWCAP) & HWCAP_VFP))
		subject_skip("this CPU has no VFP");
	threads_spin(true);
}

ROUNDTRIP(core_threads)
{
	threads_spin(false);
}

/* ---- the FPA, which nobody has but some kernels emulate ---- */

/*
 * f0 = 3.0, f4 = 5.0; instructions by number: assemblers take these only for CPUs that have nothing newer.  Those that load
 * and store would be of no use: since Linux 5.16 the emulator looks for the program's registers where they no longer are.
 */
void fpa_set(void);
__asm__ (
	"	.text\n"
	"	.arm\n"
	"	.align	2\n"
	"	.globl	fpa_set\n"
	"	.type	fpa_set, %function\n"
	"fpa_set:\n"
	"	.inst	0xee008189\n"		/* mvfd	f0, #1.0 */
	"	.inst	0xee00018a\n"		/* adfd	f0, f0, #2.0 */
	"	.inst	0xee00c18d\n"		/* mvfd	f4, #5.0 */
	"	bx	lr\n"
#ifdef __thumb__
	"	.thumb\n"
#endif
);

/* as struct user_fp has it */
struct fpa {
	uint32_t f[8][3];		/* doubles: the low word, the high one, and one that is not used */
	uint32_t fpsr, fpcr;
	uint8_t type[8];
	uint32_t initialised;
};

static bool have_fpa(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fpa_set();
		_exit(0);
	}
	MUST_EQ(waitpid(pid, &status, 0), pid);
	return !status;
}

static void fpa_check(pid_t pid, struct fpa *fpa)
{
	int status;

	memset(fpa, 0, sizeof(*fpa));
	MUST(!ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	MUST(!ptrace(PTRACE_GETFPREGS, pid, NULL, fpa));
	MUST(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
	MUST_EQ(fpa->f[0][1], 0x40080000);
	MUST_EQ(fpa->f[4][1], 0x40140000);
	MUST(fpa->initialised);
}

ROUNDTRIP(fpa)
{
	struct fpa before, after;
	pid_t pid;

	if (!have_fpa())
		subject_skip("this kernel emulates no FPA (CONFIG_FPE_NWFPE)");
	pid = fork_child();
	if (!pid) {
		fpa_set();
		event_set("set");
		event_wait("checked");
		_exit(0);
	}
	event_wait("set");
	fpa_check(pid, &before);
	checkpoint_here();
	fpa_check(pid, &after);
	MUST(!memcmp(&before, &after, sizeof(after)));
	event_set("checked");
	reap(pid);
}

/* ---- ThumbEE: where its handlers are ---- */

__attribute__((target("arm"))) static uint32_t teehbr_get(void)
{
	uint32_t val;

	__asm__ volatile ("mrc p14, 6, %0, c1, c0, 0" : "=r" (val));
	return val;
}

__attribute__((target("arm"))) static void teehbr_set(uint32_t val)
{
	__asm__ volatile ("mcr p14, 6, %0, c1, c0, 0" : : "r" (val));
}

static pthread_barrier_t barrier;

static void *thumbee_thread(void *arg)
{
	teehbr_set(0xabcdef00);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	MUST_EQ(teehbr_get(), 0xabcdef00);
	return NULL;
}

ROUNDTRIP(thumbee)
{
	pthread_t t;

	if (!(getauxval(AT_HWCAP) & HWCAP_THUMBEE))
		subject_skip("this kernel or CPU has no ThumbEE");
	MUST(!pthread_barrier_init(&barrier, NULL, 2));
	MUST(!pthread_create(&t, NULL, thumbee_thread, NULL));
	teehbr_set(0x12345600);
	pthread_barrier_wait(&barrier);
	checkpoint_here();
	MUST_EQ(teehbr_get(), 0x12345600);
	pthread_barrier_wait(&barrier);
	MUST(!pthread_join(t, NULL));
}

/* ---- TLS words ---- */

__attribute__((target("arm"))) static uint32_t tpidrurw_get(void)
{
	uint32_t val;

	__asm__ volatile (".arch armv7-a\n\tmrc p15, 0, %0, c13, c0, 2" : "=r" (val));
	return val;
}

__attribute__((target("arm"))) static void tpidrurw_set(uint32_t val)
{
	__asm__ volatile (".arch armv7-a\n\tmcr p15, 0, %0, c13, c0, 2" : : "r" (val));
}

static __thread uint32_t thread_word;

static void *tls_thread(void *arg)
{
	uint32_t val = (uintptr_t)arg;
	void *tp = __builtin_thread_pointer();

	thread_word = val;
	tpidrurw_set(val);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	MUST_EQ(tpidrurw_get(), val);
	MUST_EQ(thread_word, val);
	MUST(__builtin_thread_pointer() == tp);
	return NULL;
}

ROUNDTRIP(tls_words)
{
	pthread_t t[3];
	uintptr_t i;

	MUST(!pthread_barrier_init(&barrier, NULL, 4));
	for (i = 0; i < 3; i++)
		MUST(!pthread_create(&t[i], NULL, tls_thread, (void *)(0xa5000001 + i)));
	tpidrurw_set(0x12345678);
	pthread_barrier_wait(&barrier);
	checkpoint_here();
	MUST_EQ(tpidrurw_get(), 0x12345678);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < 3; i++)
		MUST(!pthread_join(t[i], NULL));
}

/* ---- Thumb: a block of conditional instructions, of which the CPU keeps track in CPSR ---- */

struct blocks {
	uint32_t eq, ne, rounds, stop;
};

void spin_blocks(struct blocks *b);
__asm__ (
	"	.text\n"
	"	.syntax	unified\n"
	"	.arch	armv7-a\n"
	"	.thumb\n"
	"	.align	2\n"
	"	.globl	spin_blocks\n"
	"	.thumb_func\n"
	"	.type	spin_blocks, %function\n"
	"spin_blocks:\n"
	"	push	{r4, r5, r6, lr}\n"
	"	mov	r2, #0\n"
	"	mov	r3, #0\n"
	"	mov	r4, #0\n"
	"1:	tst	r4, #1\n"
	"	itete	eq\n"
	"	addeq	r2, r2, #1\n"
	"	addne	r3, r3, #1\n"
	"	addeq	r2, r2, #2\n"
	"	addne	r3, r3, #2\n"
	"	itete	eq\n"
	"	addeq	r2, r2, #4\n"
	"	addne	r3, r3, #4\n"
	"	addeq	r2, r2, #8\n"
	"	addne	r3, r3, #8\n"
	"	add	r4, r4, #1\n"
	"	str	r4, [r0, #8]\n"
	"	ldr	r5, [r0, #12]\n"
	"	cmp	r5, #0\n"
	"	beq	1b\n"
	"	str	r2, [r0, #0]\n"
	"	str	r3, [r0, #4]\n"
	"	pop	{r4, r5, r6, pc}\n"
	"	.size	spin_blocks, . - spin_blocks\n"
#ifndef __thumb__
	"	.arm\n"
#endif
);

static void *block_thread(void *arg)
{
	spin_blocks(arg);
	return NULL;
}

/* most of them are caught inside of a block */
ROUNDTRIP(condition_blocks)
{
	enum { NR = 12 };
	static struct blocks b[NR];
	pthread_t t[NR];
	int i;

	memset(b, 0, sizeof(b));
	for (i = 0; i < NR; i++)
		MUST(!pthread_create(&t[i], NULL, block_thread, &b[i]));
	for (i = 0; i < NR; i++)
		WAIT_FOR(*(volatile uint32_t *)&b[i].rounds);
	checkpoint_here();
	for (i = 0; i < NR; i++)
		*(volatile uint32_t *)&b[i].stop = 1;
	for (i = 0; i < NR; i++) {
		MUST(!pthread_join(t[i], NULL));
		MUST_EQ(b[i].eq, 15 * ((b[i].rounds + 1) / 2));
		MUST_EQ(b[i].ne, 15 * (b[i].rounds / 2));
	}
}

/* ---- code ---- */

/* ARM: mov r0, #N; bx lr */
static void code_write(uint32_t *code, uint32_t n)
{
	code[0] = 0xe3a00000 | n;
	code[1] = 0xe12fff1e;
	__builtin___clear_cache((char *)code, (char *)(code + 2));
}

ROUNDTRIP(fresh_code)
{
	uint32_t *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int (*run)(void) = (void *)code, (*second)(void) = (void *)(code + 1024);
	int i;

	MUST(code != MAP_FAILED);
	for (i = 1; i < 4; i++) {
		code_write(code, i);
		MUST_EQ(run(), i);
		code_write(code, 40 + i);
		code_write(code + 1024, 80 + i);
		checkpoint_here();
		MUST_EQ(run(), 40 + i);
		MUST_EQ(second(), 80 + i);
	}
}

/* ---- programs whose function pointers lead to descriptors ---- */

static struct {
	void (*function)(int sig);
	uintptr_t got;			/* in r9 when the function begins */
} descriptor;

static volatile int handled;

static void on_usr1(int sig)
{
	checkpoint_here();
	handled = sig;
}

static void usr1_by_descriptor(void)
{
	struct {
		const void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} sa = { .handler = &descriptor };

	descriptor.function = on_usr1;
	MUST(!syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 8));
}

static void on_usr1_exit(int sig)
{
	_exit(0);
}

/* without it the kernel jumps to the descriptor */
static bool have_descriptors(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		usr1_by_descriptor();
		descriptor.function = on_usr1_exit;
		raise(SIGUSR1);
		_exit(1);
	}
	MUST_EQ(waitpid(pid, &status, 0), pid);
	return !status;
}

#define ALL_OF_THEM	(FDPIC_FUNCPTRS | ADDR_LIMIT_32BIT | READ_IMPLIES_EXEC)

ROUNDTRIP(personality_kept)
{
	MUST(personality(ALL_OF_THEM) != -1);
	checkpoint_here();
	MUST_EQ(personality(-1), ALL_OF_THEM);
}

/* the C library of this test has no such pointers; only the kernel is told so */
ROUNDTRIP(descriptors)
{
	MUST(personality(FDPIC_FUNCPTRS) != -1);
	if (!have_descriptors())
		subject_skip("this kernel knows no descriptors (CONFIG_BINFMT_ELF_FDPIC)");
	usr1_by_descriptor();
	raise(SIGUSR1);
	MUST_EQ(handled, SIGUSR1);
	handled = 0;
	raise(SIGUSR1);
	MUST_EQ(handled, SIGUSR1);
}

/* ---- hardware breakpoints ---- */

#define BREAKPOINT_ANY	0x1e5	/* four bytes, user mode, enabled */
#define ON_STORE	0x10

static volatile uint32_t watched;

__attribute__((noinline, target("arm"))) static void stop_here(void)
{
	__asm__ volatile ("nop");
}

static long hbp_set(pid_t pid, long nr, uint32_t val)
{
	return syscall(SYS_ptrace, PTRACE_SETHBPREGS, pid, nr, &val);
}

static uint32_t hbp_get(pid_t pid, long nr)
{
	uint32_t val;

	MUST(!syscall(SYS_ptrace, PTRACE_GETHBPREGS, pid, nr, &val));
	return val;
}

ROUNDTRIP(breakpoints)
{
	siginfo_t info;
	pid_t pid = fork_child();
	int status;

	if (!pid) {
		MUST(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		watched = 1;
		stop_here();
		_exit(3);
	}
	MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	if (!(hbp_get(pid, 0) & 0xffff))
		subject_skip("no hardware breakpoints here");
	MUST(!hbp_set(pid, 1, (uintptr_t)stop_here) && !hbp_set(pid, 2, BREAKPOINT_ANY));
	MUST(!hbp_set(pid, -1, (uintptr_t)&watched) && !hbp_set(pid, -2, BREAKPOINT_ANY | ON_STORE));
	checkpoint_here();
	MUST_EQ(hbp_get(pid, 1), (uintptr_t)stop_here);
	MUST_EQ(hbp_get(pid, 2), BREAKPOINT_ANY);
	MUST_EQ(hbp_get(pid, -1), (uintptr_t)&watched);
	MUST_EQ(hbp_get(pid, -2), BREAKPOINT_ANY | ON_STORE);
	MUST(!ptrace(PTRACE_CONT, pid, NULL, NULL));
	MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	MUST_EQ(WSTOPSIG(status), SIGTRAP);
	MUST(!ptrace(PTRACE_GETSIGINFO, pid, NULL, &info));
	MUST(info.si_addr == (void *)&watched);
	MUST(!hbp_set(pid, -2, (BREAKPOINT_ANY | ON_STORE) & ~1U));
	MUST(!ptrace(PTRACE_CONT, pid, NULL, NULL));
	MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	MUST(!ptrace(PTRACE_GETSIGINFO, pid, NULL, &info));
	MUST(info.si_addr == (void *)stop_here);
	MUST(!hbp_set(pid, 2, BREAKPOINT_ANY & ~1U));
	MUST(!ptrace(PTRACE_CONT, pid, NULL, NULL));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST_EQ(status, 3 << 8);
}

TEST_HARNESS_MAIN
