// SPDX-License-Identifier: GPL-2.0
/*
 * Bitness belongs to a thread at a moment, not to a program: 64-bit programs in 32-bit code and in 32-bit system
 * calls, and trees of processes of all ABIs.  Requirements 4.2, 4.3.  The other direction is in longmode.c.
 *
 * crk-test: abi=x86_64
 */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "far.h"

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *low_pages(int prot)
{
	void *p = mmap(NULL, 4 * 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* ---- 32-bit code in a 64-bit program ---- */

struct detour {
	uint32_t stop, inside;		/* in low memory, for the 32-bit code */
	uint32_t ds, pad;
	uint64_t in[6], out[6];		/* r8 to r13, which 32-bit code can't name */
};

extern char code_start[], code_end[], code_back[];
void detour(struct detour *d, void *code, void *stack);
__asm__ (
	"	.text\n"
	"code_start:\n"
	"	.code32\n"
	"	movl $1, 4(%edi)\n"
	"1:	pause\n"
	"	cmpl $0, (%edi)\n"
	"	je 1b\n"
	"	mov %ds, %eax\n"
	"	mov %eax, 8(%edi)\n"
	"	.byte 0xea\n"			/* ljmp $0x33, what detour() puts here */
	"code_back:\n"
	"	.long 0\n"
	"	.word 0x33\n"
	"	.code64\n"
	"	jmp *%r14\n"
	"code_end:\n"
	"	.globl detour\n"
	"detour:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	lea 2f(%rip), %r14\n"
	"	mov %rsp, %r15\n"
	"	mov 16(%rdi), %r8; mov 24(%rdi), %r9; mov 32(%rdi), %r10; mov 40(%rdi), %r11\n"
	"	mov 48(%rdi), %r12; mov 56(%rdi), %r13\n"
	/* 64-bit programs begin with none, and need none */
	"	mov $0x2b, %eax; mov %eax, %ds\n"
	"	mov %rdx, %rsp\n"
	"	pushq $0x23\n"
	"	push %rsi\n"
	"	lretq\n"
	"2:	mov %r15, %rsp\n"
	"	xor %eax, %eax; mov %eax, %ds\n"
	"	mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
	"	mov %r12, 96(%rdi); mov %r13, 104(%rdi)\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
);

static __thread uint64_t local;

/* from here to 32-bit code, and back when @d->stop is set */
static void take_detour(struct detour *d, unsigned int seed)
{
	char *low = low_pages(PROT_READ | PROT_WRITE | PROT_EXEC);
	uint32_t back = (uintptr_t)(low + (code_back - code_start) + 6);
	uint64_t on_gs = 0x1234567890abcdef + seed, got;
	int i;

	memcpy(low, code_start, code_end - code_start);
	memcpy(low + (code_back - code_start), &back, sizeof(back));
	for (i = 0; i < 6; i++)
		d->in[i] = 0x0101010101010101 * (i + 1) + ((uint64_t)seed << 32);
	local = seed;
	MUST(!syscall(SYS_arch_prctl, ARCH_SET_GS, &on_gs));
	detour(d, low, low + 4 * 4096);
	for (i = 0; i < 6; i++)
		MUST_EQ(d->out[i], d->in[i]);
	MUST_EQ(d->ds, 0x2b);
	MUST_EQ(local, seed);
	__asm__ volatile ("mov %%gs:0, %0" : "=r" (got));
	MUST_EQ(got, on_gs);
	MUST(!syscall(SYS_arch_prctl, ARCH_SET_GS, 0));
}

static void *detour_thread(void *arg)
{
	take_detour(arg, 7);
	return NULL;
}

/* one thread in 32-bit code, the leader in 64-bit code */
ROUNDTRIP(thread_in_32_bit_code)
{
	struct detour *d = low_pages(PROT_READ | PROT_WRITE);
	pthread_t t;

	MUST(!pthread_create(&t, NULL, detour_thread, d));
	WAIT_FOR(*(volatile uint32_t *)&d->inside);
	checkpoint_here();
	*(volatile uint32_t *)&d->stop = 1;
	MUST(!pthread_join(t, NULL));
}

static void *checkpoint_thread(void *arg)
{
	struct detour *d = arg;

	WAIT_FOR(*(volatile uint32_t *)&d->inside);
	checkpoint_here();
	*(volatile uint32_t *)&d->stop = 1;
	return NULL;
}

ROUNDTRIP(leader_in_32_bit_code)
{
	struct detour *d = low_pages(PROT_READ | PROT_WRITE);
	pthread_t t;

	MUST(!pthread_create(&t, NULL, checkpoint_thread, d));
	take_detour(d, 8);
	MUST(!pthread_join(t, NULL));
}

/* ---- 32-bit calls by 64-bit code ---- */

#define I386_POLL		168
#define I386_NANOSLEEP		162
#define I386_SET_THREAD_AREA	243
#define I386_GET_THREAD_AREA	244
#define I386_SET_ROBUST_LIST	311
#define I386_GET_ROBUST_LIST	312

static void *sleeps(void *arg)
{
	int32_t *ts = low_pages(PROT_READ | PROT_WRITE);

	ts[0] = 4;
	event_set("sleeps");
	return (void *)far_call32(I386_NANOSLEEP, LOW(ts));
}

static void *polls(void *arg)
{
	event_set("polls");
	return (void *)far_call32(I386_POLL, 0, 0, 4000);
}

static void on_signal(int signo)
{
}

static int32_t *left;

/* until the handler ends it, and then tells in 32 bit what is left */
static void *sleeps_long(void *arg)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int32_t *ts = low_pages(PROT_READ | PROT_WRITE);

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	left = ts + 4;
	ts[0] = 1000;
	event_set("sleeps long");
	return (void *)far_call32(I386_NANOSLEEP, LOW(ts), LOW(left));
}

/* beside one of each kind that is at work */
ROUNDTRIP(asleep_in_int80, .away = 1)
{
	struct detour *d = low_pages(PROT_READ | PROT_WRITE);
	double began = now();
	pthread_t t[4];
	void *ret;

	MUST(!pthread_create(&t[0], NULL, sleeps, NULL));
	MUST(!pthread_create(&t[1], NULL, polls, NULL));
	MUST(!pthread_create(&t[2], NULL, sleeps_long, NULL));
	MUST(!pthread_create(&t[3], NULL, detour_thread, d));
	event_wait("sleeps");
	event_wait("polls");
	event_wait("sleeps long");
	WAIT_FOR(*(volatile uint32_t *)&d->inside);
	usleep(200000);
	checkpoint_here();
	MUST(!pthread_kill(t[2], SIGUSR1));
	MUST(!pthread_join(t[2], &ret));
	MUST_EQ((long)ret, -EINTR);
	MUST(left[0] >= 900 && left[0] < 1000 && left[1] >= 0 && left[1] < 1000000000);
	*(volatile uint32_t *)&d->stop = 1;
	MUST(!pthread_join(t[3], NULL));
	MUST(!pthread_join(t[0], &ret));
	MUST_EQ((long)ret, 0);
	MUST(!pthread_join(t[1], &ret));
	MUST_EQ((long)ret, 0);
	/* the time that it was away for is none in which they slept */
	MUST(now() - began >= (is_left_running() ? 3.9 : 5.8));
}

/* TLS entries that a 64-bit thread has set are in no register set of it; and it has two lists of robust locks */
ROUNDTRIP(tls_entry_and_robust_list)
{
	struct user_desc *d = low_pages(PROT_READ | PROT_WRITE);
	uint32_t *word = low_pages(PROT_READ | PROT_WRITE), got;
	uint32_t *head = word + 4, *told = word + 8;

	*d = (struct user_desc){ .entry_number = -1, .base_addr = (uintptr_t)word, .limit = 0xfff, .seg_32bit = 1,
				 .useable = 1 };
	*word = 0x55aa1234;
	MUST_EQ(far_call32(I386_SET_THREAD_AREA, LOW(d)), 0);
	*head = LOW(head);
	MUST_EQ(far_call32(I386_SET_ROBUST_LIST, LOW(head), 12), 0);
	checkpoint_here();
	MUST_EQ(far_call32(I386_GET_ROBUST_LIST, 0, LOW(&told[0]), LOW(&told[1])), 0);
	MUST_EQ(told[0], LOW(head));
	MUST_EQ(told[1], 12);
	d->base_addr = d->limit = 0;
	MUST_EQ(far_call32(I386_GET_THREAD_AREA, LOW(d)), 0);
	MUST_EQ(d->base_addr, (uintptr_t)word);
	MUST_EQ(d->limit, 0xfff);
	__asm__ volatile ("mov %1, %%es; mov %%es, %0" : "=r" (got) : "r" (d->entry_number << 3 | 3));
	MUST_EQ(got, d->entry_number << 3 | 3);
}

/* ---- the vDSO of 32-bit programs in a 64-bit one ---- */

#ifndef ARCH_MAP_VDSO_32
#define ARCH_MAP_VDSO_32	0x2002
#endif

/* finds it, and unmaps it with its data if asked to; from here on the C library has no clock */
static char *vdso_find(size_t *len, bool unmap)
{
	char *text = file_text("/proc/self/maps"), *line, *save = NULL, *code = NULL;
	unsigned long start, end;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strstr(line, "[vvar") && !strstr(line, "[vdso]"))
			continue;
		MUST_EQ(sscanf(line, "%lx-%lx", &start, &end), 2);
		*len = end - start;
		code = (char *)start;
		if (unmap)
			MUST(!munmap(code, *len));
	}
	free(text);
	return code;
}

