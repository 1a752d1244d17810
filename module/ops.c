// SPDX-License-Identifier: GPL-2.0
/*
 * The records of a memory program: one row each in step_rows, { check, run }.  A check runs in the caller of
 * CRK_IOC_PROGRAM and may refuse; a run changes current's new address space and may only fail for what no check can
 * know.  The order of records is program.c's.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/prctl.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <uapi/linux/shm.h>

#include "restore.h"
#include "symbols.h"

#define CRK_NAME_MAX	80	/* ANON_VMA_NAME_MAX_LEN, NUL included */

/* fields of struct crk_op that a record may set; all others must be 0, fd -1 */
#define USES_FLAGS	BIT(0)
#define USES_RANGE	BIT(1)	/* addr, len: whole pages below the address limit */
#define USES_OFF	BIT(2)
#define USES_FD		BIT(3)	/* an open file, if not -1 */
#define USES_PROT	BIT(4)
#define USES_ARG	BIT(5)
#define USES_SHIFT	BIT(6)

/**
 * struct step_row - a kind of record
 * @name: for messages
 * @uses: USES_*
 * @maps: makes a mapping at addr
 * @check: what @uses does not tell; NULL: nothing
 * @run: 0 or negative errno, with its reason in the log
 */
struct step_row {
	const char *name;
	u32 uses;
	bool maps;
	int (*check)(struct crk_prog *prog, struct crk_step *step);
	int (*run)(struct crk_prog *prog, struct crk_step *step);
};

/* ---- a page of the restored process for arguments of system calls ---- */

/* shared, so that it merges with no neighbour and leaves no trace in one */
int crk_scratch_map(const void *data, size_t len, unsigned long *addr_ret)
{
	unsigned long addr;

	addr = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(addr))
		return addr;
	if (copy_to_user((void __user *)addr, data, len)) {
		crk_scratch_unmap(addr);
		return -EFAULT;
	}
	*addr_ret = addr;
	return 0;
}

void crk_scratch_unmap(unsigned long addr)
{
	vm_munmap(addr, PAGE_SIZE);
}

/* ---- CRK_OP_MOVE ---- */

static int move_check(struct crk_prog *prog, struct crk_step *step)
{
	u64 addr = step->op.arg, end;

	if (!PAGE_ALIGNED(addr) || check_add_overflow(addr, step->op.len, &end) || end > TASK_SIZE)
		return crk_step_err(prog, step, -EINVAL, "%#llx is no source of a move", addr);

	mmap_read_lock(current->mm);
	while (addr < end) {
		struct vm_area_struct *vma = find_vma(current->mm, addr);

		if (!vma || vma->vm_start > addr)
			break;
		addr = vma->vm_end;
	}
	mmap_read_unlock(current->mm);
	return addr < end ? crk_step_err(prog, step, -EINVAL, "nothing is mapped at %#llx", addr) : 0;
}

/* one mapping at a time: older kernels move no more */
static int move_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long from = step->op.arg, to = step->op.addr, end = from + step->op.len, len, ret;
	struct vm_area_struct *vma;

	for (; from < end; from += len, to += len) {
		mmap_read_lock(current->mm);
		vma = find_vma(current->mm, from);
		len = vma && vma->vm_start <= from ? min(vma->vm_end, end) - from : 0;
		mmap_read_unlock(current->mm);
		if (!len)
			return crk_step_err(prog, step, -EFAULT, "nothing is mapped at %#lx", from);
		ret = crk_arch.sys_mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (ret != to)
			return crk_step_err(prog, step, IS_ERR_VALUE(ret) ? ret : -EFAULT,
					    "cannot move %#lx", from);
	}
	return 0;
}

/* ---- CRK_OP_MAP ---- */

#define MAP_FLAGS_KNOWN	(CRK_MAP_SHARED | CRK_MAP_ANON | CRK_MAP_GROWSDOWN | CRK_MAP_NORESERVE | CRK_MAP_HUGETLB | \
			 CRK_MAP_POPULATE | CRK_MAP_DROPPABLE)

