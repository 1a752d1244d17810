// SPDX-License-Identifier: GPL-2.0
/*
 * What the end of a frozen thread will do to SysV semaphores (SEM_UNDO): the lists of undos.  Nothing in userspace
 * shows them.  Only reads: a restored thread gets them by semop(2) of its own.
 *
 * Nobody changes a list of threads that are frozen.  It is freed when the last of them exits, which SIGKILL may
 * bring about: do_exit() gives up the mm, under task_lock(), before the list (6.1 to 7.2), so a task that is seen with
 * its mm under that lock keeps its list while the lock is held.  Entries and sets are freed after a grace period.
 */
#include <linux/ipc.h>
#include <linux/ipc_namespace.h>
#include <linux/nsproxy.h>
#include <linux/rculist.h>
#include <linux/sched/task.h>

#include "out.h"

#ifdef CONFIG_SYSVIPC

static const struct sem_undo_list *list_of(const struct crk_frozen_task *e)
{
	return READ_ONCE(e->task->sysvsem.undo_list);
}

/* of the threads of a process the first that is alive; it lends its list to the others */
static u32 first_of(struct crk_frozen *frozen, u32 i)
{
	const struct crk_frozen_task *leader = crk_frozen_find(frozen, frozen->tasks[i].task->group_leader);
	u32 k = leader ? leader - frozen->tasks : i;

	while (k < i && frozen->tasks[k].dead)
		k++;
	return k;
}

bool crk_semundo_is_own(struct crk_frozen *frozen, u32 i)
{
	return list_of(&frozen->tasks[i]) != list_of(&frozen->tasks[first_of(frozen, i)]);
}

/* another thread of the process, which comes before, has told it */
static bool is_told(struct crk_frozen *frozen, u32 i)
{
	u32 k;

	for (k = first_of(frozen, i); k < i; k++)
		if (list_of(&frozen->tasks[k]) == list_of(&frozen->tasks[i]))
			return true;
	return false;
}

/* an id is a sequence number above an index of 15 bits, or of 24 with ipcmni_extend on the command line */
static struct crk_sem_array *set_find(struct ipc_namespace *ns, int semid)
{
	static const u32 masks[] = { (1 << 15) - 1, (1 << 24) - 1 };
	struct kern_ipc_perm *perm;
	int i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		perm = idr_find(&ns->ids[CRK_IPC_SEM_IDS].ipcs_idr, semid & masks[i]);
		if (perm && perm->id == semid && !READ_ONCE(perm->deleted))
			return container_of(perm, struct crk_sem_array, perm);
	}
	return NULL;
}

static bool is_nothing(const short *adj, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (READ_ONCE(adj[i]))
			return false;
	return true;
}

static void set_write(const struct crk_sem_array *set, const short *adj, struct crk_out *out)
{
	struct crk_rec_semundo *rec = crk_out_add(out, CRK_REC_SEMUNDO, struct_size(rec, adj, set->nr));
	u32 i;

	rec->semid = set->perm.id;
	rec->key = set->perm.key;
	rec->nr = set->nr;
	for (i = 0; i < rec->nr; i++)
		rec->adj[i] = READ_ONCE(adj[i]);
}

/* bytes that the records take; those that fit into @room are written */
static size_t list_write(struct task_struct *t, struct crk_out *out, size_t room)
{
	const struct crk_sem_undo_list *list;
	const struct crk_sem_array *set;
	const struct crk_sem_undo *undo;
	size_t len = 0, size;

	task_lock(t);
	list = (void *)t->sysvsem.undo_list;
	if (!t->mm || !list || !t->nsproxy) {
		task_unlock(t);
		return 0;
	}
	rcu_read_lock();
	list_for_each_entry_rcu(undo, &list->sets, by_list) {
		set = set_find(t->nsproxy->ipc_ns, READ_ONCE(undo->semid));
		if (!set || is_nothing(crk_sem_adj(undo), set->nr))
			continue;
		size = ALIGN(struct_size_t(struct crk_rec_semundo, adj, set->nr), 8);
		len += size;
		if (len <= room)
			set_write(set, crk_sem_adj(undo), out);
	}
	rcu_read_unlock();
	task_unlock(t);
	return len;
}

int crk_capture_semundo(struct crk_frozen *frozen, u32 i, struct crk_out *out)
{
	struct task_struct *t = frozen->tasks[i].task;
	size_t start = out->len, len, room = 0;

	if (is_told(frozen, i))
		return 0;
	for (;;) {
		len = list_write(t, out, room);
		if (len <= room)
			return 0;
		out->len = start;
		if (crk_out_reserve(out, len))
			return -ENOMEM;
		room = len;
	}
}

#else

bool crk_semundo_is_own(struct crk_frozen *frozen, u32 i)
{
	return false;
}

int crk_capture_semundo(struct crk_frozen *frozen, u32 i, struct crk_out *out)
{
	return 0;
}

#endif /* CONFIG_SYSVIPC */
