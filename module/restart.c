// SPDX-License-Identifier: GPL-2.0
/*
 * Restart blocks by name, both ways: what restart_syscall(2) would go on with.  The kernel's are a function and raw
 * fields; ours are a kind, flags of our own and the time that remains.  The architecture's word of the block
 * (arch_data) is crk_arch.set_finish()'s.
 */
#include <linux/alarmtimer.h>
#include <linux/poll.h>
#include <linux/posix-timers.h>
#include <linux/restart_block.h>
#include <linux/timekeeping.h>

#include "out.h"
#include "symbols.h"

static bool clock_now(clockid_t clock, u64 *ns)
{
	switch (clock) {
	case CLOCK_MONOTONIC:
		*ns = ktime_get_ns();
		return true;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_ALARM:
		*ns = ktime_get_real_ns();
		return true;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = ktime_get_boottime_ns();
		return true;
	case CLOCK_TAI:
		*ns = ktime_get_clocktai_ns();
		return true;
	default:
		return false;
	}
}

/* the flags of futex_wait() in the kernel; some bits have moved, see kcompat.h */
static clockid_t futex_clock(u32 flags)
{
	return flags & CRK_FUTEX_CLOCKRT ? CLOCK_REALTIME : CLOCK_MONOTONIC;
}

/* ---- get ---- */

static void set_remaining(struct crk_restart *out, s64 expires, s64 now)
{
	out->flags |= CRK_RESTART_HAS_TIME;
	out->remaining_ns = max_t(s64, expires - now, 0);
}

static void get_sleep(struct task_struct *t, const struct restart_block *rb, struct crk_restart *out)
{
	u64 now;

	out->clockid = rb->nanosleep.clockid;
	if (out->kind == CRK_RESTART_ALARM_NANOSLEEP)	/* holds an enum alarmtimer_type */
		out->clockid = rb->nanosleep.clockid == ALARM_REALTIME ? CLOCK_REALTIME_ALARM : CLOCK_BOOTTIME_ALARM;
	if (rb->nanosleep.type != TT_NONE && rb->nanosleep.rmtp) {
		out->flags |= CRK_RESTART_WANT_REM;
		out->uaddr = (unsigned long)rb->nanosleep.rmtp;
	}
	if (rb->nanosleep.type == TT_COMPAT)
		out->flags |= CRK_RESTART_COMPAT_TIME;
	if (out->kind == CRK_RESTART_CPU_NANOSLEEP ? crk_cpu_clock(t, out->clockid, &now) :
						     clock_now(out->clockid, &now))
		set_remaining(out, rb->nanosleep.expires, now);
}

static void get_poll(const struct restart_block *rb, struct crk_restart *out)
{
	out->uaddr = (unsigned long)rb->poll.ufds;
	out->val = rb->poll.nfds;
	if (rb->poll.has_timeout)
		set_remaining(out, crk_restart_poll_get(rb), ktime_get_ns());
}

static void get_futex(const struct restart_block *rb, struct crk_restart *out)
{
	u64 now = 0;

	out->uaddr = (unsigned long)rb->futex.uaddr;
	out->val = rb->futex.val;
	out->bitset = rb->futex.bitset;
	if (rb->futex.flags & CRK_FUTEX_SHARED)
		out->flags |= CRK_RESTART_FUTEX_SHARED;
	if (rb->futex.flags & CRK_FUTEX_CLOCKRT)
		out->flags |= CRK_RESTART_FUTEX_REALTIME;
	clock_now(futex_clock(rb->futex.flags), &now);
	if (rb->futex.flags & CRK_FUTEX_HAS_TIMEOUT)
		set_remaining(out, rb->futex.time, now);
}

/* only for a task that is going to use it (CRK_SYSCALL_BLOCK): the kernel never clears a block */
void crk_restart_get(struct task_struct *t, struct crk_restart *out)
{
	const struct restart_block *rb = &t->restart_block;
	unsigned long fn = (unsigned long)rb->fn;

	memset(out, 0, sizeof(*out));
	if (fn == crk_addr(hrtimer_nanosleep_restart)) {
		out->kind = CRK_RESTART_NANOSLEEP;
		get_sleep(t, rb, out);
	} else if (fn == crk_addr(do_restart_poll)) {
		out->kind = CRK_RESTART_POLL;
		get_poll(rb, out);
	} else if (fn == crk_addr(futex_wait_restart)) {
		out->kind = CRK_RESTART_FUTEX;
		get_futex(rb, out);
	} else if (fn && fn == crk_addr(posix_cpu_nsleep_restart)) {
		out->kind = CRK_RESTART_CPU_NANOSLEEP;
		get_sleep(t, rb, out);
	} else if (fn && fn == crk_addr(alarm_timer_nsleep_restart)) {
		out->kind = CRK_RESTART_ALARM_NANOSLEEP;
		get_sleep(t, rb, out);
	}
}

/* ---- check ---- */

static int check_sleep(const struct crk_restart *in, struct crk_log *log)
{
	u64 now;

	if (!(in->flags & CRK_RESTART_HAS_TIME))
		return crk_log(log, -EOPNOTSUPP, "restart block: a sleep on clock %d of another process", in->clockid);
	if (in->kind == CRK_RESTART_CPU_NANOSLEEP ? crk_cpu_clock(current, in->clockid, &now) :
						    clock_now(in->clockid, &now))
		return 0;
	return crk_log(log, -EINVAL, "restart block: no sleep on clock %d", in->clockid);
}

static int check_time(const struct crk_restart *in, struct crk_log *log)
{
	if (!(in->flags & CRK_RESTART_HAS_TIME))
		return 0;
	/* half of what an s64 of ns holds, so that adding the time of day cannot overflow */
	if (in->remaining_ns < 0 || in->remaining_ns > KTIME_MAX / 2)
		return crk_log(log, -EINVAL, "restart block: %lld ns remaining", in->remaining_ns);
	return 0;
}

