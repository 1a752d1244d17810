// SPDX-License-Identifier: GPL-2.0
/*
 * x86 for the helper: registers from the module's records to CRIU's core images, and the CPU features that matter.
 * Restores use the records; core images are for other tools.
 */
#include <elf.h>
#include <string.h>

#include "user.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE	0x202
#endif

/* struct user_regs_struct of 64-bit tasks, as NT_PRSTATUS has it */
struct regs64 {
	uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
	uint64_t fs_base, gs_base, ds, es, fs, gs;
};

/* of 32-bit tasks */
struct regs32 {
	uint32_t bx, cx, dx, si, di, bp, ax, ds, es, fs, gs, orig_ax, ip, cs, flags, sp, ss;
};

/* the part of an XSAVE area that is the same on all CPUs */
struct xsave_head {
	uint16_t cwd, swd, twd, fop;
	uint64_t rip, rdp;
	uint32_t mxcsr, mxcsr_mask;
	uint32_t st_space[32];
	uint32_t xmm_space[64];
	uint32_t padding[24];
	uint64_t xstate_bv;
	uint64_t xcomp_bv;
	uint64_t reserved[6];
};

/* XSAVE components with a field in core images: where they are in the standard format */
enum { X_YMM = 2, X_BNDREGS, X_BNDCSR, X_OPMASK, X_ZMM_HI256, X_HI16_ZMM, X_PKRU = 9 };

