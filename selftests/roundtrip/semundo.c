// SPDX-License-Identifier: GPL-2.0
/*
 * SysV semaphores that processes hold with SEM_UNDO, which only the kernel sees: the value is as it was, and goes back
 * when the restored process ends, or the last of the threads that share the list.  What is refused is semundo.sh's.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

#define STACK	(64 << 10)

static int set_make(int nr, unsigned short value)
{
	unsigned short values[16];
	int id = semget(IPC_PRIVATE, nr, IPC_CREAT | 0600), i;

	MUST(id >= 0);
	for (i = 0; i < nr; i++)
		values[i] = value;
	MUST(!semctl(id, 0, SETALL, values));
	return id;
}

static int value(int id, int num)
{
	return semctl(id, num, GETVAL);
}

static void add(int id, int num, int by)
{
	struct sembuf op = { .sem_num = num, .sem_op = by, .sem_flg = SEM_UNDO | IPC_NOWAIT };

	MUST(!semop(id, &op, 1));
}

static void end(pid_t pid)
{
	int status;

	MUST(!kill(pid, SIGKILL));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

ROUNDTRIP(goes_back_at_the_end)
{
	int a = set_make(3, 5), b = set_make(1, 0);
	pid_t pid = fork_child();

	if (!pid) {
		add(a, 0, -2);
		add(a, 2, -5);
		add(b, 0, 7);
		/* taken and given back: there is an undo of nothing */
		add(a, 1, -1);
		add(a, 1, 1);
		event_set("held");
		event_wait("released");
		add(a, 0, 1);
		event_set("one back");
		for (;;)
			pause();
	}
	event_wait("held");
	checkpoint_here();
	MUST_EQ(value(a, 0), 3);
	MUST_EQ(value(a, 1), 5);
	MUST_EQ(value(a, 2), 0);
	MUST_EQ(value(b, 0), 7);
	event_set("released");
	event_wait("one back");
	MUST_EQ(value(a, 0), 4);
	end(pid);
	MUST_EQ(value(a, 0), 5);
	MUST_EQ(value(a, 1), 5);
	MUST_EQ(value(a, 2), 5);
	MUST_EQ(value(b, 0), 0);
	MUST(!semctl(a, 0, IPC_RMID) && !semctl(b, 0, IPC_RMID));
}

/* the set goes while it is held, as with any process: nothing is left to undo */
ROUNDTRIP(set_removed)
{
	int a = set_make(1, 1), b = set_make(1, 1);

	add(a, 0, -1);
	add(b, 0, -1);
	MUST(!semctl(a, 0, IPC_RMID));
	checkpoint_here();
	MUST(semctl(a, 0, GETVAL) < 0);
	MUST_EQ(value(b, 0), 0);
	add(b, 0, 1);
	MUST(!semctl(b, 0, IPC_RMID));
}

static int shared_set;

static void *taker(void *arg)
{
	(void)arg;
	add(shared_set, 0, -3);
	event_set("taken");
	event_wait("thread may go");
	return NULL;
}

/* it outlives the thread that took, and ends with the process */
ROUNDTRIP(threads_share)
{
	pthread_t t;
	pid_t pid;

	shared_set = set_make(1, 4);
	pid = fork_child();
	if (!pid) {
		MUST(!pthread_create(&t, NULL, taker, NULL));
		event_wait("taken");
		add(shared_set, 0, -1);
		event_set("both");
		MUST(!pthread_join(t, NULL));
		event_set("gone");
		for (;;)
			pause();
	}
	event_wait("both");
	checkpoint_here();
	MUST_EQ(value(shared_set, 0), 0);
	event_set("thread may go");
	event_wait("gone");
	MUST_EQ(value(shared_set, 0), 0);
	end(pid);
	MUST_EQ(value(shared_set, 0), 4);
	MUST(!semctl(shared_set, 0, IPC_RMID));
}

/* without a TLS of its own: shares errno with the thread that waits for it */
static int loner(void *arg)
{
	struct sembuf op = { .sem_op = -2, .sem_flg = SEM_UNDO | IPC_NOWAIT };
	volatile int *stage = arg;

	*stage = semop(shared_set, &op, 1) ? -1 : 1;
	while (*stage == 1)
		sched_yield();
	syscall(SYS_exit, 0);
	return 0;
}

/* a thread that does not share the list gives back when it ends itself */
ROUNDTRIP(own_list_of_a_thread)
{
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	volatile int *stage = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(stage != MAP_FAILED);
	shared_set = set_make(1, 3);
	add(shared_set, 0, -1);
	MUST(clone(loner, (char *)stage + STACK, flags, (void *)stage) > 0);
	WAIT_FOR(*stage);
	MUST_EQ(*stage, 1);
	checkpoint_here();
	MUST_EQ(value(shared_set, 0), 0);
	*stage = 2;
	WAIT_FOR(value(shared_set, 0) == 2);
	add(shared_set, 0, 1);
	MUST(!semctl(shared_set, 0, IPC_RMID));
}

/* one has taken what the other has given: neither order of the two may hurt, at the dump nor at the restore */
ROUNDTRIP(taken_of_the_given)
{
	int id = set_make(1, 0), i;
	pid_t pid[4];

	for (i = 0; i < 4; i++) {
		pid[i] = fork_child();
		if (!pid[i]) {
			if (i % 2)
				event_wait(i == 1 ? "given 0" : "given 2");
			add(id, 0, i % 2 ? -6 : 6);
			event_set(i == 0 ? "given 0" : i == 1 ? "taken 1" : i == 2 ? "given 2" : "taken 3");
			for (;;)
				pause();
		}
	}
	event_wait("taken 1");
	event_wait("taken 3");
	checkpoint_here();
	MUST_EQ(value(id, 0), 0);
	end(pid[1]);
	MUST_EQ(value(id, 0), 6);
	end(pid[0]);
	MUST_EQ(value(id, 0), 0);
	end(pid[3]);
	end(pid[2]);
	MUST_EQ(value(id, 0), 0);
	MUST(!semctl(id, 0, IPC_RMID));
}

static int sharer(void *arg)
{
	(void)arg;
	event_set("shares");
	for (;;)
		pause();
	return 0;
}

REFUSED(list_of_two_processes, "shares its undos of SysV semaphores")
{
	static char stack[STACK] __attribute__((aligned(16)));
	int id = set_make(1, 1);
	pid_t pid;

	add(id, 0, -1);
	pid = clone(sharer, stack + STACK, CLONE_SYSVSEM | SIGCHLD, NULL);
	MUST(pid > 0);
	event_wait("shares");
	checkpoint_here();
	end(pid);
	MUST_EQ(value(id, 0), 0);
	MUST(!semctl(id, 0, IPC_RMID));
}

TEST_HARNESS_MAIN