static int map_check(struct crk_prog *prog, struct crk_step *step)
{
	const struct crk_op *op = &step->op;

	if (op->flags & ~MAP_FLAGS_KNOWN)
		return crk_step_err(prog, step, -EINVAL, "unknown flags %#x", op->flags);
	if (!(op->flags & CRK_MAP_ANON) != !!step->file || (op->flags & CRK_MAP_ANON && op->off))
		return crk_step_err(prog, step, -EINVAL, "a file and offset are for mappings of files");
	if (!!op->page_shift != !!(op->flags & CRK_MAP_HUGETLB) || op->page_shift > MAP_HUGE_MASK)
		return crk_step_err(prog, step, -EINVAL, "page size 2^%u", op->page_shift);
	if (op->flags & CRK_MAP_SHARED && op->flags & (CRK_MAP_GROWSDOWN | CRK_MAP_DROPPABLE))
		return crk_step_err(prog, step, -EINVAL, "flags %#x exclude each other", op->flags);
#ifndef MAP_DROPPABLE
	if (op->flags & CRK_MAP_DROPPABLE)
		return crk_step_err(prog, step, -EOPNOTSUPP, "this kernel has no droppable mappings");
#endif
	if ((op->flags & CRK_MAP_HUGETLB || op->off > ULONG_MAX) && !crk_have(ksys_mmap_pgoff))
		return crk_step_err(prog, step, -EOPNOTSUPP, "needs ksys_mmap_pgoff, which this kernel does not show");
	if (!PAGE_ALIGNED(op->off))
		return crk_step_err(prog, step, -EINVAL, "offset %#llx", op->off);
	if (step->file && !(step->file->f_mode & FMODE_READ))
		return crk_step_err(prog, step, -EINVAL, "fd %d is not open for reading", op->fd);
	return 0;
}

static unsigned long map_flags(u32 flags)
{
	/* nothing is there, and should a mistake in the program say otherwise, then that is an error */
	unsigned long ret = MAP_FIXED_NOREPLACE;

#ifdef MAP_DROPPABLE
	if (flags & CRK_MAP_DROPPABLE)
		ret |= MAP_DROPPABLE;
	else
#endif
		ret |= flags & CRK_MAP_SHARED ? MAP_SHARED : MAP_PRIVATE;
	if (flags & CRK_MAP_ANON)
		ret |= MAP_ANONYMOUS;
	if (flags & CRK_MAP_GROWSDOWN)
		ret |= MAP_GROWSDOWN;
	if (flags & CRK_MAP_NORESERVE)
		ret |= MAP_NORESERVE;
	if (flags & CRK_MAP_HUGETLB)
		ret |= MAP_HUGETLB;
	if (flags & CRK_MAP_POPULATE)
		ret |= MAP_POPULATE;
	return ret;
}

static int map_run(struct crk_prog *prog, struct crk_step *step)
{
	const struct crk_op *op = &step->op;
	unsigned long flags = map_flags(op->flags), ret;

	/* vm_mmap() makes no huge page file and takes offsets as bytes in a long */
	if (op->flags & CRK_MAP_HUGETLB || op->off > ULONG_MAX)
		ret = crk_call(ksys_mmap_pgoff)(op->addr, op->len, op->prot,
						flags | (unsigned long)op->page_shift << MAP_HUGE_SHIFT,
						op->fd, op->off >> PAGE_SHIFT);
	else
		ret = vm_mmap(step->file, op->addr, op->len, op->prot, flags, op->off);
	if (IS_ERR_VALUE(ret))
		return crk_step_err(prog, step, ret, "cannot map");
	if (ret == op->addr)
		return 0;
	return crk_step_err(prog, step, -EFAULT, "was mapped at %#lx", ret);
}

/* ---- CRK_OP_PROTECT, CRK_OP_ADVISE, CRK_OP_LOCK, CRK_OP_MLOCKALL, CRK_OP_SEAL: system calls ---- */

static int sys_result(struct crk_prog *prog, struct crk_step *step, long ret)
{
	return ret ? crk_step_err(prog, step, ret, "refused by the kernel") : 0;
}

static int protect_run(struct crk_prog *prog, struct crk_step *step)
{
	return sys_result(prog, step, crk_arch.sys_mprotect(step->op.addr, step->op.len, step->op.prot));
}

static int advise_check(struct crk_prog *prog, struct crk_step *step)
{
	switch (step->op.arg) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_DONTNEED:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		return 0;
	case MADV_GUARD_INSTALL:
		/* no bytes: does nothing, but tells whether it is there */
		if (!crk_arch.sys_madvise(0, 0, MADV_GUARD_INSTALL))
			return 0;
		return crk_step_err(prog, step, -EOPNOTSUPP, "this kernel has no MADV_GUARD_INSTALL");
	default:
		return crk_step_err(prog, step, -EINVAL, "advice %llu sets no flag", step->op.arg);
	}
}

static int advise_run(struct crk_prog *prog, struct crk_step *step)
{
	return sys_result(prog, step, crk_arch.sys_madvise(step->op.addr, step->op.len, step->op.arg));
}

static int onfault_check(struct crk_prog *prog, struct crk_step *step)
{
	return step->op.arg > 1 ? crk_step_err(prog, step, -EINVAL, "argument %llu", step->op.arg) : 0;
}