static uint32_t xstate_offset(int component)
{
#if defined(__x86_64__) || defined(__i386__)
	uint32_t a = 0xd, b = 0, c = component, d = 0;

	__asm__ volatile ("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
	return a ? b : 0;
#else
	(void)component;
	return 0;
#endif
}

static bool x86_owns(uint32_t machine)
{
	return machine == EM_X86_64 || machine == EM_386;
}

/* ---- records to core image ---- */

/* ERESTART*, which user mode never sees */
#define ERESTARTSYS		512
#define ERESTARTNOINTR		513
#define ERESTARTNOHAND		514
#define ERESTART_RESTARTBLOCK	516

/* CRIU looks at a thread after ptrace has made it ready to begin its system call again */
static void rewind_syscall(UserX86RegsEntry *gp)
{
	if ((int32_t)gp->orig_ax < 0)
		return;
	switch (-(int32_t)gp->ax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		gp->ax = gp->orig_ax;
		gp->ip -= 2;
		break;
	case ERESTART_RESTARTBLOCK:
		gp->ax = -EINTR;
		break;
	}
}

static void gpregs_fill64(UserX86RegsEntry *gp, const struct regs64 *in)
{
#define COPY(f)	(gp->f = in->f)
	COPY(r15); COPY(r14); COPY(r13); COPY(r12); COPY(bp); COPY(bx); COPY(r11); COPY(r10); COPY(r9); COPY(r8);
	COPY(ax); COPY(cx); COPY(dx); COPY(si); COPY(di); COPY(orig_ax); COPY(ip); COPY(cs); COPY(flags); COPY(sp);
	COPY(ss); COPY(fs_base); COPY(gs_base); COPY(ds); COPY(es); COPY(fs); COPY(gs);
#undef COPY
	gp->mode = USER_X86_REGS_MODE__NATIVE;
}

static void gpregs_fill32(UserX86RegsEntry *gp, const struct regs32 *in)
{
#define COPY(f)	(gp->f = in->f)
	COPY(bx); COPY(cx); COPY(dx); COPY(si); COPY(di); COPY(bp); COPY(ds); COPY(es); COPY(fs); COPY(gs);
	COPY(ip); COPY(cs); COPY(flags); COPY(sp); COPY(ss);
#undef COPY
	gp->ax = (int64_t)(int32_t)in->ax;
	gp->orig_ax = (int64_t)(int32_t)in->orig_ax;
	gp->mode = USER_X86_REGS_MODE__COMPAT;
}

/* protobuf-c arrays are malloc'ed apart */
static int words_fill(uint32_t **ret, size_t *nr_ret, const void *data, size_t nr)
{
	*ret = calloc(nr, sizeof(uint32_t));
	if (!*ret)
		return crk_oom();
	memcpy(*ret, data, nr * sizeof(uint32_t));
	*nr_ret = nr;
	return 0;
}

static int longs_fill(uint64_t **ret, size_t *nr_ret, const void *data, size_t nr)
{
	*ret = calloc(nr, sizeof(uint64_t));
	if (!*ret)
		return crk_oom();
	memcpy(*ret, data, nr * sizeof(uint64_t));
	*nr_ret = nr;
	return 0;
}

static int xsave_fill(UserX86XsaveEntry *xs, const struct crk_rec_regset *rec)
{
	const struct xsave_head *head = (const void *)rec->data;
	uint64_t bv = head->xstate_bv;
	uint32_t off;
	int ret = 0;

	xs->xstate_bv = bv;
#define PART(component, bytes)	((off = xstate_offset(component)) && off + (bytes) <= rec->len)
	if (PART(X_YMM, 256))
		ret = ret ?: words_fill(&xs->ymmh_space, &xs->n_ymmh_space, rec->data + off, 64);
	if (PART(X_BNDREGS, 64))
		ret = ret ?: longs_fill(&xs->bndreg_state, &xs->n_bndreg_state, rec->data + off, 8);
	if (PART(X_BNDCSR, 64))
		ret = ret ?: longs_fill(&xs->bndcsr_state, &xs->n_bndcsr_state, rec->data + off, 8);
	if (PART(X_OPMASK, 64))
		ret = ret ?: longs_fill(&xs->opmask_reg, &xs->n_opmask_reg, rec->data + off, 8);
	if (PART(X_ZMM_HI256, 512))
		ret = ret ?: longs_fill(&xs->zmm_upper, &xs->n_zmm_upper, rec->data + off, 64);
	if (PART(X_HI16_ZMM, 1024))
		ret = ret ?: longs_fill(&xs->hi16_zmm, &xs->n_hi16_zmm, rec->data + off, 128);
	if (PART(X_PKRU, 8))
		ret = ret ?: words_fill(&xs->pkru, &xs->n_pkru, rec->data + off, 2);
#undef PART
	return ret;
}

static int fpregs_fill(UserX86FpregsEntry *fp, const struct crk_rec_regset *rec)
{
	const struct xsave_head *head = (const void *)rec->data;
	int ret;

	fp->cwd = head->cwd;
	fp->swd = head->swd;
	fp->twd = head->twd;
	fp->fop = head->fop;
	fp->rip = head->rip;
	fp->rdp = head->rdp;
	fp->mxcsr = head->mxcsr;
	fp->mxcsr_mask = head->mxcsr_mask;
	ret = words_fill(&fp->st_space, &fp->n_st_space, head->st_space, 32);
	ret = ret ?: words_fill(&fp->xmm_space, &fp->n_xmm_space, head->xmm_space, 64);
	ret = ret ?: words_fill(&fp->padding, &fp->n_padding, head->padding, 24);
	if (ret || rec->len < sizeof(*head))
		return ret;
	fp->xsave = malloc(sizeof(*fp->xsave));
	if (!fp->xsave)
		return crk_oom();
	user_x86_xsave_entry__init(fp->xsave);
	return xsave_fill(fp->xsave, rec);
}

static const struct crk_rec_regset *regset_find(const struct crk_rec *recs, size_t len, uint32_t note, size_t min_len)
{
	const struct crk_rec_regset *rec = NULL;

	while ((rec = crk_rec_find(recs, len, CRK_REC_REGSET, rec)))
		if (rec->note == note && rec->len >= min_len)
			return rec;
	return NULL;
}

static int x86_core_fill(CoreEntry *core, const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_thread *thread = crk_rec_find(recs, len, CRK_REC_THREAD, NULL);
	const struct crk_rec_regset *gp = regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs32));
	const struct crk_rec_regset *fp = regset_find(recs, len, NT_X86_XSTATE, offsetof(struct xsave_head, xstate_bv));
	ThreadInfoX86 *info = malloc(sizeof(*info));

	if (!info)
		return crk_oom();
	thread_info_x86__init(info);
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	core->thread_info = info;
	if (thread)
		info->clear_tid_addr = thread->clear_child_tid;
	info->gpregs = malloc(sizeof(*info->gpregs));
	if (!info->gpregs)
		return crk_oom();
	user_x86_regs_entry__init(info->gpregs);
	info->gpregs->has_mode = true;
	if (gp && gp->len >= sizeof(struct regs64))
		gpregs_fill64(info->gpregs, (const void *)gp->data);
	else if (gp)
		gpregs_fill32(info->gpregs, (const void *)gp->data);
	rewind_syscall(info->gpregs);
	info->fpregs = malloc(sizeof(*info->fpregs));
	if (!info->fpregs)
		return crk_oom();
	user_x86_fpregs_entry__init(info->fpregs);
	return fp ? fpregs_fill(info->fpregs, fp) : 0;
}

