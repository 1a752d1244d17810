// SPDX-License-Identifier: GPL-2.0
/*
 * x86: what has records of its own, since no register set holds it.  Debug registers and what 32-bit views cut off,
 * both ways; I/O ports and the local descriptor table, which a restored process sets for itself, only out.
 */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>

#include <asm/debugreg.h>
#include <asm/desc_defs.h>
#include <asm/io_bitmap.h>
#include <asm/mmu_context.h>
#include <asm/user.h>

#include "arch.h"
#include "out.h"

static struct crk_rec_arch *record_reserve(struct crk_out *out, u32 what, size_t max)
{
	struct crk_rec_arch *rec;

	if (crk_out_reserve(out, sizeof(*rec) + ALIGN(max, 8)))
		return NULL;
	rec = crk_out_add(out, CRK_REC_ARCH, sizeof(*rec) + max);
	rec->what = what;
	return rec;
}

/* it is the last record: gives back what it does not need; 0 bytes: there is none */
static void record_shrink(struct crk_out *out, struct crk_rec_arch *rec, size_t len)
{
	size_t size = len ? ALIGN(sizeof(*rec) + len, 8) : 0;

	out->len -= rec->rec.size - size;
	rec->rec.size = size;
	rec->len = len;
}

/*
 * Runs @get if @t has not gone too far in dying to still own what it reads: that is freed after its mm was let go of,
 * under this lock.
 */
static size_t get_of_living(struct task_struct *t, void *data, size_t (*get)(struct task_struct *t, void *data))
{
	size_t len = 0;

	task_lock(t);
	if (t->mm)
		len = get(t, data);
	task_unlock(t);
	return len;
}

/* ---- debug registers ---- */

static size_t breakpoints_get(struct task_struct *t, void *data)
{
	struct thread_struct *thread = &t->thread;
	struct crk_x86_breakpoints *bp = data;
	bool any = thread->ptrace_dr7 || thread->virtual_dr6;
	int i;

	for (i = 0; i < HBP_NUM; i++) {
		if (!thread->ptrace_bps[i])
			continue;
		bp->addr[i] = thread->ptrace_bps[i]->hw.info.address;
		any = true;
	}
	bp->status = thread->virtual_dr6 ^ DR6_RESERVED;
	bp->control = thread->ptrace_dr7;
	return any ? sizeof(*bp) : 0;
}

static int breakpoints_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	const struct crk_x86_breakpoints *bp = (const void *)in->data;
	int i;

	if (in->len != sizeof(*bp))
		return crk_log(log, -EINVAL, "debug registers of %u bytes", in->len);
	for (i = 0; i < HBP_NUM; i++)
		if (bp->addr[i] >= TASK_SIZE_MAX)
			return crk_log(log, -EINVAL, "breakpoint at %#llx", bp->addr[i]);
	return 0;
}

static int debugreg_set(struct task_struct *t, int nr, unsigned long value)
{
	return crk_call(arch_ptrace)(t, PTRACE_POKEUSR, offsetof(struct user, u_debugreg[nr]), value);
}

/* as a tracer does it: addresses first, then which of them are in use.  CRK_IOC_SET may come more than once */
static int breakpoints_set(struct task_struct *t, const struct crk_rec_arch *in)
{
	const struct crk_x86_breakpoints *bp = (const void *)in->data;
	int i, ret = 0;

	for (i = 0; i < HBP_NUM && !ret; i++)
		if (bp->addr[i] || t->thread.ptrace_bps[i])
			ret = debugreg_set(t, i, bp->addr[i]);
	ret = ret ?: debugreg_set(t, 7, bp->control);
	return ret ?: debugreg_set(t, 6, bp->status);
}

void crk_x86_breakpoints_clear(struct task_struct *t)
{
	if (!t->thread.ptrace_dr7)
		return;
	debugreg_set(t, 7, 0);
	debugreg_set(t, 6, DR6_RESERVED);
}

