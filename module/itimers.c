// SPDX-License-Identifier: GPL-2.0
/*
 * Interval timers and POSIX timers of a frozen process: what is armed, and for how long.  Only reads; timers go on
 * while their process is frozen, and expire.
 */
#include <linux/alarmtimer.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/pid_namespace.h>
#include <linux/posix-timers.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>

#include "out.h"

/* ---- CPU clocks ---- */

/* as task_cputime() of the kernel, whose detours are for tasks that run */
static u64 task_clock(struct task_struct *t, unsigned int which)
{
	switch (which) {
	case CPUCLOCK_PROF:
		return t->utime + t->stime;
	case CPUCLOCK_VIRT:
		return t->utime;
	default:
		return t->se.sum_exec_runtime;
	}
}

/* threads that have exited are in @sig, the others are in no hurry: the process is frozen */
static u64 process_clock(struct task_struct *t, unsigned int which)
{
	struct signal_struct *sig = t->signal;
	struct task_struct *p;
	u64 ns;

	switch (which) {
	case CPUCLOCK_PROF:
		ns = sig->utime + sig->stime;
		break;
	case CPUCLOCK_VIRT:
		ns = sig->utime;
		break;
	default:
		ns = sig->sum_sched_runtime;
	}
	rcu_read_lock();
	for_each_thread(t, p)
		ns += task_clock(p, which);
	rcu_read_unlock();
	return ns;
}

bool crk_cpu_clock(struct task_struct *t, clockid_t clock, u64 *ns)
{
	bool thread = CPUCLOCK_PERTHREAD(clock);
	struct pid_namespace *ns_of_t = task_active_pid_ns(t);
	pid_t pid = CPUCLOCK_PID(clock);
	unsigned int which = CPUCLOCK_WHICH(clock);

	if (which >= CPUCLOCK_MAX || !ns_of_t)
		return false;
	if (pid && pid != (thread ? task_pid_nr_ns(t, ns_of_t) : task_tgid_nr_ns(t, ns_of_t)))
		return false;
	*ns = thread ? task_clock(t, which) : process_clock(t, which);
	return true;
}

/* ---- interval timers ---- */

/* time until a timer with @interval expires next, when it should have expired @late ago */
static s64 next_period(s64 late, s64 interval)
{
	s64 n;

	if (interval <= 0)
		return 1;
	n = div64_s64(late, interval);
	return interval - (late - n * interval);
}

static void itimer_add(struct crk_out *out, u32 which, s64 remaining, s64 interval)
{
	struct crk_rec_itimer *rec = crk_out_add(out, CRK_REC_ITIMER, sizeof(*rec));

	rec->which = which;
	rec->remaining_ns = remaining;
	rec->interval_ns = interval;
}

/* an expired periodic timer starts again when its SIGALRM is taken; the image has both */
static void real_capture(struct signal_struct *sig, struct crk_out *out)
{
	s64 remaining = ktime_to_ns(__hrtimer_get_remaining(&sig->real_timer, true));
	s64 interval = ktime_to_ns(sig->it_real_incr);

	if (!hrtimer_active(&sig->real_timer) && !interval)
		return;
	if (remaining <= 0)
		remaining = next_period(-remaining, interval);
	itimer_add(out, ITIMER_REAL, remaining, interval);
}

static void cpu_capture(struct task_struct *t, u32 which, unsigned int clock, struct crk_out *out)
{
	struct cpu_itimer *it = &t->signal->it[clock];
	u64 now;

	if (!it->expires)
		return;
	now = process_clock(t, clock);
	itimer_add(out, which, now < it->expires ? it->expires - now : TICK_NSEC, it->incr);
}

/* ---- POSIX timers ---- */

struct reading {
	bool armed, absolute;
	s64 value;
	s64 behind;
};

static struct reading read_hrtimer(struct k_itimer *timer)
{
	struct hrtimer *hr = &timer->it.real.timer;
	struct reading r = { .armed = timer->it_interval || crk_timer_active(timer) };
	s64 left = ktime_to_ns(__hrtimer_get_remaining(hr, true)), remaining = left;
	clockid_t base = hr->base->clockid;

	/* a one-shot timer without a signal is never queued: it is armed as long as its time has not come */
	if (timer->it_sigev_notify == SIGEV_NONE && remaining > 0)
		r.armed = true;
	r.absolute = base == CLOCK_REALTIME || base == CLOCK_TAI;
	r.behind = -remaining;
	if (remaining <= 0)
		remaining = next_period(-remaining, ktime_to_ns(timer->it_interval));
	r.value = r.absolute ? ktime_to_ns(hrtimer_get_expires(hr)) + remaining - left : remaining;
	return r;
}