int crk_restart_check(const struct crk_restart *in, struct crk_log *log)
{
	static const u32 known[] = {
		[CRK_RESTART_NONE] = 0,
		[CRK_RESTART_NANOSLEEP] = CRK_RESTART_HAS_TIME | CRK_RESTART_COMPAT_TIME | CRK_RESTART_WANT_REM,
		[CRK_RESTART_POLL] = CRK_RESTART_HAS_TIME,
		[CRK_RESTART_FUTEX] = CRK_RESTART_HAS_TIME | CRK_RESTART_FUTEX_SHARED | CRK_RESTART_FUTEX_REALTIME,
		[CRK_RESTART_CPU_NANOSLEEP] = CRK_RESTART_HAS_TIME | CRK_RESTART_COMPAT_TIME | CRK_RESTART_WANT_REM,
		[CRK_RESTART_ALARM_NANOSLEEP] = CRK_RESTART_HAS_TIME | CRK_RESTART_COMPAT_TIME | CRK_RESTART_WANT_REM,
	};
	int ret;

	if (in->kind >= ARRAY_SIZE(known) || in->flags & ~known[in->kind] || in->__reserved)
		return crk_log(log, -EINVAL, "restart block: kind %u, flags %#x", in->kind, in->flags);
	ret = check_time(in, log);
	if (ret)
		return ret;
	switch (in->kind) {
	case CRK_RESTART_CPU_NANOSLEEP:
		if (!crk_have(posix_cpu_nsleep_restart))
			return crk_log(log, -EOPNOTSUPP, "restart block: this kernel has no sleeps on CPU clocks");
		break;
	case CRK_RESTART_ALARM_NANOSLEEP:
		if (!crk_have(alarm_timer_nsleep_restart))
			return crk_log(log, -EOPNOTSUPP, "restart block: this kernel has no sleeps on alarm clocks");
		if (in->clockid != CLOCK_REALTIME_ALARM && in->clockid != CLOCK_BOOTTIME_ALARM)
			return crk_log(log, -EINVAL, "restart block: no alarm clock %d", in->clockid);
		break;
	case CRK_RESTART_NANOSLEEP:
		break;
	default:
		return 0;
	}
	return check_sleep(in, log);
}

/* ---- set ---- */

static void set_sleep(struct restart_block *rb, const struct crk_restart *in)
{
	u64 now = 0;

	rb->nanosleep.clockid = in->clockid;
	if (in->kind == CRK_RESTART_ALARM_NANOSLEEP)
		rb->nanosleep.clockid = in->clockid == CLOCK_REALTIME_ALARM ? ALARM_REALTIME : ALARM_BOOTTIME;
	rb->nanosleep.type = TT_NONE;
	rb->nanosleep.rmtp = NULL;
	if (in->flags & CRK_RESTART_WANT_REM) {
		rb->nanosleep.type = in->flags & CRK_RESTART_COMPAT_TIME ? TT_COMPAT : TT_NATIVE;
		rb->nanosleep.rmtp = u64_to_user_ptr(in->uaddr);
	}
	if (in->kind == CRK_RESTART_CPU_NANOSLEEP)
		crk_cpu_clock(current, in->clockid, &now);
	else
		clock_now(in->clockid, &now);
	rb->nanosleep.expires = now + in->remaining_ns;
}

static void set_poll(struct restart_block *rb, const struct crk_restart *in)
{
	rb->poll.ufds = u64_to_user_ptr(in->uaddr);
	rb->poll.nfds = in->val;
	rb->poll.has_timeout = !!(in->flags & CRK_RESTART_HAS_TIME);
	crk_restart_poll_set(rb, ktime_get_ns() + in->remaining_ns);
}

static void set_futex(struct restart_block *rb, const struct crk_restart *in)
{
	u32 flags = CRK_FUTEX_BASE;
	u64 now = 0;

	if (in->flags & CRK_RESTART_FUTEX_SHARED)
		flags |= CRK_FUTEX_SHARED;
	if (in->flags & CRK_RESTART_FUTEX_REALTIME)
		flags |= CRK_FUTEX_CLOCKRT;
	if (in->flags & CRK_RESTART_HAS_TIME)
		flags |= CRK_FUTEX_HAS_TIMEOUT;
	clock_now(futex_clock(flags), &now);
	rb->futex.uaddr = u64_to_user_ptr(in->uaddr);
	rb->futex.val = in->val;
	rb->futex.flags = flags;
	rb->futex.bitset = in->bitset;
	rb->futex.time = now + in->remaining_ns;
	rb->futex.uaddr2 = NULL;
}

void crk_restart_set(const struct crk_restart *in)
{
	struct restart_block *rb = &current->restart_block;
	unsigned long fn = crk_addr(do_no_restart_syscall);

	switch (in->kind) {
	case CRK_RESTART_NANOSLEEP:
		fn = crk_addr(hrtimer_nanosleep_restart);
		set_sleep(rb, in);
		break;
	case CRK_RESTART_POLL:
		fn = crk_addr(do_restart_poll);
		set_poll(rb, in);
		break;
	case CRK_RESTART_FUTEX:
		fn = crk_addr(futex_wait_restart);
		set_futex(rb, in);
		break;
	case CRK_RESTART_CPU_NANOSLEEP:
		fn = crk_addr(posix_cpu_nsleep_restart);
		set_sleep(rb, in);
		break;
	case CRK_RESTART_ALARM_NANOSLEEP:
		fn = crk_addr(alarm_timer_nsleep_restart);
		set_sleep(rb, in);
		break;
	}
	rb->fn = (typeof(rb->fn))fn;
}
