/* SPDX-License-Identifier: GPL-2.0 */
/* The half of kcompat.h, which includes it, about memory: address spaces, mappings, page tables. */
#ifndef _CRK_KCOMPAT_MM_H
#define _CRK_KCOMPAT_MM_H

/* ---- linux/hugetlb.h ---- */

/* e6c0c03245b6 ("mm: provide mm_struct and address to huge_ptep_get()") (v6.11) */
#if CRK_SINCE(6, 11)
#define crk_huge_ptep_get(mm, addr, ptep)	huge_ptep_get(mm, addr, ptep)
#else
#define crk_huge_ptep_get(mm, addr, ptep)	huge_ptep_get(ptep)
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

/* the filter of /proc/PID/coredump_filter */
static inline u32 crk_mm_dump_filter(const struct mm_struct *mm)
{
#ifdef NUM_MM_FLAG_BITS
	unsigned long flags = __mm_flags_get_word(mm);
#else
	unsigned long flags = mm->flags;
#endif
	return (flags & MMF_DUMP_FILTER_MASK) >> MMF_DUMP_FILTER_SHIFT;
}

/* MMF_DISABLE_THP got a milder sibling (v6.18), which prctl(PR_SET_THP_DISABLE) sets when asked to */
#ifndef MMF_DISABLE_THP_COMPLETELY
#define MMF_DISABLE_THP_COMPLETELY	MMF_DISABLE_THP
#endif

static inline bool crk_mm_thp_disabled(const struct mm_struct *mm)
{
	return mm_flags_test(MMF_DISABLE_THP_COMPLETELY, mm);
}

static inline void crk_mm_thp_disable(struct mm_struct *mm, bool disable)
{
	if (disable)
		mm_flags_set(MMF_DISABLE_THP_COMPLETELY, mm);
	else
		mm_flags_clear(MMF_DISABLE_THP_COMPLETELY, mm);
}

/* 529ce23a764f ("mm: switch mm->get_unmapped_area() to a flag") (v6.10): does mmap() look upwards, as it once did? */
#ifdef MMF_TOPDOWN
static inline bool crk_mm_bottom_up(const struct mm_struct *mm)
{
	return !mm_flags_test(MMF_TOPDOWN, mm);
}

static inline void crk_mm_set_bottom_up(struct mm_struct *mm, bool up)
{
	if (up)
		mm_flags_clear(MMF_TOPDOWN, mm);
	else
		mm_flags_set(MMF_TOPDOWN, mm);
}
#else
extern unsigned long crk_addr_arch_get_unmapped_area, crk_addr_arch_get_unmapped_area_topdown;	/* symbols.h */

static inline bool crk_mm_bottom_up(const struct mm_struct *mm)
{
	return (unsigned long)mm->get_unmapped_area == crk_addr_arch_get_unmapped_area;
}

static inline void crk_mm_set_bottom_up(struct mm_struct *mm, bool up)
{
	unsigned long down = crk_addr_arch_get_unmapped_area_topdown;

	mm->get_unmapped_area = (void *)(up ? crk_addr_arch_get_unmapped_area : down);
}
#endif

static inline bool crk_mm_thp_advised(const struct mm_struct *mm)
{
#ifdef MMF_DISABLE_THP_EXCEPT_ADVISED
	return mm_flags_test(MMF_DISABLE_THP_EXCEPT_ADVISED, mm);
#else
	return false;
#endif
}

/* prctl(PR_SET_MEMORY_MERGE): d7597f59d1d3 ("mm: add new api to enable ksm per process") (v6.4) */
static inline bool crk_mm_merge_any(const struct mm_struct *mm)
{
#ifdef MMF_VM_MERGE_ANY
	return mm_flags_test(MMF_VM_MERGE_ANY, mm);
#else
	return false;
#endif
}

/* prctl(PR_SET_MDWE): b507808ebce2 ("mm: implement memory-deny-write-execute as a prctl") (v6.3) */
#ifdef MMF_HAS_MDWE
#define CRK_HAVE_MDWE		1
#define crk_mm_mdwe(mm)		mm_flags_test(MMF_HAS_MDWE, mm)
#else
#define CRK_HAVE_MDWE		0
#define crk_mm_mdwe(mm)		false
#endif

/* 24e41bf8a6b4 ("mm: add a NO_INHERIT flag to the PR_SET_MDWE prctl") (v6.7) */
#ifdef MMF_HAS_MDWE_NO_INHERIT
#define CRK_HAVE_MDWE_NO_INHERIT	1
#define crk_mm_mdwe_no_inherit(mm)	mm_flags_test(MMF_HAS_MDWE_NO_INHERIT, mm)
#else
#define CRK_HAVE_MDWE_NO_INHERIT	0
#define crk_mm_mdwe_no_inherit(mm)	false
#endif

static inline void crk_mm_set_mdwe(struct mm_struct *mm, bool no_inherit)
{
#ifdef MMF_HAS_MDWE
	mm_flags_set(MMF_HAS_MDWE, mm);
#endif
#ifdef MMF_HAS_MDWE_NO_INHERIT
	if (no_inherit)
		mm_flags_set(MMF_HAS_MDWE_NO_INHERIT, mm);
#endif
}

/* ---- linux/mman.h ---- */

/* "mm: madvise: implement lightweight guard page mechanism" (v6.13); before, madvise() refuses it */
#include <linux/mman.h>
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

/* ---- linux/pagewalk.h ---- */

/* 49b0638502da ("mm: enable page walking API to lock vmas during the walk") (v6.5) */
#if CRK_SINCE(6, 5)
#define CRK_WALK_RDLOCK	.walk_lock = PGWALK_RDLOCK,
#else
#define CRK_WALK_RDLOCK
#endif

/* ---- linux/swapops.h, now linux/leafops.h ---- */

/* softleaf_t replaced swp_entry_t for what page tables hold (v6.19) */
#include <linux/swap.h>
#if CRK_SINCE(6, 19)
#include <linux/leafops.h>
#define crk_pte_is_marker(pte)	softleaf_is_marker(softleaf_from_pte(pte))
#define crk_pte_marker(pte)	softleaf_to_marker(softleaf_from_pte(pte))
#else
#include <linux/swapops.h>
#define crk_pte_is_marker(pte)	is_pte_marker(pte)
#define crk_pte_marker(pte)	pte_marker_get(pte_to_swp_entry(pte))
#endif

/* "mm: add PTE_MARKER_GUARD PTE marker" (v6.13) */
#ifndef PTE_MARKER_GUARD
#define PTE_MARKER_GUARD	0
#endif
/* "mm: make PTE_MARKER_SWAPIN_ERROR more general" (v6.6) */
#ifndef PTE_MARKER_POISONED
#define PTE_MARKER_POISONED	0
#endif

#endif /* _CRK_KCOMPAT_MM_H */
