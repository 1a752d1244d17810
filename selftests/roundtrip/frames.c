// SPDX-License-Identifier: GPL-2.0
/*
 * Signal frames follow the call that installed the handler, not the program: handlers of 64-bit programs installed by
 * 32-bit and x32 calls, and of 32-bit programs by 64-bit ones.  Frames of all kinds lie on one stack at the dump, one
 * upon the other, and are returned through; signals that come after the restore make frames of the same kinds.
 * Requirement 3.9.
 *
 * crk-test: abi=x86_64,i686
 */
#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"
#include "far.h"

#ifndef MAP_32BIT
#define MAP_32BIT	0x40
#endif
#define RESTORER	0x04000000	/* SA_RESTORER */
#define X32		0x40000000
#define NR_FRAMES	4

/* ---- code that may be anywhere below 4 GiB, and what it writes down ---- */

struct notes {
	uint64_t sp, fs;	/* of the program, while its thread is in low memory */
	uint32_t inside, turns, stop;
	uint32_t begun, leave;	/* handlers: how many have begun, may they return */
	uint32_t pad;
	struct {
		uint32_t cs, signo, value, pad;
	} frame[NR_FRAMES];
	uint64_t action[4];	/* an argument of calls */
};

#define NOTES_AT	2048	/* behind the beginning of the code, which is that of a page */
#define STACK_SIZE	(64 << 10)

_Static_assert(offsetof(struct notes, inside) == 16 && offsetof(struct notes, frame) == 40, "the code knows these");

/* the handlers, the restorers, and for threads of 64-bit programs a place to be interrupted at */
extern const char place[], place_end[], handlers[NR_FRAMES][64], restorers[NR_FRAMES][16], stay[];
__asm__ (
	"	.pushsection .rodata\n"
	"	.set	SP, 2048\n"
	"	.set	FS, SP+8\n"
	"	.set	INSIDE, SP+16\n"
	"	.set	TURNS, SP+20\n"
	"	.set	STOP, SP+24\n"
	"	.set	BEGUN, SP+28\n"
	"	.set	LEAVE, SP+32\n"
	"	.set	FRAME, SP+40\n"
	"	.balign	64\n"
	"place:\n"
	"handlers:\n"

	/* signo, in frames with siginfo a pointer to it: on the stack */
	".macro	handler32 n, with_info\n"
	"	.code32\n"
	"	.balign	64\n"
	"	call	1f\n"
	"1:	pop	%ecx\n"
	"	and	$-4096, %ecx\n"
	"	mov	%cs, %eax\n"
	"	mov	%eax, FRAME+16*\\n(%ecx)\n"
	"	mov	4(%esp), %eax\n"
	"	mov	%eax, FRAME+16*\\n+4(%ecx)\n"
	"	.if	\\with_info\n"
	"	mov	8(%esp), %eax\n"
	"	mov	20(%eax), %eax\n"
	"	mov	%eax, FRAME+16*\\n+8(%ecx)\n"
	"	.endif\n"
	"	incl	BEGUN(%ecx)\n"
	"2:	pause\n"
	"	cmpl	$0, LEAVE(%ecx)\n"
	"	je	2b\n"
	"	ret\n"
	".endm\n"
	"	handler32 0, 0\n"
	"	handler32 1, 1\n"

	/* in registers; the sender's value lies elsewhere in the siginfo of 64-bit frames than in all others */
	".macro	handler64 n, value\n"
	"	.code64\n"
	"	.balign	64\n"
	"	lea	place(%rip), %rcx\n"
	"	mov	%cs, %eax\n"
	"	mov	%eax, FRAME+16*\\n(%rcx)\n"
	"	mov	%edi, FRAME+16*\\n+4(%rcx)\n"
	"	mov	\\value(%rsi), %eax\n"
	"	mov	%eax, FRAME+16*\\n+8(%rcx)\n"
	"	incl	BEGUN(%rcx)\n"
	"1:	pause\n"
	"	cmpl	$0, LEAVE(%rcx)\n"
	"	je	1b\n"
	"	ret\n"
	".endm\n"
	"	handler64 2, 20\n"
	"	handler64 3, 24\n"

	"	.balign	64\n"
	"restorers:\n"
	"	.code32\n"
	"	pop	%eax\n"
	"	mov	$119, %eax\n"		/* sigreturn */
	"	int	$0x80\n"
	"	.balign	16\n"
	"	mov	$173, %eax\n"		/* rt_sigreturn */
	"	int	$0x80\n"
	"	.balign	16\n"
	"	.code64\n"
	"	mov	$0x40000201, %eax\n"	/* the same of x32 */
	"	syscall\n"
	"	.balign	16\n"
	"	mov	$15, %eax\n"
	"	syscall\n"
	"	.balign	16\n"

	/* stay(place, stack): 32-bit frames have room for neither a high stack pointer nor bases of segments */
	"stay:\n"
	"	push	%rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov	%rdi, %rbx\n"
	"	mov	%rsp, SP(%rbx)\n"
	"	mov	%rsi, %rsp\n"
	"	movl	$1, INSIDE(%rbx)\n"
	"1:	pause\n"
	"	incl	TURNS(%rbx)\n"
	"	cmpl	$0, STOP(%rbx)\n"
	"	je	1b\n"
	"	mov	$158, %eax\n"		/* arch_prctl(ARCH_SET_FS) */
	"	mov	$0x1002, %edi\n"
	"	mov	FS(%rbx), %rsi\n"
	"	syscall\n"
	"	mov	SP(%rbx), %rsp\n"
	"	pop	%r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	"place_end:\n"
	"	.popsection\n"
#ifdef __i386__
	"	.code32\n"
#else
	"	.code64\n"
#endif
);

