// SPDX-License-Identifier: GPL-2.0
/*
 * Which pages of a frozen process matter: runs of equal pages, found by a walk of its page tables that faults
 * nothing in and splits no huge page.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>

#include "frozen.h"
#include "symbols.h"

#define RUN_BATCH	4096
#define ID_BATCH	16384

/**
 * struct page_walk - what one walk of the page tables gathers
 * @job: for the identities
 * @runs: result
 * @ids: identities of the pages of its CRK_PAGE_MAYSHARE runs; NULL if not wanted
 * @nr: entries of @runs
 * @max: room in @runs
 * @nr_ids: entries of @ids
 * @max_ids: room in @ids
 * @next: first address not yet reported
 * @vma_flags: CRK_PAGE_* that all pages with contents of the mapping have
 */
struct page_walk {
	struct crk_job *job;
	struct crk_pages *runs;
	u64 *ids;
	u32 nr, max;
	u32 nr_ids, max_ids;
	u64 next;
	u32 vma_flags;
};

/*
 * mremap() moves whole page tables without a word to the soft-dirty bits in them, if addresses are multiples of what a
 * table covers.  Anonymous memory tells by its offset, which stays that of where it first was; of a file the offset is
 * the file's, so that size has to tell (what is cut short after such a move is not noticed).
 */
static bool may_have_moved(const struct vm_area_struct *vma)
{
	if (!vma->vm_file)
		return vma->vm_pgoff != vma->vm_start >> PAGE_SHIFT;
	return vma->vm_end - vma->vm_start >= PMD_SIZE &&
	       round_up(vma->vm_start, PMD_SIZE) <= vma->vm_end - PMD_SIZE;
}

/* VM_SOFTDIRTY: made since the bits were cleared, and what its page tables say of that is not complete */
static u32 tracking_flags(const struct vm_area_struct *vma)
{
	u32 flags = 0;

	if (vma->vm_flags & VM_SOFTDIRTY)
		flags |= CRK_PAGE_SOFT_DIRTY;
	/* a page that is replaced by one of the same contents loses its bit: replace_page() in mm/ksm.c */
	if (!IS_ENABLED(CONFIG_MEM_SOFT_DIRTY) || (vma->vm_flags & (VM_HUGETLB | VM_MERGEABLE)) || may_have_moved(vma))
		flags |= CRK_PAGE_UNTRACKED;
	return flags;
}

/* reports @nr pages from @addr on; 1 when there is no room for all of them: the walk ends and goes on at walk->next */
static int run_add(struct page_walk *w, unsigned long addr, unsigned long nr, u32 flags, unsigned long pfn)
{
	struct crk_pages *last = w->nr ? &w->runs[w->nr - 1] : NULL;
	unsigned long i, fits = nr;

	if (w->ids && (flags & CRK_PAGE_MAYSHARE))
		fits = min_t(unsigned long, nr, w->max_ids - w->nr_ids);
	if (!last || last->flags != flags || last->addr + ((u64)last->nr << PAGE_SHIFT) != addr ||
	    last->nr > U32_MAX - fits) {
		if (w->nr == w->max)
			fits = 0;
		if (fits) {
			last = &w->runs[w->nr++];
			*last = (struct crk_pages){ .addr = addr, .flags = flags };
		}
	}
	if (fits)
		last->nr += fits;
	if (w->ids && (flags & CRK_PAGE_MAYSHARE))
		for (i = 0; i < fits; i++)
			w->ids[w->nr_ids++] = siphash_1u64(pfn + i, &w->job->key);
	w->next = addr + (fits << PAGE_SHIFT);
	return fits < nr;
}

/* PageAnonExclusive() of a huge page is kept in its first page */
static u32 page_flags(const struct page *page, const struct page *first)
{
	if (!PageAnon((struct page *)page))
		return CRK_PAGE_FILE;
	return CRK_PAGE_ANON | (PageAnonExclusive((struct page *)first) ? 0 : CRK_PAGE_MAYSHARE);
}

/* no page, but a mark that there must be none; those of userfaultfd's write protection go with that */
static int marker_add(struct page_walk *w, pte_t pte, unsigned long addr)
{
	if (crk_pte_marker(pte) & PTE_MARKER_GUARD)
		return run_add(w, addr, 1, CRK_PAGE_GUARD, 0);
	if (crk_pte_marker(pte) & PTE_MARKER_POISONED)
		return run_add(w, addr, 1, CRK_PAGE_POISONED, 0);
	return 0;
}

