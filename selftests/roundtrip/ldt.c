// SPDX-License-Identifier: GPL-2.0
/*
 * Local descriptor tables: all entries as they were, and segment registers that point into them.
 *
 * crk-test: abi=x86_64
 */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#define NR_ENTRIES	8192
#define SELECTOR(entry)	((entry) << 3 | 4 | 3)
#define PAGE		4096UL

static uint64_t table[NR_ENTRIES], table_now[NR_ENTRIES];

static bool try_entry(struct user_desc *d)
{
	/* an int, in a register that is not extended */
	return !(int)syscall(SYS_modify_ldt, 0x11, d, sizeof(*d));
}

static void set_entry(struct user_desc d)
{
	if (!try_entry(&d))
		subject_skip("no modify_ldt() (CONFIG_MODIFY_LDT_SYSCALL)");
}

static long table_read(uint64_t *to)
{
	return (int)syscall(SYS_modify_ldt, 0, to, sizeof(table));
}

/* a page below 4 GiB, with @word at its start, as a segment of data */
static volatile uint32_t *set_data_entry(unsigned int nr, uint32_t word)
{
	volatile uint32_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	MUST(p != MAP_FAILED);
	*p = word;
	set_entry((struct user_desc){
		.entry_number = nr, .base_addr = (unsigned long)p, .limit = PAGE - 1, .seg_32bit = 1, .useable = 1,
	});
	return p;
}

ROUNDTRIP(entries)
{
	const struct user_desc entries[] = {
		{ .entry_number = 1, .base_addr = 0x12345678, .limit = 0xfffff, .seg_32bit = 1, .contents = 2,
		  .limit_in_pages = 1, .useable = 1 },						/* code */
		{ .entry_number = 2, .base_addr = 0xfedcba98, .limit = 0xabcde, .seg_32bit = 1, .contents = 1 },
		{ .entry_number = 5, .limit = 0x10, .seg_32bit = 1, .read_exec_only = 1 },
		{ .entry_number = 6, .base_addr = 0x1000, .limit = 1, .seg_32bit = 1, .contents = 3,
		  .seg_not_present = 1, .useable = 1 },						/* conforming code */
		{ .entry_number = 1000, .base_addr = 0x80000000, .limit = 0xfffff, .seg_32bit = 1 },
		{ .entry_number = NR_ENTRIES - 1, .base_addr = 1, .seg_32bit = 1, .contents = 2, .read_exec_only = 1 },
	};
	struct user_desc narrow = { .entry_number = 7, .base_addr = 0x2000, .limit = 0xfff };
	size_t i;

	for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		set_entry(entries[i]);
	try_entry(&narrow);			/* 16 bits: not on every kernel */
	MUST_EQ(table_read(table), sizeof(table));
	checkpoint_here();
	MUST_EQ(table_read(table_now), sizeof(table));
	MUST(!memcmp(table, table_now, sizeof(table)));
	/* it can be changed as before */
	set_entry((struct user_desc){ .entry_number = 3, .limit = 7, .seg_32bit = 1 });
	MUST_EQ(table_read(table_now), sizeof(table));
	MUST(table_now[3] && table_now[2] == table[2]);
}

/* empty, but there */
ROUNDTRIP(empty)
{
	set_entry((struct user_desc){ .entry_number = 4, .read_exec_only = 1, .seg_not_present = 1 });
	MUST_EQ(table_read(table), sizeof(table));
	checkpoint_here();
	MUST_EQ(table_read(table), sizeof(table));
}

ROUNDTRIP(none)
{
	MUST_EQ(table_read(table), 0);
	checkpoint_here();
	MUST_EQ(table_read(table), 0);
}

static uint32_t gs_word(void)
{
	uint32_t word;

	asm volatile("movl %%gs:0, %0" : "=r"(word));
	return word;
}

