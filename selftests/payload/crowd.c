// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads, each of which keeps its number in thread-local memory and in a vector register, sleeps, and looks whether
 * both are still there.  Ends with status 1 and "BAD what" in FILE when one is not.
 *
 * usage: crowd FILE THREADS	FILE holds "ROUNDS\n" in a fixed column, rewritten in place: the fewest of any thread
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const struct timespec nap = { .tv_nsec = 5000000 };
static __thread uint64_t own;
static volatile unsigned long *rounds;
static int out;

static void bad(const char *what, uint64_t n)
{
	dprintf(out, "BAD %s of thread %llu\n", what, (unsigned long long)n);
	_exit(1);
}

/* nanosleep() with @n in a register that the kernel keeps; what is there afterwards */
static uint64_t sleep_with(uint64_t n)
{
#if defined(__x86_64__)
	long ret = SYS_nanosleep;

	__asm__ volatile ("movq	%[n], %%xmm6\n\t"
			  "syscall\n\t"
			  "movq	%%xmm6, %[n]"
			  : [n] "+r" (n), "+a" (ret) : "D" (&nap), "S" (NULL) : "rcx", "r11", "xmm6", "memory");
	return n;
#elif defined(__i386__)
	uint32_t low = n;
	int ret = SYS_nanosleep;

	__asm__ volatile ("movd	%[n], %%xmm6\n\t"
			  "int	$0x80\n\t"
			  "movd	%%xmm6, %[n]"
			  : [n] "+r" (low), "+a" (ret) : "b" (&nap), "c" (NULL) : "memory");	/* the compiler uses no xmm6 here */
	return low;
#elif defined(__arm__)
	register const void *r0 __asm__("r0") = &nap;
	register const void *r1 __asm__("r1") = NULL;
	uint32_t low = n;

	/* r7 may be the frame pointer.  The compiler uses no d9 here, and has no name for it if floating point is soft */
	__asm__ volatile (".fpu	vfpv3\n\t"
			  "vmov	s18, %[low]\n\t"
			  "mov	r12, r7\n\t"
			  "mov	r7, %[nr]\n\t"
			  "svc	#0\n\t"
			  "mov	r7, r12\n\t"
			  "vmov	%[low], s18"
			  : [low] "+r" (low), "+r" (r0) : "r" (r1), [nr] "i" (SYS_nanosleep) : "r12", "memory");
	return low;
#endif
}

static void *keep(void *arg)
{
	uint64_t n = (uintptr_t)arg;

	for (own = n;; rounds[n]++) {
		if (sleep_with(n) != n)
			bad("vector register", n);
		if (own != n)
			bad("thread-local memory", n);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 2 ? strtoul(argv[2], NULL, 0) : 100, i, least;
	pthread_attr_t attr;
	pthread_t thread;

	out = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	rounds = calloc(nr, sizeof(*rounds));
	if (out < 0 || !rounds || pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 65536))
		return 2;
	for (i = 0; i < nr; i++)
		if (pthread_create(&thread, &attr, keep, (void *)i))
			return 2;
	for (;;) {
		char line[32];
		int len;

		for (least = rounds[0], i = 1; i < nr; i++)
			least = rounds[i] < least ? rounds[i] : least;
		len = snprintf(line, sizeof(line), "%012lu\n", least);
		if (pwrite(out, line, len, 0) != len)
			return 2;
		nanosleep(&nap, NULL);
	}
}