static bool is_locked(unsigned long addr, unsigned long end)
{
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	for (; addr < end; addr = vma->vm_end) {
		vma = find_vma(current->mm, addr);
		if (!vma || vma->vm_start > addr || !(vma->vm_flags & VM_LOCKED))
			break;
	}
	mmap_read_unlock(current->mm);
	return addr >= end;
}

/* ENOMEM also tells that a page can't be brought in, since nobody may touch it: the mapping is locked all the same */
static int lock_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long addr = step->op.addr;
	long ret = crk_arch.sys_mlock2(addr, step->op.len, step->op.arg ? MLOCK_ONFAULT : 0);

	if (ret == -ENOMEM && is_locked(addr, addr + step->op.len))
		ret = 0;
	return sys_result(prog, step, ret);
}

static int mlockall_run(struct crk_prog *prog, struct crk_step *step)
{
	return sys_result(prog, step, crk_arch.sys_mlockall(MCL_FUTURE | (step->op.arg ? MCL_ONFAULT : 0)));
}

static int seal_check(struct crk_prog *prog, struct crk_step *step)
{
	/* no bytes: does nothing, but tells whether it is there */
	if (crk_arch.sys_mseal && !crk_arch.sys_mseal(0, 0))
		return 0;
	return crk_step_err(prog, step, -EOPNOTSUPP, "this kernel has no mseal()");
}

static int seal_run(struct crk_prog *prog, struct crk_step *step)
{
	return sys_result(prog, step, crk_arch.sys_mseal(step->op.addr, step->op.len));
}

/* ---- CRK_OP_VDSO ---- */

static int vdso_check(struct crk_prog *prog, struct crk_step *step)
{
	if (step->op.arg > CRK_VDSO_X32)
		return crk_step_err(prog, step, -EINVAL, "kind %llu", step->op.arg);
	if (!PAGE_ALIGNED(step->op.off) || step->op.off >= prog->mm.task_size)
		return crk_step_err(prog, step, -EINVAL, "signal trampolines at %#llx", step->op.off);
	return 0;
}

static int vdso_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long vdso;
	long ret = crk_arch.map_vdso(step->op.arg, step->op.addr, step->op.off, &vdso);

	if (ret < 0)
		return crk_step_err(prog, step, ret, "cannot map the vDSO");
	if (step->op.len && step->op.len != ret)
		return crk_step_err(prog, step, -EOPNOTSUPP, "vDSO of another kernel: %llu bytes, here it has %ld",
				    step->op.len, ret);
	return 0;
}

/* ---- CRK_OP_SHMAT ---- */

static int shmat_check(struct crk_prog *prog, struct crk_step *step)
{
	if (step->op.arg > INT_MAX || !(step->op.prot & PROT_READ))
		return crk_step_err(prog, step, -EINVAL, "segment %llu, protection %u", step->op.arg, step->op.prot);
	return 0;
}

static int shmat_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long ret;
	int flags = 0;

	if (!(step->op.prot & PROT_WRITE))
		flags |= SHM_RDONLY;
	if (step->op.prot & PROT_EXEC)
		flags |= SHM_EXEC;
	ret = crk_arch.sys_shmat(step->op.arg, step->op.addr, flags);
	if (ret == step->op.addr)
		return 0;
	return crk_step_err(prog, step, IS_ERR_VALUE(ret) ? ret : -EFAULT, "cannot attach segment %llu", step->op.arg);
}

/* ---- CRK_OP_EXE ---- */

static int exe_check(struct crk_prog *prog, struct crk_step *step)
{
	if (!step->file || !S_ISREG(file_inode(step->file)->i_mode))
		return crk_step_err(prog, step, -EINVAL, "fd %d is not a regular file", step->op.fd);
	return 0;
}

/* its contract, no concurrent caller for this mm, holds: all other threads are parked */
static int exe_run(struct crk_prog *prog, struct crk_step *step)
{
	return sys_result(prog, step, crk_call(set_mm_exe_file)(current->mm, step->file));
}

/* ---- CRK_OP_NAME ---- */

static int name_check(struct crk_prog *prog, struct crk_step *step)
{
	char *text;

	if (!IS_ENABLED(CONFIG_ANON_VMA_NAME))
		return crk_step_err(prog, step, -EOPNOTSUPP, "this kernel has no CONFIG_ANON_VMA_NAME");
	text = strndup_user(u64_to_user_ptr(step->op.arg), CRK_NAME_MAX);
	if (IS_ERR(text))
		return crk_step_err(prog, step, PTR_ERR(text), "no name at %#llx", step->op.arg);
	step->text = text;
	return 0;
}

static int name_run(struct crk_prog *prog, struct crk_step *step)
{
	unsigned long addr;
	long ret;

	ret = crk_scratch_map(step->text, strlen(step->text) + 1, &addr);
	if (ret)
		return crk_step_err(prog, step, ret, "no page for a name");
	ret = crk_arch.sys_prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, step->op.addr, step->op.len, addr);
	crk_scratch_unmap(addr);
	return ret ? crk_step_err(prog, step, ret, "cannot be named \"%s\"", step->text) : 0;
}

