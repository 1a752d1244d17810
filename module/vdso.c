// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_VDSO: this kernel's vDSO of a kind, so that a restore can look at it before it makes anything.  The images
 * are not exported, but the kernel maps one in any process that has none.  In a memory program the vDSO is a record,
 * see ops.c.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "private.h"

#define TEXT_MAX	SZ_64K
#define ROOM		SZ_1M	/* for data and code */

/* current's; rec->vdso is 0 if it has none */
static void vdso_find(struct crk_rec_mm *rec)
{
	memset(rec, 0, sizeof(*rec));
	mmap_read_lock(current->mm);
	crk_arch.get_mm(current->mm, rec);
	mmap_read_unlock(current->mm);
}

static unsigned long vdso_start(const struct crk_rec_mm *rec)
{
	return rec->vvar ?: rec->vdso;
}

static int vdso_unmap(const struct crk_rec_mm *rec)
{
	return rec->vdso ? vm_munmap(vdso_start(rec), rec->vdso_len) : 0;
}

static u32 vdso_kind(const struct crk_rec_mm *rec)
{
	if (rec->flags & CRK_MM_VDSO_COMPAT)
		return CRK_VDSO_COMPAT;
	return rec->flags & CRK_MM_VDSO_X32 ? CRK_VDSO_X32 : CRK_VDSO_NATIVE;
}

static int text_copy(struct crk_vdso *cmd, unsigned long vdso)
{
	u32 len = min_t(u64, cmd->text_len, cmd->out_text_len);
	void *buf __free(kvfree) = NULL;

	if (!cmd->text_uptr || !len)
		return 0;
	buf = kvmalloc(len, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	if (copy_from_user(buf, (void __user *)vdso, len) || copy_to_user(u64_to_user_ptr(cmd->text_uptr), buf, len))
		return -EFAULT;
	return 0;
}

static int vdso_look(struct crk_vdso *cmd, unsigned long addr)
{
	unsigned long vdso;
	long len;

	len = crk_arch.map_vdso(cmd->kind, addr, 0, &vdso);
	if (len < 0)
		return len;
	cmd->out_data_len = vdso - addr;
	cmd->out_text_len = len - cmd->out_data_len;
	return text_copy(cmd, vdso);
}

int crk_vdso(struct crk_vdso *cmd)
{
	struct crk_rec_mm *own __free(kfree) = NULL, *other __free(kfree) = NULL;
	unsigned long addr, vdso;
	long len = 0;
	int ret;

	if (cmd->kind > CRK_VDSO_X32 || cmd->text_len > TEXT_MAX)
		return -EINVAL;
	if (get_nr_threads(current) != 1)
		return -EBUSY;
	own = kmalloc(sizeof(*own), GFP_KERNEL_ACCOUNT);
	other = kmalloc(sizeof(*other), GFP_KERNEL_ACCOUNT);
	if (!own || !other)
		return -ENOMEM;
	/* before the caller's own is gone: without room it might not come back, on ARM it goes by another place */
	addr = vm_mmap(NULL, 0, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(addr))
		return addr;
	vdso_find(own);
	ret = vdso_unmap(own);
	vm_munmap(addr, ROOM);
	if (ret)
		return ret;
	ret = vdso_look(cmd, addr);
	vdso_find(other);
	vdso_unmap(other);
	if (own->vdso)
		len = crk_arch.map_vdso(vdso_kind(own), vdso_start(own), 0, &vdso);
	return ret ?: min(len, 0L);
}