/* page table lock held by the walker */
static int pte_walk(pte_t *ptep, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	struct page_walk *w = walk->private;
	pte_t pte = ptep_get(ptep);
	struct page *page;
	u32 flags = 0;

	if (pte_none(pte))
		return 0;
	if (crk_pte_is_marker(pte))
		return marker_add(w, pte, addr);
	if (!pte_present(pte)) {
		if (walk->vma->vm_flags & VM_SHARED)
			return 0;
		flags = pte_swp_soft_dirty(pte) ? CRK_PAGE_SOFT_DIRTY : 0;
		return run_add(w, addr, 1, flags | w->vma_flags | CRK_PAGE_SWAP, 0);
	}
	if (pte_soft_dirty(pte))
		flags |= CRK_PAGE_SOFT_DIRTY;
	if (pte_pfn(pte) == page_to_pfn(ZERO_PAGE(addr)))
		return run_add(w, addr, 1, flags | CRK_PAGE_ZERO, 0);
	flags |= w->vma_flags;
	if (pte_special(pte))		/* memory of a device: not everything in a mapping need be of one kind */
		return 0;
	page = pfn_to_page(pte_pfn(pte));
	return run_add(w, addr, 1, flags | page_flags(page, page), pte_pfn(pte));
}

/* a huge page of anonymous memory that is not anonymous itself is the huge zero page */
static int huge_pmd_add(struct page_walk *w, struct vm_area_struct *vma, pmd_t pmd, unsigned long addr,
			unsigned long next)
{
	struct page *first = pmd_page(pmd);
	unsigned long skip = (addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT;
	u32 flags = page_flags(first, first);

	if (vma_is_anonymous(vma) && !(flags & CRK_PAGE_ANON))
		flags = CRK_PAGE_ZERO;
	if (pmd_soft_dirty(pmd))
		flags |= CRK_PAGE_SOFT_DIRTY;
	flags |= w->vma_flags;
	return run_add(w, addr, (next - addr) >> PAGE_SHIFT, flags | CRK_PAGE_HUGE, pmd_pfn(pmd) + skip);
}

static int pmd_walk(pmd_t *pmdp, unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	struct page_walk *w = walk->private;
	spinlock_t *ptl;
	int ret = 0;
	pmd_t pmd;

	if (pmd_none(*pmdp) || (pmd_present(*pmdp) && !pmd_trans_huge(*pmdp)))
		return 0;		/* on to the page tables below */
	ptl = pmd_lock(walk->mm, pmdp);
	pmd = *pmdp;
	if (pmd_present(pmd) && pmd_trans_huge(pmd)) {
		walk->action = ACTION_CONTINUE;
		ret = huge_pmd_add(w, walk->vma, pmd, addr, next);
	} else if (!pmd_none(pmd) && !pmd_present(pmd)) {
		walk->action = ACTION_CONTINUE;	/* being migrated: reading it waits until that is done */
		if (!(walk->vma->vm_flags & VM_SHARED))
			ret = run_add(w, addr, (next - addr) >> PAGE_SHIFT,
				      CRK_PAGE_SWAP | CRK_PAGE_HUGE | CRK_PAGE_SOFT_DIRTY | w->vma_flags, 0);
	}
	spin_unlock(ptl);
	return ret;
}

#ifdef CONFIG_HUGETLB_PAGE
static int hugetlb_walk_entry(pte_t *ptep, unsigned long hmask, unsigned long addr, unsigned long next,
			      struct mm_walk *walk)
{
	struct hstate *h = hstate_vma(walk->vma);
	spinlock_t *ptl = huge_pte_lock(h, walk->mm, ptep);
	pte_t pte = crk_huge_ptep_get(walk->mm, addr, ptep);
	struct page_walk *w = walk->private;
	unsigned long skip = (addr & ~hmask) >> PAGE_SHIFT, nr = (next - addr) >> PAGE_SHIFT;
	int ret = 0;

	if (pte_present(pte)) {
		struct page *first = pte_page(pte);

		ret = run_add(w, addr, nr, page_flags(first, first) | CRK_PAGE_HUGE | w->vma_flags,
			      pte_pfn(pte) + skip);
	} else if (!pte_none(pte) && !crk_pte_is_marker(pte) && !(walk->vma->vm_flags & VM_SHARED)) {
		ret = run_add(w, addr, nr, CRK_PAGE_SWAP | CRK_PAGE_HUGE | w->vma_flags, 0);
	}
	spin_unlock(ptl);
	return ret;
}
#else
#define hugetlb_walk_entry NULL
#endif

/* special and device mappings are not walked: 1 skips */
static int vma_walk(unsigned long addr, unsigned long next, struct mm_walk *walk)
{
	const struct vm_area_struct *vma = walk->vma;
	struct page_walk *w = walk->private;

	w->vma_flags = tracking_flags(vma);
	return (vma->vm_flags & (VM_IO | VM_PFNMAP)) || (!vma->vm_file && vma->vm_ops);
}

static const struct mm_walk_ops page_walk_ops = {
	.pmd_entry	= pmd_walk,
	.pte_entry	= pte_walk,
	.hugetlb_entry	= hugetlb_walk_entry,
	.test_walk	= vma_walk,
	CRK_WALK_RDLOCK
};

/* one batch from w->next on; 1 when more is to come, 0 at the end of the range */
static int pages_collect(struct mm_struct *mm, struct page_walk *w, u64 end)
{
	int ret;

	w->nr = 0;
	w->nr_ids = 0;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	ret = crk_call(walk_page_range)(mm, w->next, end, &page_walk_ops, w);
	mmap_read_unlock(mm);
	if (!ret)
		w->next = end;
	return ret;
}

static int pages_copy(struct crk_pagerun *cmd, const struct page_walk *w)
{
	int ret = crk_copy_records(cmd->pages_uptr, cmd->entry_size, cmd->out_nr, w->runs, sizeof(*w->runs), w->nr);

	if (!ret && w->nr_ids)
		ret = crk_copy_records(cmd->ids_uptr, sizeof(u64), cmd->out_nr_ids, w->ids, sizeof(u64), w->nr_ids);
	cmd->out_nr += w->nr;
	cmd->out_nr_ids += w->nr_ids;
	return ret;
}

static int pages_walk(struct crk_job *job, struct mm_struct *mm, struct crk_pagerun *cmd)
{
	struct crk_pages *runs __free(kvfree) = NULL;
	u64 *ids __free(kvfree) = NULL;
	struct page_walk w = { .job = job, .next = cmd->start };
	int ret = 1;

	runs = kvmalloc_array(min_t(u32, cmd->nr, RUN_BATCH), sizeof(*runs), GFP_KERNEL_ACCOUNT);
	if (cmd->ids_uptr)
		ids = kvmalloc_array(min_t(u32, cmd->nr_ids, ID_BATCH), sizeof(*ids), GFP_KERNEL_ACCOUNT);
	if (!runs || (cmd->ids_uptr && !ids))
		return -ENOMEM;
	w.runs = runs;
	w.ids = ids;
	while (ret > 0 && cmd->out_nr < cmd->nr) {
		w.max = min_t(u32, cmd->nr - cmd->out_nr, RUN_BATCH);
		w.max_ids = min_t(u32, cmd->nr_ids - cmd->out_nr_ids, ID_BATCH);
		ret = pages_collect(mm, &w, cmd->end);
		if (ret >= 0 && pages_copy(cmd, &w))
			return -EFAULT;
		if (ret > 0 && !w.nr)
			break;		/* no room for identities */
		cond_resched();
	}
	cmd->start = w.next;
	return min(ret, 0);
}

int crk_pages(struct crk_job *job, struct crk_pagerun *cmd)
{
	struct mm_struct *mm;
	int ret;

	cmd->out_nr = 0;
	cmd->out_nr_ids = 0;
	if (cmd->flags || !cmd->nr || cmd->entry_size < CRK_PAGES_SIZE_VER0 || (cmd->ids_uptr && !cmd->nr_ids) ||
	    !PAGE_ALIGNED(cmd->start) || !PAGE_ALIGNED(cmd->end) || cmd->end > TASK_SIZE_MAX || cmd->start > cmd->end)
		return -EINVAL;
	if (cmd->start == cmd->end)
		return 0;
	mm = crk_frozen_mm_get(job, cmd->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	ret = pages_walk(job, mm, cmd);
	mmput(mm);
	return ret;
}
