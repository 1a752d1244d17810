// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: the page of signal trampolines and the vDSO.  The kernel maps them side by side: [sigpage], [vvar], [vdso]; so
 * they are treated as one, the page as the first of the vDSO's data.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mman.h>

#include <asm/mmu.h>

#include "arch.h"

#define MAP_TRIES	16

static const char *special_name(struct vm_area_struct *vma)
{
	if (!vma || vma->vm_file || !vma->vm_ops || !vma->vm_ops->name)
		return "";
	return vma->vm_ops->name(vma) ?: "";
}

static unsigned long context_vdso(const struct mm_struct *mm)
{
#ifdef CONFIG_VDSO
	return mm->context.vdso;
#else
	return 0;
#endif
}

/* what lies right before @start and belongs to it, or @start */
static unsigned long data_start(struct mm_struct *mm, unsigned long start)
{
	struct vm_area_struct *vma;
	const char *name;

	for (;;) {
		vma = find_vma(mm, start - 1);
		name = special_name(vma);
		if (!vma || vma->vm_end != start || (strncmp(name, "[vvar", 5) && strcmp(name, "[sigpage]")))
			return start;
		start = vma->vm_start;
	}
}

/* a process may have unmapped it all */
void crk_arm_get_vdso(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	unsigned long vdso = context_vdso(mm), start;
	struct vm_area_struct *vma = vdso ? find_vma(mm, vdso) : NULL;

	if (!vma || vma->vm_start != vdso || strcmp(special_name(vma), "[vdso]"))
		return;
	start = data_start(mm, vdso);
	rec->vdso = vdso;
	rec->vdso_len = vma->vm_end - start;
	if (start != vdso)
		rec->vvar = start;
}

/* ---- mapping one ---- */

/* how much of it there is from @start on, mapping by mapping */
static unsigned long block_end(struct mm_struct *mm, unsigned long start)
{
	unsigned long end = start;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	for (;;) {
		vma = find_vma(mm, end);
		if (!vma || vma->vm_start != end || !*special_name(vma))
			break;
		end = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return end;
}

/* each mapping for itself, as a whole: then the kernel knows where it is */
static long block_move(struct mm_struct *mm, unsigned long from, unsigned long end, unsigned long to)
{
	struct vm_area_struct *vma;
	unsigned long len, ret;

	for (; from < end; from += len, to += len) {
		mmap_read_lock(mm);
		vma = find_vma(mm, from);
		len = vma && vma->vm_start == from ? vma->vm_end - from : 0;
		mmap_read_unlock(mm);
		if (!len)
			return -EFAULT;
		ret = crk_arm_sys_mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (ret != to)
			return IS_ERR_VALUE(ret) ? ret : -EFAULT;
	}
	return 0;
}

/*
 * The kernel chooses a place at random, so it is moved to where it shall be; but where both overlap, another place must
 * do first.
 */
long crk_arm_map_vdso(u32 kind, unsigned long addr, unsigned long *vdso_ret)
{
	struct mm_struct *mm = current->mm;
	unsigned long start, end;
	long ret;
	int i;

	if (kind != CRK_VDSO_NATIVE)
		return -EOPNOTSUPP;
	for (i = 0; i < MAP_TRIES; i++) {
		ret = crk_call(arch_setup_additional_pages)(NULL, 0);
		if (ret)
			return ret;
		start = mm->context.sigpage;
		end = block_end(mm, start);
		if (start == addr || end <= addr || start >= addr + (end - start))
			break;
		vm_munmap(start, end - start);
	}
	if (i == MAP_TRIES)
		return -EADDRINUSE;
	if (start != addr) {
		ret = block_move(mm, start, end, addr);
		if (ret)
			return ret;
	}
	*vdso_ret = context_vdso(mm);
	if (!*vdso_ret)
		return -EOPNOTSUPP;
	return end - start;
}
