// SPDX-License-Identifier: GPL-2.0
/*
 * What threads and processes have set by prctl(): timer slack, huge pages, merging of pages, no new executable memory,
 * I/O flusher, speculation, time stamp counter, CPUID, broken memory.
 */
#ifdef __x86_64__
#include <asm/prctl.h>
#endif
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_GET_MDWE		66
#endif
#ifndef PR_MDWE_REFUSE_EXEC_GAIN
#define PR_MDWE_REFUSE_EXEC_GAIN (1UL << 0)
#endif
#ifndef PR_MDWE_NO_INHERIT
#define PR_MDWE_NO_INHERIT	(1UL << 1)
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE	67
#define PR_GET_MEMORY_MERGE	68
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1)
#endif

#define PAGE	4096UL

static long get(int option)
{
	return prctl(option, 0UL, 0UL, 0UL, 0UL);
}

/* ---- timer slack ---- */

ROUNDTRIP(timer_slack)
{
	pid_t pid;

	MUST(!prctl(PR_SET_TIMERSLACK, 777777UL));
	pid = fork_child();
	if (!pid) {
		MUST(!prctl(PR_SET_TIMERSLACK, 123456UL));
		event_set("up");
		event_wait("go");
		MUST_EQ(get(PR_GET_TIMERSLACK), 123456);
		/* back to what its parent had when it was made */
		MUST(!prctl(PR_SET_TIMERSLACK, 0UL));
		MUST_EQ(get(PR_GET_TIMERSLACK), 777777);
		_exit(0);
	}
	event_wait("up");
	checkpoint_here();
	MUST_EQ(get(PR_GET_TIMERSLACK), 777777);
	MUST(!prctl(PR_SET_TIMERSLACK, 0UL));
	MUST(get(PR_GET_TIMERSLACK) != 777777);
	event_set("go");
	reap(pid);
}

/* ---- memory ---- */

ROUNDTRIP(thp_except_advised)
{
	long how;

	if (prctl(PR_SET_THP_DISABLE, 1UL, (unsigned long)PR_THP_DISABLE_EXCEPT_ADVISED, 0UL, 0UL))
		subject_skip("no PR_THP_DISABLE_EXCEPT_ADVISED");
	how = get(PR_GET_THP_DISABLE);
	checkpoint_here();
	MUST_EQ(get(PR_GET_THP_DISABLE), how);
}

static bool has_vm_flag(const void *addr, const char *flag)
{
	char start[32], *smaps = file_text("/proc/self/smaps"), *at, *flags;
	bool ret;

	snprintf(start, sizeof(start), "\n%lx-", (unsigned long)addr);
	at = strstr(smaps, start);
	MUST(at);
	flags = text_line(at, "VmFlags:");
	ret = strstr(flags, flag);
	free(flags);
	free(smaps);
	return ret;
}

static void *page_map(int prot)
{
	void *p = mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* a mapping that is not merged with its neighbours */
static void *lone_page(void)
{
	char *p = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED && !mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE));
	p[PAGE] = 1;
	return p + PAGE;
}

ROUNDTRIP(memory_merge)
{
	char *p = lone_page(), *apart = lone_page();
	pid_t pid = fork_child();

	if (!pid) {
		event_wait("go");
		MUST(get(PR_GET_MEMORY_MERGE) <= 0 && !has_vm_flag(p, " mg"));
		_exit(0);
	}
	if (prctl(PR_SET_MEMORY_MERGE, 1UL, 0UL, 0UL, 0UL)) {
		kill(pid, SIGKILL);
		subject_skip("no PR_SET_MEMORY_MERGE");
	}
	MUST(!madvise(apart, PAGE, MADV_UNMERGEABLE));
	MUST(has_vm_flag(p, " mg") && !has_vm_flag(apart, " mg"));
	checkpoint_here();
	MUST_EQ(get(PR_GET_MEMORY_MERGE), 1);
	MUST(has_vm_flag(p, " mg") && !has_vm_flag(apart, " mg"));
	MUST(has_vm_flag(lone_page(), " mg"));
	event_set("go");
	reap(pid);
	MUST(!prctl(PR_SET_MEMORY_MERGE, 0UL, 0UL, 0UL, 0UL));
	MUST(!has_vm_flag(p, " mg"));
}

