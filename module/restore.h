/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Types that the files of the restore half share: the gate, the tasks that wait behind it, and the memory program that
 * a process runs before it waits.  Nothing outside gate.c, threads.c, set.c, settings.c, stop.c,
 * ptrace.c, vfork.c, program.c, ops.c, fill.c, process.c, timers.c, times.c and records.c needs them.
 */
#ifndef _CRK_RESTORE_H
#define _CRK_RESTORE_H

#include <linux/mman.h>
#include <linux/signal.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "private.h"

#define CRK_NO_OP		(~0U)	/* out_bad_op: it was none of the records */

enum crk_gate_state {
	CRK_GATE_CLOSED,	/* tasks come and wait */
	CRK_GATE_ARMING,	/* timers start, tracers attach, leaders that had exited do so; no one else leaves */
	CRK_GATE_TRACING,	/* those that a tracer holds go to where it holds them */
	CRK_GATE_OPEN,		/* all go; nothing can fail any more */
	CRK_GATE_DEAD,		/* one failed: all are being killed */
};

/**
 * struct crk_gate - what a restore holds
 * @lock: for all below; a task that was killed takes it before it leaves, so its holder can work on parked tasks
 * @state: written under @lock, read by waiters without
 * @nr_tasks: tasks announced by CRK_IOC_RESTORE
 * @nr_here: entries of @tasks
 * @nr_parked: tasks that wait at the gate
 * @nr_ready: those of them that have their state
 * @nr_timers: leaders with timers to start
 * @nr_tracers: tasks that trace others
 * @nr_armed: those of both that have done it
 * @armed: all have, and what else comes before the gate may open; of the opener, under job->lock
 * @nr_left: tasks that are through
 * @nr_dead: leaders that exit while the gate is %CRK_GATE_ARMING
 * @dead: those, by global tid; holds references
 * @tasks: struct crk_parked by global tid
 * @tracees: struct crk_tracee by global tid; they live as long as the gate
 * @procs: struct crk_proc by global tgid
 * @opener_wq: the opener, in CRK_IOC_WAIT and CRK_IOC_GO
 * @timer_wq: leaders with timers, until %CRK_GATE_ARMING
 * @wq: all parked tasks, until %CRK_GATE_OPEN; some have to leave or to do something before, see crk_gate_is_over()
 * @fail_pid: the process that failed first, NULL if none
 * @fail_err: negative errno
 * @fail_op: index of its record, or %CRK_NO_OP
 * @fail_text: the reason
 */
struct crk_gate {
	struct mutex lock;
	enum crk_gate_state state;
	u32 nr_tasks;
	u32 nr_here;
	u32 nr_parked;
	u32 nr_ready;
	u32 nr_timers;
	u32 nr_tracers;
	u32 nr_armed;
	bool armed;
	u32 nr_left;
	u32 nr_dead;
	struct xarray dead;
	struct xarray tasks;
	struct xarray tracees;
	struct xarray procs;
	wait_queue_head_t opener_wq;
	wait_queue_head_t timer_wq;
	wait_queue_head_t wq;
	struct pid *fail_pid;
	int fail_err;
	u32 fail_op;
	char fail_text[320];
};

/* one process behind the gate; lives as long as one of its threads is there */
struct crk_proc {
	u32 nr_members;		/* under gate->lock */
	u32 nr_parked;		/* the same; read by the leader without */
	u32 nr_sharers;		/* the same: parked processes that share its memory */
	wait_queue_head_t wq;	/* the leader, until these are parked */
};

/**
 * struct crk_tracee - a task of the restore that had a tracer
 * @task: referenced; one that is held leaves the gate before the others
 * @tracer: parked task that is to trace it, referenced; NULL for none
 * @rec: what CRK_IOC_SET gave
 * @stop: the same, of a leader: job control of its process
 * @blocked: its mask, given to it when it is where it is held
 * @pending: its pending signals until then
 * @no_cldstop: meanwhile the tracer gets no SIGCHLD for stops, because of this one
 */
struct crk_tracee {
	struct task_struct *task;
	struct task_struct *tracer;
	struct crk_rec_trace rec;
	struct crk_rec_stop stop;
	u64 blocked;
	struct sigpending pending;
	bool no_cldstop;
};

