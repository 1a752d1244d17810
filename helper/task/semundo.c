// SPDX-License-Identifier: GPL-2.0
/*
 * What processes hold of SysV semaphores and give back when they end (SEM_UNDO).  The sets are the machine's: they stay
 * when the processes of a dump are killed, which gives back all that these held.  A restored process takes it again,
 * by semop(2) with SEM_UNDO, so that nothing is lost or gained at whatever point a restore is killed.
 *
 * What was given (posted) comes before what was taken, over all processes: one may have taken what the other gave.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "task.h"

#define OP_MAX	32767

/* ---- dump ---- */

/* each of the threads of a process that share a list, or one that has its own, may not share it with any other */
static const struct crk_task *list_elsewhere(const struct crk_dump *d, const struct crk_dproc *p, const struct crk_task *t)
{
	bool shared = t->sysvsem_id == p->live->sysvsem_id;
	size_t i;

	for (i = 0; i < d->nr_tasks; i++)
		if (d->tasks[i].sysvsem_id == t->sysvsem_id && &d->tasks[i] != t && (!shared || d->tasks[i].tgid != p->pid))
			return &d->tasks[i];
	return NULL;
}

static int semundo_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const struct crk_task *t, *other;
	size_t i;

	(void)te;
	(void)cores;
	for (i = 0; i < p->nr_threads; i++) {
		t = &p->leader[i];
		if (!t->sysvsem_id || (t != p->live && t->sysvsem_id == p->live->sysvsem_id))
			continue;
		other = list_elsewhere(d, p, t);
		if (other)
			return crk_fail(-EOPNOTSUPP, TASK_FMT ": shares its undos of SysV semaphores with tid %d: not supported",
					DTASK_ARGS(p, i), other->tid);
		if (p->mm_of && dproc_rec(p, i, CRK_REC_SEMUNDO, NULL))
			return crk_fail(-EOPNOTSUPP, TASK_FMT ": holds SysV semaphores (SEM_UNDO) and shares the memory of pid %d: not supported",
					DTASK_ARGS(p, i), p->mm_of->pid);
	}
	return 0;
}

/* does a thread of it hold some of a semaphore (@sign 1), or has it given some (-1)? */
static bool has_undo(const struct crk_dproc *p, int sign)
{
	const struct crk_rec_semundo *rec;
	uint32_t k;
	size_t i;

	for (i = 0; i < p->nr_threads; i++)
		for (rec = NULL; (rec = dproc_rec(p, i, CRK_REC_SEMUNDO, rec));)
			for (k = 0; k < rec->nr; k++)
				if (rec->adj[k] * sign > 0)
					return true;
	return false;
}

void crk_semundo_end(struct crk_dump *d)
{
	struct crk_dproc *p, *end = d->procs + d->nr_procs;

	for (p = d->procs; p < end && !has_undo(p, -1); p++)
		;
	if (p == end)
		return;
	for (p = d->procs; p < end; p++)
		if (has_undo(p, 1))
			kill(p->pid, SIGKILL);
	for (p = d->procs; p < end; p++) {
		struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };

		if (fd.fd >= 0 && has_undo(p, 1))
			poll(&fd, 1, d->opts->timeout_ms ? (int)d->opts->timeout_ms : -1);
	}
}

/* ---- before a restore ---- */

static int set_check(const struct crk_rproc *p, const struct crk_rec_semundo *rec)
{
	struct semid_ds ds;

	if (sizeof(*rec) + rec->nr * sizeof(rec->adj[0]) > rec->rec.size)
		return crk_fail(-EBADMSG, "crk-core-%d.img: a record of semaphores is cut", p->pid);
	if (!semctl(rec->semid, 0, IPC_STAT, &ds) && ds.sem_perm.__key == rec->key && ds.sem_nsems == rec->nr)
		return 0;
	crk_fail(-ENOENT, "pid %d (%s): holds semaphores of the SysV set %d (key %#x, %u semaphores), which does not exist",
		 p->pid, crk_rproc_comm(p), rec->semid, rec->key, rec->nr);
	crk_hint("sets of semaphores are not saved: restore on the same machine, before they are removed and without a reboot");
	return -ENOENT;
}