/* ---- registers of 32-bit code ---- */

static size_t wide_get(struct task_struct *t, void *data)
{
	struct pt_regs *regs = task_pt_regs(t);

	if (user_64bit_mode(regs))
		return 0;
	*(struct crk_x86_wide *)data = (struct crk_x86_wide){
		.bx = regs->bx, .cx = regs->cx, .dx = regs->dx, .si = regs->si, .di = regs->di, .bp = regs->bp,
		.sp = regs->sp,
		.r = { regs->r8, regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15 },
		.fs_base = t->thread.fsbase, .gs_base = t->thread.gsbase,
	};
	return sizeof(struct crk_x86_wide);
}

static int wide_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	const struct crk_x86_wide *wide = (const void *)in->data;

	if (in->len != sizeof(*wide))
		return crk_log(log, -EINVAL, "wide registers of %u bytes", in->len);
	if (wide->fs_base >= TASK_SIZE_MAX || wide->gs_base >= TASK_SIZE_MAX)
		return crk_log(log, -EINVAL, "fs base %#llx, gs base %#llx", wide->fs_base, wide->gs_base);
	return 0;
}

/* the lower halves are the same ones that its register sets have */
static int wide_set(struct task_struct *t, const struct crk_rec_arch *in)
{
	const struct crk_x86_wide *wide = (const void *)in->data;
	struct pt_regs *regs = task_pt_regs(t);

	if (user_64bit_mode(regs))
		return -EINVAL;
	regs->bx = wide->bx;
	regs->cx = wide->cx;
	regs->dx = wide->dx;
	regs->si = wide->si;
	regs->di = wide->di;
	regs->bp = wide->bp;
	regs->sp = wide->sp;
	regs->r8 = wide->r[0];
	regs->r9 = wide->r[1];
	regs->r10 = wide->r[2];
	regs->r11 = wide->r[3];
	regs->r12 = wide->r[4];
	regs->r13 = wide->r[5];
	regs->r14 = wide->r[6];
	regs->r15 = wide->r[7];
	t->thread.fsbase = wide->fs_base;
	t->thread.gsbase = wide->gs_base;
	return 0;
}

/* ---- TLS entries of 64-bit code, set by 32-bit calls ---- */

static size_t tls_get(struct task_struct *t, void *data)
{
	const struct desc_struct *tls = t->thread.tls_array;
	bool any = false;
	int i;

	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++)
		any = any || tls[i].p;
	if (!any || !user_64bit_mode(task_pt_regs(t)))
		return 0;
	memcpy(data, tls, sizeof(t->thread.tls_array));
	return sizeof(t->thread.tls_array);
}

/* set_thread_area() makes no other: present, for user mode, 32 bits, data */
static bool is_tls_entry(const struct desc_struct *d)
{
	return d->p && d->s && d->dpl == 3 && d->d && !d->l && !(d->type & BIT(3));
}

static int tls_check(const struct crk_rec_arch *in, struct crk_log *log)
{
	const struct desc_struct none = {};
	struct desc_struct tls[GDT_ENTRY_TLS_ENTRIES];
	int i;

	if (in->len != sizeof(tls))
		return crk_log(log, -EINVAL, "TLS entries of %u bytes", in->len);
	memcpy(tls, in->data, sizeof(tls));
	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++)
		if (memcmp(&tls[i], &none, sizeof(none)) && !is_tls_entry(&tls[i]))
			return crk_log(log, -EINVAL, "TLS entry %d is not one of set_thread_area()", i);
	return 0;
}

static int tls_set(struct task_struct *t, const struct crk_rec_arch *in)
{
	memcpy(t->thread.tls_array, in->data, sizeof(t->thread.tls_array));
	return 0;
}

/* ---- I/O ports ---- */