static struct reading read_cpu_timer(struct k_itimer *timer)
{
	unsigned int which = CPUCLOCK_WHICH(timer->it_clock);
	bool thread = CPUCLOCK_PERTHREAD(timer->it_clock);
	struct reading r = {};
	struct task_struct *p;
	u64 expires = 0, now;

#ifdef CONFIG_POSIX_TIMERS
	expires = timer->it.cpu.node.expires;
#endif
	rcu_read_lock();
	p = pid_task(timer->it.cpu.pid, thread ? PIDTYPE_PID : PIDTYPE_TGID);
	if (p && expires) {
		now = thread ? task_clock(p, which) : process_clock(p, which);
		r.armed = true;
		r.behind = now - expires;
		r.value = now < expires ? expires - now : next_period(now - expires, ktime_to_ns(timer->it_interval));
	}
	rcu_read_unlock();
	return r;
}

static struct reading read_alarm(struct k_itimer *timer)
{
	struct reading r = { .armed = timer->it_interval || crk_timer_active(timer) };

	r.value = ktime_to_ns(alarm_expires_remaining(&timer->it.alarm.alarmtimer));
	r.behind = -r.value;
	if (r.value <= 0)
		r.value = next_period(-r.value, ktime_to_ns(timer->it_interval));
	return r;
}

/*
 * A timer whose signal is queued stands still until the signal is taken; then the kernel adds the periods that went by.
 * it_overrun begins at -1 for that reason.
 */
static s32 overrun_now(const struct k_itimer *timer, const struct reading *r)
{
	s64 interval = ktime_to_ns(timer->it_interval), passed = 0;

	if (interval > 0 && r->behind >= 0)
		passed = div64_s64(r->behind, interval) + 1;
	return clamp_t(s64, timer->it_overrun + passed, 0, S32_MAX);
}

static void posix_timer_add(struct k_itimer *timer, struct crk_out *out)
{
	struct crk_rec_posix_timer *rec = crk_out_add(out, CRK_REC_POSIX_TIMER, sizeof(*rec));
	const struct sigqueue *q = crk_timer_sigqueue(timer);
	struct reading r;

	if (timer->it_clock < 0)
		r = read_cpu_timer(timer);
	else if (timer->it_clock == CLOCK_REALTIME_ALARM || timer->it_clock == CLOCK_BOOTTIME_ALARM)
		r = read_alarm(timer);
	else
		r = read_hrtimer(timer);
	rec->id = timer->it_id;
	rec->clockid = timer->it_clock;
	rec->notify = timer->it_sigev_notify;
	rec->signo = q->info.si_signo;
	rec->value = (unsigned long)q->info.si_value.sival_ptr;
	if (timer->it_sigev_notify & SIGEV_THREAD_ID)
		rec->notify_tid = pid_nr_ns(timer->it_pid, task_active_pid_ns(current));
	if (!list_empty(&q->list)) {
		rec->flags |= CRK_TIMER_PENDING;
		rec->overrun = overrun_now(timer, &r);
	}
	if (r.armed) {
		rec->flags |= CRK_TIMER_ARMED;
		rec->remaining_ns = r.value;
		rec->interval_ns = ktime_to_ns(timer->it_interval);
	}
	if (r.armed && r.absolute)
		rec->flags |= CRK_TIMER_ABSTIME;
}

unsigned int crk_timers_count(struct task_struct *t)
{
	struct k_itimer *timer;
	unsigned int nr = 0;

	crk_for_each_posix_timer(timer, t->signal)
		nr++;
	return nr;
}

/*
 * Timers are created and deleted by their own process only, which is frozen; when it is killed instead, the list is
 * emptied under siglock before the first one is freed.  A timer that expires holds its it_lock and waits for siglock:
 * then trying the lock fails, and what was read so far would not fit the pending signals.
 */
int crk_timers_capture(struct task_struct *t, struct crk_out *out)
{
	struct k_itimer *timer;

	lockdep_assert_held(&t->sighand->siglock);
	real_capture(t->signal, out);
	cpu_capture(t, ITIMER_VIRTUAL, CPUCLOCK_VIRT, out);
	cpu_capture(t, ITIMER_PROF, CPUCLOCK_PROF, out);
	crk_for_each_posix_timer(timer, t->signal) {
		if (!spin_trylock(&timer->it_lock))
			return -EAGAIN;
		if (crk_timer_valid(timer))
			posix_timer_add(timer, out);
		spin_unlock(&timer->it_lock);
	}
	return 0;
}