/**
 * struct crk_parked - one task behind the gate, or on its way there
 * @work: runs crk_program_work() or crk_park_work() when the ioctl is over
 * @pin: a file of our own that keeps the module loaded; see threads.c
 * @job: holds a reference
 * @task: the task, holds a reference
 * @tid, @tgid: in the first pid namespace
 * @proc: its process
 * @prog: the memory program, until it has run; NULL for threads other than the leader
 * @queued: @work was queued
 * @parked: waits at the gate
 * @ready: has its state
 * @let_go: went through the open gate
 * @state: what CRK_IOC_SET gave; applied by the task itself when it leaves
 * @settings: the same
 * @stop: the same, of a leader: job control of its process
 * @dead: a leader that had exited, with @exit_code
 * @pdeath_signal: kept for it while leaders exit
 * @brings_mm: a leader whose program makes the memory that its sharers have too
 * @left: counted in gate->nr_left
 * @vfork_child: it waits for this one in vfork; referenced
 * @vfork_pid: the child's pid as it sees it
 * @vfork_done: on its stack while it is parked
 * @tracee: it had a tracer; else NULL
 * @tracer: it traces others, and is to attach to them
 * @attached: it has done so
 */
struct crk_parked {
	struct callback_head work;
	struct file *pin;
	struct crk_job *job;
	struct task_struct *task;
	unsigned long tid;
	unsigned long tgid;
	struct crk_proc *proc;
	struct crk_prog *prog;
	bool queued;
	bool parked;
	bool ready;
	bool let_go;
	struct crk_rec_thread state;
	struct crk_rec_settings settings;
	struct crk_rec_stop stop;
	bool dead;
	u32 exit_code;
	int pdeath_signal;
	bool brings_mm;
	bool left;
	struct task_struct *vfork_child;
	pid_t vfork_pid;
	struct completion *vfork_done;
	struct crk_tracee *tracee;
	bool tracer;
	bool attached;
};

/* one record of a memory program with what its check took hold of */
struct crk_step {
	struct crk_op op;
	struct file *file;	/* of op.fd */
	char *text;		/* CRK_OP_NAME */
};

/**
 * struct crk_prog - a memory program, checked
 * @steps: the records, @nr of them
 * @sources: mappings that are moved, in order of address, @nr_sources of them
 * @shared: the memory is another process's, only the rest is done
 * @nr_threads: threads of the process, the leader included
 * @nr_sharers: processes that share its memory
 * @close_from: first descriptor to close, ~0 closes none
 * @recs: records of the process, @recs_len bytes
 * @mm: CRK_REC_MM
 * @actions: CRK_REC_ACTIONS in @recs, or NULL
 * @nr_timers: CRK_REC_ITIMER and CRK_REC_POSIX_TIMER in @recs
 * @log: while it is checked the caller's, then @text
 * @own_log: writes to @text
 * @text: why it failed when it ran
 */
struct crk_prog {
	struct crk_step *steps;
	u32 nr;
	u32 nr_sources;
	struct crk_range *sources;
	bool shared;
	u32 nr_threads;
	u32 nr_sharers;
	u32 close_from;
	void *recs;
	u64 recs_len;
	struct crk_rec_mm mm;
	const struct crk_rec_actions *actions;
	u32 nr_timers;
	struct crk_log *log;
	struct crk_log own_log;
	char text[256];
};

/* threads.c */
struct crk_parked *crk_parked_create(struct crk_job *job);
void crk_parked_destroy(struct crk_parked *p);		/* one whose work was not queued */
int crk_parked_queue(struct crk_parked *p, task_work_func_t func);
bool crk_parked_begin(struct crk_parked *p);
void crk_parked_leave(struct crk_parked *p);		/* the last thing that a work function does */
void crk_park_work(struct callback_head *work);
void crk_parked_brings_mm(struct crk_parked *p);		/* from now on sharers count for it */

/* gate.c; the first with gate->lock held */
void __crk_gate_fail(struct crk_gate *gate, struct task_struct *t, u32 op, int err, const char *text);
void crk_gate_fail(struct crk_gate *gate, struct task_struct *t, u32 op, int err, const char *text);
int crk_gate_failure(struct crk_gate *gate, struct crk_log *log, int ret);	/* what failed, into the log; @ret */

/* program.c */
void crk_prog_destroy(struct crk_prog *prog);

