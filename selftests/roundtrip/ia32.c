// SPDX-License-Identifier: GPL-2.0
/*
 * 32-bit programs on x86_64 kernels: after a restore nothing tells them from ones that exec has started.  Registers,
 * TLS entries, ways into the kernel, signal frames, where memory is mapped, core dumps, exec and fork.
 * Requirements 3.2, 3.3, 3.5, 3.7, 3.9, 4.3, 4.4, 4.10, 4.15.
 *
 * crk-test: abi=i686
 */
#include <asm/ldt.h>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

/* ---- registers ---- */

struct spin {
	uint32_t in[7], out[7];		/* eax ebx ecx edx esi edi ebp */
	uint32_t flags_in, flags_out;
	float st[4], st_out[4];
	uint8_t xmm[8][16], xmm_out[8][16];
	uint32_t spinning, stop;
};

/* the leader's; one at a time, since all registers are taken and the addresses must be fixed */
struct spin spin;

void spin_regs(void);
__asm__ (
	"	.text\n"
	"	.globl spin_regs\n"
	"spin_regs:\n"
	"	pusha\n"
	"	pushf\n"
	"	fninit\n"
	"	flds spin+64; flds spin+68; flds spin+72; flds spin+76\n"
	".irp n,0,1,2,3,4,5,6,7\n"
	"	movdqu spin+96+16*\\n, %xmm\\n\n"
	".endr\n"
	"	mov spin+0, %eax; mov spin+4, %ebx; mov spin+8, %ecx; mov spin+12, %edx\n"
	"	mov spin+16, %esi; mov spin+20, %edi; mov spin+24, %ebp\n"
	"	push spin+56\n"
	"	popf\n"
	"	movl $1, spin+352\n"
	/* nothing here touches the flags */
	"1:	pause\n"
	"	mov spin+356, %ecx\n"
	"	jecxz 1b\n"
	"	mov %eax, spin+28; mov %ebx, spin+32; mov %edx, spin+40\n"
	"	mov %esi, spin+44; mov %edi, spin+48; mov %ebp, spin+52\n"
	"	pushf\n"
	"	pop spin+60\n"
	"	cld\n"
	"	fstps spin+92; fstps spin+88; fstps spin+84; fstps spin+80\n"
	".irp n,0,1,2,3,4,5,6,7\n"
	"	movdqu %xmm\\n, spin+224+16*\\n\n"
	".endr\n"
	"	fninit\n"
	"	popf\n"
	"	popa\n"
	"	ret\n"
);

_Static_assert(offsetof(struct spin, flags_in) == 56 && offsetof(struct spin, st) == 64 &&
	       offsetof(struct spin, xmm) == 96 && offsetof(struct spin, spinning) == 352, "spin_regs() knows these");

static void *watch_spin(void *arg)
{
	WAIT_FOR(*(volatile uint32_t *)&spin.spinning);
	checkpoint_here();
	*(volatile uint32_t *)&spin.stop = 1;
	return arg;
}

/* ecx is the loop's */
ROUNDTRIP(registers)
{
	pthread_t t;
	size_t i;

	for (i = 0; i < 7; i++)
		spin.in[i] = 0x80000001 + 0x01234567 * i;
	for (i = 0; i < 4; i++)
		spin.st[i] = 1.5F + i;
	for (i = 0; i < sizeof(spin.xmm); i++)
		((uint8_t *)spin.xmm)[i] = i * 7 + 3;
	spin.in[2] = 0;
	spin.flags_in = 0x202 | 0x400 | 0x80 | 0x40 | 0x1;	/* direction, sign, zero, carry */
	MUST(!pthread_create(&t, NULL, watch_spin, NULL));
	spin_regs();
	MUST(!pthread_join(t, NULL));
	for (i = 0; i < 7; i++)
		if (i != 2)
			MUST_EQ(spin.out[i], spin.in[i]);
	MUST_EQ(spin.flags_out & ~0x10200, spin.flags_in & ~0x10200);
	for (i = 0; i < 4; i++)
		MUST(spin.st_out[i] == spin.st[i]);
	MUST(!memcmp(spin.xmm, spin.xmm_out, sizeof(spin.xmm)));
}

/* ---- segments ---- */

static int tls_entry(const void *base, unsigned int limit)
{
	struct user_desc d = {
		.entry_number = -1, .base_addr = (unsigned long)base, .limit = limit, .seg_32bit = 1, .useable = 1,
	};

	MUST(!syscall(SYS_set_thread_area, &d));
	return d.entry_number;
}

static uint32_t through_fs(int entry)
{
	uint32_t got;

	__asm__ volatile ("mov %1, %%fs; mov %%fs:0, %0" : "=r" (got) : "r" (entry << 3 | 3));
	return got;
}

