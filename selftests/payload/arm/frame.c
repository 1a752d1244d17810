// SPDX-License-Identifier: GPL-2.0
/*
 * Is dumped within a signal handler that returns through the kernel's trampoline, since it was installed without
 * SA_RESTORER, as programs of the old ABI do it.  The trampoline is at another place in each boot.  Behind it the
 * registers must be those of before the signal.
 *
 * usage: frame, in a directory; as clocks.c: makes "ready" there, waits for "go", prints "ok".
 * Without a C library, to be built with -DOABI for the old ABI, whose calls have their number in the instruction, or as Thumb
 * code.
 */
#ifdef OABI
#define CALL(nr)	"	swi	#0x900000 + " #nr "\n"
#else
#define CALL(nr)	"	mov	r7, #" #nr "\n	svc	#0\n"
#endif
#define FUNCTION(name, nr)								\
	long name(long a, long b, long c, long d);					\
	__asm__ (									\
		"	.text\n	.arm\n	.align	2\n	.globl	" #name "\n"			\
		"	.type	" #name ", %function\n"					\
		#name ":\n"								\
		"	push	{r7, lr}\n"						\
		CALL(nr)								\
		"	pop	{r7, pc}\n" THUMB_AGAIN)
#ifdef __thumb__
#define THUMB_AGAIN	"	.thumb\n"
#else
#define THUMB_AGAIN	""
#endif

FUNCTION(sys_exit, 1);
FUNCTION(sys_write, 4);
FUNCTION(sys_open, 5);
FUNCTION(sys_getpid, 20);
FUNCTION(sys_access, 33);
FUNCTION(sys_nanosleep, 162);
FUNCTION(sys_rt_sigaction, 174);

#define SIGUSR1	10

/* kill(@pid, SIGUSR1), and whether r4 to r11 are the same behind it; r7 may be the number of the call */
long signal_me(long pid);
__asm__ (
	"	.text\n	.arm\n	.align	2\n	.globl	signal_me\n"
	"	.type	signal_me, %function\n"
	"signal_me:\n"
	"	push	{r4-r11, lr}\n"
	"	mov	r4, #0x41\n	mov	r5, #0x52\n	mov	r6, #0x63\n	mov	r8, #0x84\n"
	"	mov	r9, #0x95\n	mov	r10, #0xa6\n	mov	r11, #0xb7\n"
	"	mov	r1, #10\n"
	CALL(37)
	"	eor	r4, r4, #0x41\n	eor	r5, r5, #0x52\n	eor	r6, r6, #0x63\n	eor	r8, r8, #0x84\n"
	"	eor	r9, r9, #0x95\n	eor	r10, r10, #0xa6\n	eor	r11, r11, #0xb7\n"
	"	orr	r0, r0, r4\n	orr	r0, r0, r5\n	orr	r0, r0, r6\n	orr	r0, r0, r8\n"
	"	orr	r0, r0, r9\n	orr	r0, r0, r10\n	orr	r0, r0, r11\n"
	"	pop	{r4-r11, pc}\n" THUMB_AGAIN
);

static volatile int handled;

static void on_usr1(int sig)
{
	const long moment[2] = { 0, 50000000 };

	sys_open((long)"ready", 0101, 0644, 0);		/* O_CREAT | O_WRONLY */
	while (sys_access((long)"go", 0, 0, 0))
		sys_nanosleep((long)moment, 0, 0, 0);
	handled = sig;
}

static void say(const char *text, long len)
{
	sys_write(1, (long)text, len, 0);
}

void begin(void);
void begin(void)
{
	struct {
		void (*handler)(int sig);
		unsigned long flags;
		void *restorer;
		unsigned long mask[2];
	} sa = { .handler = on_usr1 };

	if (sys_rt_sigaction(SIGUSR1, (long)&sa, 0, 8))
		say("no handler\n", 11);
	else if (signal_me(sys_getpid(0, 0, 0, 0)))
		say("registers have changed\n", 23);
	else if (handled != SIGUSR1)
		say("no signal\n", 10);
	else
		say("ok\n", 3);
	sys_exit(0, 0, 0, 0);
}

__asm__ (
	"	.text\n	.arm\n	.align	2\n	.globl	_start\n	.type	_start, %function\n"
	"_start:	bic	sp, sp, #7\n"
	"	mov	lr, #0\n"
	"	ldr	ip, =begin\n"
	"	bx	ip\n"
	"	.ltorg\n"
);
