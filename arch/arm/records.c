// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: what has records of its own, since no register set holds it: hardware breakpoints, an exception of the
 * VFP that waits for its support code, the handler base of ThumbEE.
 */
#include <linux/perf_event.h>
#include <linux/sched/task_stack.h>

#include <asm/hwcap.h>
#include <asm/vfp.h>

#include "arch.h"
#include "out.h"
#include "restore.h"

/* ---- hardware breakpoints ---- */

/* by which ptrace(2) calls slot @i: its address, and one further from 0 its control word */
static long slot_number(int i)
{
	return i < CRK_ARM_BREAKPOINTS / 2 ? 2 * i + 1 : CRK_ARM_BREAKPOINTS - 1 - 2 * i;
}

#ifdef CONFIG_HAVE_HW_BREAKPOINT
static_assert(ARM_MAX_HBP_SLOTS == CRK_ARM_BREAKPOINTS && ARM_MAX_BRP == CRK_ARM_BREAKPOINTS / 2);

/* what @bp watches of the words from its address on, as it was asked for: the kernel shifts it where that is unaligned */
static u32 control_get(const struct perf_event *bp)
{
	struct arch_hw_breakpoint_ctrl ctrl = counter_arch_bp((struct perf_event *)bp)->ctrl;

	while (ctrl.len && !(ctrl.len & 1))
		ctrl.len >>= 1;
	return encode_ctrl_reg(ctrl);
}

/* they are freed when the thread exits, after it has let go of its mm under this lock */
static bool breakpoints_get(struct task_struct *t, struct crk_arm_breakpoints *out)
{
	const struct perf_event *bp;
	bool any = false;
	int i;

	task_lock(t);
	for (i = 0; i < CRK_ARM_BREAKPOINTS && t->mm; i++) {
		bp = t->thread.debug.hbp[i];
		if (!bp)
			continue;
		out->addr[i] = bp->attr.bp_addr;
		out->control[i] = control_get(bp);
		any = true;
	}
	task_unlock(t);
	return any;
}

static void breakpoints_clear(struct task_struct *t)
{
	crk_call(flush_ptrace_hw_breakpoint)(t);
}
#else
static bool breakpoints_get(struct task_struct *t, struct crk_arm_breakpoints *out)
{
	return false;
}

static void breakpoints_clear(struct task_struct *t)
{
}
#endif

static int breakpoints_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	const struct crk_arm_breakpoints *bp = (const void *)in->data;
	int i;

	if (in->len != sizeof(*bp))
		return crk_log(log, -EINVAL, "breakpoints of %u bytes", in->len);
	if (!IS_ENABLED(CONFIG_HAVE_HW_BREAKPOINT))
		return crk_log(log, -EOPNOTSUPP, "this kernel has no hardware breakpoints");
	for (i = 0; i < CRK_ARM_BREAKPOINTS; i++)
		if (bp->addr[i] >= TASK_SIZE)
			return crk_log(log, -EINVAL, "breakpoint at %#x", bp->addr[i]);
	return 0;
}

/* as a tracer does it, with values from the opener's memory */
static int breakpoints_set(struct task_struct *t, const struct crk_rec_arch *in)
{
	const struct crk_arm_breakpoints *bp = (const void *)in->data;
	unsigned long uptr;
	int i, ret;

	ret = crk_scratch_map(bp, sizeof(*bp), &uptr);
	if (ret)
		return ret;
	for (i = 0; i < CRK_ARM_BREAKPOINTS && !ret; i++) {
		long nr = slot_number(i), control = nr > 0 ? nr + 1 : nr - 1;

		if (!bp->control[i])
			continue;
		ret = crk_call(arch_ptrace)(t, PTRACE_SETHBPREGS, nr, uptr + offsetof(typeof(*bp), addr[i]));
		if (!ret)
			ret = crk_call(arch_ptrace)(t, PTRACE_SETHBPREGS, control,
						    uptr + offsetof(typeof(*bp), control[i]));
	}
	crk_scratch_unmap(uptr);
	return ret;
}

/* ---- an exception of the VFP that is pending ---- */

#define FPEXC_PENDING	(FPEXC_EX | FPEXC_DEX | FPEXC_FP2V)

