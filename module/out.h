/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The buffer that records of one task are built in, and the parts of a capture: capture.c says in which order.
 */
#ifndef _CRK_OUT_H
#define _CRK_OUT_H

#include "frozen.h"

/* kept from task to task; grows, never shrinks */
struct crk_out {
	u8 *buf;
	size_t len, size;
};

int crk_out_reserve(struct crk_out *out, size_t len);
/* zeroed record of @size bytes, rounded up to 8; space for it was reserved */
void *crk_out_add(struct crk_out *out, u32 type, size_t size);

/* signals.c: all that changes under siglock, in one hold: actions, timers and pending signals of the process (with
 * @process), pending signals of the thread
 */
int crk_capture_signals(struct crk_job *job, struct task_struct *t, bool process, struct crk_out *out);

/* settings.c */
int crk_capture_settings(struct task_struct *t, struct crk_out *out);

/* stop.c */
void crk_stop_get(struct task_struct *t, struct crk_rec_thread *rec);
int crk_capture_stop(struct task_struct *leader, struct crk_out *out);

/* ptrace.c: nothing for a task without a tracer */
bool crk_trace_at_entry(struct task_struct *t);	/* held at the entry of a system call that has not begun */
int crk_capture_trace(struct task_struct *t, struct crk_out *out);

/* semundo.c */
bool crk_semundo_is_own(struct crk_frozen *frozen, u32 i);
int crk_capture_semundo(struct crk_frozen *frozen, u32 i, struct crk_out *out);

/* times.c */
int crk_capture_times(struct task_struct *t, bool leader, struct crk_out *out);

/* itimers.c, under siglock */
unsigned int crk_timers_count(struct task_struct *t);
/* -EAGAIN: a timer is just expiring and waits for siglock; let go of it and try again */
int crk_timers_capture(struct task_struct *t, struct crk_out *out);

/* time of a CPU clock of @t itself; false if it is the clock of somebody else */
bool crk_cpu_clock(struct task_struct *t, clockid_t clock, u64 *ns);

#endif /* _CRK_OUT_H */
