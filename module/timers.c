// SPDX-License-Identifier: GPL-2.0
/*
 * Starts interval and POSIX timers of a restored process.  POSIX timers exist by then, the helper made them with
 * their ids; this only sets them, at the last moment.  The setting functions want their argument in user memory.
 * What a dump reads of timers is itimers.c.
 */
#include <linux/math64.h>
#include <linux/time64.h>

#include "restore.h"

int crk_timer_check(const struct crk_rec *rec, struct crk_log *log)
{
	struct crk_rec_itimer it;
	struct crk_rec_posix_timer pt;
	int ret;

	if (rec->type == CRK_REC_ITIMER) {
		ret = crk_rec_get(rec, &it, sizeof(it), log);
		if (ret)
			return ret;
		if (it.which > ITIMER_PROF || it.__reserved || it.remaining_ns < 0 || it.interval_ns < 0)
			return crk_log(log, -EINVAL, "interval timer %u: %lld ns, every %lld ns", it.which,
				       it.remaining_ns, it.interval_ns);
		return 0;
	}
	ret = crk_rec_get(rec, &pt, sizeof(pt), log);
	if (ret)
		return ret;
	if (pt.flags & ~(CRK_TIMER_ARMED | CRK_TIMER_ABSTIME | CRK_TIMER_PENDING) || pt.interval_ns < 0)
		return crk_log(log, -EINVAL, "POSIX timer %d: flags %#x, every %lld ns", pt.id, pt.flags,
			       pt.interval_ns);
	return 0;
}

/* up: a timer may be late, not early */
static struct __kernel_old_timeval to_timeval(s64 ns)
{
	s32 rest;
	s64 sec = div_s64_rem(ns, NSEC_PER_SEC, &rest);

	rest = DIV_ROUND_UP(rest, (s32)NSEC_PER_USEC);
	return (struct __kernel_old_timeval){
		.tv_sec = sec + (rest == USEC_PER_SEC),
		.tv_usec = rest == USEC_PER_SEC ? 0 : rest,
	};
}

static struct __kernel_timespec to_timespec(s64 ns)
{
	struct timespec64 ts = ns_to_timespec64(ns);

	return (struct __kernel_timespec){ .tv_sec = ts.tv_sec, .tv_nsec = ts.tv_nsec };
}

static int itimer_start(const struct crk_rec *rec, struct crk_log *log)
{
	struct __kernel_old_itimerval val;
	struct crk_rec_itimer in;
	unsigned long addr;
	int ret;

	ret = crk_rec_get(rec, &in, sizeof(in), log);
	if (ret || !in.remaining_ns)
		return ret;
	val.it_value = to_timeval(in.remaining_ns);
	val.it_interval = to_timeval(in.interval_ns);
	ret = crk_scratch_map(&val, sizeof(val), &addr);
	if (ret)
		return crk_log(log, ret, "no page for the setting of a timer (%d)", ret);
	ret = crk_arch.sys_setitimer(in.which, addr);
	crk_scratch_unmap(addr);
	return ret ? crk_log(log, ret, "interval timer %u can't be set (%d)", in.which, ret) : 0;
}

static int posix_timer_start(const struct crk_rec *rec, struct crk_log *log)
{
	struct __kernel_itimerspec val;
	struct crk_rec_posix_timer in;
	unsigned long addr;
	int ret;

	ret = crk_rec_get(rec, &in, sizeof(in), log);
	if (ret || !(in.flags & CRK_TIMER_ARMED))
		return ret;
	/* 0 would disarm; what has expired already, or would have by now, is due at once */
	val.it_value = to_timespec(max_t(s64, in.remaining_ns, 1));
	val.it_interval = to_timespec(in.interval_ns);
	ret = crk_scratch_map(&val, sizeof(val), &addr);
	if (ret)
		return crk_log(log, ret, "no page for the setting of a timer (%d)", ret);
	ret = crk_arch.sys_timer_settime(in.id, in.flags & CRK_TIMER_ABSTIME ? TIMER_ABSTIME : 0, addr);
	crk_scratch_unmap(addr);
	return ret ? crk_log(log, ret, "POSIX timer %d can't be set (%d)", in.id, ret) : 0;
}

int crk_timers_start(struct crk_prog *prog)
{
	const struct crk_rec *rec;
	u64 pos = 0;
	int ret = 0;

	while (!ret && (rec = crk_rec_next(prog->recs, prog->recs_len, &pos, prog->log))) {
		if (rec->type == CRK_REC_ITIMER)
			ret = itimer_start(rec, prog->log);
		else if (rec->type == CRK_REC_POSIX_TIMER)
			ret = posix_timer_start(rec, prog->log);
	}
	return ret;
}