static void *tls_thread(void *arg)
{
	static uint32_t word = 0x7777;
	struct user_desc d = {
		.entry_number = *(int *)arg, .base_addr = (unsigned long)&word, .limit = 3, .seg_32bit = 1, .useable = 1,
	};
	int entry;

	MUST(!syscall(SYS_set_thread_area, &d));
	__asm__ volatile ("mov %0, %%fs" : : "r" (d.entry_number << 3 | 3));
	event_set("thread");
	event_wait("go.1");
	__asm__ volatile ("mov %%fs:0, %0" : "=r" (entry));
	return (void *)(entry == 0x7777 ? NULL : arg);
}

/* the C library has one of the three, and so has each thread; selectors stay loaded, entries that are in no register stay too */
ROUNDTRIP(tls_entries)
{
	static uint32_t words[2] = { 0x11111111, 0x22222222 };
	int first = tls_entry(&words[0], 3), second = tls_entry(&words[1], 3);
	struct user_desc d = { .entry_number = second };
	pthread_t t;
	void *ret;
	int fs;

	MUST(!pthread_create(&t, NULL, tls_thread, &second));
	event_wait("thread");
	MUST_EQ(through_fs(first), 0x11111111);
	checkpoint_here();
	__asm__ volatile ("mov %%fs, %0" : "=r" (fs));
	MUST_EQ(fs, first << 3 | 3);
	__asm__ volatile ("mov %%fs:0, %0" : "=r" (fs));
	MUST_EQ(fs, 0x11111111);
	MUST_EQ(through_fs(second), 0x22222222);
	MUST(!syscall(SYS_get_thread_area, &d));
	MUST_EQ(d.base_addr, (unsigned long)&words[1]);
	MUST_EQ(d.limit, 3);
	MUST(!pthread_join(t, &ret));
	MUST(!ret);
}

/* ---- ways into the kernel ---- */

static struct timespec sleep_time = { .tv_sec = 4 };

static void *sleep_int80(void *arg)
{
	long ret;

	__asm__ volatile ("int $0x80" : "=a" (ret) : "0" (SYS_nanosleep), "b" (&sleep_time), "c" (0) : "memory");
	return (void *)ret;
}

/* AT_SYSINFO: sysenter or syscall, whichever the CPU has */
static void *sleep_sysinfo(void *arg)
{
	unsigned long entry = getauxval(AT_SYSINFO);
	long ret;

	__asm__ volatile ("call *%1" : "=a" (ret) : "m" (entry), "0" (SYS_nanosleep), "b" (&sleep_time), "c" (0)
			  : "memory");
	return (void *)ret;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

ROUNDTRIP(entries, .away = 1)
{
	void *(*ways[])(void *) = { sleep_int80, sleep_sysinfo };
	double began = now();
	pthread_t t[2];
	void *ret;
	int i;

	MUST(getauxval(AT_SYSINFO));
	for (i = 0; i < 2; i++)
		MUST(!pthread_create(&t[i], NULL, ways[i], NULL));
	usleep(200000);
	checkpoint_here();
	for (i = 0; i < 2; i++) {
		MUST(!pthread_join(t[i], &ret));
		MUST_EQ((long)ret, 0);
	}
	MUST(now() - began >= 3.9);
}

/* ---- signal frames ---- */

static volatile int nr_handled, value_seen;

static void plain_handler(int sig)
{
	checkpoint_here();
	nr_handled++;
}

static void info_handler(int sig, siginfo_t *info, void *context)
{
	checkpoint_here();
	value_seen = info->si_value.sival_int;
	nr_handled++;
}

/* the checkpoint is inside of the handler: the frame on the stack leads back through the vDSO's or libc's restorer */
ROUNDTRIP(inside_a_handler)
{
	struct sigaction sa = { .sa_handler = plain_handler };

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	MUST_EQ(nr_handled, 1);
	checkpoint_here();
	raise(SIGUSR1);
	MUST_EQ(nr_handled, 2);
}

ROUNDTRIP(inside_a_handler_with_siginfo)
{
	struct sigaction sa = { .sa_sigaction = info_handler, .sa_flags = SA_SIGINFO };

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	MUST(!sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 4711 }));
	MUST_EQ(nr_handled, 1);
	MUST_EQ(value_seen, 4711);
}

/* without SA_RESTORER the kernel lets the frame return by way of the vDSO */
struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

ROUNDTRIP(return_through_the_vdso)
{
	struct kernel_action plain = { plain_handler }, info = { info_handler, SA_SIGINFO };

	MUST(!syscall(SYS_rt_sigaction, SIGUSR1, &plain, NULL, 8));
	MUST(!syscall(SYS_rt_sigaction, SIGUSR2, &info, NULL, 8));
	raise(SIGUSR1);
	MUST(!sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = 4712 }));
	MUST_EQ(nr_handled, 2);
	MUST_EQ(value_seen, 4712);
	checkpoint_here();
	raise(SIGUSR1);
	MUST_EQ(nr_handled, 3);
}

