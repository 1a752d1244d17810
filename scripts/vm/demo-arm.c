// SPDX-License-Identifier: GPL-2.0
/*
 * demo-arm FILE: counts to 60, a step each half second, and writes a line for each.  Without a C library, to be built three
 * times: as OABI, whose calls have their number in the instruction; as Thumb code; and with VFP, whose value lives
 * in a register of it all the time.
 */
#define STEPS	60

static long call(long nr, long a, long b, long c);

#ifdef OABI
#define NAME	"OABI"
/* one function for each call: the number is in the instruction */
__asm__ (
	"	.text\n	.arm\n	.align 2\n"
	"oabi_write:	swi	0x900004\n	bx	lr\n"
	"oabi_open:	swi	0x900005\n	bx	lr\n"
	"oabi_nanosleep: swi	0x9000a2\n	bx	lr\n"
	"oabi_exit:	swi	0x900001\n	bx	lr\n"
);
long oabi_write(long a, long b, long c);
long oabi_open(long a, long b, long c);
long oabi_nanosleep(long a, long b, long c);
long oabi_exit(long a, long b, long c);

static long call(long nr, long a, long b, long c)
{
	switch (nr) {
	case 1:
		return oabi_exit(a, b, c);
	case 4:
		return oabi_write(a, b, c);
	case 5:
		return oabi_open(a, b, c);
	default:
		return oabi_nanosleep(a, b, c);
	}
}
#else
#ifdef VFP
#define NAME	"VFP"
#else
#define NAME	"Thumb"
#endif
static long call(long nr, long a, long b, long c)
{
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;

	/* r7 may be the frame pointer */
	__asm__ volatile ("mov r12, r7\n	mov r7, %[nr]\n	svc #0\n	mov r7, r12\n"
			  : "+r" (r0) : "r" (r1), "r" (r2), [nr] "r" (nr) : "r12", "memory");
	return r0;
}
#endif

/* no division: this has no library of the compiler's either */
static char *put_number(char *to, unsigned int n)
{
	static const unsigned int powers[] = { 100000, 10000, 1000, 100, 10, 1 };
	int i, begun = 0, digit;

	for (i = 0; i < 6; i++) {
		for (digit = 0; n >= powers[i]; digit++)
			n -= powers[i];
		begun = begun || digit || i == 5;
		if (begun)
			*to++ = '0' + digit;
	}
	return to;
}

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static void count(const char *path)
{
	const long half[2] = { 0, 500000000 };
	long fd = call(5, (long)path, 02101, 0644);	/* O_WRONLY | O_CREAT | O_APPEND */
	unsigned int n, value = 0;
	char line[80], *end;

#ifdef VFP
	__asm__ volatile ("vmov.f64 d16, #1.0\n	vmov.f64 d9, #0.5" : : : "d9", "d16");
#endif
	for (n = 1; n <= STEPS; n++) {
		call(162, (long)half, 0, 0);
#ifdef VFP
		/* never written to memory */
		__asm__ volatile ("vadd.f64 d16, d16, d9\n	vcvt.u32.f64 s0, d16\n	vmov %0, s0"
				  : "=r" (value) : : "d0", "d9", "d16");
#else
		value += n;
#endif
		end = put_text(line, NAME ": step ");
		end = put_number(end, n);
		end = put_text(end, " of 60, value ");
		end = put_number(end, value);
		*end++ = '\n';
		call(4, fd, (long)line, end - line);
	}
	call(1, 0, 0, 0);
}

void begin(long *stack);
void begin(long *stack)
{
	count((const char *)stack[2]);
}

__asm__ (
	"	.text\n	.arm\n	.align 2\n	.globl	_start\n	.type	_start, %function\n"
	"_start:	mov	r0, sp\n"
	"	bic	sp, sp, #7\n"
	"	mov	lr, #0\n"
	"	ldr	ip, =begin\n"
	"	bx	ip\n"
	"	.ltorg\n"
);
