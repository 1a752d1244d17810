// SPDX-License-Identifier: GPL-2.0
/*
 * What a thread has set by prctl(): whether it is an I/O flusher, what a broken page of its memory does to it, what the
 * CPU may guess while it runs.  The module reads them; each restored thread sets its own, while it still may.  What it
 * could not live with before it parks (dispatch of system calls, no time stamp counter) the module gives back.
 */
#include <linux/prctl.h>
#include <sys/prctl.h>

#include "task.h"

/* the controls of PR_SET_SPECULATION_CTRL; in the last one, ENABLE is the careful choice */
static const struct control {
	unsigned long which;
	const char *name;
	size_t field;
	uint32_t careful;
} controls[] = {
	{ PR_SPEC_STORE_BYPASS, "speculative store bypass", offsetof(struct crk_rec_settings, spec_store_bypass),
	  PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE_NOEXEC },
	{ PR_SPEC_INDIRECT_BRANCH, "indirect branch speculation", offsetof(struct crk_rec_settings, spec_indirect_branch),
	  PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE },
	{ PR_SPEC_L1D_FLUSH, "flushing of the L1 data cache", offsetof(struct crk_rec_settings, spec_l1d_flush),
	  PR_SPEC_ENABLE },
};

static uint32_t wanted(const struct crk_rec_settings *rec, const struct control *c)
{
	return *(const uint32_t *)((const char *)rec + c->field);
}

/* what the helper has, and so each new thread; nothing is @needed where no thread has anything else */
static struct {
	bool known, needed;
	int64_t io_flusher, mce_kill, controls[ARRAY_SIZE(controls)];
} own;

static long control_get(const struct control *c)
{
	return prctl(PR_GET_SPECULATION_CTRL, c->which, 0, 0, 0);
}

/* to ask needs the same right as to set it: who has none is none, being made by us */
static long io_flusher_get(void)
{
	return max(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 0);
}

static void own_get(void)
{
	size_t i;

	own.io_flusher = io_flusher_get();
	own.mce_kill = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	for (i = 0; i < ARRAY_SIZE(controls); i++)
		own.controls[i] = control_get(&controls[i]);
	own.known = true;
}

/* a thread may go on with more care than it asked for, but not with less */
static bool can_have(const struct control *c, uint32_t want, int64_t may)
{
	if (!(want & PR_SPEC_PRCTL) || !(want & c->careful) || may == PR_SPEC_NOT_AFFECTED)
		return true;
	return may > 0 && may & (PR_SPEC_PRCTL | c->careful);
}

static long is_io_flusher(const struct crk_rec_settings *rec)
{
	return !!(rec->flags & CRK_SETTING_IO_FLUSHER);
}

static int settings_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rec_settings *rec;
	size_t i, k;

	(void)r;
	if (!own.known)
		own_get();
	for (i = 0; i < p->nr_threads; i++) {
		rec = rthread_rec(&p->threads[i], CRK_REC_SETTINGS, NULL);
		if (!rec)
			continue;
		own.needed |= is_io_flusher(rec) != own.io_flusher || rec->mce_kill != own.mce_kill;
		for (k = 0; k < ARRAY_SIZE(controls); k++) {
			uint32_t want = wanted(rec, &controls[k]);

			if (!can_have(&controls[k], want, own.controls[k]))
				return crk_fail(-EOPNOTSUPP, TASK_FMT ": has set %s by prctl(PR_SET_SPECULATION_CTRL), which this machine does not let it choose",
						p->pid, crk_rproc_comm(p), p->threads[i].tid, controls[k].name);
			own.needed |= want != own.controls[k];
		}
	}
	return 0;
}

static int controls_restore(const struct crk_rproc *p, const struct crk_rthread *t, const struct crk_rec_settings *rec)
{
	const struct control *c;

	for (c = controls; c < controls + ARRAY_SIZE(controls); c++) {
		uint32_t want = wanted(rec, c);
		long now = control_get(c);

		/* one that is off by force stays so */
		if (now < 0 || now == (long)want || !(want & now & PR_SPEC_PRCTL) || now & PR_SPEC_FORCE_DISABLE)
			continue;
		if (prctl(PR_SET_SPECULATION_CTRL, c->which, (unsigned long)(want & ~PR_SPEC_PRCTL), 0, 0))
			return crk_err(-errno, TASK_FMT ": cannot set its %s", p->pid, crk_rproc_comm(p), t->tid, c->name);
	}
	return 0;
}

static int io_flusher_restore(const struct crk_rproc *p, const struct crk_rthread *t,
			      const struct crk_rec_settings *rec)
{
	long want = is_io_flusher(rec);

	if (io_flusher_get() != want && prctl(PR_SET_IO_FLUSHER, want, 0, 0, 0))
		return crk_err(-errno, TASK_FMT ": cannot become an I/O flusher again", p->pid, crk_rproc_comm(p), t->tid);
	return 0;
}

static int mce_kill_restore(const struct crk_rproc *p, const struct crk_rthread *t, const struct crk_rec_settings *rec)
{
	unsigned long how = rec->mce_kill;

	if (prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == (int)how)
		return 0;
	if (prctl(PR_MCE_KILL, how == PR_MCE_KILL_DEFAULT ? PR_MCE_KILL_CLEAR : PR_MCE_KILL_SET,
		  how == PR_MCE_KILL_DEFAULT ? 0 : how, 0, 0))
		return crk_err(-errno, TASK_FMT ": cannot set what broken memory does to it", p->pid, crk_rproc_comm(p),
			       t->tid);
	return 0;
}

static int settings_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const struct crk_rec_settings *rec = rthread_rec(t, CRK_REC_SETTINGS, NULL);
	int ret;

	(void)r;
	if (!rec || !own.needed)
		return 0;
	ret = io_flusher_restore(p, t, rec);
	ret = ret ?: mce_kill_restore(p, t, rec);
	return ret ?: controls_restore(p, t, rec);
}

const struct crk_prop_ops crk_prop_settings = {
	.name		= "settings",
	.check		= settings_check,
	.restore_thread	= settings_restore_thread,
};