ROUNDTRIP(gs)
{
	volatile uint32_t *p = set_data_entry(3, 0x11223344);
	unsigned short sel = SELECTOR(3), now;

	asm volatile("movw %0, %%gs" : : "r"(sel));
	MUST_EQ(gs_word(), 0x11223344);
	checkpoint_here();
	asm volatile("movw %%gs, %0" : "=r"(now));
	MUST_EQ(now, sel);
	MUST_EQ(gs_word(), 0x11223344);
	*p = 0x55667788;
	MUST_EQ(gs_word(), 0x55667788);
	asm volatile("movw %0, %%gs" : : "r"((unsigned short)0));
	asm volatile("movw %0, %%gs" : : "r"(sel));
	MUST_EQ(gs_word(), 0x55667788);
}

ROUNDTRIP(ds_and_es)
{
	unsigned short sel = SELECTOR(9), ds, es;

	set_data_entry(9, 0);
	set_data_entry(10, 0);
	asm volatile("movw %0, %%ds" : : "r"(sel));
	asm volatile("movw %0, %%es" : : "r"((unsigned short)SELECTOR(10)));
	checkpoint_here();
	asm volatile("movw %%ds, %0" : "=r"(ds));
	asm volatile("movw %%es, %0" : "=r"(es));
	MUST_EQ(ds, sel);
	MUST_EQ(es, SELECTOR(10));
	/* and can be loaded */
	asm volatile("movw %0, %%es" : : "r"(sel));
}

/* shared with the child that can call nothing while its thread pointer is away */
struct spin {
	volatile int spinning, stop;
	volatile uint32_t word;
	volatile unsigned short fs, ss;
};

