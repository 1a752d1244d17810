// SPDX-License-Identifier: GPL-2.0
/*
 * 64-bit code in 32-bit programs: threads of ia32 processes that are dumped there, at work and asleep in 64-bit system
 * calls, beside others that are not.  The other direction is in mixed.c.  Requirements 4.2, 4.3.
 *
 * crk-test: abi=i686 asleep
 */
#include <asm/ldt.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"
#include "far.h"

#ifndef MAP_32BIT
#define MAP_32BIT	0x40
#endif

/* numbers of 64-bit calls */
#define NR64_READ	0
#define NR64_POLL	7
#define NR64_MMAP	9
#define NR64_NANOSLEEP	35
#define NR64_GETPID	39
#define NR64_FUTEX	202

/* ---- at work ---- */

struct spin {
	uint64_t in[14], out[14];	/* rbx rcx rdx rsi rdi rbp r8 … r15 */
	uint8_t xmm[8][16], xmm_out[8][16];	/* 8 to 15, which 32-bit code has no names for */
	uint32_t inside, stop, tls;
};

/* rax, which points to it, and rsp are taken */
void spin_regs(struct spin *s);
__asm__ (
	"	.text\n"
	"	.globl	spin_regs\n"
	"spin_regs:\n"
	"	pusha\n"
	"	mov	36(%esp), %eax\n"
	"	ljmp	$0x33, $1f\n"
	"	.code64\n"
	"1:	mov	%eax, %eax\n"
	"	mov	%esp, %esp\n"
	"	.set	n, 0\n"
	".irp r,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
	"	mov	8*n(%rax), %\\r\n"
	"	.set	n, n+1\n"
	".endr\n"
	"	.set	n, 0\n"
	".irp r,8,9,10,11,12,13,14,15\n"
	"	movdqu	224+16*n(%rax), %xmm\\r\n"
	"	.set	n, n+1\n"
	".endr\n"
	"	movl	$1, 480(%rax)\n"
	"2:	pause\n"
	"	cmpl	$0, 484(%rax)\n"
	"	je	2b\n"
	"	.set	n, 0\n"
	".irp r,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
	"	mov	%\\r, 112+8*n(%rax)\n"
	"	.set	n, n+1\n"
	".endr\n"
	"	.set	n, 0\n"
	".irp r,8,9,10,11,12,13,14,15\n"
	"	movdqu	%xmm\\r, 352+16*n(%rax)\n"
	"	.set	n, n+1\n"
	".endr\n"
	"	mov	%gs:0, %ecx\n"
	"	mov	%ecx, 488(%rax)\n"
	"	ljmp	*3f(%rip)\n"
	"3:	.long	4f\n"
	"	.word	0x23\n"
	"	.code32\n"
	"4:	popa\n"
	"	ret\n"
);

_Static_assert(offsetof(struct spin, xmm) == 224 && offsetof(struct spin, inside) == 480, "spin_regs() knows these");

static void spin_here(struct spin *s, unsigned int seed)
{
	uint32_t tls;
	size_t i;

	for (i = 0; i < 14; i++)
		s->in[i] = 0x8899aabb00000001 * (i + 1) + seed;
	for (i = 0; i < sizeof(s->xmm); i++)
		((uint8_t *)s->xmm)[i] = i * 7 + seed;
	spin_regs(s);
	for (i = 0; i < 14; i++)
		MUST_EQ(s->out[i], s->in[i]);
	MUST(!memcmp(s->xmm, s->xmm_out, sizeof(s->xmm)));
	/* by what the register holds, and by the entry it is loaded from */
	__asm__ volatile ("mov %%gs, %0; mov %0, %%gs; mov %%gs:0, %0" : "=r" (tls));
	MUST_EQ(s->tls, tls);
}

static void *spin_thread(void *arg)
{
	spin_here(arg, 5);
	return NULL;
}

