// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_CAPTURE on ARM: the system call that a thread is in is found by the instruction it is at, wherever that is: at
 * the beginning and the end of a page, in memory that can't be read, as ARM and as Thumb code.  The number in the instruction
 * counts only in ARM code, and only where the kernel runs the old ABI (requirements 2.6, 2.7, 2.8).
 *
 * crk-test: abi=arm,armel
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "target.h"

#define NR_GETPID	20
#define NR_NANOSLEEP	162
#define OABI(nr)	(0x900000 + (nr))

#define PAGE		4096
#define INSNS		6
#define INSN_CALL	4		/* which of these makes the call */

/* long call(long r7, long r0, long r1), by an instruction with this number in it */
struct code {
	const char *name;
	bool thumb;
	unsigned int number;
	int before;			/* so many of its instructions are on the first of two pages */
	enum { ANY, OABI_ONLY, NO_OABI } where;
};

static const struct code codes[] = {
	{ "ARM, first of a page", false, 0, INSN_CALL },
	{ "ARM, last of a page", false, 0, INSN_CALL + 1 },
	{ "Thumb, first of a page", true, 0, INSN_CALL },
	{ "Thumb, last of a page", true, 0, INSN_CALL + 1 },
	{ "Thumb with a number", true, 20, INSN_CALL + 1 },
	{ "ARM with a number", false, 20, INSN_CALL + 1, NO_OABI },
	{ "ARM with the number of an OABI call", false, OABI(NR_GETPID), INSN_CALL + 1, NO_OABI },
	{ "OABI, first of a page", false, OABI(NR_NANOSLEEP), INSN_CALL, OABI_ONLY },
	{ "OABI, last of a page", false, OABI(NR_NANOSLEEP), INSN_CALL + 1, OABI_ONLY },
};
enum { NR_CODES = sizeof(codes) / sizeof(codes[0]) };

typedef long (*call_fn)(long r7, const void *a, void *b);

static call_fn code_make(const struct code *c)
{
	/* push {r7, lr}; mov r7, r0; mov r0, r1; mov r1, r2; svc; pop {r7, pc} */
	uint32_t arm[INSNS] = { 0xe92d4080, 0xe1a07000, 0xe1a00001, 0xe1a01002, 0xef000000 | c->number, 0xe8bd8080 };
	uint16_t thumb[INSNS] = { 0xb580, 0x4607, 0x4608, 0x4611, 0xdf00 | c->number, 0xbd80 };
	size_t len = c->thumb ? sizeof(thumb) : sizeof(arm);
	char *pages, *code;

	pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		_exit(1);
	code = pages + PAGE - c->before * len / INSNS;
	memcpy(code, c->thumb ? (void *)thumb : (void *)arm, len);
	__builtin___clear_cache(code, code + len);
	if (mprotect(pages, 2 * PAGE, PROT_EXEC))
		_exit(1);
	return (call_fn)(code + c->thumb);
}

static bool have_oabi(void)
{
	static const struct code getpid_code = { .number = OABI(NR_GETPID), .before = INSN_CALL };
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(code_make(&getpid_code)(-1, NULL, NULL) != getpid());
	return waitpid(pid, &status, 0) == pid && !status;
}

static bool oabi;

static bool runs_here(const struct code *c)
{
	return c->where == ANY || oabi == (c->where == OABI_ONLY);
}

static void *in_code(void *i)
{
	const struct code *c = &codes[(long)i];
	call_fn call = code_make(c);
	long ts[2] = { 1000, 0 };

	thread_here((long)i);
	call(c->where == OABI_ONLY ? -1 : NR_NANOSLEEP, ts, NULL);
	return NULL;
}

static void sleep_in_all(void *arg)
{
	int here = 0;
	pthread_t t;
	long i;

	for (i = 0; i < NR_CODES; i++) {
		if (!runs_here(&codes[i]))
			continue;
		here++;
		if (pthread_create(&t, NULL, in_code, (void *)i))
			_exit(1);
	}
	while (__atomic_load_n(&shared->nr, __ATOMIC_SEQ_CST) < here)
		usleep(1000);
	task_ready();
	for (;;)
		pause();
}

/* is it asleep in a call of this number? */
static bool is_in(pid_t pid, pid_t tid, int nr)
{
	char path[64], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strtol(text, NULL, 10) == nr;
}

FIXTURE(insns) {
	char *cgroup;
	int dev;
	struct capture c;
};

FIXTURE_SETUP(insns)
{
	shared_make();
	oabi = have_oabi();
	self->cgroup = cgroup_make(NULL, "insns");
	self->dev = -1;
}

FIXTURE_TEARDOWN(insns)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
}

TEST_F(insns, tell_the_call)
{
	pid_t pid = task_start(self->cgroup, sleep_in_all, NULL);
	int i;

	for (i = 0; i < NR_CODES; i++)
		while (runs_here(&codes[i]) && !is_in(pid, shared->tid[i], NR_NANOSLEEP))
			usleep(10000);
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	for (i = 0; i < NR_CODES; i++) {
		const char *name = codes[i].name;
		struct crk_rec_thread *t;

		if (!runs_here(&codes[i]))
			continue;
		t = record(&self->c, shared->tid[i], CRK_REC_THREAD, NULL);
		ASSERT_NE(NULL, t) TH_LOG("%s", name);
		EXPECT_EQ(CRK_SYSCALL_BLOCK, t->syscall) TH_LOG("%s", name);
		EXPECT_EQ(NR_NANOSLEEP, t->syscall_nr) TH_LOG("%s", name);
		EXPECT_EQ(oabi && codes[i].where == OABI_ONLY ? CRK_ABI_OABI : CRK_ABI_NATIVE, t->syscall_abi)
			TH_LOG("%s", name);
		EXPECT_EQ(CRK_RESTART_NANOSLEEP, t->restart.kind) TH_LOG("%s", name);
		EXPECT_TRUE(soon(t->restart.remaining_ns, 1000 * SEC)) TH_LOG("%s", name);
	}
	capture_put(&self->c);
}

TEST_HARNESS_MAIN
