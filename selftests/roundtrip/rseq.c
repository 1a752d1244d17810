// SPDX-License-Identifier: GPL-2.0
/*
 * Areas of restartable sequences (requirements 5.1, 5.2, 5.4, 5.7 to 5.9, 5.11, 5.12): registered by the C library, by hand,
 * longer than the original ones, in threads, not at all.  Sequences that are interrupted are rseq.sh's.  What is promised
 * stands in crkhelper(8), RESTARTABLE SEQUENCES (requirement 5.10).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

#define OWN_SIG		0x12345678
#define ORIG_SIZE	32
#define AT_FEATURE_SIZE	27
#define AT_ALIGN	28
#define UNREGISTER	1

/* of <linux/prctl.h>, PR_RSEQ_SLICE_EXTENSION and so on */
#define PR_RSEQ_SLICE		79
#define PR_RSEQ_SLICE_GET	1
#define PR_RSEQ_SLICE_SET	2
#define PR_RSEQ_SLICE_ON	1

/* what the kernel writes; newer fields behind it have no names in old headers */
struct area {
	struct rseq rseq;
	uint32_t more[56];
} __attribute__((aligned(256)));

static long rseq(struct area *area, unsigned int len, int flags, unsigned int sig)
{
	return syscall(SYS_rseq, area, len, flags, sig);
}

static struct rseq *libc_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* the C library has none: its own is given back; the registered length is what it asked for */
static void libc_unregister(void)
{
	unsigned int len;

	for (len = ORIG_SIZE; len <= 256; len += 4)
		if (!syscall(SYS_rseq, libc_area(), len, UNREGISTER, RSEQ_SIG))
			return;
	MUST(!"the area of the C library can be given back");
}

/* of kernels that tell a feature size, 6.3 and newer: what they write behind the flags; old headers don't name it */
struct placed {
	uint32_t before[5], node_id, mm_cid;
};

/* the kernel writes where the thread runs, when it has moved */
static void must_be_alive(volatile struct rseq *rs)
{
	bool is_placed = getauxval(AT_FEATURE_SIZE) >= sizeof(struct placed);
	volatile struct placed *placed = (volatile struct placed *)rs;
	cpu_set_t one, all;
	unsigned int i, cpu, node;

	MUST(!sched_getaffinity(0, sizeof(all), &all));
	if (CPU_COUNT(&all) < 2)
		subject_skip("one CPU only");
	for (i = 0; i < 4; i++) {
		cpu = i % 2;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		MUST(!sched_setaffinity(0, sizeof(one), &one));
		MUST_EQ(rs->cpu_id, cpu);
		MUST_EQ(rs->cpu_id_start, cpu);
		if (!is_placed)
			continue;
		MUST(!syscall(SYS_getcpu, NULL, &node, NULL));
		MUST_EQ(placed->node_id, node);
		MUST(placed->mm_cid < (unsigned int)CPU_COUNT(&all));	/* one for each thread that runs, at most */
	}
	MUST(!sched_setaffinity(0, sizeof(all), &all));
}

ROUNDTRIP(by_libc)
{
	if (!__rseq_size)
		subject_skip("the C library registers no area");
	checkpoint_here();
	must_be_alive(libc_area());
	libc_unregister();
}

static struct area own;

static void own_roundtrip(unsigned int len)
{
	if (__rseq_size)
		libc_unregister();
	MUST(!rseq(&own, len, 0, OWN_SIG));
	checkpoint_here();
	must_be_alive(&own.rseq);
	/* known by length and signature: others are refused */
	MUST(rseq(&own, len + 32, UNREGISTER, OWN_SIG) && errno == EINVAL);
	MUST(rseq(&own, len, UNREGISTER, OWN_SIG + 1) && errno == EPERM);
	MUST(rseq(&own, len, 0, OWN_SIG) && errno == EBUSY);
	MUST(!rseq(&own, len, UNREGISTER, OWN_SIG));
	MUST_EQ((int)own.rseq.cpu_id, RSEQ_CPU_ID_UNINITIALIZED);
}

ROUNDTRIP(by_hand)
{
	own_roundtrip(ORIG_SIZE);
}

ROUNDTRIP(longer)
{
	unsigned long size = getauxval(AT_FEATURE_SIZE), align = getauxval(AT_ALIGN);

	if (!size)
		subject_skip("this kernel knows one length only");
	if (size <= ORIG_SIZE)
		size = ORIG_SIZE + 32;		/* longer than the kernel needs is allowed too */
	MUST(align <= 256);
	own_roundtrip((size + 31) & ~31UL);
}

ROUNDTRIP(none)
{
	if (__rseq_size)
		libc_unregister();
	memset(&own, 0xaa, sizeof(own));
	checkpoint_here();
	MUST(rseq(&own, ORIG_SIZE, UNREGISTER, OWN_SIG) && errno == EINVAL);
	MUST_EQ(own.rseq.cpu_id, 0xaaaaaaaa);
	memset(&own, 0, sizeof(own));
	MUST(!rseq(&own, ORIG_SIZE, 0, OWN_SIG));
	must_be_alive(&own.rseq);
	MUST(!rseq(&own, ORIG_SIZE, UNREGISTER, OWN_SIG));
}