#ifdef CONFIG_X86_IOPL_IOPERM
static bool ports_has(const struct task_struct *t)
{
	return READ_ONCE(t->thread.io_bitmap) || t->thread.iopl_emul;
}

static size_t ports_get(struct task_struct *t, void *data)
{
	const struct io_bitmap *bitmap = t->thread.io_bitmap;
	struct crk_x86_ports *ports = data;

	ports->level = t->thread.iopl_emul;
	if (bitmap) {
		ports->nr_bytes = bitmap->max;
		memcpy(ports->denied, bitmap->bitmap, bitmap->max);
	}
	return ports->level || ports->nr_bytes ? sizeof(*ports) + ports->nr_bytes : 0;
}

#define PORTS_MAX	(sizeof(struct crk_x86_ports) + IO_BITMAP_BYTES)
#else
static bool ports_has(const struct task_struct *t)
{
	return false;
}

static size_t ports_get(struct task_struct *t, void *data)
{
	return 0;
}

#define PORTS_MAX	0
#endif

static int record_capture(struct task_struct *t, struct crk_out *out, u32 what, size_t max,
			  size_t (*get)(struct task_struct *t, void *data))
{
	struct crk_rec_arch *rec = record_reserve(out, what, max);

	if (!rec)
		return -ENOMEM;
	record_shrink(out, rec, get_of_living(t, rec->data, get));
	return 0;
}

int crk_x86_capture_thread(struct task_struct *t, struct crk_out *out)
{
	int ret;

	ret = record_capture(t, out, CRK_ARCH_BREAKPOINTS, sizeof(struct crk_x86_breakpoints), breakpoints_get);
	if (!ret)
		ret = record_capture(t, out, CRK_ARCH_WIDE, sizeof(struct crk_x86_wide), wide_get);
	if (!ret)
		ret = record_capture(t, out, CRK_ARCH_TLS, sizeof(t->thread.tls_array), tls_get);
	if (!ret && ports_has(t))
		ret = record_capture(t, out, CRK_ARCH_PORTS, PORTS_MAX, ports_get);
	return ret;
}

/* ---- the local descriptor table ---- */

int crk_x86_capture_mm(struct mm_struct *mm, struct crk_out *out)
{
	int ret = 0;
#ifdef CONFIG_MODIFY_LDT_SYSCALL
	const struct ldt_struct *ldt;
	struct crk_rec_arch *rec;
	size_t len;

	down_read(&mm->context.ldt_usr_sem);
	ldt = mm->context.ldt;
	if (ldt) {
		len = ldt->nr_entries * LDT_ENTRY_SIZE;
		rec = record_reserve(out, CRK_ARCH_SEGMENTS, len);
		if (rec) {
			memcpy(rec->data, ldt->entries, len);
			record_shrink(out, rec, len);
		} else {
			ret = -ENOMEM;
		}
	}
	up_read(&mm->context.ldt_usr_sem);
#endif
	return ret;
}

/* ---- CRK_IOC_SET ---- */

int crk_x86_check_record(const struct crk_rec_arch *in, struct crk_log *log)
{
	switch (in->what) {
	case CRK_ARCH_BREAKPOINTS:
		return breakpoints_check(in, log);
	case CRK_ARCH_WIDE:
		return wide_check(in, log);
	case CRK_ARCH_TLS:
		return tls_check(in, log);
	case CRK_ARCH_PORTS:
	case CRK_ARCH_SEGMENTS:
		return 0;
	default:
		return crk_log(log, -EOPNOTSUPP, "this module knows nothing of it");
	}
}

int crk_x86_set_record(struct task_struct *t, const struct crk_rec_arch *in)
{
	switch (in->what) {
	case CRK_ARCH_BREAKPOINTS:
		return breakpoints_set(t, in);
	case CRK_ARCH_WIDE:
		return wide_set(t, in);
	case CRK_ARCH_TLS:
		return tls_set(t, in);
	default:
		return 0;
	}
}
