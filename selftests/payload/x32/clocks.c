// SPDX-License-Identifier: GPL-2.0
/*
 * As ../clocks.c, of the x32 ABI and without a C library, which nobody has for it: one process of one thread that does
 * nothing but call the vDSO.  The directory is the current one.
 */
#include "x32.h"

typedef long long s64;
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;

#define SYS_write	1
#define SYS_open	2
#define SYS_access	21
#define SYS_exit	231
#define AT_SYSINFO_EHDR	33
#define DAY		86400

struct elf32_head { unsigned char ident[16]; u16 type, machine; u32 version, entry, phoff, shoff, flags; u16 ehsize, phentsize, phnum; };
struct elf32_phdr { u32 type, offset, vaddr, paddr, filesz, memsz, flags, align; };
struct elf32_dyn { int tag; u32 val; };
struct elf32_sym { u32 name, value, size; unsigned char info, other; u16 shndx; };
struct timespec { s64 sec, nsec; };
struct timeval { s64 sec, usec; };

static u64 ptr(const void *p)
{
	return (u32)(unsigned long)p;
}

static void say(const char *text)
{
	u32 len = 0;

	while (text[len])
		len++;
	x32_call(SYS_write, 1, ptr(text), len, 0, 0, 0);
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	say("failed: ");
	say(what);
	say("\n");
	x32_call(SYS_exit, 1, 0, 0, 0, 0, 0);
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void *symbol(u32 base, const char *name)
{
	const struct elf32_head *head = (void *)base;
	const struct elf32_phdr *ph = (void *)(base + head->phoff);
	const struct elf32_dyn *dyn = 0;
	const struct elf32_sym *syms = 0;
	const char *strings = 0;
	const u32 *hash = 0;
	u32 i;

	for (i = 0; i < head->phnum; i++)
		if (ph[i].type == 2)
			dyn = (void *)(base + ph[i].offset);
	for (; dyn && dyn->tag; dyn++) {
		if (dyn->tag == 4)
			hash = (void *)(base + dyn->val);
		else if (dyn->tag == 5)
			strings = (void *)(base + dyn->val);
		else if (dyn->tag == 6)
			syms = (void *)(base + dyn->val);
	}
	for (i = 0; hash && i < hash[1]; i++)
		if (syms[i].shndx && same(strings + syms[i].name, name))
			return (void *)(base + syms[i].value);
	return 0;
}

static int (*do_gettime)(int, struct timespec *);
static int (*do_getres)(int, struct timespec *);
static int (*do_gettimeofday)(struct timeval *, void *);
static s64 (*do_time)(s64 *);
static int (*do_getcpu)(u32 *, u32 *, void *);
static s64 begin;

static void check_today(s64 t)
{
	check(t >= begin && t < begin + DAY, "not today");
}

static void round(void)
{
	static const int clocks[] = { 0, 1, 4, 5, 6, 7, 11 };
	struct timespec ts;
	struct timeval tv;
	u32 i, cpu = ~0U;

	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		ts.sec = ts.nsec = -1;
		check(!do_gettime(clocks[i], &ts), "clock_gettime");
		check(ts.sec >= 0 && ts.nsec >= 0 && ts.nsec < 1000000000, "clock_gettime: no time");
		if (clocks[i] == 0 || clocks[i] == 5)
			check_today(ts.sec);
	}
	check(!do_getres(1, &ts) && ts.nsec > 0, "clock_getres");
	check(!do_gettimeofday(&tv, 0), "gettimeofday");
	check_today(tv.sec);
	check_today(do_time(0));
	check(!do_getcpu(&cpu, 0, 0) && cpu < 1024, "getcpu");
}

__attribute__((used, noreturn)) static void begin_here(const u32 *stack)
{
	u32 vdso = 0, i;

	stack += 1 + *stack + 1;
	while (*stack++)
		;
	for (; stack[0]; stack += 2)
		if (stack[0] == AT_SYSINFO_EHDR)
			vdso = stack[1];
	check(vdso, "no vDSO");
	do_gettime = symbol(vdso, "__vdso_clock_gettime");
	do_getres = symbol(vdso, "__vdso_clock_getres");
	do_gettimeofday = symbol(vdso, "__vdso_gettimeofday");
	do_time = symbol(vdso, "__vdso_time");
	do_getcpu = symbol(vdso, "__vdso_getcpu");
	check(do_gettime && do_getres && do_gettimeofday && do_time && do_getcpu, "a function is missing");
	begin = do_time(0);
	round();
	check(x32_call(SYS_open, ptr("ready"), 0101, 0644, 0, 0, 0) >= 0, "ready");
	do {
		for (i = 0; i < 1000; i++)
			round();
	} while (x32_call(SYS_access, ptr("go"), 0, 0, 0, 0, 0));
	for (i = 0; i < 1000; i++)
		round();
	say("ok\n");
	x32_call(SYS_exit, 0, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

X32_START(begin_here);
