// SPDX-License-Identifier: GPL-2.0
/*
 * Start times and CPU times.  Records of the module, which sets them (--restore-times); here is what to say when
 * they can't be as they were.
 */
#include "task.h"

static int times_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rec_times *rec;

	if (!r->opts->restore_times)
		return 0;
	rec = rthread_rec(&p->threads[0], CRK_REC_TIMES, NULL);
	if (!rec || rec->rec.size < sizeof(*rec))
		return crk_fail(-EOPNOTSUPP, "pid %d (%s): the images do not tell its times: restore without --restore-times",
				p->pid, crk_rproc_comm(p));
	if (rec->start_boottime_ns > crk_clock_ns(CLOCK_BOOTTIME))
		crk_warn("pid %d (%s): was started %.0f s after boot, which is later than now: it starts now", p->pid,
			 crk_rproc_comm(p), rec->start_boottime_ns / 1e9);
	return 0;
}

const struct crk_prop_ops crk_prop_times = {
	.name		= "times",
	.check		= times_check,
};
