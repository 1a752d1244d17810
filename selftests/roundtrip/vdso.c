// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips of the vDSO as if every restore were on another kernel: --fault vdso.  The old code is memory then and
 * leads to this kernel's, and does so again after each further restore.  Pairs of real kernels are
 * runner/check-kernels.sh's.  Requirements 3.3, 3.4, 4.13, 4.14.
 *
 * crk-test: timeout=1800
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "calls.h"
#include "checkpoint.h"

#define AS_FOREIGN	.restore_args = "--fault vdso"

/* ---- the vDSO that the program began with ---- */

struct vdso {
	const char *base;
	const ElfW(Sym) *syms;
	const char *strings;
	uint32_t nr;
};

static struct vdso vdso_open(void)
{
	struct vdso v = { .base = (char *)getauxval(AT_SYSINFO_EHDR) };
	const ElfW(Ehdr) *head = (void *)v.base;
	const ElfW(Phdr) *ph = (void *)(v.base + head->e_phoff);
	const ElfW(Dyn) *dyn = NULL;
	int i;

	MUST(v.base && !memcmp(head->e_ident, ELFMAG, SELFMAG));
	for (i = 0; i < head->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (void *)(v.base + ph[i].p_offset);
	for (; dyn && dyn->d_tag; dyn++) {
		const char *at = v.base + dyn->d_un.d_ptr;

		if (dyn->d_tag == DT_HASH)
			v.nr = ((uint32_t *)at)[1];
		else if (dyn->d_tag == DT_SYMTAB)
			v.syms = (void *)at;
		else if (dyn->d_tag == DT_STRTAB)
			v.strings = at;
	}
	MUST(v.nr && v.syms && v.strings);
	return v;
}

/* where the jump at @at leads; 0: it is none */
static uintptr_t jump_at(uintptr_t at)
{
#ifdef __arm__
	const uint32_t *insn = (void *)at;

	return insn[0] == 0xe51ff004 ? insn[1] : 0;	/* ldr pc, [pc, #-4] */
#else
	int32_t rel;

	memcpy(&rel, (char *)at + 1, sizeof(rel));
	return *(unsigned char *)at == 0xe9 ? at + 5 + rel : 0;
#endif
}

/* where a call of @name ends up, through jumps; NULL if there is no such function */
static void *function_at(const struct vdso *v, const char *name)
{
	uintptr_t at;
	uint32_t i;

	for (i = 0; i < v->nr && strcmp(v->strings + v->syms[i].st_name, name); i++)
		;
	if (i == v->nr)
		return NULL;
	at = (uintptr_t)v->base + v->syms[i].st_value;
	while (jump_at(at))
		at = jump_at(at);
	return (void *)at;
}

/* the mapping that the kernel calls [vdso] */
static bool kernels_vdso(uintptr_t *start, uintptr_t *end)
{
	char *text = file_text("/proc/self/maps"), *at = strstr(text, "[vdso]");
	bool ret = false;

	if (at) {
		while (at > text && at[-1] != '\n')
			at--;
		ret = sscanf(at, "%lx-%lx", (unsigned long *)start, (unsigned long *)end) == 2;
	}
	free(text);
	return ret;
}

/* every function but those of the way into the kernel is a jump into the kernel's vDSO, or a chain of them */
static void check_functions(const struct vdso *v, bool foreign)
{
	uintptr_t start, end;
	uint32_t i, nr = 0;

	MUST(kernels_vdso(&start, &end));
	MUST_EQ(foreign, start != (uintptr_t)v->base);
	for (i = 0; i < v->nr; i++) {
		const ElfW(Sym) *s = &v->syms[i];
		uintptr_t at = (uintptr_t)v->base + s->st_value;
		int hops = 0;

		if (!s->st_value || !s->st_size || s->st_shndx == SHN_ABS ||
		    !strncmp(v->strings + s->st_name, "__kernel_", 9))
			continue;
		nr++;
		while (at < start || at >= end) {
			MUST(hops++ < 100);
			at = jump_at(at);
			MUST(at);
		}
		MUST_EQ(foreign, hops > 0);
	}
	MUST(nr > 3);
}

static void check_times(void)
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
		CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID,
	};
	struct timespec ts, res;
	struct timeval tv;
	unsigned int cpu = ~0U;
	size_t i;

	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		ts.tv_sec = ts.tv_nsec = -1;
		MUST(!clock_gettime(clocks[i], &ts) && ts.tv_sec >= 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
		MUST(!clock_getres(clocks[i], &res) && !res.tv_sec && res.tv_nsec > 0);
	}
	MUST(!gettimeofday(&tv, NULL));
	MUST(time(NULL) >= tv.tv_sec - 1 && time(NULL) < tv.tv_sec + 60);	/* it goes by ticks */
	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	MUST(ts.tv_sec >= tv.tv_sec - 1 && ts.tv_sec < tv.tv_sec + 60);
	MUST(!getcpu(&cpu, NULL) && cpu < 4096);
}

