/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes older kernels look like the newest one of scripts/kernels.list, and hides where the kernels keep things that
 * have moved.  The only file that knows kernel versions; force-included into every object.  Sections are named
 * after the kernel's header, in alphabetical order; the newest kernel comes first in each.
 */
#ifndef _CRK_KCOMPAT_H
#define _CRK_KCOMPAT_H

#include <linux/mm.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/version.h>

#define CRK_SINCE(major, minor)	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

#if !CRK_SINCE(6, 1)
#error "crk: Linux 6.1 is the oldest kernel supported"
#endif

/* ---- linux/cleanup.h ---- */

/* 54da6a092431 ("locking: Introduce __cleanup() based infrastructure") (v6.5, also 6.1.y) */
#if !__has_include(<linux/cleanup.h>)
#error "crk: this kernel has no <linux/cleanup.h>; update to a current 6.1.y or newer"
#endif
#include <linux/cleanup.h>

/* ---- linux/futex.h ---- */

/* struct futex_sched_data (v7.0) */
#if CRK_SINCE(7, 0)
#define crk_robust_list(t)		((t)->futex.robust_list)
#define crk_compat_robust_list(t)	((t)->futex.compat_robust_list)
#else
#define crk_robust_list(t)		((t)->robust_list)
#define crk_compat_robust_list(t)	((t)->compat_robust_list)
#endif

/* ---- linux/mm.h ---- */

/* bc292ab00f6c ("mm: introduce vma->vm_flags wrapper functions") (v6.3) */
#if !CRK_SINCE(6, 3)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	mmap_assert_write_locked(vma->vm_mm);
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	mmap_assert_write_locked(vma->vm_mm);
	vma->vm_flags &= ~flags;
}
#endif

/* ca5e863233e8 ("mm/gup: remove vmas parameter from get_user_pages_remote()") (v6.5) */
#if !CRK_SINCE(6, 5)
#define get_user_pages_remote(mm, start, nr, gup_flags, pages, locked)				\
	get_user_pages_remote(mm, start, nr, gup_flags, pages, NULL, locked)
#endif

/* ---- linux/mm_types.h: mm_flags_t (v6.18) ---- */

#ifdef NUM_MM_FLAG_BITS
#else
static inline bool mm_flags_test(int flag, const struct mm_struct *mm)
{
	return test_bit(flag, &mm->flags);
}

static inline void mm_flags_set(int flag, struct mm_struct *mm)
{
	set_bit(flag, &mm->flags);
}

static inline void mm_flags_clear(int flag, struct mm_struct *mm)
{
	clear_bit(flag, &mm->flags);
}
#endif

/* ---- linux/slab.h ---- */

/* a67d74a4b163 ("mm/util: add kvfree scoped-based cleanup") (v6.9) */
#if !CRK_SINCE(6, 9)
DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
#endif

#endif /* _CRK_KCOMPAT_H */
