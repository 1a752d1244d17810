// SPDX-License-Identifier: GPL-2.0
/*
 * What a restored process gets besides mappings: the fields of its mm, its signal actions; and what it must lose, the
 * helper's descriptors.  All of it runs in the process's own context when the other threads are parked.
 */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "restore.h"
#include "symbols.h"

/* ---- CRK_REC_MM ---- */

static size_t auxv_word(const struct crk_rec_mm *in)
{
	return in->flags & (CRK_MM_COMPAT | CRK_MM_X32) ? sizeof(u32) : sizeof(unsigned long);
}

/*
 * Newer kernels tell programs more than there is room for in /proc/PID/auxv of older ones: what such a kernel does
 * not tell its own programs either is left out there.  The program reads the copy on its stack, which has all.
 */
static bool auxv_has_no_room(const struct crk_rec_mm *in, u64 type)
{
	return in->nr_auxv > AT_VECTOR_SIZE && (type == CRK_AT_RSEQ_FEATURE_SIZE || type == CRK_AT_RSEQ_ALIGN);
}

static int auxv_check(const struct crk_rec_mm *in, struct crk_log *log)
{
	u64 max = auxv_word(in) == sizeof(u32) ? U32_MAX : ULONG_MAX;
	u32 i, nr = in->nr_auxv;

	if (nr > CRK_AUXV_MAX || nr % 2)
		return crk_log(log, -EINVAL, "auxiliary vector of %u words", in->nr_auxv);
	for (i = 0; i < in->nr_auxv; i++) {
		if (in->auxv[i] > max)
			return crk_log(log, -EINVAL, "auxiliary vector: %#llx is too large", in->auxv[i]);
		if (!(i % 2) && auxv_has_no_room(in, in->auxv[i]))
			nr -= 2;
	}
	if (nr > AT_VECTOR_SIZE)
		return crk_log(log, -EINVAL, "auxiliary vector of %u words, this kernel has room for %u", nr,
			       (u32)AT_VECTOR_SIZE);
	return 0;
}

/* prctl(PR_SET_MM_MAP) asks for the same */
int crk_mm_check(const struct crk_rec_mm *in, struct crk_log *log)
{
	const u64 addrs[] = {
		in->start_code, in->end_code, in->start_data, in->end_data, in->start_brk, in->brk, in->start_stack,
		in->arg_start, in->arg_end, in->env_start, in->env_end,
	};
	int i;

	if (!in->task_size || in->task_size > TASK_SIZE_MAX)
		return crk_log(log, -EOPNOTSUPP, "address space up to %#llx: here it ends at %#lx", in->task_size,
			       (unsigned long)TASK_SIZE_MAX);
	for (i = 0; i < ARRAY_SIZE(addrs); i++)
		if (addrs[i] > in->task_size)
			return crk_log(log, -EINVAL, "address %#llx is beyond the address space", addrs[i]);
	/* a 32-bit process keeps those that its 64-bit calls would use */
	if (in->mmap_base > TASK_SIZE_MAX || in->mmap_legacy_base > TASK_SIZE_MAX)
		return crk_log(log, -EINVAL, "mappings from %#llx or %#llx are beyond all address spaces",
			       in->mmap_base, in->mmap_legacy_base);
	if (in->flags & CRK_MM_MDWE_NO_INHERIT && !(in->flags & CRK_MM_MDWE))
		return crk_log(log, -EINVAL, "address space: flags %#x", in->flags);
	if ((in->flags & CRK_MM_MDWE && !CRK_HAVE_MDWE) ||
	    (in->flags & CRK_MM_MDWE_NO_INHERIT && !CRK_HAVE_MDWE_NO_INHERIT))
		return crk_log(log, -EOPNOTSUPP, "this kernel can't keep memory from becoming executable (MDWE)");
	if (in->start_code > in->end_code || in->start_data > in->end_data || in->start_brk > in->brk ||
	    in->arg_start > in->arg_end || in->env_start > in->env_end)
		return crk_log(log, -EINVAL, "a section of the address space ends before it begins");
	return auxv_check(in, log) ?: crk_arch.check_mm(in, log);
}