/* ---- functions, the ELF image ---- */

struct found {
	uintptr_t base;
	int nr;
};

static int on_object(struct dl_phdr_info *info, size_t size, void *data)
{
	struct found *found = data;

	found->nr += info->dlpi_addr == found->base && info->dlpi_phnum;
	return 0;
}

static bool is_listed(const struct vdso *v)
{
	struct found found = { .base = (uintptr_t)v->base };

	dl_iterate_phdr(on_object, &found);
	return found.nr == 1;
}

ROUNDTRIP(functions, AS_FOREIGN)
{
	struct vdso v = vdso_open();
	bool listed = is_listed(&v);
	int i;

	check_functions(&v, false);
	/* twice: what was the kernel's vDSO is then old too */
	for (i = 0; i < 2; i++) {
		checkpoint_here();
		check_functions(&v, !is_left_running());
		check_times();
		MUST(getauxval(AT_SYSINFO_EHDR) == (unsigned long)v.base);
		MUST(!memcmp(v.base, ELFMAG, SELFMAG));
		MUST_EQ(is_listed(&v), listed);
	}
}

/* ---- threads inside of it ---- */

static volatile int finished;

static void *spin(void *arg)
{
	clockid_t id = (intptr_t)arg;
	struct timespec last = {}, ts;
	time_t first = time(NULL);

	while (!finished) {
		if (id < 0) {
			MUST(time(NULL) >= first && time(NULL) < first + 86400);
			continue;
		}
		ts.tv_sec = -1;
		MUST(!clock_gettime(id, &ts));
		MUST(ts.tv_sec > last.tv_sec || (ts.tv_sec == last.tv_sec && ts.tv_nsec >= last.tv_nsec));
		last = ts;
	}
	return NULL;
}

/* threads that do nothing else; each dump finds them at some other instruction */
ROUNDTRIP(spinning, AS_FOREIGN)
{
	static const int what[] = { CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, -1 };
	struct vdso v = vdso_open();
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		MUST(!pthread_create(&threads[i], NULL, spin, (void *)(intptr_t)what[i]));
	for (i = 0; i < 6; i++)
		checkpoint_here();
	check_functions(&v, !is_left_running());
	finished = 1;
	for (i = 0; i < 4; i++)
		MUST(!pthread_join(threads[i], NULL));
}

/* ---- a handler that interrupted it, and goes back into it ---- */

#define NR_FRAMES	8	/* at as many instructions */

static uintptr_t code, code_end, caller;
static volatile int nr_in_handler, leave_handler;
static __thread volatile int in_handler;

static uintptr_t context_pc(const ucontext_t *uc)
{
#ifdef __x86_64__
	return uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__arm__)
	return uc->uc_mcontext.arm_pc;
#else
	return uc->uc_mcontext.gregs[REG_EIP];
#endif
}

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *data)
{
	if ((uintptr_t)_Unwind_GetRegionStart(context) == caller)
		*(int *)data = 1;
	return _URC_NO_REASON;
}

/* from the handler through the vDSO's frame to who called it? */
static int unwinds(void)
{
	int seen = 0;

	_Unwind_Backtrace(on_frame, &seen);
	return seen;
}

static void on_signal(int signo, siginfo_t *info, void *uc)
{
	uintptr_t pc = context_pc(uc);
	int before;

	if (in_handler || pc < code || pc >= code_end)
		return;
	before = unwinds();
	/* static 32-bit programs of this libgcc can't */
	MUST(before || sizeof(long) == 4);
	in_handler = 1;
	__atomic_add_fetch(&nr_in_handler, 1, __ATOMIC_SEQ_CST);
	while (!leave_handler)
		nap();
	MUST_EQ(unwinds(), before);
}

static __attribute__((noinline)) void *spin_until_signal(void *arg)
{
	struct timespec ts;

	while (!in_handler)
		MUST(!clock_gettime(CLOCK_MONOTONIC, &ts));
	MUST(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
	MUST(!clock_gettime(CLOCK_MONOTONIC, &ts));
	return arg;
}

ROUNDTRIP(interrupted, AS_FOREIGN)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct vdso v = vdso_open();
	pthread_t threads[NR_FRAMES];
	int i;

	MUST(kernels_vdso(&code, &code_end));
	caller = (uintptr_t)spin_until_signal;
	MUST(!sigaction(SIGUSR1, &sa, NULL));
	for (i = 0; i < NR_FRAMES; i++) {
		MUST(!pthread_create(&threads[i], NULL, spin_until_signal, NULL));
		WAIT_FOR(({ pthread_kill(threads[i], SIGUSR1); nr_in_handler > i; }));
	}
	checkpoint_here();
	check_functions(&v, !is_left_running());
	leave_handler = 1;
	for (i = 0; i < NR_FRAMES; i++)
		MUST(!pthread_join(threads[i], NULL));
}