/* ---- the table ---- */

static const struct step_row step_rows[] = {
	[CRK_OP_MOVE] = { "move", USES_RANGE | USES_ARG, true, move_check, move_run },
	[CRK_OP_MAP] = { "map", USES_FLAGS | USES_RANGE | USES_OFF | USES_FD | USES_PROT | USES_SHIFT, true,
			 map_check, map_run },
	[CRK_OP_FILL] = { "fill", USES_RANGE | USES_OFF | USES_FD, false, crk_fill_check, crk_fill_run },
	[CRK_OP_PROTECT] = { "protect", USES_RANGE | USES_PROT, false, NULL, protect_run },
	[CRK_OP_ADVISE] = { "advise", USES_RANGE | USES_ARG, false, advise_check, advise_run },
	[CRK_OP_LOCK] = { "lock", USES_RANGE | USES_ARG, false, onfault_check, lock_run },
	[CRK_OP_VDSO] = { "vdso", USES_RANGE | USES_OFF | USES_ARG, true, vdso_check, vdso_run },
	[CRK_OP_SHMAT] = { "shmat", USES_RANGE | USES_PROT | USES_ARG, true, shmat_check, shmat_run },
	[CRK_OP_EXE] = { "exe", USES_FD, false, exe_check, exe_run },
	[CRK_OP_NAME] = { "name", USES_RANGE | USES_ARG, false, name_check, name_run },
	[CRK_OP_MLOCKALL] = { "mlockall", USES_ARG, false, onfault_check, mlockall_run },
	[CRK_OP_SEAL] = { "seal", USES_RANGE, false, seal_check, seal_run },
};

static const struct step_row *step_row(const struct crk_step *step)
{
	if (step->op.op >= ARRAY_SIZE(step_rows) || !step_rows[step->op.op].name)
		return NULL;
	return &step_rows[step->op.op];
}

int crk_step_err(struct crk_prog *prog, struct crk_step *step, int ret, const char *fmt, ...)
{
	const struct step_row *row = step_row(step);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	crk_log(prog->log, 0, "record %td (%s) at %#llx, %llu bytes: %pV (%d)", step - prog->steps,
		row ? row->name : "unknown", step->op.addr, step->op.len, &vaf, ret);
	va_end(args);
	return ret;
}

bool crk_step_maps(const struct crk_step *step)
{
	return step_row(step)->maps;
}

static int range_check(struct crk_prog *prog, struct crk_step *step)
{
	const struct crk_op *op = &step->op;
	bool may_be_empty = op->op == CRK_OP_VDSO;	/* of any length */
	u64 end;

	if (!PAGE_ALIGNED(op->addr) || !PAGE_ALIGNED(op->len) || (!op->len && !may_be_empty))
		return crk_step_err(prog, step, -EINVAL, "not whole pages");
	if (check_add_overflow(op->addr, op->len, &end) || end > prog->mm.task_size)
		return crk_step_err(prog, step, -EINVAL, "beyond the address space, which ends at %#llx",
				    prog->mm.task_size);
	return 0;
}

static bool unused_ok(const struct crk_op *op, u32 uses)
{
	return !op->__reserved && (uses & USES_FLAGS || !op->flags) && (uses & USES_RANGE || !(op->addr | op->len)) &&
	       (uses & USES_OFF || !op->off) && (uses & USES_FD || op->fd == -1) && (uses & USES_PROT || !op->prot) &&
	       (uses & USES_ARG || !op->arg) && (uses & USES_SHIFT || !op->page_shift);
}

int crk_step_check(struct crk_prog *prog, struct crk_step *step)
{
	const struct step_row *row = step_row(step);
	struct crk_op *op = &step->op;
	int ret;

	if (!row)
		return crk_step_err(prog, step, -EINVAL, "no such record type: %u", op->op);
	if (!unused_ok(op, row->uses))
		return crk_step_err(prog, step, -EINVAL, "a field is set that has no meaning for it");
	if (op->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return crk_step_err(prog, step, -EINVAL, "protection %#x", op->prot);
	ret = row->uses & USES_RANGE ? range_check(prog, step) : 0;
	if (ret)
		return ret;
	if (row->uses & USES_FD && op->fd != -1) {
		step->file = fget(op->fd);
		if (!step->file)
			return crk_step_err(prog, step, -EBADF, "fd %d is not open", op->fd);
	}
	return row->check ? row->check(prog, step) : 0;
}

int crk_step_run(struct crk_prog *prog, struct crk_step *step)
{
	return step_row(step)->run(prog, step);
}
