// SPDX-License-Identifier: GPL-2.0
/*
 * ARM: where the vDSO of a process is and where the kernel keeps what in its data; mapping it, and the page of signal
 * trampolines, which the kernel only makes together.  What a restore does with that is the helper's affair.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mman.h>

#include <asm/mmu.h>
#ifdef CONFIG_VDSO
#include <vdso/datapage.h>
#endif

#include "arch.h"

#define MAP_TRIES	16

/* ---- the data ---- */

#ifdef CONFIG_VDSO
#if CRK_HAVE_VDSO_DATA
#define VVAR_DATA	struct vdso_data
#define VVAR_TIMES	offsetof(struct vdso_data, basetime)
#define VVAR_PAGE	0
#else
#define VVAR_DATA	struct vdso_time_data
#define VVAR_TIMES	offsetof(struct vdso_time_data, clock_data[CS_HRES_COARSE].basetime)
#define VVAR_PAGE	(VDSO_TIME_PAGE_OFFSET * PAGE_SIZE)
#endif

/* what crk_regs.h says of them */
static_assert(sizeof(struct vdso_timestamp) == 16 && VDSO_BASES == CLOCK_TAI + 1);
static_assert(offsetof(struct vdso_timestamp, sec) == 0 && offsetof(struct vdso_timestamp, nsec) == 8);
static_assert(offsetof(VVAR_DATA, tz_dsttime) == offsetof(VVAR_DATA, tz_minuteswest) + 4);
static_assert(offsetof(VVAR_DATA, hrtimer_res) == offsetof(VVAR_DATA, tz_minuteswest) + 8);
#endif

static void data_get(struct crk_rec_mm *rec)
{
#ifdef CONFIG_VDSO
	rec->vvar_times = VVAR_PAGE + VVAR_TIMES;
	rec->vvar_zone = VVAR_PAGE + offsetof(VVAR_DATA, tz_minuteswest);
#endif
}

/* ---- where it is ---- */

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

/* the data of the vDSO lies right before it; a process may have unmapped it all */
void crk_arm_get_vdso(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	unsigned long start = context_vdso(mm), end;
	struct vm_area_struct *vma = start ? find_vma(mm, start) : NULL;

	if (!vma || vma->vm_start != start || strcmp(special_name(vma), "[vdso]"))
		return;
	rec->vdso = start;
	end = vma->vm_end;
	for (;;) {
		vma = find_vma(mm, start - 1);
		if (!vma || vma->vm_end != start || strncmp(special_name(vma), "[vvar", 5))
			break;
		start = vma->vm_start;
		rec->vvar = start;
	}
	rec->vdso_len = end - start;
	if (rec->vvar)
		data_get(rec);
}

/* ---- mapping one ---- */

/* the trampolines, the data and the code follow each other */
struct block {
	unsigned long tramp;
	unsigned long data;
	unsigned long end;
};

/* what the kernel has just mapped */
static void block_find(struct mm_struct *mm, struct block *b)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	b->tramp = mm->context.sigpage;
	b->data = b->tramp + PAGE_SIZE;
	for (b->end = b->data;; b->end = vma->vm_end) {
		vma = find_vma(mm, b->end);
		if (!vma || vma->vm_start != b->end || !*special_name(vma))
			break;
	}
	mmap_read_unlock(mm);
}

/* each mapping for itself, as a whole: then the kernel knows where it is */
static int block_move(struct mm_struct *mm, unsigned long from, unsigned long end, unsigned long to)
{
	struct vm_area_struct *vma;
	unsigned long len, ret;

	for (; from < end && from != to; from += len, to += len) {
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

static bool overlap(unsigned long a, unsigned long a_len, unsigned long b, unsigned long b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* would the way of one lead over the other? */
static bool is_in_the_way(const struct block *b, unsigned long addr, unsigned long tramp)
{
	unsigned long len = b->end - b->tramp;

	return overlap(b->tramp, len, addr, b->end - b->data) || (tramp && overlap(b->tramp, len, tramp, PAGE_SIZE));
}

static bool is_free(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	bool ret;

	mmap_read_lock(mm);
	ret = !find_vma_intersection(mm, addr, addr + len);
	mmap_read_unlock(mm);
	return ret;
}

/* The kernel chooses a place at random, and what it has made is moved from there */
long crk_arm_map_vdso(u32 kind, unsigned long addr, unsigned long tramp, unsigned long *vdso_ret)
{
	struct mm_struct *mm = current->mm;
	unsigned long before = mm->context.sigpage;
	struct block b;
	int i, ret;

	if (kind != CRK_VDSO_NATIVE || !IS_ENABLED(CONFIG_VDSO))
		return -EOPNOTSUPP;
	for (i = 0; i < MAP_TRIES; i++) {
		ret = crk_call(arch_setup_additional_pages)(NULL, 0);
		if (ret)
			return ret;
		block_find(mm, &b);
		if (!is_in_the_way(&b, addr, tramp))
			break;
		vm_munmap(b.tramp, b.end - b.tramp);
	}
	if (i == MAP_TRIES || !is_free(mm, addr, b.end - b.data) || (tramp && !is_free(mm, tramp, PAGE_SIZE)))
		return -EADDRINUSE;
	ret = block_move(mm, b.data, b.end, addr);
	if (!ret && tramp)
		ret = block_move(mm, b.tramp, b.data, tramp);
	if (ret)
		return ret;
	if (!tramp) {
		vm_munmap(b.tramp, PAGE_SIZE);
		mm->context.sigpage = before;
	}
	*vdso_ret = context_vdso(mm);
	return b.end - b.data;
}
