// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: what has records of its own, since no register set holds it: an exception of the VFP that waits for its
 * support code, the handler base of ThumbEE.
 */
#include <linux/sched/task_stack.h>

#include <asm/hwcap.h>
#include <asm/vfp.h>

#include "arch.h"
#include "out.h"

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
	struct crk_arm_vfp vfp = {};
	u32 base = thumbee_get(t);
	int ret = 0;

	if (vfp_get(t, &vfp))
		ret = record_add(out, CRK_ARCH_VFP, &vfp, sizeof(vfp));
	if (!ret && base)
		ret = record_add(out, CRK_ARCH_THUMBEE, &base, sizeof(base));
	return ret;
}

int crk_arm_check_record(const struct crk_rec_arch *in, struct crk_log *log)
{
	switch (in->what) {
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
	thumbee_set(t, 0);
}