/* ops.c: the rows of the memory program; crk_step_err() returns @ret */
int crk_step_check(struct crk_prog *prog, struct crk_step *step);
int crk_step_run(struct crk_prog *prog, struct crk_step *step);
bool crk_step_maps(const struct crk_step *step);	/* makes a mapping at op.addr */
__printf(4, 5) int crk_step_err(struct crk_prog *prog, struct crk_step *step, int ret, const char *fmt, ...);
/* a page of current for a system call's argument, @len bytes at @data copied to it; undone by crk_scratch_unmap() */
int crk_scratch_map(const void *data, size_t len, unsigned long *addr_ret);
void crk_scratch_unmap(unsigned long addr);

/* fill.c: CRK_OP_FILL */
int crk_fill_check(struct crk_prog *prog, struct crk_step *step);
int crk_fill_run(struct crk_prog *prog, struct crk_step *step);

/* process.c: CRK_REC_MM, CRK_REC_ACTIONS, descriptors */
int crk_mm_check(const struct crk_rec_mm *in, struct crk_log *log);
void crk_mm_set(const struct crk_rec_mm *in);
int crk_actions_check(const struct crk_rec_actions *in, struct crk_log *log);
void crk_actions_set(const struct crk_rec_actions *in);
void crk_files_close(u32 from);

/* timers.c: CRK_REC_ITIMER, CRK_REC_POSIX_TIMER */
int crk_timer_check(const struct crk_rec *rec, struct crk_log *log);
int crk_timers_start(struct crk_prog *prog);

/* vfork.c */
void crk_vfork_link(struct crk_parked *p);	/* the gate is about to open */
void crk_vfork_wait(struct crk_parked *p);	/* current */

/* ptrace.c, gate->lock held where there is a gate */
int crk_trace_check(const struct crk_rec_trace *in, struct crk_log *log);
int crk_trace_apply(struct crk_gate *gate, struct crk_parked *p, const struct crk_rec_trace *in);	/* NULL: none */
void crk_tracees_free(struct crk_gate *gate);
int crk_tracers_find(struct crk_gate *gate, struct crk_log *log);
int crk_tracer_attach(struct crk_gate *gate, pid_t *tracee);	/* current; the lock is not held */
void crk_tracees_start(struct crk_gate *gate);		/* may go to their stops now */
int crk_tracees_wait(struct crk_gate *gate);		/* the opener, the lock is not held */
void crk_tracees_finish(struct crk_gate *gate);
bool crk_trace_is_held(const struct crk_parked *p);
void crk_trace_go(struct crk_parked *p);		/* current, through the gate with all its state */
void crk_trace_syscall_exit(void);			/* current, whose system call was finished by us */

/* settings.c */
int crk_settings_check(const struct crk_rec_settings *in, struct crk_log *log);
void crk_settings_set(const struct crk_rec_settings *in);	/* current, through the gate */

/* times.c; gate->lock held, @t is parked */
void crk_times_set(struct task_struct *t, const struct crk_rec_times *in);

/* stop.c */
int crk_stop_check(const struct crk_rec_stop *in, struct crk_log *log);
int crk_stop_check_thread(const struct crk_rec_thread *in, struct crk_log *log);
void crk_stop_set(struct crk_gate *gate, struct crk_parked *leader);	/* before anybody leaves the gate */
void crk_stop_tell(struct task_struct *leader, const struct crk_rec_stop *stop);	/* the gate is about to open */

/* records.c: both return ERR_PTR(), crk_rec_next() NULL at the end; *pos starts as 0 */
void *crk_recs_copy(u64 uptr, u64 len, struct crk_log *log);
const struct crk_rec *crk_rec_next(const void *recs, u64 len, u64 *pos, struct crk_log *log);
/* fixed-size record into @dst of @size bytes: what is missing is 0, what this module doesn't know must be 0 */
int crk_rec_get(const struct crk_rec *rec, void *dst, size_t size, struct crk_log *log);

static inline void crk_sigset_put(sigset_t *set, u64 mask)
{
	int i;

	for (i = 0; i < _NSIG_WORDS; i++)
		set->sig[i] = mask >> (i * _NSIG_BPW);
	sigdelsetmask(set, sigmask(SIGKILL) | sigmask(SIGSTOP));
}

#endif /* _CRK_RESTORE_H */
