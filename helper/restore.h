/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of a restore share among themselves: plan.c (what is to be made), birth.c (who makes whom),
 * tree.c (processes), threads.c (threads), sync.c (waiting for each other), watch.c (what if the coordinator dies).
 *
 * The coordinator is the process of `crkhelper restore`.  All others are its descendants, run the same code until
 * the module turns them into what they are to become, and share struct crk_sync with it.
 */
#ifndef _CRK_RESTORE_H
#define _CRK_RESTORE_H

#include <signal.h>

#include "helper.h"

/* points that every process passes before any goes on */
enum crk_barrier {
	CRK_BARRIER_CREATED,		/* all processes exist; sessions and leaders of groups are made */
	CRK_BARRIER_GROUPED,		/* all are in their groups; stand-ins may go */
	CRK_BARRIER_ADOPTED,		/* stand-ins are gone, orphans have their parents */
	CRK_BARRIER_POSTED,		/* semaphores: what was given is there, the rest may be taken; those who have any */
	CRK_NR_BARRIERS
};

/* what the death of the coordinator means: struct crk_sync.stage */
enum crk_stage {
	CRK_STAGE_MAKING,		/* kill all that was made, remove the cgroup if it is ours */
	CRK_STAGE_RUNNING,		/* complete: only the thaw may be missing */
	CRK_STAGE_DONE,
};

/* what the death of crkhelper lazy-pages means: struct crk_sync.lazy */
enum crk_lazy_stage {
	CRK_LAZY_FILLING,		/* the processes are dead, or will be */
	CRK_LAZY_FAILED,		/* the same, and why is said */
	CRK_LAZY_DONE,
};

/* how a process comes into being; made by birth.c, one for each process and stand-in */
struct crk_birth {
	struct crk_rproc *proc;
	pid_t sid;			/* session it is born in */
	bool before_setsid;		/* its parent makes it before it makes its own session */
	bool adopts;			/* must be a subreaper while stand-ins below it exit */
	struct crk_rproc *final_parent;	/* NULL: outside the images */
};

/* shared between all processes of the restore; words are futexes */
struct crk_sync {
	uint32_t failed;		/* some process gave up, its reason is in @log_fd */
	uint32_t stage;			/* CRK_STAGE_* */
	uint32_t abort;			/* nobody may come into being any more */
	uint32_t barrier[CRK_NR_BARRIERS];	/* how many have arrived */
	uint32_t barrier_nr[CRK_NR_BARRIERS];	/* how many there are */
	uint32_t late_files;		/* files that need processes are open */
	uint32_t parked;		/* all are parked but those that crk_sync_close_last() holds back */
	/* the same in all processes since they are made after these are set */
	int log_fd;			/* where processes of the restore write their messages */
	struct crk_birth *births;	/* those of r->procs, then stand-ins */
	size_t nr_births;
	size_t look_at;			/* the coordinator's: at which of them it looks next, see crk_sync_check() */
	struct crk_rproc *stand_ins;	/* at births[r->nr_procs] and on */
	size_t nr_stand_ins;
	pid_t *pids;			/* all pids and tids that the images need, sorted */
	size_t nr_pids;
	char cgroup[4096];		/* path of the cgroup that the tree goes to, "" before it is known */
	uint32_t cgroup_made;		/* by this restore: goes away with it */
	struct undo_note *undo;		/* shared too: undo.c */
	size_t undo_used;		/* bytes of it */
	uint32_t lazy;			/* enum crk_lazy_stage */
	pid_t watcher;
	size_t size;			/* of this mapping */
	pid_t alive[];			/* of each birth, by crk_sync_alive() */
};

/* plan.c: r->procs with their images; all refusals that need no system calls to be undone */
int crk_plan(struct crk_rst *r);
void crk_plan_free(struct crk_rst *r);
bool crk_pid_planned(const struct crk_rst *r, pid_t pid);	/* a pid or tid that the images need */

/* birth.c: parents, sessions and groups; adds stand-ins; fills r->sync->births */
int crk_birth_plan(struct crk_rst *r);
void crk_birth_free(struct crk_rst *r);
struct crk_birth *crk_birth_of(const struct crk_rst *r, const struct crk_rproc *p);

