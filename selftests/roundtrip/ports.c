// SPDX-License-Identifier: GPL-2.0
/*
 * I/O ports that a thread may use, by ioperm() and iopl(), also when it could not ask for them any more.
 *
 * crk-test: abi=x86_64
 */
#include <linux/capability.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

/* nobody minds reads of these */
#define POST	0x80
#define LAST	0xffff

static _Thread_local sigjmp_buf back;

static void on_segv(int sig)
{
	siglongjmp(back, sig);
}

static bool may_use(unsigned int port)
{
	signal(SIGSEGV, on_segv);
	if (sigsetjmp(back, 1))
		return false;
	inb(port);
	return true;
}

static void allow(unsigned int port, unsigned int nr)
{
	if (syscall(SYS_ioperm, port, nr, 1))
		subject_skip("no I/O ports (CONFIG_X86_IOPL_IOPERM, CAP_SYS_RAWIO)");
}

static void must_have_post(void)
{
	MUST(may_use(POST));
	MUST(!may_use(POST - 1));
	MUST(!may_use(POST + 1));
	MUST(!may_use(LAST));
}

ROUNDTRIP(one_port)
{
	MUST(!may_use(POST));
	allow(POST, 1);
	must_have_post();
	checkpoint_here();
	must_have_post();
	MUST(!syscall(SYS_ioperm, POST, 1, 0));
	MUST(!may_use(POST));
}

ROUNDTRIP(many_ports)
{
	unsigned int i;

	for (i = 0; i < 64; i += 2)
		allow(POST + i, 1);
	allow(LAST, 1);
	checkpoint_here();
	for (i = 0; i < 64; i++)
		MUST_EQ(may_use(POST + i), !(i % 2));
	MUST(may_use(LAST));
	MUST(!may_use(LAST - 1));
	MUST(!may_use(0));
}

ROUNDTRIP(all_ports)
{
	if (iopl(3))
		subject_skip("no iopl() (CONFIG_X86_IOPL_IOPERM, CAP_SYS_RAWIO)");
	checkpoint_here();
	MUST(may_use(POST) && may_use(POST + 1) && may_use(LAST));
	MUST(!iopl(0));
	MUST(!may_use(POST));
}

/* both ways to have a port, with one of them given up later */
ROUNDTRIP(level_and_port)
{
	allow(POST, 1);
	if (iopl(3))
		subject_skip("no iopl()");
	checkpoint_here();
	MUST(may_use(LAST));
	MUST(!iopl(0));
	must_have_post();
}

static void rawio_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	MUST(!syscall(SYS_capget, &head, data));
	data[0].effective &= ~(1U << CAP_SYS_RAWIO);
	data[0].permitted &= ~(1U << CAP_SYS_RAWIO);
	MUST(!syscall(SYS_capset, &head, data));
}

ROUNDTRIP(without_the_right)
{
	allow(POST, 1);
	rawio_drop();
	checkpoint_here();
	must_have_post();
	MUST(syscall(SYS_ioperm, POST, 2, 1) == -1 && errno == EPERM);
}

static void *has_post(void *arg)
{
	allow(POST, 1);
	event_set("up");
	event_wait("go");
	must_have_post();
	return arg;
}

/* threads and children made later get what their maker has; then each has its own */
ROUNDTRIP(of_each_thread)
{
	pthread_t thread;
	pid_t pid;

	MUST(!pthread_create(&thread, NULL, has_post, NULL));
	event_wait("up");
	allow(LAST, 1);
	pid = fork_child();
	if (!pid) {
		MUST(!syscall(SYS_ioperm, LAST, 1, 0));
		event_set("given up");
		event_wait("go");
		MUST(!may_use(LAST) && !may_use(POST));
		_exit(0);
	}
	event_wait("given up");
	checkpoint_here();
	MUST(may_use(LAST) && !may_use(POST));
	event_set("go");
	MUST(!pthread_join(thread, NULL));
	reap(pid);
}

TEST_HARNESS_MAIN
