// SPDX-License-Identifier: GPL-2.0
/*
 * percpu FILE: threads on one CPU add to a per-CPU counter in restartable sequences, with most of their time between
 * the load and the store.  Whoever goes on in the middle of one, instead of in its abort handler, loses what another
 * has added meanwhile.  And FILE.generation, mapped shared, is read first and compared last: a tester who changes it while
 * all threads are frozen, or not there, sees who went on in the middle of a sequence and who was aborted.
 *
 * The file gets "SUM ADDED ABORTED CAUGHT CONTINUED": SUM of the counters, and how often threads say that they have added one,
 * were aborted, aborted while the generation changed, and went on though it had (never, that is); taken while no thread is in a
 * sequence.  A USR1 asks for a new line.
 *
 * Threads that the C library has no area for (GLIBC_TUNABLES=glibc.pthread.rseq=0) register their own.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_THREADS	3
#define NR_CPUS		64
#define WINDOW		20000		/* rounds of an empty loop inside a sequence */

static struct {
	long n __attribute__((aligned(64)));
} counters[NR_CPUS];

static struct thread {
	long added __attribute__((aligned(64)));
	long aborted, caught, continued;
	unsigned int seen;		/* the generation at the start of the sequence */
} threads[NR_THREADS];

/* named in assembly, therefore not static; what is seen is the file that is mapped over it */
volatile unsigned int generation[1024] __attribute__((aligned(4096)));

static pthread_rwlock_t in_sequences = PTHREAD_RWLOCK_INITIALIZER;

/* two registers of the size of a long, and how the struct rseq gets the address of a sequence */
#ifdef __x86_64__
#define A	"rax"
#define D	"rdx"
#define WORD(x)	".quad " x "\n\t"
#define SEQUENCE_SET(addr, to)	"leaq " addr "(%%rip), %%rax\n\tmovq %%rax, " to "\n"
#define GENERATION	"generation(%%rip)"
#elif defined(__i386__)
#define A	"eax"
#define D	"edx"
#define WORD(x)	".long " x ", 0\n\t"
#define SEQUENCE_SET(addr, to)	"movl $" addr ", " to "\n"
#define GENERATION	"generation"
#endif