static const struct crk_rec_semundo *record_of(const struct crk_rthread *t, const struct crk_rec_semundo *prev)
{
	return rthread_rec(t, CRK_REC_SEMUNDO, prev);
}

/* held by all processes together, less what they have given */
static long held_by_all(const struct crk_rst *r, int semid, size_t num)
{
	const struct crk_rec_semundo *rec;
	long sum = 0;
	size_t i, j;

	for (i = 0; i < r->nr_procs; i++)
		for (j = 0; j < r->procs[i].nr_threads; j++)
			for (rec = NULL; (rec = record_of(&r->procs[i].threads[j], rec));)
				sum += rec->semid == semid && num < rec->nr ? rec->adj[num] : 0;
	return sum;
}

static int values_check(const struct crk_rst *r, const struct crk_rproc *p, const struct crk_rec_semundo *rec)
{
	_cleanup_free_ unsigned short *values = calloc(rec->nr + 1, sizeof(*values));
	size_t i;
	long sum;

	if (!values)
		return crk_oom();
	if (semctl(rec->semid, 0, GETALL, values))
		return crk_err(-errno, "pid %d (%s): SysV semaphore set %d", p->pid, crk_rproc_comm(p), rec->semid);
	for (i = 0; i < rec->nr; i++) {
		sum = rec->adj[i] > 0 ? held_by_all(r, rec->semid, i) : 0;
		if (sum > values[i])
			return crk_fail(-EBUSY, "pid %d (%s): held %d of semaphore %zu of the SysV set %d, which others have taken meanwhile (its value is %u, %ld needed)",
					p->pid, crk_rproc_comm(p), rec->adj[i], i, rec->semid, values[i], sum);
	}
	return 0;
}

static int semundo_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rec_semundo *rec;
	size_t i;
	int ret;

	for (i = 0; i < p->nr_threads; i++) {
		if (record_of(&p->threads[i], NULL))
			r->sync->barrier_nr[CRK_BARRIER_POSTED]++;
		for (rec = NULL; (rec = record_of(&p->threads[i], rec));) {
			ret = set_check(p, rec);
			ret = ret ?: values_check(r, p, rec);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* ---- restore ---- */

static int change(const struct crk_rproc *p, const struct crk_rthread *t, const struct crk_rec_semundo *rec, uint32_t num)
{
	int left = -rec->adj[num];

	while (left) {
		int step = left > OP_MAX ? OP_MAX : left;	/* -32768 is in range, 32768 is not */
		struct sembuf op = { .sem_num = num, .sem_op = step, .sem_flg = SEM_UNDO | IPC_NOWAIT };

		left -= step;
		if (!semop(rec->semid, &op, 1))
			continue;
		if (errno == EAGAIN)
			return crk_fail(-EBUSY, TASK_FMT ": held %d of semaphore %u of the SysV set %d, which others have taken meanwhile",
					p->pid, crk_rproc_comm(p), t->tid, rec->adj[num], num, rec->semid);
		return crk_err(-errno, TASK_FMT ": semaphore %u of the SysV set %d", p->pid, crk_rproc_comm(p), t->tid, num,
			       rec->semid);
	}
	return 0;
}

static int change_all(const struct crk_rproc *p, const struct crk_rthread *t, bool take)
{
	const struct crk_rec_semundo *rec = NULL;
	int ret = 0;
	uint32_t i;

	while (!ret && (rec = record_of(t, rec)))
		for (i = 0; i < rec->nr && !ret; i++)
			if (rec->adj[i] && take == (rec->adj[i] > 0))
				ret = change(p, t, rec, i);
	return ret;
}

/* the records are with one thread of those that share a list */
static int semundo_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	int ret;

	if (!record_of(t, NULL))
		return 0;
	ret = change_all(p, t, false);
	ret = ret ?: crk_sync_arrive(r->sync, CRK_BARRIER_POSTED);
	return ret ?: change_all(p, t, true);
}

const struct crk_prop_ops crk_prop_semundo = {
	.name		= "semundo",
	.dump		= semundo_dump,
	.check		= semundo_check,
	.restore_thread	= semundo_restore_thread,
};