static void spin_with_fs(struct spin *s, unsigned short sel)
{
	unsigned long base, old_ss;

	MUST(!syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
	asm volatile("mov	%%ss, %0\n"
		     "movw	%w[sel], %%fs\n"
		     "movw	%w[sel], %%ss\n"
		     "movl	$1, %[spinning]\n"
		     "1:	pause\n"
		     "cmpl	$0, %[stop]\n"
		     "je	1b\n"
		     "movl	%%fs:0, %%ecx\n"
		     "movl	%%ecx, %[word]\n"
		     "movw	%%fs, %[fs]\n"
		     "movw	%%ss, %[ss]\n"
		     "movw	%w0, %%ss\n"
		     "mov	%[nr], %%eax\n"
		     "mov	%[set_fs], %%edi\n"
		     "mov	%[base], %%rsi\n"
		     "syscall\n"
		     : "=&r"(old_ss), [spinning] "=m"(s->spinning), [word] "=m"(s->word), [fs] "=m"(s->fs),
		       [ss] "=m"(s->ss)
		     : [sel] "r"((unsigned long)sel), [stop] "m"(s->stop), [nr] "i"(SYS_arch_prctl),
		       [set_fs] "i"(ARCH_SET_FS), [base] "r"(base)
		     : "rax", "rcx", "rdi", "rsi", "r11", "memory");
}

/* in user mode all the time: no system call puts a stack segment of its own */
ROUNDTRIP(fs_and_ss)
{
	struct spin *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	MUST(s != MAP_FAILED);
	pid = fork_child();
	if (!pid) {
		set_data_entry(20, 0xcafe);
		spin_with_fs(s, SELECTOR(20));
		MUST_EQ(s->word, 0xcafe);
		MUST_EQ(s->fs, SELECTOR(20));
		MUST_EQ(s->ss, SELECTOR(20));
		_exit(0);
	}
	while (!s->spinning)
		nap();
	checkpoint_here();
	s->stop = 1;
	reap(pid);
}

/* 32-bit code: tells that it is there, waits, and goes on where r15 says, in 64-bit code again */
extern const char narrow[], narrow_back[], narrow_end[];
asm(".pushsection .rodata\n"
    "narrow:	.code32\n"
    "	movl	$1, %ds:0x800\n"
    "1:	pause\n"
    "	cmpl	$0, %ds:0x804\n"
    "	je	1b\n"
    "	ljmp	*%ds:0x808\n"
    "narrow_back:	.code64\n"
    "	jmp	*%r15\n"
    "narrow_end:	.popsection\n");

/*
 * Goes there by @to, with ds = @data and r8 to r13 from @in, which come back to @out.  What a CPU leaves of the upper
 * halves of other registers is its own affair, so the stack pointer is kept in r14.
 */
void narrow_call(const unsigned long in[6], unsigned long out[6], const void *to, unsigned long data);
asm(".text\n"
    "narrow_call:\n"
    "	push	%rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n"
    "	movw	%cx, %ds\n"
    "	mov	0(%rdi), %r8; mov 8(%rdi), %r9; mov 16(%rdi), %r10\n"
    "	mov	24(%rdi), %r11; mov 32(%rdi), %r12; mov 40(%rdi), %r13\n"
    "	mov	%rsp, %r14\n"
    "	lea	1f(%rip), %r15\n"
    "	ljmp	*(%rdx)\n"
    "1:	mov	%r14, %rsp\n"
    "	pop	%rsi\n"
    "	mov	%r8, 0(%rsi); mov %r9, 8(%rsi); mov %r10, 16(%rsi)\n"
    "	mov	%r11, 24(%rsi); mov %r12, 32(%rsi); mov %r13, 40(%rsi)\n"
    "	pop	%r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

static void spin_in_narrow(char *page, unsigned short code, unsigned short data)
{
	struct { uint32_t offset; uint16_t sel; } to = { 0, code };
	unsigned long in[6], out[6];
	int i;

	memcpy(page, narrow, narrow_end - narrow);
	*(uint32_t *)(page + 0x808) = (unsigned long)page + (narrow_back - narrow);
	*(uint16_t *)(page + 0x80c) = 0x33;
	for (i = 0; i < 6; i++)
		in[i] = 0x1111222233334444UL * (i + 1) | 1;
	narrow_call(in, out, &to, data);
	MUST(!memcmp(in, out, sizeof(in)));
}

/* a 64-bit process in code of its table, with a stack and a thread pointer far above what that can see */
ROUNDTRIP(code)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct user_desc d = { .entry_number = 40, .limit = PAGE - 1, .seg_32bit = 1, .contents = 2, .useable = 1 };
	pid_t pid;

	MUST(page != MAP_FAILED);
	d.base_addr = (unsigned long)page;
	pid = fork_child();
	if (!pid) {
		set_entry(d);
		d.entry_number = 41;
		d.contents = 0;
		set_entry(d);
		spin_in_narrow(page, SELECTOR(40), SELECTOR(41));
		_exit(0);
	}
	while (!*(volatile int *)(page + 0x800))
		nap();
	checkpoint_here();
	*(volatile int *)(page + 0x804) = 1;
	reap(pid);
}

static void *of_thread(void *arg)
{
	set_data_entry(30, 0xabcd);
	asm volatile("movw %0, %%gs" : : "r"((unsigned short)SELECTOR(30)));
	event_set("up");
	event_wait("go");
	MUST_EQ(gs_word(), 0xabcd);
	return arg;
}

/* threads have one table together, children one of their own */
ROUNDTRIP(of_each_process)
{
	pthread_t thread;
	pid_t pid;

	set_data_entry(1, 1);
	pid = fork_child();
	if (!pid) {
		set_data_entry(2, 2);
		event_set("child");
		event_wait("go");
		MUST_EQ(table_read(table), sizeof(table));
		MUST(table[1] && table[2] && !table[30]);
		_exit(0);
	}
	MUST(!pthread_create(&thread, NULL, of_thread, NULL));
	event_wait("up");
	event_wait("child");
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(thread, NULL));
	asm volatile("movw %0, %%gs" : : "r"((unsigned short)SELECTOR(30)));
	MUST_EQ(gs_word(), 0xabcd);
	MUST_EQ(table_read(table), sizeof(table));
	MUST(table[1] && !table[2]);
	reap(pid);
}

TEST_HARNESS_MAIN