/* the register set has been captured by now, which wrote the hardware's state back */
static bool vfp_get(struct task_struct *t, struct crk_arm_vfp *vfp)
{
#ifdef CONFIG_VFP
	const struct vfp_hard_struct *hard = &task_thread_info(t)->vfpstate.hard;

	vfp->fpexc = hard->fpexc;
	vfp->fpinst = hard->fpinst;
	vfp->fpinst2 = hard->fpinst2;
	return hard->fpexc & FPEXC_PENDING;
#else
	return false;
#endif
}

static int vfp_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	if (in->len != sizeof(struct crk_arm_vfp))
		return crk_log(log, -EINVAL, "state of the VFP of %u bytes", in->len);
	if (!IS_ENABLED(CONFIG_VFP) || !(elf_hwcap & HWCAP_VFP))
		return crk_log(log, -EOPNOTSUPP, "this kernel or CPU has no VFP");
	return 0;
}

/* as a signal handler's return does: it stays enabled, and only what is an exception's is taken */
static void vfp_set(struct task_struct *t, const struct crk_arm_vfp *vfp)
{
#ifdef CONFIG_VFP
	struct vfp_hard_struct *hard = &task_thread_info(t)->vfpstate.hard;

	hard->fpexc = vfp->fpexc | FPEXC_EN;
	hard->fpinst = vfp->fpinst;
	hard->fpinst2 = vfp->fpinst2;
#endif
}

/* ---- ThumbEE ---- */

static u32 thumbee_get(struct task_struct *t)
{
#ifdef CONFIG_ARM_THUMBEE
	return elf_hwcap & HWCAP_THUMBEE ? task_thread_info(t)->thumbee_state : 0;
#else
	return 0;
#endif
}

static int thumbee_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	if (in->len != sizeof(u32))
		return crk_log(log, -EINVAL, "base of ThumbEE handlers of %u bytes", in->len);
	if (!IS_ENABLED(CONFIG_ARM_THUMBEE) || !(elf_hwcap & HWCAP_THUMBEE))
		return crk_log(log, -EOPNOTSUPP, "this kernel or CPU has no ThumbEE");
	return 0;
}

/* @t is off its CPU: the register is loaded when it gets back there */
static void thumbee_set(struct task_struct *t, u32 base)
{
#ifdef CONFIG_ARM_THUMBEE
	task_thread_info(t)->thumbee_state = base;
#endif
}

/* ---- all of them ---- */

static int record_add(struct crk_out *out, u32 what, const void *data, u32 len)
{
	struct crk_rec_arch *rec;

	if (crk_out_reserve(out, sizeof(*rec) + ALIGN(len, 8)))
		return -ENOMEM;
	rec = crk_out_add(out, CRK_REC_ARCH, sizeof(*rec) + len);
	rec->what = what;
	rec->len = len;
	memcpy(rec->data, data, len);
	return 0;
}

int crk_arm_capture_thread(struct task_struct *t, struct crk_out *out)
{
	struct crk_arm_breakpoints breakpoints = {};
	struct crk_arm_vfp vfp = {};
	u32 base = thumbee_get(t);
	int ret = 0;

	if (breakpoints_get(t, &breakpoints))
		ret = record_add(out, CRK_ARCH_BREAKPOINTS, &breakpoints, sizeof(breakpoints));
	if (!ret && vfp_get(t, &vfp))
		ret = record_add(out, CRK_ARCH_VFP, &vfp, sizeof(vfp));
	if (!ret && base)
		ret = record_add(out, CRK_ARCH_THUMBEE, &base, sizeof(base));
	return ret;
}

int crk_arm_check_record(const struct crk_rec_arch *in, struct crk_log *log)
{
	switch (in->what) {
	case CRK_ARCH_BREAKPOINTS:
		return breakpoints_check(in, log);
	case CRK_ARCH_VFP:
		return vfp_check(in, log);
	case CRK_ARCH_THUMBEE:
		return thumbee_check(in, log);
	default:
		return crk_log(log, -EOPNOTSUPP, "this module knows nothing of it");
	}
}

int crk_arm_set_record(struct task_struct *t, const struct crk_rec_arch *in)
{
	switch (in->what) {
	case CRK_ARCH_BREAKPOINTS:
		return breakpoints_set(t, in);
	case CRK_ARCH_VFP:
		vfp_set(t, (const void *)in->data);
		return 0;
	case CRK_ARCH_THUMBEE:
		thumbee_set(t, *(const u32 *)in->data);
		return 0;
	default:
		return 0;
	}
}

void crk_arm_records_clear(struct task_struct *t)
{
	breakpoints_clear(t);
	thumbee_set(t, 0);
}