/* up to there: mappings above come and go with what is allocated */
static char *maps_to_vdso(void)
{
	char *text = file_text("/proc/self/maps"), *at = strstr(text, "[vdso]");

	MUST(at);
	*at = '\0';
	return text;
}

/* as CRIU leaves 32-bit programs that it has restored, too */
ROUNDTRIP(vdso_of_32_bit)
{
	char *room = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	char *code, *copy, *maps, *after;
	size_t len;

	MUST(room != MAP_FAILED && !munmap(room, 1 << 20));
	vdso_find(&len, true);
	MUST(syscall(SYS_arch_prctl, ARCH_MAP_VDSO_32, room) > 0);
	code = vdso_find(&len, false);
	MUST(code && !memcmp(code, ELFMAG, SELFMAG) && code[EI_CLASS] == ELFCLASS32);
	copy = malloc(len);
	MUST(copy && memcpy(copy, code, len));
	maps = maps_to_vdso();
	checkpoint_here();
	after = maps_to_vdso();
	MUST_STR(after, maps);
	MUST(!memcmp(copy, code, len));
}

/* ---- trees ---- */

struct peer {
	int to, from;
	pid_t pid;
};

static uint32_t *shared;
static int shared_fd;

static bool peer_start(struct peer *p, const char *program)
{
	int to[2], from[2];
	char path[4096];

	snprintf(path, sizeof(path), "%s/payload/%s", getenv("CRK_TESTS") ?: "", program);
	MUST(!access(path, X_OK));
	MUST(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
	p->pid = fork_child();
	if (!p->pid) {
		/* away from the numbers that it is to have */
		int fds[3] = { fcntl(to[0], F_DUPFD_CLOEXEC, 20), fcntl(from[1], F_DUPFD_CLOEXEC, 20),
			       fcntl(shared_fd, F_DUPFD_CLOEXEC, 20) };
		int i;

		for (i = 0; i < 3; i++)
			dup2(fds[i], 3 + i);
		execl(path, program, NULL);
		_exit(98);
	}
	close(to[0]);
	close(from[1]);
	p->to = to[1];
	p->from = from[0];
	return true;
}

static uint32_t peer_asks(struct peer *p, uint32_t word)
{
	uint32_t answer;

	MUST_EQ(write(p->to, &word, sizeof(word)), sizeof(word));
	MUST_EQ(read(p->from, &answer, sizeof(answer)), sizeof(answer));
	return answer;
}

/* a peer that does not run at all has no ABI here */
static bool abi_is_there(const char *program)
{
	struct peer p;
	int status;

	peer_start(&p, program);
	close(p.to);
	MUST_EQ(waitpid(p.pid, &status, 0), p.pid);
	close(p.from);
	return !status;
}

static void tree_of(const char *const *programs, int nr)
{
	struct peer peers[3];
	uint32_t zero = 0, answer;
	double began;
	int i, round;

	shared_fd = memfd_create("shared", MFD_CLOEXEC);
	MUST(shared_fd >= 0 && !ftruncate(shared_fd, 4096));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	MUST(shared != MAP_FAILED);
	for (i = 0; i < nr; i++)
		if (!abi_is_there(programs[i]))
			subject_skip("%s does not run here: the kernel's command line needs syscall.x32=y", programs[i]);
	for (i = 0; i < nr; i++)
		peer_start(&peers[i], programs[i]);
	for (round = 1; round < 4; round++) {
		for (i = 0; i < nr; i++)
			MUST_EQ(peer_asks(&peers[i], 100 * round + i), 100 * round + i + 1);
		MUST_EQ(*(volatile uint32_t *)shared, nr * round);
		if (round < 3)
			checkpoint_here();
	}
	/* asleep: the rest of the time, and 0 */
	began = now();
	for (i = 0; i < nr; i++)
		MUST_EQ(write(peers[i].to, &zero, sizeof(zero)), sizeof(zero));
	usleep(300000);
	checkpoint_here();
	for (i = 0; i < nr; i++) {
		MUST_EQ(read(peers[i].from, &answer, sizeof(answer)), sizeof(answer));
		MUST_EQ(answer, 0);
	}
	MUST(now() - began >= 1.9);
	for (i = 0; i < nr; i++) {
		close(peers[i].to);
		reap(peers[i].pid);
	}
}

ROUNDTRIP(tree_with_ia32)
{
	tree_of((const char *const []){ "peer", "peer-ia32" }, 2);
}

ROUNDTRIP(tree_with_ia32_and_x32)
{
	tree_of((const char *const []){ "peer", "peer-ia32", "peer-x32" }, 3);
}

TEST_HARNESS_MAIN