/* sync.c */
int crk_sync_create(struct crk_rst *r);
void crk_sync_destroy(struct crk_rst *r);
void crk_sync_fail(struct crk_sync *s);
void crk_sync_wake(uint32_t *word);		/* sets it */
void crk_sync_sleep(uint32_t *word);	/* until it is set */
void crk_sync_born(pid_t *slot, pid_t pid);	/* by the process and by who made it: it may be killed before it has said so */
void crk_sync_gone(pid_t *slot);		/* as it shall be; stays so */
pid_t crk_sync_alive(const pid_t *slot);	/* 0: not there yet, or gone */
int crk_sync_arrive(struct crk_sync *s, enum crk_barrier b);	/* and wait for all others */
/* the coordinator: waits until all have arrived; -ECANCELED if some process gave up or died */
int crk_sync_wait(struct crk_rst *r, enum crk_barrier b);
/* the coordinator: has any process given up or died?  0, or -ECANCELED and the reason is said */
int crk_sync_check(struct crk_rst *r);
/*
 * A process whose open files others share closes the helper's descriptors in its memory program; the others may need
 * them until they are parked, so it comes last.  The coordinator calls _parked() while it waits.
 */
void crk_sync_close_last(struct crk_rst *r, const struct crk_rproc *p);
void crk_sync_parked(struct crk_rst *r, uint32_t nr);
void crk_sync_drain_log(struct crk_rst *r, bool failed);	/* messages of the processes to standard error */

/* tree.c: returns when the tree stands; its processes then go on by themselves until they park */
int crk_tree_create(struct crk_rst *r);
void crk_tree_kill(struct crk_rst *r);		/* after a failure: nothing of it is left */

/* threads.c: in a process: makes all threads but the leader; they go on by themselves until they park */
int crk_threads_create(struct crk_rst *r, struct crk_rproc *p);
long crk_clone3(void *args, size_t size);	/* raw; fork-like only */

/* cgroups.c, in this order */
void crk_cgroups_look(struct crk_rst *r, int dir);	/* which exist below @dir; -1: that will be made too */
int crk_cgroups_make(struct crk_rst *r);
struct clone_args;
void crk_cgroups_birth(const struct crk_rst *r, const struct crk_rproc *p, size_t thread, struct clone_args *args);
int crk_cgroups_enter(const struct crk_rst *r, const struct crk_rproc *p, size_t thread);	/* first thing after birth */
int crk_cgroups_settings(struct crk_rst *r);	/* when all tasks are there: limits and owners of those made here */
int crk_cgroups_freeze(struct crk_rst *r);		/* those that had been frozen on their own */
void crk_cgroups_remove(struct crk_rst *r);		/* those made here, below that of the tree, if nobody is in them */
void crk_cgroups_undo(struct crk_rst *r);		/* the same, and those that were frozen are again */

/* undo.c: names and objects to take back if the restore fails or the coordinator dies; noted before they are made */
int crk_undo_create(struct crk_rst *r);
void crk_undo_keep(struct crk_sync *s);		/* from processes that are made from now on: they do not write notes */
void crk_undo_destroy(struct crk_sync *s);
int crk_undo_name(struct crk_rst *r, const char *name);
int crk_undo_shm(struct crk_rst *r, int id);	/* goes if nobody has it attached */
void crk_undo_run(struct crk_sync *s);

/* watch.c */
int crk_watch_start(struct crk_rst *r);
void crk_watch_stop(struct crk_rst *r);
void crk_watch_kill_all(struct crk_sync *s);

/* task/core.c */
enum crk_prop_step { CRK_PROP_CHECK, CRK_PROP_EARLY, CRK_PROP_OUTSIDE };
int crk_props_run(struct crk_rst *r, struct crk_rproc *p, enum crk_prop_step step);
int crk_props_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t);
const char *crk_rproc_comm(const struct crk_rproc *p);

/* set by SIGINT and SIGTERM in the coordinator until the tree runs */
extern volatile sig_atomic_t crk_restore_interrupted;

#endif /* _CRK_RESTORE_H */
