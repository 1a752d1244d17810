// SPDX-License-Identifier: GPL-2.0
/*
 * System V IPC of the machine's namespace: the contents of queues, sets of semaphores and segments that nobody maps stay
 * as they are by a dump and a restore, and processes that talk by all three all the time lose nothing (requirement 1.15).
 * What is in a segment is shmem.c's, what is held of a semaphore semundo.c's, calls that wait for a message zoo.c's; a
 * namespace of the job's own is refused, see unsupported.c.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include "checkpoint.h"

#define PAGE	4096UL

struct letter {
	long type;
	unsigned int nr;
	char text[40];
};

#define LETTER_LEN	(sizeof(struct letter) - offsetof(struct letter, nr))

/* ---- contents ---- */

/* the line of one object in the kernel's table of them, with its owner, mode, sizes, times and last users */
static char *table_line(const char *table, int id)
{
	char *text = file_text("/proc/sysvipc/%s", table), *line, *ret = NULL;
	int key, this;

	for (line = strtok(text, "\n"); line && !ret; line = strtok(NULL, "\n"))
		if (sscanf(line, "%d %d", &key, &this) == 2 && this == id)
			ret = strdup(line);
	free(text);
	MUST(ret);
	return ret;
}

ROUNDTRIP(ipc_namespace_contents)
{
	static const int values[] = { 7, 0, 32767 };
	static const char *const tables[] = { "msg", "sem", "shm" };
	int id[3], i;
	char *before[3], *p;
	struct letter l = {};

	id[0] = msgget(0x63726b33, IPC_CREAT | IPC_EXCL | 0620);
	id[1] = semget(0x63726b33, 3, IPC_CREAT | IPC_EXCL | 0604);
	id[2] = shmget(0x63726b33, 3 * PAGE, IPC_CREAT | IPC_EXCL | 0640);
	MUST(id[0] >= 0 && id[1] >= 0 && id[2] >= 0);
	for (i = 0; i < 5; i++) {
		l.type = 1 + i % 2;
		l.nr = i;
		MUST(!msgsnd(id[0], &l, LETTER_LEN - i, 0));
	}
	for (i = 0; i < 3; i++)
		MUST(!semctl(id[1], i, SETVAL, values[i]));
	p = shmat(id[2], NULL, 0);
	MUST(p != (char *)-1);
	strcpy(p + 2 * PAGE, "nobody maps it");
	MUST(!shmdt(p));
	for (i = 0; i < 3; i++)
		before[i] = table_line(tables[i], id[i]);

	checkpoint_here();
	for (i = 0; i < 3; i++)
		MUST_STR(table_line(tables[i], id[i]), before[i]);
	MUST_EQ(msgget(0x63726b33, 0), id[0]);
	MUST_EQ(semget(0x63726b33, 0, 0), id[1]);
	MUST_EQ(shmget(0x63726b33, 0, 0), id[2]);
	/* by type, and in order */
	MUST(msgrcv(id[0], &l, LETTER_LEN, 2, IPC_NOWAIT) == (ssize_t)LETTER_LEN - 1 && l.nr == 1);
	for (i = 0; i < 5; i++)
		MUST(i == 1 || (msgrcv(id[0], &l, LETTER_LEN, 0, IPC_NOWAIT) == (ssize_t)LETTER_LEN - i && l.nr == (unsigned int)i));
	for (i = 0; i < 3; i++)
		MUST_EQ(semctl(id[1], i, GETVAL), values[i]);
	p = shmat(id[2], NULL, SHM_RDONLY);
	MUST(p != (char *)-1);
	MUST_STR(p + 2 * PAGE, "nobody maps it");
	MUST(!shmdt(p) && !shmctl(id[2], IPC_RMID, NULL) && !semctl(id[1], 0, IPC_RMID) && !msgctl(id[0], IPC_RMID, NULL));
}

/* ---- in motion ---- */

static int queue, semaphore;

struct board {
	volatile unsigned int sent, received, in_lock;
	volatile bool stop;
};

/* a dump that leaves it running ends calls with EINTR, as every signal does */
static void must_be_interrupted(void)
{
	int err = errno;

	MUST_EQ(err, EINTR);
}

static void sem_add(int n)
{
	struct sembuf op = { .sem_op = n, .sem_flg = SEM_UNDO };

	while (semop(semaphore, &op, 1))
		must_be_interrupted();
}

static void lock(struct board *b)
{
	sem_add(-1);
	MUST_EQ(b->in_lock, 0);
	b->in_lock = 1;
}

static void unlock(struct board *b)
{
	MUST_EQ(b->in_lock, 1);
	b->in_lock = 0;
	sem_add(1);
}

static void producer(struct board *b)
{
	struct letter l = { .type = 1 };

	while (!b->stop) {
		lock(b);
		l.nr = ++b->sent;
		unlock(b);
		while (msgsnd(queue, &l, LETTER_LEN, 0))
			must_be_interrupted();
	}
	l.type = 2;
	while (msgsnd(queue, &l, LETTER_LEN, 0))
		must_be_interrupted();
}

static void consumer(struct board *b)
{
	struct letter l;

	for (;;) {
		while (msgrcv(queue, &l, LETTER_LEN, 0, 0) < 0)
			must_be_interrupted();
		if (l.type == 2)
			return;
		MUST_EQ(l.nr, b->received + 1);
		lock(b);
		b->received = l.nr;
		/* so that dumps come while it is held, too */
		if (l.nr % 16 == 0)
			sched_yield();
		unlock(b);
	}
}

ROUNDTRIP(sysv_ipc_in_motion)
{
	int segment = shmget(IPC_PRIVATE, PAGE, 0600), i;
	void (*const work[])(struct board *b) = { producer, consumer };
	struct msqid_ds ds;
	unsigned int seen;
	struct board *b;
	pid_t pids[2];

	queue = msgget(IPC_PRIVATE, 0600);
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	MUST(segment >= 0 && queue >= 0 && semaphore >= 0 && !semctl(semaphore, 0, SETVAL, 1));
	/* one that is often full */
	MUST(!msgctl(queue, IPC_STAT, &ds));
	ds.msg_qbytes = 16 * LETTER_LEN;
	MUST(!msgctl(queue, IPC_SET, &ds));
	b = shmat(segment, NULL, 0);
	MUST(b != (void *)-1);
	for (i = 0; i < 2; i++) {
		pids[i] = fork_child();
		if (!pids[i]) {
			work[i](b);
			_exit(0);
		}
	}
	for (i = 0; i < 3; i++) {
		seen = b->received;
		WAIT_FOR(b->received >= seen + 100);
		checkpoint_here();
		seen = b->received;
		WAIT_FOR(b->received >= seen + 100);
	}
	b->stop = true;
	reap(pids[0]);
	reap(pids[1]);
	MUST_EQ(b->received, b->sent);
	MUST(!msgctl(queue, IPC_STAT, &ds));
	MUST_EQ(ds.msg_qnum, 0);
	MUST_EQ(semctl(semaphore, 0, GETVAL), 1);
	MUST(!msgctl(queue, IPC_RMID, NULL) && !semctl(semaphore, 0, IPC_RMID) && !shmdt(b) && !shmctl(segment, IPC_RMID, NULL));
}

TEST_HARNESS_MAIN
