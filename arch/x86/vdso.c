// SPDX-License-Identifier: GPL-2.0
/*
 * x86: where the vDSO of a process is, where the kernel keeps what in its data, and mapping one.  What a restore does
 * with that is the helper's affair, see README.
 */
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include <asm/mmu.h>
#include <asm/prctl.h>
#include <vdso/datapage.h>

#include "arch.h"

/* ---- the data ---- */

#if CRK_HAVE_ASM_VVAR_H
#undef _ASM_X86_VVAR_H
#undef _SINGLE_DATA
#define EMIT_VVAR(name, offset)	enum { crk_vvar ## name = offset };
#include <asm/vvar.h>
#undef EMIT_VVAR
#define VVAR_TIMES	(crk_vvar_vdso_data + offsetof(struct vdso_data, basetime))
#define VVAR_ZONE	(crk_vvar_vdso_data + offsetof(struct vdso_data, tz_minuteswest))
#define VVAR_DATA	struct vdso_data
#ifdef CONFIG_VDSO_GETRANDOM
#define VVAR_RANDOM	(crk_vvar_vdso_rng_data + offsetof(struct vdso_rng_data, generation))
#endif
#else
#define VVAR_TIMES	(VDSO_TIME_PAGE_OFFSET * PAGE_SIZE + \
			 offsetof(struct vdso_time_data, clock_data[CS_HRES_COARSE].basetime))
#define VVAR_ZONE	(VDSO_TIME_PAGE_OFFSET * PAGE_SIZE + offsetof(struct vdso_time_data, tz_minuteswest))
#define VVAR_DATA	struct vdso_time_data
#ifdef CONFIG_VDSO_GETRANDOM
#define VVAR_RANDOM	(VDSO_RNG_PAGE_OFFSET * PAGE_SIZE + offsetof(struct vdso_rng_data, generation))
#endif
#endif
#ifndef VVAR_RANDOM
#define VVAR_RANDOM	0
#endif

/* what crk_regs.h says of them */
static_assert(sizeof(struct vdso_timestamp) == 16 && VDSO_BASES == CLOCK_TAI + 1);
static_assert(offsetof(struct vdso_timestamp, sec) == 0 && offsetof(struct vdso_timestamp, nsec) == 8);
static_assert(offsetof(VVAR_DATA, tz_dsttime) == offsetof(VVAR_DATA, tz_minuteswest) + 4);
static_assert(offsetof(VVAR_DATA, hrtimer_res) == offsetof(VVAR_DATA, tz_minuteswest) + 8);

/* ---- where it is ---- */

static const char *special_name(struct vm_area_struct *vma)
{
	if (!vma || vma->vm_file || !vma->vm_ops || !vma->vm_ops->name)
		return "";
	return vma->vm_ops->name(vma) ?: "";
}

/* a process may have unmapped it, and have anything there now */
static struct vm_area_struct *vdso_vma(struct mm_struct *mm)
{
	unsigned long start = (unsigned long)mm->context.vdso;
	struct vm_area_struct *vma = start ? find_vma(mm, start) : NULL;

	return vma && vma->vm_start == start && !strcmp(special_name(vma), "[vdso]") ? vma : NULL;
}

struct page *crk_x86_vdso_page(struct mm_struct *mm, unsigned long addr)
{
	const struct vdso_image *image = mm->context.vdso_image;
	unsigned long off = addr - (unsigned long)mm->context.vdso;

	return image && off < image->size && vdso_vma(mm) ? virt_to_page(image->data + off) : NULL;
}

/* the beginning is the same in both classes of ELF files */
static u32 vdso_flags(const struct vdso_image *image)
{
	const struct elf32_hdr *head = image->data;

	if (head->e_machine == EM_386)
		return CRK_MM_VDSO_COMPAT;
	return head->e_ident[EI_CLASS] == ELFCLASS32 ? CRK_MM_VDSO_X32 : 0;
}

/* the data of the vDSO lies right before it, in one to three mappings */
void crk_x86_get_vdso(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	struct vm_area_struct *vma = vdso_vma(mm);
	unsigned long start, end;

	if (!vma)
		return;
	start = vma->vm_start;
	rec->flags |= vdso_flags(mm->context.vdso_image);
	rec->vdso = start;
	end = vma->vm_end;
	while (start) {
		vma = find_vma(mm, start - 1);
		if (!vma || vma->vm_end != start || strncmp(special_name(vma), "[vvar", 5))
			break;
		start = vma->vm_start;
		rec->vvar = start;
	}
	rec->vdso_len = end - start;
	if (!rec->vvar)
		return;
	rec->vvar_times = VVAR_TIMES;
	rec->vvar_zone = VVAR_ZONE;
	rec->vvar_random = VVAR_RANDOM;
}

/* ---- mapping one ---- */

/* The kernel takes @addr as a hint only; total length of what was mapped, data and code */
long crk_x86_map_vdso(u32 kind, unsigned long addr, unsigned long tramp, unsigned long *vdso_ret)
{
	static const int options[] = {
		[CRK_VDSO_NATIVE] = ARCH_MAP_VDSO_64,
		[CRK_VDSO_COMPAT] = ARCH_MAP_VDSO_32,
		[CRK_VDSO_X32] = ARCH_MAP_VDSO_X32,
	};
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long vdso;
	long size;

	if (tramp)
		return -EINVAL;
	size = crk_call(do_arch_prctl_64)(current, options[kind], addr);
	if (size < 0)
		return size == -EINVAL ? -EOPNOTSUPP : size;	/* an option that it does not know */
	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	vdso = (unsigned long)mm->context.vdso;
	if (!vma || vma->vm_start != addr || vdso < addr || vdso - addr > SZ_1M)
		size = -EADDRINUSE;
	mmap_read_unlock(mm);
	*vdso_ret = vdso;
	return size < 0 ? size : vdso - addr + PAGE_ALIGN(size);
}