static void auxv_set(struct mm_struct *mm, const struct crk_rec_mm *in)
{
	u32 *words = (u32 *)mm->saved_auxv;
	u32 i, to = 0;

	memset(mm->saved_auxv, 0, sizeof(mm->saved_auxv));
	for (i = 0; i < in->nr_auxv; i++) {
		if (auxv_has_no_room(in, in->auxv[i & ~1U]))
			continue;
		if (auxv_word(in) == sizeof(u32))
			words[to++] = in->auxv[i];
		else
			mm->saved_auxv[to++] = in->auxv[i];
	}
}

void crk_mm_set(const struct crk_rec_mm *in)
{
	struct mm_struct *mm = current->mm;

	mmap_write_lock(mm);
	spin_lock(&mm->arg_lock);	/* /proc/PID reads these without the mmap lock */
	mm->start_code = in->start_code;
	mm->end_code = in->end_code;
	mm->start_data = in->start_data;
	mm->end_data = in->end_data;
	mm->start_brk = in->start_brk;
	mm->brk = in->brk;
	mm->start_stack = in->start_stack;
	mm->arg_start = in->arg_start;
	mm->arg_end = in->arg_end;
	mm->env_start = in->env_start;
	mm->env_end = in->env_end;
	spin_unlock(&mm->arg_lock);
	mm->mmap_base = in->mmap_base;
	mm->mmap_legacy_base = in->mmap_legacy_base;
	mm->task_size = in->task_size;
	crk_mm_set_bottom_up(mm, in->flags & CRK_MM_BOTTOM_UP);
	auxv_set(mm, in);
	crk_arch.set_mm(mm, in);
	if (in->flags & CRK_MM_MDWE)	/* can't be taken back, so that it is never cleared here */
		crk_mm_set_mdwe(mm, in->flags & CRK_MM_MDWE_NO_INHERIT);
	mmap_write_unlock(mm);
}

/* ---- CRK_REC_ACTIONS ---- */

int crk_actions_check(const struct crk_rec_actions *in, struct crk_log *log)
{
	u32 i;

	if (in->rec.size < sizeof(*in) || in->nr > _NSIG || in->__reserved ||
	    in->rec.size < struct_size(in, actions, in->nr))
		return crk_log(log, -EINVAL, "record of %u signal actions is wrong", in->nr);
	for (i = 0; i < in->nr; i++) {
		const struct crk_action *a = &in->actions[i];

		if (a->flags & ~(u64)(u32)UAPI_SA_FLAGS || a->abi > CRK_ACTION_X32 || a->__reserved ||
		    a->handler != (unsigned long)a->handler || a->restorer != (unsigned long)a->restorer)
			return crk_log(log, -EINVAL, "signal action %u: flags %#llx, handler %#llx, abi %u", i + 1,
				       a->flags, a->handler, a->abi);
	}
	return 0;
}

void crk_actions_set(const struct crk_rec_actions *in)
{
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);	/* one's own stays */
	u32 i;

	spin_lock_irq(&sighand->siglock);
	for (i = 0; i < in->nr; i++) {
		const struct crk_action *a = &in->actions[i];
		struct k_sigaction *ka = &sighand->action[i];

		if (i + 1 == SIGKILL || i + 1 == SIGSTOP)
			continue;
		*ka = (struct k_sigaction){
			.sa.sa_handler = (__sighandler_t)(unsigned long)a->handler,
			.sa.sa_flags = a->flags | crk_arch.set_action_abi(a->abi),
#ifdef __ARCH_HAS_SA_RESTORER
			.sa.sa_restorer = (__sigrestore_t)(unsigned long)a->restorer,
#endif
		};
		crk_sigset_put(&ka->sa.sa_mask, a->mask);
	}
	spin_unlock_irq(&sighand->siglock);
}

/* ---- descriptors ---- */

static int files_next(const void *arg, struct file *file, unsigned int fd)
{
	return fd + 1;
}

/*
 * Not close_fd(): it would release the POSIX locks of the process on every file that is closed, the restored ones
 * too, since a process loses its locks with any of its descriptors of a file.
 */
void crk_files_close(u32 from)
{
	struct file *file;
	int next;

	if (from > INT_MAX)
		return;
	for (next = from; (next = iterate_fd(current->files, next, files_next, NULL)) > 0;) {
		file = crk_call(file_close_fd)(next - 1);
		if (file)
			filp_close(file, NULL);	/* the owner of no lock */
	}
}