/* ---- amid the instructions that a jump takes the place of ---- */

#ifndef __arm__	/* which has no single steps */
static uintptr_t pc_of(pid_t pid)
{
	struct user_regs_struct regs;

	MUST(!ptrace(PTRACE_GETREGS, pid, NULL, &regs));
#ifdef __x86_64__
	return regs.rip;
#else
	return regs.eip;
#endif
}

static bool is_amid(uintptr_t pc, uintptr_t function)
{
	return pc > function && pc < function + 5;
}

ROUNDTRIP(amid_entry, AS_FOREIGN)
{
	struct vdso v = vdso_open();
	int (*gettime)(clockid_t id, struct timespec *ts) = function_at(&v, "__vdso_clock_gettime");
	struct timespec ts;
	int status, i;
	pid_t pid;

	MUST(gettime);
	/* as long as the jump: ia32's of 6.1 */
	if (*(unsigned char *)gettime == 0xe8)
		subject_skip("the function begins with a call");
	pid = fork_child();
	if (!pid) {
		MUST(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		for (i = 0; i < 1000; i++)
			MUST(!gettime(CLOCK_MONOTONIC, &ts) && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
		_exit(0);
	}
	MUST_EQ(waitpid(pid, &status, 0), pid);
	for (i = 0; i < 100000 && !is_amid(pc_of(pid), (uintptr_t)gettime); i++) {
		MUST(!ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
		MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	}
	MUST(is_amid(pc_of(pid), (uintptr_t)gettime));
	checkpoint_here();
	MUST_EQ(is_amid(pc_of(pid), (uintptr_t)gettime), is_left_running());
	MUST(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
	reap(pid);
}
#endif

/* ---- asleep in a call that was made from it ---- */

static void *sleep_here(void *arg)
{
	struct timespec ts = { .tv_nsec = 300000000 };
	int *pipe = arg;
	char c;

	MUST(!clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL));
	MUST_EQ(read(pipe[0], &c, 1), 1);
	MUST(!clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL));
	return NULL;
}

/* in 32 bit every system call is made there */
ROUNDTRIP(asleep, AS_FOREIGN)
{
	pthread_t thread;
	int p[2];

	MUST(!pipe(p));
	MUST(!pthread_create(&thread, NULL, sleep_here, p));
	checkpoint_here();
	MUST_EQ(write(p[1], "x", 1), 1);
	checkpoint_here();
	MUST(!pthread_join(thread, NULL));
}

#ifndef __arm__	/* whose tables end at frames of handlers */
static volatile int nr_unwound, stay;
static volatile pid_t pauser_tids[2];

static void on_wake(int signo)
{
	MUST(unwinds());
	nr_unwound++;
	while (stay)
		nap();
	MUST(unwinds());
}

static __attribute__((noinline)) void *pause_until_finished(void *arg)
{
	*(volatile pid_t *)arg = gettid();
	while (!finished)
		pause();
	return arg;
}

static void wait_until_paused(int i)
{
	WAIT_FOR(pauser_tids[i] && is_blocked_in(getpid(), pauser_tids[i], SYS_pause));
}

/*
 * From handlers through their frames and who was asleep: in 32 bit both lead through the vDSO, from which the kernel
 * was called and to which the handler returns.  One handler runs at the dump, one begins afterwards.
 */
ROUNDTRIP(unwinding, AS_FOREIGN)
{
	pthread_t threads[2];
	int i;

	caller = (uintptr_t)pause_until_finished;
	MUST(signal(SIGUSR1, on_wake) != SIG_ERR);
	for (i = 0; i < 2; i++) {
		MUST(!pthread_create(&threads[i], NULL, pause_until_finished, (void *)&pauser_tids[i]));
		wait_until_paused(i);
	}
	stay = 1;
	MUST(!pthread_kill(threads[0], SIGUSR1));
	WAIT_FOR(nr_unwound == 1);
	checkpoint_here();
	stay = 0;
	for (i = 0; i < 2; i++) {
		wait_until_paused(i);
		MUST(!pthread_kill(threads[i], SIGUSR1));
		WAIT_FOR(nr_unwound == 2 + i);
	}
	for (i = 0; i < 2; i++) {
		wait_until_paused(i);
		finished = 1;
		MUST(!pthread_kill(threads[i], SIGUSR1));
		MUST(!pthread_join(threads[i], NULL));
	}
}
#endif

#ifdef __x86_64__
#define FAR	(3UL << 30)		/* no jump leads so far */
#define TOP	0x7ffffffff000UL

/* takes what is free behind mappings, as far as jumps reach; close below a stack there is no place anyway */
static void fill_gap(unsigned long start, unsigned long end, bool below_stack)
{
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);

	if (start + FAR < vdso || start > vdso + FAR || start >= end)
		return;
	if (below_stack)
		end -= end - start < (1UL << 20) ? end - start : 1UL << 20;
	if (end > vdso + FAR + FAR)
		end = vdso + FAR + FAR;
	MUST(start == end || mmap((void *)start, end - start, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == (void *)start);
}

/* a 32-bit jump leads anywhere in 32 bit; in x32 this happens to one in some hundred processes by chance */
ROUNDTRIP(room_only_below_mappings, AS_FOREIGN)
{
	char *text = file_text("/proc/self/maps"), *line, *save = NULL;
	unsigned long start, end, last = 0;
	struct timespec ts;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		MUST_EQ(sscanf(line, "%lx-%lx", &start, &end), 2);
		if (start > TOP)
			break;
		fill_gap(last, start, strstr(line, "[stack]"));
		last = end;
	}
	fill_gap(last, TOP, false);
	free(text);
	checkpoint_here();
	MUST(!clock_gettime(CLOCK_MONOTONIC, &ts));
	checkpoint_here();
	MUST(!clock_gettime(CLOCK_MONOTONIC, &ts));
}
#endif

/* ---- processes without one ---- */

static void unmap_vdso(bool code_too)
{
	char *text = file_text("/proc/self/maps"), *line, *save = NULL;
	unsigned long start, end;

#ifdef __i386__
	subject_skip("in 32 bit system calls are made in the vDSO");
#endif
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if ((strstr(line, "[vvar") || strstr(line, "[sigpage]") || (code_too && strstr(line, "[vdso]"))) &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			MUST(!munmap((void *)start, end - start));
	free(text);
}

REFUSED(without_data, "a part of the vDSO was moved, changed or unmapped: not supported")
{
	unmap_vdso(false);
	checkpoint_here();
}

ROUNDTRIP(without)
{
	char *text;

	unmap_vdso(true);
	checkpoint_here();
	text = file_text("/proc/self/maps");
	MUST(!strstr(text, "[vdso]") && !strstr(text, "[vvar"));
	free(text);
}

/* ---- unlocking a robust futex, which kernels since 7.2 finish for a thread that is interrupted in the vDSO ---- */

static volatile uintptr_t unlock_begin, unlock_end;	/* in the kernel's vDSO: lock taken away, not yet noted */
static volatile int nr_interrupted, nr_unfinished;
static uint32_t robust_lock;
static void *volatile robust_pending;

static void on_unlock_signal(int signo, siginfo_t *info, void *uc)
{
	uintptr_t pc = context_pc(uc);

	if (pc < unlock_begin || pc >= unlock_end)
		return;
	nr_interrupted++;
	nr_unfinished += robust_pending != NULL;
}

static void *unlock_for_ever(void *fn)
{
	uint32_t (*try_unlock)(uint32_t *lock, uint32_t tid, void *pending) = fn;

	while (!finished) {
		robust_lock = 1;
		robust_pending = &robust_lock;
		MUST_EQ(try_unlock(&robust_lock, 1, (void *)&robust_pending), 1);
		MUST(!robust_pending);
	}
	return NULL;
}

/* lock cmpxchg %ecx, (…); jnz end; mov …; end: */
static void find_section(const unsigned char *at)
{
	int i;

	for (i = 0; i < 64 && memcmp(at + i, "\xf0\x0f\xb1", 3); i++)
		;
	MUST(i < 64 && at[i + 4] == 0x75 && at[i + 5] < 16);
	unlock_begin = (uintptr_t)at + i + 4;
	unlock_end = unlock_begin + 2 + at[i + 5];
}

static void interrupt_it(pthread_t thread)
{
	nr_interrupted = 0;
	WAIT_FOR(({ pthread_kill(thread, SIGUSR1); nr_interrupted > 2; }));
	MUST_EQ(nr_unfinished, 0);
}

ROUNDTRIP(robust_unlock, AS_FOREIGN)
{
	struct sigaction sa = { .sa_sigaction = on_unlock_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	const char *name = sizeof(long) == 8 ? "__vdso_futex_robust_list64_try_unlock" :
					       "__vdso_futex_robust_list32_try_unlock";
	struct vdso v = vdso_open();
	const unsigned char *fn = function_at(&v, name);
	pthread_t thread;

	if (!fn)
		subject_skip("no robust unlock in this kernel's vDSO (7.2)");
	find_section(fn);
	MUST(!sigaction(SIGUSR1, &sa, NULL));
	MUST(!pthread_create(&thread, NULL, unlock_for_ever, (void *)fn));
	interrupt_it(thread);
	checkpoint_here();
	find_section(function_at(&v, name));
	interrupt_it(thread);
	finished = 1;
	MUST(!pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
