// SPDX-License-Identifier: GPL-2.0
/*
 * What threads have set by prctl(), both ways.  Only what a thread could not set before it parks is given back here: by
 * a dispatch of system calls it would be caught itself.
 */
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/uaccess.h>

#include "out.h"
#include "restore.h"
#include "symbols.h"

#define SETTINGS_KNOWN	(CRK_SETTING_DISPATCH | CRK_SETTING_IO_FLUSHER)
/* the kernel has no name for it outside of prctl() */
#define PF_IO_FLUSHER	(PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE)

/* ---- dump ---- */

static u32 speculation_get(struct task_struct *t, unsigned long which)
{
	int ret = crk_have(arch_prctl_spec_ctrl_get) ? crk_call(arch_prctl_spec_ctrl_get)(t, which) : -EOPNOTSUPP;

	return ret < 0 ? 0 : ret;
}

static u32 mce_kill_get(const struct task_struct *t)
{
	u32 flags = READ_ONCE(t->flags);

	if (!(flags & PF_MCE_PROCESS))
		return PR_MCE_KILL_DEFAULT;
	return flags & PF_MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
}

static void dispatch_get(struct task_struct *t, struct crk_rec_settings *rec)
{
#ifdef CONFIG_GENERIC_ENTRY
	if (!test_task_syscall_work(t, SYSCALL_USER_DISPATCH))
		return;
	rec->flags |= CRK_SETTING_DISPATCH;
	rec->dispatch_offset = t->syscall_dispatch.offset;
	rec->dispatch_len = t->syscall_dispatch.len;
	rec->dispatch_selector = (unsigned long)t->syscall_dispatch.selector;
#endif
}

int crk_capture_settings(struct task_struct *t, struct crk_out *out)
{
	struct crk_rec_settings *rec;

	if (crk_out_reserve(out, sizeof(*rec)))
		return -ENOMEM;
	rec = crk_out_add(out, CRK_REC_SETTINGS, sizeof(*rec));
	if ((READ_ONCE(t->flags) & PF_IO_FLUSHER) == PF_IO_FLUSHER)
		rec->flags |= CRK_SETTING_IO_FLUSHER;
	rec->mce_kill = mce_kill_get(t);
	rec->spec_store_bypass = speculation_get(t, PR_SPEC_STORE_BYPASS);
	rec->spec_indirect_branch = speculation_get(t, PR_SPEC_INDIRECT_BRANCH);
	rec->spec_l1d_flush = speculation_get(t, PR_SPEC_L1D_FLUSH);
	rec->default_slack_ns = t->default_timer_slack_ns;
	dispatch_get(t, rec);
	return 0;
}

/* ---- restore ---- */

int crk_settings_check(const struct crk_rec_settings *in, struct crk_log *log)
{
	if (in->flags & ~SETTINGS_KNOWN || in->__reserved)
		return crk_log(log, -EINVAL, "settings: flags %#x", in->flags);
	if (!(in->flags & CRK_SETTING_DISPATCH)) {
		if (in->dispatch_offset || in->dispatch_len || in->dispatch_selector)
			return crk_log(log, -EINVAL, "settings: a range of system calls without its flag");
		return 0;
	}
	if (!IS_ENABLED(CONFIG_GENERIC_ENTRY))
		return crk_log(log, -EOPNOTSUPP, "this kernel has no dispatch of system calls to user mode");
	if (in->dispatch_offset != (unsigned long)in->dispatch_offset ||
	    in->dispatch_len != (unsigned long)in->dispatch_len ||
	    in->dispatch_selector != (unsigned long)in->dispatch_selector ||
	    !access_ok(u64_to_user_ptr(in->dispatch_selector), 1))
		return crk_log(log, -EINVAL, "settings: dispatch of system calls by %#llx", in->dispatch_selector);
	return 0;
}

/*
 * Not by prctl(): of a range that wraps around, which kernels keep alike, it must be told another way, and older ones
 * not at all.
 */
void crk_settings_set(const struct crk_rec_settings *in)
{
	if (in->default_slack_ns)
		current->default_timer_slack_ns = in->default_slack_ns;
#ifdef CONFIG_GENERIC_ENTRY
	if (!(in->flags & CRK_SETTING_DISPATCH))
		return;
	current->syscall_dispatch.offset = in->dispatch_offset;
	current->syscall_dispatch.len = in->dispatch_len;
	current->syscall_dispatch.selector = u64_to_user_ptr(in->dispatch_selector);
	current->syscall_dispatch.on_dispatch = false;
	set_syscall_work(SYSCALL_USER_DISPATCH);
#endif
}