static void must_not_become_executable(void)
{
	MUST(mprotect(page_map(PROT_READ | PROT_WRITE), PAGE, PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
	MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void mdwe_set(unsigned long how)
{
	if (prctl(PR_SET_MDWE, how, 0UL, 0UL, 0UL))
		subject_skip("no PR_SET_MDWE %#lx", how);
}

/* a function that returns at once */
#ifdef __arm__
static const unsigned char returns[] = { 0x1e, 0xff, 0x2f, 0xe1 };	/* bx lr, no Thumb code */
#else
static const unsigned char returns[] = { 0xc3 };			/* ret */
#endif

/* with a mapping that could not be made any more */
ROUNDTRIP(mdwe)
{
	unsigned char *code = page_map(PROT_READ | PROT_WRITE | PROT_EXEC);
	pid_t pid;

	memcpy(code, returns, sizeof(returns));
	__builtin___clear_cache((char *)code, (char *)code + sizeof(returns));
	mdwe_set(PR_MDWE_REFUSE_EXEC_GAIN);
	checkpoint_here();
	MUST_EQ(get(PR_GET_MDWE), PR_MDWE_REFUSE_EXEC_GAIN);
	must_not_become_executable();
	((void (*)(void))code)();
	MUST(prctl(PR_SET_MDWE, 0UL, 0UL, 0UL, 0UL));
	pid = fork_child();
	if (!pid) {
		must_not_become_executable();
		_exit(0);
	}
	reap(pid);
}

ROUNDTRIP(mdwe_not_inherited)
{
	pid_t pid;

	mdwe_set(PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT);
	checkpoint_here();
	MUST_EQ(get(PR_GET_MDWE), PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT);
	must_not_become_executable();
	pid = fork_child();
	if (!pid) {
		MUST_EQ(get(PR_GET_MDWE), 0);
		_exit(0);
	}
	reap(pid);
}

/* ---- threads ---- */

static void flusher_get(long want)
{
	MUST_EQ(get(PR_GET_IO_FLUSHER), want);
}

static void *flusher(void *arg)
{
	MUST(!prctl(PR_SET_IO_FLUSHER, 1UL, 0UL, 0UL, 0UL));
	event_set("up");
	event_wait("go");
	flusher_get(1);
	return arg;
}

ROUNDTRIP(io_flusher)
{
	pthread_t thread;

	flusher_get(0);
	MUST(!pthread_create(&thread, NULL, flusher, NULL));
	event_wait("up");
	checkpoint_here();
	flusher_get(0);
	event_set("go");
	MUST(!pthread_join(thread, NULL));
}

static void *killed_late(void *arg)
{
	MUST(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0UL, 0UL));
	event_set("up");
	event_wait("go");
	MUST_EQ(get(PR_MCE_KILL_GET), PR_MCE_KILL_LATE);
	return arg;
}

ROUNDTRIP(broken_memory)
{
	pthread_t thread;
	pid_t pid;

	pid = fork_child();
	if (!pid) {
		MUST_EQ(get(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
		event_wait("go");
		MUST_EQ(get(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
		_exit(0);
	}
	MUST(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0UL, 0UL));
	MUST(!pthread_create(&thread, NULL, killed_late, NULL));
	event_wait("up");
	checkpoint_here();
	MUST_EQ(get(PR_MCE_KILL_GET), PR_MCE_KILL_EARLY);
	event_set("go");
	MUST(!pthread_join(thread, NULL));
	reap(pid);
}

static long spec_get(unsigned long which)
{
	return prctl(PR_GET_SPECULATION_CTRL, which, 0UL, 0UL, 0UL);
}

/* chosen the other way than it was */
static void control_roundtrip(unsigned long which)
{
	long was = spec_get(which), want = was & PR_SPEC_ENABLE ? PR_SPEC_DISABLE : PR_SPEC_ENABLE;
	pid_t pid;

	if (was < 0 || !(was & PR_SPEC_PRCTL) || was & PR_SPEC_FORCE_DISABLE)
		subject_skip("this kernel or CPU leaves tasks no choice (%#lx)", was);
	pid = fork_child();
	if (!pid) {
		event_wait("go");
		MUST_EQ(spec_get(which), was);
		_exit(0);
	}
	MUST(!prctl(PR_SET_SPECULATION_CTRL, which, want, 0UL, 0UL));
	checkpoint_here();
	MUST_EQ(spec_get(which), want | PR_SPEC_PRCTL);
	event_set("go");
	reap(pid);
}

ROUNDTRIP(speculative_store_bypass)
{
	control_roundtrip(PR_SPEC_STORE_BYPASS);
}

ROUNDTRIP(indirect_branches)
{
	control_roundtrip(PR_SPEC_INDIRECT_BRANCH);
}

ROUNDTRIP(l1d_flush)
{
	control_roundtrip(PR_SPEC_L1D_FLUSH);
}

#ifdef __x86_64__

/* ---- instructions that may be forbidden ---- */

static sigjmp_buf back;

static void on_segv(int sig)
{
	siglongjmp(back, sig);
}

static bool faults(void (*instruction)(void))
{
	signal(SIGSEGV, on_segv);
	if (sigsetjmp(back, 1))
		return true;
	instruction();
	return false;
}

static void rdtsc(void)
{
	asm volatile("rdtsc" : : : "eax", "edx");
}

static void cpuid(void)
{
	int a = 0, c = 0;

	asm volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx");
}

static void *may_read_it(void *arg)
{
	MUST(!prctl(PR_SET_TSC, PR_TSC_ENABLE));
	event_set("up");
	event_wait("go");
	MUST(!faults(rdtsc));
	return arg;
}

ROUNDTRIP(no_time_stamp_counter)
{
	pthread_t thread;
	int how = 0;

	MUST(!faults(rdtsc));
	MUST(!prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
	MUST(faults(rdtsc));
	MUST(!pthread_create(&thread, NULL, may_read_it, NULL));
	event_wait("up");
	checkpoint_here();
	MUST(faults(rdtsc));
	MUST(!prctl(PR_GET_TSC, &how));
	MUST_EQ(how, PR_TSC_SIGSEGV);
	event_set("go");
	MUST(!pthread_join(thread, NULL));
}

ROUNDTRIP(no_cpuid)
{
	if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0))
		subject_skip("this CPU always lets programs ask what it is");
	MUST(faults(cpuid));
	checkpoint_here();
	MUST(faults(cpuid));
	MUST(!syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1));
	MUST(!faults(cpuid));
}

#endif

TEST_HARNESS_MAIN