/* ---- where a thread is ---- */

static uint64_t x86_pc_get(const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_regset *gp = regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs32));

	if (!gp)
		return 0;
	return gp->len >= sizeof(struct regs64) ? ((const struct regs64 *)gp->data)->ip :
						  ((const struct regs32 *)gp->data)->ip;
}

static void x86_pc_set(struct crk_rec *recs, size_t len, uint64_t pc)
{
	struct crk_rec_regset *gp = (void *)regset_find(recs, len, NT_PRSTATUS, sizeof(struct regs32));

	if (gp && gp->len >= sizeof(struct regs64))
		((struct regs64 *)gp->data)->ip = pc;
	else if (gp)
		((struct regs32 *)gp->data)->ip = pc;
}

/* ---- CPU features ---- */

static const char *const x86_cpu_flags[] = {
	"cmov", "mmx", "fxsr", "sse", "sse2", "pni", "pclmulqdq", "ssse3", "fma", "cx16", "sse4_1", "sse4_2", "movbe",
	"popcnt", "aes", "xsave", "avx", "f16c", "rdrand", "lahf_lm", "abm", "sse4a", "xop", "fma4", "tbm", "rdtscp",
	"3dnow", "3dnowext", "3dnowprefetch", "syscall", "fsgsbase", "bmi1", "hle", "avx2", "bmi2", "erms", "rtm",
	"avx512f", "avx512dq", "rdseed", "adx", "avx512ifma", "clflushopt", "clwb", "avx512cd", "sha_ni", "avx512bw",
	"avx512vl", "xsaveopt", "xsavec", "xgetbv1", "avx512vbmi", "umip", "ospke", "waitpkg", "avx512_vbmi2", "gfni",
	"vaes", "vpclmulqdq", "avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq", "rdpid", "cldemote", "movdiri",
	"movdir64b", "fsrm", "avx512_vp2intersect", "serialize", "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8",
	"avx_vnni", "avx512_bf16", "avx_ifma", "avx_vnni_int8", "clzero", "clflush", "user_shstk", NULL
};

static const char *x86_mm_refusal(const struct crk_rec_mm *mm)
{
	if (mm->flags & CRK_MM_TAGGED_ADDR)
		return "tagged addresses (ARCH_ENABLE_TAGGED_ADDR) are not supported";
	return mm->flags & CRK_MM_PKEYS ? "protection keys (pkey_alloc) are not supported" : NULL;
}

static const char *x86_thread_refusal(const struct crk_rec *recs, size_t len)
{
	const struct crk_rec_thread *t = crk_rec_find(recs, len, CRK_REC_THREAD, NULL);

	return t && t->flags & CRK_THREAD_XCOMP_PERM ? "permission to use AMX (ARCH_REQ_XCOMP_PERM) is not supported" : NULL;
}

#if defined(__x86_64__) || defined(__i386__)
static const struct crk_host_abi x86_abis[] = {
	{ CRK_ABI_COMPAT, CRK_FEAT_COMPAT, "32-bit tasks", "32-bit programs",
	  "the kernel was booted with ia32_emulation=0", crk_x86_call_compat },
	{ CRK_ABI_X32, CRK_FEAT_X32, "x32 tasks", "x32 programs",
	  "the kernel was booted without syscall.x32=y", crk_x86_call_x32 },
	{}
};
#endif

const struct crk_host_ops crk_host_x86 = {
	.name		= "x86_64",
	.march		= CORE_ENTRY__MARCH__X86_64,
	.owns		= x86_owns,
	.core_fill	= x86_core_fill,
	.cpu_flags	= x86_cpu_flags,
	.vdso_kind	= crk_x86_vdso_kind,
	.vdso_redirect	= crk_x86_vdso_redirect,
	.pc_get		= x86_pc_get,
	.pc_set		= x86_pc_set,
	.mm_refusal	= x86_mm_refusal,
	.thread_refusal	= x86_thread_refusal,
	.info_pid	= 16,
	.timer_info	= { .overrun = 20, .link = 32 },
#if defined(__x86_64__) || defined(__i386__)
	.abis		= x86_abis,
	.signal_queue	= crk_x86_signal_queue,
	.timer_create	= crk_x86_timer_create,
	.ioctl		= crk_x86_ioctl,
	.thread_check	= crk_x86_thread_check,
	.thread_set	= crk_x86_thread_set,
	.clone_thread	= crk_x86_clone_thread,
#endif
};