/* adds one to the counter of this CPU, or tells why not */
static void add_one(struct rseq *rs, struct thread *t)
{
#ifdef __arm__
	asm goto(".pushsection __rseq_cs, \"aw\"\n\t"
		 ".balign 32\n"
		 "3:\n\t"
		 ".long 0, 0, 1f, 0, 2f - 1f, 0, 4f, 0\n\t"
		 ".popsection\n\t"
		 "ldr r0, =3b\n\t"
		 "str r0, %[cs]\n"
		 "1:\n\t"
		 "ldr r3, =generation\n\t"
		 "ldr r3, [r3]\n\t"
		 "str r3, %[seen]\n\t"
		 "ldr r0, %[cpu]\n\t"
		 "add r0, %[counters], r0, lsl #6\n\t"
		 "ldr r1, [r0]\n\t"
		 "mov r2, %[window]\n"
		 "5:\n\t"
		 "subs r2, r2, #1\n\t"
		 "bne 5b\n\t"
		 "ldr r2, =generation\n\t"
		 "ldr r2, [r2]\n\t"
		 "cmp r2, r3\n\t"
		 "bne %l[continued]\n\t"
		 "add r1, r1, #1\n\t"
		 "str r1, [r0]\n"
		 "2:\n\t"
		 ".pushsection __rseq_failure, \"ax\"\n\t"
		 ".balign 4\n\t"
		 ".long %c[sig]\n"
		 "4:\n\t"
		 "b %l[aborted]\n\t"
		 ".popsection"
		 : : [cs] "m" (rs->rseq_cs), [cpu] "m" (rs->cpu_id), [counters] "r" (counters), [window] "r" (WINDOW),
		   [sig] "i" (RSEQ_SIG), [seen] "m" (t->seen)
		 : "memory", "cc", "r0", "r1", "r2", "r3" : aborted, continued);
#else
	asm goto(".pushsection __rseq_cs, \"aw\"\n\t"
		 ".balign 32\n"
		 "3:\n\t"
		 ".long 0, 0\n\t"
		 WORD("1f") WORD("2f - 1f") WORD("4f")
		 ".popsection\n\t"
		 SEQUENCE_SET("3b", "%[cs]")
		 "1:\n\t"
		 "movl " GENERATION ", %%esi\n\t"
		 "movl %%esi, %[seen]\n\t"
		 "movl %[cpu], %%eax\n\t"
		 "shll $6, %%eax\n\t"
		 "add %[counters], %%" A "\n\t"
		 "mov (%%" A "), %%" D "\n\t"
		 "movl %[window], %%ecx\n"
		 "5:\n\t"
		 "decl %%ecx\n\t"
		 "jnz 5b\n\t"
		 "cmpl " GENERATION ", %%esi\n\t"
		 "jne %l[continued]\n\t"
		 "add $1, %%" D "\n\t"
		 "mov %%" D ", (%%" A ")\n"
		 "2:\n\t"
		 ".pushsection __rseq_failure, \"ax\"\n\t"
		 ".byte 0x0f, 0xb9, 0x3d\n\t"
		 ".long %c[sig]\n"
		 "4:\n\t"
		 "jmp %l[aborted]\n\t"
		 ".popsection"
		 : : [cs] "m" (rs->rseq_cs), [cpu] "m" (rs->cpu_id), [counters] "r" (counters), [window] "i" (WINDOW),
		   [sig] "i" (RSEQ_SIG), [seen] "m" (t->seen)
		 : "memory", "cc", A, D, "ecx", "esi" : aborted, continued);
#endif
	t->added++;
	return;
aborted:
	t->aborted++;
	t->caught += t->seen != *generation;
	return;
continued:
	t->continued++;
}

static struct rseq *area(void)
{
	static __thread struct rseq own __attribute__((aligned(32)));

	if (__rseq_size)
		return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	if (syscall(SYS_rseq, &own, sizeof(own), 0, RSEQ_SIG))
		exit(1);
	return &own;
}

static void *add(void *arg)
{
	struct rseq *rs = area();

	for (;;) {
		pthread_rwlock_rdlock(&in_sequences);
		add_one(rs, arg);
		pthread_rwlock_unlock(&in_sequences);
	}
	return NULL;
}

static void report(const char *path)
{
	long sum = 0, added = 0, aborted = 0, caught = 0, continued = 0;
	char tmp[4096];
	FILE *f;
	int i;

	pthread_rwlock_wrlock(&in_sequences);
	for (i = 0; i < NR_CPUS; i++)
		sum += counters[i].n;
	for (i = 0; i < NR_THREADS; i++) {
		added += threads[i].added;
		aborted += threads[i].aborted;
		caught += threads[i].caught;
		continued += threads[i].continued;
	}
	pthread_rwlock_unlock(&in_sequences);
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	f = fopen(tmp, "w");
	if (!f || fprintf(f, "%ld %ld %ld %ld %ld\n", sum, added, aborted, caught, continued) < 0 || fclose(f) || rename(tmp, path))
		exit(1);
}

static void generation_map(const char *path)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%s.generation", path);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(generation)) ||
	    mmap((void *)generation, sizeof(generation), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		exit(1);
	close(fd);
}

int main(int argc, char **argv)
{
	pthread_rwlockattr_t attr;
	pthread_t thread;
	cpu_set_t cpus;
	sigset_t set;
	int i, sig;

	if (argc != 2)
		return 1;
	generation_map(argv[1]);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* the one who reports must get its turn */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&in_sequences, &attr);
	for (i = 0; i < NR_THREADS; i++)
		if (pthread_create(&thread, NULL, add, &threads[i]))
			return 1;
	for (;;) {
		report(argv[1]);
		sigwait(&set, &sig);
	}
}