/* flags, which do nothing since 5.19 and are complained about in a sequence only, stay as they are */
ROUNDTRIP(flags)
{
	uint32_t flags = RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT | RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL;

	if (__rseq_size)
		libc_unregister();
	MUST(!rseq(&own, ORIG_SIZE, 0, OWN_SIG));
	own.rseq.flags = flags;
	checkpoint_here();
	MUST_EQ(own.rseq.flags, flags);
	must_be_alive(&own.rseq);
	MUST(!rseq(&own, ORIG_SIZE, UNREGISTER, OWN_SIG));
}

/* a task that runs with such an area is killed: it sleeps until it has put things right */
static void sleep_in_read(int fd)
{
	char c;

	MUST_EQ(read(fd, &c, 1), 1);
}

/* not looked at while the instruction pointer is elsewhere, and left as it is */
ROUNDTRIP(descriptor_elsewhere)
{
	static const uint32_t handler[] = { RSEQ_SIG, 0 };
	static struct rseq_cs cs __attribute__((aligned(32)));

	if (!__rseq_size)
		subject_skip("the C library registers no area");
	cs.start_ip = 0x1000;
	cs.post_commit_offset = 0x10;
	cs.abort_ip = (uintptr_t)&handler[1];
	libc_area()->rseq_cs = (uintptr_t)&cs;
	checkpoint_here();
	/* the kernel may forget one that does not apply */
	MUST(libc_area()->rseq_cs == (uintptr_t)&cs || !libc_area()->rseq_cs);
	must_be_alive(libc_area());
}

/* stops with a broken area; the kernel may or may not look at it when it goes on: its exit status */
static pid_t child_with_broken_area(void)
{
	pid_t pid = fork_child();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		libc_area()->rseq_cs = 0x10;
		raise(SIGSTOP);
		_exit(5);
	}
	return pid;
}

/* one that is told to go on before it has left its CPU was never preempted, and the kernel need not look at its area */
static bool is_off_its_cpu(pid_t pid)
{
	char *text = file_text("/proc/%d/syscall", pid);
	bool ret = strcmp(text, "running\n");

	free(text);
	return ret;
}

static int status_after_cont(pid_t pid)
{
	int status;

	while (!is_off_its_cpu(pid))
		nap();
	MUST(!kill(pid, SIGCONT));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

/* that is not the dump's business, nor the restore's: they must not come to harm, and it ends as without them */
ROUNDTRIP(broken_descriptor)
{
	int status, want;
	pid_t pid;

	if (!__rseq_size)
		subject_skip("the C library registers no area");
	pid = child_with_broken_area();
	MUST_EQ(waitpid(pid, &want, WUNTRACED), pid);
	if (!WIFSTOPPED(want))
		subject_skip("the kernel looks at the area before a stop");
	want = status_after_cont(pid);
	/* one that is interrupted in the wrong moment never comes to its stop */
	do {
		pid = child_with_broken_area();
		MUST_EQ(waitpid(pid, &status, WUNTRACED), pid);
	} while (!WIFSTOPPED(status));
	checkpoint_here();
	MUST_EQ(status_after_cont(pid), want);
}

static void *thread_alive(void *arg)
{
	int *p = arg;

	event_set("thread");
	sleep_in_read(p[0]);
	must_be_alive(libc_area());
	return NULL;
}

ROUNDTRIP(in_threads)
{
	pthread_t thread;
	int p[2];

	if (!__rseq_size)
		subject_skip("the C library registers no area");
	MUST(!pipe(p));
	MUST(!pthread_create(&thread, NULL, thread_alive, p));
	event_wait("thread");
	checkpoint_here();
	MUST_EQ(write(p[1], "x", 1), 1);
	MUST(!pthread_join(thread, NULL));
	must_be_alive(libc_area());
}

/* a time slice is extended on demand (7.0, CONFIG_RSEQ_SLICE_EXTENSION, which Debian's kernels have not) */
ROUNDTRIP(slice_extension)
{
	unsigned long size = getauxval(AT_FEATURE_SIZE);

	if (prctl(PR_RSEQ_SLICE, PR_RSEQ_SLICE_GET, 0, 0, 0) < 0)
		subject_skip("the kernel has no CONFIG_RSEQ_SLICE_EXTENSION");
	if (__rseq_size)
		libc_unregister();
	MUST(!rseq(&own, (size + 31) & ~31UL, 0, OWN_SIG));
	if (prctl(PR_RSEQ_SLICE, PR_RSEQ_SLICE_SET, PR_RSEQ_SLICE_ON, 0, 0))
		subject_skip("the kernel was started with rseq_slice_ext=off");
	checkpoint_here();
	MUST_EQ(prctl(PR_RSEQ_SLICE, PR_RSEQ_SLICE_GET, 0, 0, 0), PR_RSEQ_SLICE_ON);
	must_be_alive(&own.rseq);
	/* the kernel compares with the flags in the area before it changes them */
	MUST(!prctl(PR_RSEQ_SLICE, PR_RSEQ_SLICE_SET, 0, 0, 0));
	MUST_EQ(prctl(PR_RSEQ_SLICE, PR_RSEQ_SLICE_GET, 0, 0, 0), 0);
}

TEST_HARNESS_MAIN
