// SPDX-License-Identifier: GPL-2.0
/*
 * ARM for the helper: registers from the module's records to CRIU's core images, and the CPU features that matter.
 * Restores use the records; core images are for other tools.
 */
#include <elf.h>
#include <string.h>

#include "user.h"

#ifndef NT_ARM_VFP
#define NT_ARM_VFP	0x400
#endif

#define FPEXC_EN	0x40000000U

/* struct pt_regs, as NT_PRSTATUS has it */
struct regs {
	uint32_t r[11], fp, ip, sp, lr, pc, cpsr, orig_r0;
};

/* struct user_vfp, as NT_ARM_VFP has it: the last word has no padding behind it */
struct vfp {
	uint32_t d[64];
	uint32_t fpscr;
};

static bool arm_owns(uint32_t machine)
{
	return machine == EM_ARM;
}

static const struct crk_rec_regset *regset_find(const struct crk_rec *recs, size_t len, uint32_t note, size_t min_len)
{
	const struct crk_rec_regset *rec = NULL;

	while ((rec = crk_rec_find(recs, len, CRK_REC_REGSET, rec)))
		if (rec->note == note && rec->len >= min_len)
			return rec;
	return NULL;
}

/* ---- records to core image ---- */

static void gpregs_fill(UserArmRegsEntry *gp, const struct regs *in)
{
	uint32_t *const to[] = {
		&gp->r0, &gp->r1, &gp->r2, &gp->r3, &gp->r4, &gp->r5, &gp->r6, &gp->r7, &gp->r8, &gp->r9, &gp->r10,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(to); i++)
		*to[i] = in->r[i];
#define COPY(f)	(gp->f = in->f)
	COPY(fp); COPY(ip); COPY(sp); COPY(lr); COPY(pc); COPY(cpsr); COPY(orig_r0);
#undef COPY
}

static int fpstate_fill(UserArmVfpstateEntry *fp, const struct vfp *in)
{
	fp->vfp_regs = calloc(32, sizeof(*fp->vfp_regs));
	if (!fp->vfp_regs)
		return crk_oom();
	fp->n_vfp_regs = 32;
	memcpy(fp->vfp_regs, in->d, sizeof(in->d));
	fp->fpscr = in->fpscr;
	fp->fpexc = FPEXC_EN;
	return 0;
}

/* frozen threads are ready to begin an interrupted call again, as CRIU has them; only restart blocks end with EINTR there */
static int arm_core_fill(CoreEntry *core, const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_thread *thread = crk_rec_find(recs, len, CRK_REC_THREAD, NULL);
	const struct crk_rec_regset *gp = regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs));
	const struct crk_rec_regset *fp = regset_find(recs, len, NT_ARM_VFP, sizeof(struct vfp));
	ThreadInfoArm *info = malloc(sizeof(*info));

	if (!info)
		return crk_oom();
	thread_info_arm__init(info);
	core->mtype = CORE_ENTRY__MARCH__ARM;
	core->ti_arm = info;
	if (thread) {
		info->clear_tid_addr = thread->clear_child_tid;
		info->tls = thread->tp[0];
	}
	info->gpregs = malloc(sizeof(*info->gpregs));
	if (!info->gpregs)
		return crk_oom();
	user_arm_regs_entry__init(info->gpregs);
	if (gp)
		gpregs_fill(info->gpregs, (const void *)gp->data);
	if (gp && thread && thread->syscall == CRK_SYSCALL_BLOCK) {
		info->gpregs->pc += info->gpregs->cpsr & 0x20 ? 2 : 4;
		info->gpregs->r0 = -EINTR;
	}
	info->fpstate = malloc(sizeof(*info->fpstate));
	if (!info->fpstate)
		return crk_oom();
	user_arm_vfpstate_entry__init(info->fpstate);
	return fp ? fpstate_fill(info->fpstate, (const void *)fp->data) : 0;
}

/* README tells why */
static const char *arm_thread_refusal(const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_thread *thread = crk_rec_find(recs, len, CRK_REC_THREAD, NULL);
	const struct crk_rec_trace *trace = crk_rec_find(recs, len, CRK_REC_TRACE, NULL);
	const struct crk_rec_regset *gp = regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs));

	if (trace && (trace->stop == CRK_TRACE_STOP_ENTRY || trace->stop == CRK_TRACE_STOP_EXIT))
		return "is held by its tracer at the entry or exit of a system call, where this kernel hides a register (ip): not supported";
	if (!thread || !gp || (thread->syscall != CRK_SYSCALL_NONE && thread->syscall != CRK_SYSCALL_DONE))
		return NULL;
	switch (-(int32_t)((const struct regs *)gp->data)->r[0]) {
	case 512:
	case 513:
	case 514:
	case 516:
		return "its register r0 holds what the kernel would take for an interrupted system call: try again";
	default:
		return NULL;
	}
}

/* ---- where a thread is ---- */

static uint64_t arm_pc_get(const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_regset *gp = regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs));

	return gp ? ((const struct regs *)gp->data)->pc : 0;
}

static void arm_pc_set(struct crk_rec *recs, size_t len, uint64_t pc)
{
	struct crk_rec_regset *gp = (void *)regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs));

	if (gp)
		((struct regs *)gp->data)->pc = pc;
}

/* ---- programs ---- */

/* of the ABI before EABI, which has a version */
static uint32_t arm_program_abi(const void *head, size_t len)
{
	const Elf32_Ehdr *e = head;

	if (len < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS32 ||
	    e->e_machine != EM_ARM)
		return CRK_ABI_NATIVE;
	return e->e_flags & EF_ARM_EABIMASK ? CRK_ABI_NATIVE : CRK_ABI_OABI;
}

/* ---- CPU features ---- */

/*
 * not those that newer CPUs do without while the kernel helps out, or nobody uses: swp, 26bit, java; nor vfpv3d16, which
 * says that there are no more registers than that
 */
static const char *const arm_cpu_flags[] = {
	"half", "thumb", "fpa", "vfp", "edsp", "iwmmxt", "crunch", "thumbee", "neon", "vfpv3", "tls", "vfpv4",
	"idiva", "idivt", "vfpd32", "lpae", "fphp", "asimdhp", "asimddp", "asimdfhm", "asimdbf16", "i8mm", "aes", "pmull",
	"sha1", "sha2", "crc32", "sb", NULL
};

#ifdef __arm__
static const struct crk_host_abi arm_abis[] = {
	{ CRK_ABI_OABI, CRK_FEAT_OABI, "OABI", "programs of the old ABI",
	  "calls by it fail", crk_arm_call_oabi },
	{}
};
#endif

const struct crk_host_ops crk_host_arm = {
	.name		= "arm",
	.march		= CORE_ENTRY__MARCH__ARM,
	.owns		= arm_owns,
	.core_fill	= arm_core_fill,
	.thread_refusal	= arm_thread_refusal,
	.program_abi	= arm_program_abi,
	.cpu_flags	= arm_cpu_flags,
	.trampolines	= "[sigpage]",
	.vdso_kind	= crk_arm_vdso_kind,
	.vdso_redirect	= crk_arm_vdso_redirect,
	.pc_get		= arm_pc_get,
	.pc_set		= arm_pc_set,
	.frame_convert	= crk_arm_frame_convert,
	.info_pid	= 12,
	.timer_info	= { .overrun = 16, .link = 24 },
#ifdef __arm__
	.abis		= arm_abis,
	.signal_queue	= crk_arm_signal_queue,
	.timer_create	= crk_arm_timer_create,
	.clone_thread	= crk_arm_clone_thread,
	.frame_format	= crk_arm_frame_format,
#endif
};