#define LOW_OF(base, symbol)	LOW((base) + ((const char *)(symbol) - place))

static char *place_make(void)
{
	char *low = mmap(NULL, 4096 + STACK_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	MUST(low != MAP_FAILED && place_end - place <= NOTES_AT);
	memcpy(low, place, place_end - place);
	return low;
}

static struct notes *notes_of(char *low)
{
	return (void *)(low + NOTES_AT);
}

/* ---- installing ---- */

static const int signals[NR_FRAMES] = { SIGUSR1, SIGUSR2, 40, 41 };

#ifdef __i386__
#define call32(nr, a, b, c, d)	sys_ret(syscall(nr, a, b, c, d))
#define call64(nr, a, b, c, d)	far_call64(nr, a, b, c, d)
#else
#define call32(nr, a, b, c, d)	far_call32(nr, a, b, c, d)
#define call64(nr, a, b, c, d)	sys_ret(syscall(nr, a, b, c, d))
#endif

static long sys_ret(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* the handlers get their frames by these: 0, or -errno */
static long install(char *low, int i)
{
	uint32_t handler = LOW_OF(low, handlers[i]), restorer = LOW_OF(low, restorers[i]);
	struct notes *notes = notes_of(low);
	uint32_t *old = (uint32_t *)notes->action;

	switch (i) {
	case 0:		/* sigaction: a frame without siginfo */
		memcpy(old, (uint32_t[4]){ handler, 0, RESTORER, restorer }, 16);
		return call32(67, signals[i], LOW(old), 0, 0);
	case 1:		/* rt_sigaction */
		memcpy(old, (uint32_t[5]){ handler, RESTORER | SA_SIGINFO, restorer }, 20);
		return call32(174, signals[i], LOW(old), 0, 8);
	case 2:		/* of x32, with the same struct */
		memcpy(old, (uint32_t[5]){ handler, RESTORER | SA_SIGINFO, restorer }, 20);
		return call64(X32 | 512, signals[i], LOW(old), 0, 8);
	default:
		memcpy(old, (uint64_t[4]){ handler, RESTORER | SA_SIGINFO, restorer }, 32);
		return call64(13, signals[i], LOW(old), 0, 8);
	}
}

/* ---- the thread that gets the frames ---- */

static void *thread_main(void *arg)
{
	char *low = arg;
	struct notes *notes = notes_of(low);

#ifdef __i386__
	notes->inside = 1;
	while (!*(volatile uint32_t *)&notes->stop)
		(*(volatile uint32_t *)&notes->turns)++;
#else
	void (*stay_here)(char *low, char *stack) = (void *)(uintptr_t)LOW_OF(low, stay);

	MUST(!syscall(SYS_arch_prctl, ARCH_GET_FS, &notes->fs));
	stay_here(low, low + 4096 + STACK_SIZE - 64);
#endif
	return arg;
}

/* returns when its handler runs */
static void send(pthread_t t, volatile struct notes *notes, int i, int value)
{
	uint32_t begun = notes->begun;

	MUST(!pthread_sigqueue(t, signals[i], (union sigval){ .sival_int = value }));
	WAIT_FOR(notes->begun > begun);
}

static void check_frame(const struct notes *notes, int i, int value)
{
	MUST_EQ(notes->frame[i].cs, i < 2 ? 0x23 : 0x33);
	MUST_EQ(notes->frame[i].signo, signals[i]);
	MUST_EQ(notes->frame[i].value, i ? value : 0);
}

static void all_frames(bool x32)
{
	char *low = place_make();
	volatile struct notes *notes = notes_of(low);
	uint32_t turns;
	pthread_t t;
	int i, round;

	for (i = 0; i < NR_FRAMES; i++) {
		if (i == 2 && !x32)
			continue;
		if (i == 2 && install(low, i) == -ENOSYS)
			subject_skip("no x32 here: the kernel's command line needs syscall.x32=y");
		MUST_EQ(install(low, i), 0);
	}
	MUST(!pthread_create(&t, NULL, thread_main, low));
	WAIT_FOR(notes->inside);
	/* first, one in the other; then each for itself */
	for (round = 1; round < 4; round++) {
		memset((void *)notes->frame, 0, sizeof(notes->frame));
		for (i = 0; i < NR_FRAMES; i++) {
			if (i == 2 && !x32)
				continue;
			send(t, notes, i, 4700 + 10 * round + i);
			check_frame((struct notes *)notes, i, 4700 + 10 * round + i);
		}
		if (round == 1)
			checkpoint_here();
		/* it goes on where it was before all of them */
		notes->leave = 1;
		turns = notes->turns;
		WAIT_FOR(notes->turns != turns);
	}
	MUST_EQ(notes->begun, 3 * (NR_FRAMES - !x32));
	notes->stop = 1;
	MUST(!pthread_join(t, NULL));
}

ROUNDTRIP(of_both_widths)
{
	all_frames(false);
}

ROUNDTRIP(of_x32_too)
{
	all_frames(true);
}

TEST_HARNESS_MAIN