/* what a 64-bit call gets: 0 or -errno.  The kernel looks for a place where 64-bit programs have theirs */
static long map64(int flags)
{
	uint32_t ret = far_call64(NR64_MMAP, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return ret < 0xfffff000 ? munmap((void *)ret, 4096) : (long)ret;
}

static long map64_before;

/* mappings have places below 4 GiB, whoever asks for them */
static void check_memory(void)
{
	char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *maps;

	MUST(p != MAP_FAILED && !munmap(p, 4096));
	MUST_EQ(map64(0), map64_before);
	MUST_EQ(map64(MAP_32BIT), 0);
	maps = file_text("/proc/self/maps");
	for (char *at = maps; *at; at = strchr(at, '\n') + 1)
		MUST_EQ(strcspn(at, "-"), 8);
	free(maps);
}

static void *checkpoint_thread(void *arg)
{
	struct spin *s = arg;

	WAIT_FOR(*(volatile uint32_t *)&s->inside);
	checkpoint_here();
	check_memory();
	*(volatile uint32_t *)&s->stop = 1;
	return NULL;
}

ROUNDTRIP(leader_in_64_bit_code)
{
	static struct spin s;
	pthread_t t;

	MUST_EQ(far_call64(NR64_GETPID), getpid());
	map64_before = map64(0);
	MUST(!pthread_create(&t, NULL, checkpoint_thread, &s));
	spin_here(&s, 4);
	MUST(!pthread_join(t, NULL));
	check_memory();
}

/* ---- asleep ---- */

struct timespec64 {
	int64_t sec, nsec;
};

static long sleep64(struct call *c)
{
	struct timespec64 ts = { 3, 0 };

	return far_call64(NR64_NANOSLEEP, LOW(&ts));
}

static long poll64(struct call *c)
{
	return far_call64(NR64_POLL, 0, 0, 3000);
}

static long futex64(struct call *c)
{
	struct timespec64 ts = { 3, 0 };

	return far_call64(NR64_FUTEX, LOW(&c->word), 0 /* FUTEX_WAIT */, 0, LOW(&ts));
}

/* ---- asleep for long, until a handler ends it: what is left is told in 64 bits ---- */

static struct timespec64 left;

static long sleep64_long(struct call *c)
{
	struct timespec64 ts = { 1000, 0 };

	left.sec = -1;
	return far_call64(NR64_NANOSLEEP, LOW(&ts), LOW(&left));
}

static long sleep32_long(struct call *c)
{
	struct timespec ts = { 1000, 0 };
	long ret = syscall(SYS_nanosleep, &ts, &ts) ? -errno : 0;

	MUST(ts.tv_sec >= 900 && ts.tv_sec < 1000);
	return ret;
}

static void interrupt(struct call *c)
{
	MUST(!pthread_kill(c->thread, SIGUSR1));
}

static void open_pipe(struct call *c)
{
	MUST(!pipe(c->fd));
}

static long read64(struct call *c)
{
	char b;

	return far_call64(NR64_READ, c->fd[0], LOW(&b), 1);
}

static void feed(struct call *c)
{
	MUST_EQ(write(c->fd[1], "x", 1), 1);
}

static volatile int nr_signals;

static void on_signal(int signo)
{
	nr_signals++;
}

static struct call calls[] = {
	{ "sleep64_long", NR64_NANOSLEEP, sleep64_long, .wake = interrupt, .want = -EINTR },
	{ "sleep32_long", SYS_nanosleep, sleep32_long, .wake = interrupt, .want = -EINTR },
	{ "read64", NR64_READ, read64, open_pipe, feed, .want = 1 },
	{ "sleep64", NR64_NANOSLEEP, sleep64 },
	{ "poll64", NR64_POLL, poll64 },
	{ "futex64", NR64_FUTEX, futex64, .want = -ETIMEDOUT },
};
#define NR_CALLS	((int)(sizeof(calls) / sizeof(calls[0])))
#define NR_WOKEN	3

/* threads of all kinds in one process, and what each of them returns */
ROUNDTRIP(threads_of_all_modes, .away = 1)
{
	struct sigaction sa = { .sa_handler = on_signal };
	static struct spin s;
	pthread_t t;
	int i;

	map64_before = map64(0);
	MUST(!sigaction(SIGUSR1, &sa, NULL));
	MUST(!pthread_create(&t, NULL, spin_thread, &s));
	calls_start(calls, NR_CALLS);
	WAIT_FOR(*(volatile uint32_t *)&s.inside);
	checkpoint_here();
	for (i = NR_WOKEN; i < NR_CALLS; i++) {
		call_end(&calls[i]);
		/* the time that it was away for is none in which it slept */
		call_must(&calls[i], calls[i].took >= (is_left_running() ? 2.9 : 4.8));
	}
	MUST_EQ(nr_signals, 0);
	calls_end(calls, NR_WOKEN);
	MUST_EQ(nr_signals, 2);
	MUST(left.sec >= 900 && left.sec < 1000 && left.nsec >= 0 && left.nsec < 1000000000);
	*(volatile uint32_t *)&s.stop = 1;
	MUST(!pthread_join(t, NULL));
	check_memory();
}

TEST_HARNESS_MAIN