/* ---- memory ---- */

static void map_many(unsigned long below)
{
	char *text;
	int i;

	for (i = 0; i < 10000; i++) {
		/* neighbours that differ are not merged */
		void *p = mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		MUST(p != MAP_FAILED);
		MUST((unsigned long)p < below);
	}
	/* a mapping that the 32-bit view can't see would be worse */
	text = file_text("/proc/self/maps");
	for (; *text; text = strchr(text, '\n') + 1)
		MUST_EQ(strcspn(text, "-"), 8);
}

ROUNDTRIP(maps_below_4_gib)
{
	char *before, *after;

	before = file_text("/proc/self/maps");
	checkpoint_here();
	after = file_text("/proc/self/maps");
	MUST_STR(after, before);
	MUST(!strstr(after, "[vsyscall]"));
	map_many(-1UL);
}

/* once more, from exec, with another personality */
static void again_as(unsigned long persona, const char *name)
{
	if (personality(-1) == (int)(persona | (personality(-1) & PER_MASK)))
		return;
	MUST(personality(personality(-1) | persona) >= 0);
	execl("/proc/self/exe", "ia32", "--subject", name, NULL);
	MUST(!"exec");
}

ROUNDTRIP(legacy_layout)
{
	again_as(ADDR_COMPAT_LAYOUT, "legacy_layout");
	checkpoint_here();
	MUST_EQ(personality(-1), ADDR_COMPAT_LAYOUT);
	map_many(-1UL);
}

ROUNDTRIP(unlimited_stack)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, now_limit;

	MUST(!getrlimit(RLIMIT_STACK, &now_limit));
	if (now_limit.rlim_cur != RLIM_INFINITY) {
		MUST(!setrlimit(RLIMIT_STACK, &unlimited));
		execl("/proc/self/exe", "ia32", "--subject", "unlimited_stack", NULL);
		MUST(!"exec");
	}
	checkpoint_here();
	map_many(-1UL);
}

ROUNDTRIP(three_gib)
{
	again_as(ADDR_LIMIT_3GB, "three_gib");
	checkpoint_here();
	MUST_EQ(personality(-1), ADDR_LIMIT_3GB);
	map_many(0xc0000000);
}

ROUNDTRIP(not_randomized)
{
	again_as(ADDR_NO_RANDOMIZE, "not_randomized");
	checkpoint_here();
	MUST_EQ(personality(-1), ADDR_NO_RANDOMIZE);
	map_many(-1UL);
}

/* ---- what the kernel makes of it ---- */

ROUNDTRIP(core_dump)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t pid = fork_child();

	if (!pid) {
		setrlimit(RLIMIT_CORE, &unlimited);
		signal(SIGUSR1, SIG_DFL);
		event_set("child");
		for (;;)
			pause();
	}
	event_wait("child");
	checkpoint_here();
	core_must_be(pid, ELFCLASS32, EM_386);
}

ROUNDTRIP(auxv_and_exe)
{
	char *exe = link_text("/proc/self/exe");
	Elf32_auxv_t before[64] = {}, after[64] = {};
	int fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0 && read(fd, before, sizeof(before)) > 0);
	MUST_EQ(before[0].a_type, AT_SYSINFO);
	close(fd);
	checkpoint_here();
	fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, after, sizeof(after)) > 0);
	MUST(!memcmp(before, after, sizeof(before)));
	MUST_STR(link_text("/proc/self/exe"), exe);
}

/* a 64-bit program, and back: what was restored is no property of the process */
ROUNDTRIP(exec_of_64_bit)
{
	pid_t pid;

	if (getenv("CRK_BACK"))
		_exit(file_text("/proc/self/maps")[8] == '-' ? 0 : 1);
	checkpoint_here();
	pid = fork_child();
	if (!pid) {
		setenv("CRK_BACK", "1", 1);
		execl("/bin/sh", "sh", "-c", "grep -q '^[0-9a-f]\\{12\\}-' /proc/self/maps || exit 3; exec \"$0\" --subject exec_of_64_bit",
		      link_text("/proc/self/exe"), NULL);
		_exit(98);
	}
	reap(pid);
}

static void *maps_in_thread(void *arg)
{
	void *p = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? arg : NULL;
}

ROUNDTRIP(children_and_threads)
{
	pthread_t t;
	pid_t pid;
	void *ret;

	checkpoint_here();
	pid = fork_child();
	if (!pid) {
		map_many(-1UL);
		_exit(0);
	}
	reap(pid);
	MUST(!pthread_create(&t, NULL, maps_in_thread, "no memory"));
	MUST(!pthread_join(t, &ret));
	MUST(!ret);
}

TEST_HARNESS_MAIN
