// SPDX-License-Identifier: GPL-2.0
/*
 * The mappings of a frozen process as fixed records.  Flags are given by name, since the numbers of VM_* differ
 * between kernels; which pages there are is pages.c's, what is in them read.c's.
 */
#include <linux/hugetlb.h>
#include <linux/kdev_t.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pkeys.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>

#include "frozen.h"

#define VMA_BATCH	128

static const struct {
	vm_flags_t vm;
	u64 crk;
} vma_flags[] = {
	{ VM_READ,		CRK_VMA_READ },
	{ VM_WRITE,		CRK_VMA_WRITE },
	{ VM_EXEC,		CRK_VMA_EXEC },
	{ VM_SHARED,		CRK_VMA_SHARED },
	{ VM_MAYREAD,		CRK_VMA_MAYREAD },
	{ VM_MAYWRITE,		CRK_VMA_MAYWRITE },
	{ VM_MAYEXEC,		CRK_VMA_MAYEXEC },
	{ VM_MAYSHARE,		CRK_VMA_MAYSHARE },
	{ VM_GROWSDOWN,		CRK_VMA_GROWSDOWN },
	{ VM_LOCKED,		CRK_VMA_LOCKED },
	{ VM_LOCKONFAULT,	CRK_VMA_LOCKONFAULT },
	{ VM_SEQ_READ,		CRK_VMA_SEQ_READ },
	{ VM_RAND_READ,		CRK_VMA_RAND_READ },
	{ VM_DONTCOPY,		CRK_VMA_DONTCOPY },
	{ VM_WIPEONFORK,	CRK_VMA_WIPEONFORK },
	{ VM_DONTDUMP,		CRK_VMA_DONTDUMP },
	{ VM_HUGEPAGE,		CRK_VMA_HUGEPAGE },
	{ VM_NOHUGEPAGE,	CRK_VMA_NOHUGEPAGE },
	{ VM_MERGEABLE,		CRK_VMA_MERGEABLE },
	{ VM_NORESERVE,		CRK_VMA_NORESERVE },
	{ VM_ACCOUNT,		CRK_VMA_ACCOUNT },
	{ VM_HUGETLB,		CRK_VMA_HUGETLB },
	{ VM_IO | VM_PFNMAP,	CRK_VMA_IO },
#ifdef VM_SEALED
	{ VM_SEALED,		CRK_VMA_SEALED },
#endif
#ifdef VM_SHADOW_STACK
	{ VM_SHADOW_STACK,	CRK_VMA_SHADOW_STACK },
#endif
#ifdef VM_DROPPABLE
	{ VM_DROPPABLE,		CRK_VMA_DROPPABLE },
#endif
};

/*
 * A SysV segment is mapped through a file that ipc/shm.c wraps around the one of tmpfs or hugetlbfs: its operations
 * are not those of the inode.  The inode number is the shmid.
 */
static bool is_sysv_shm(const struct file *file)
{
	return !strncmp(file->f_path.dentry->d_name.name, "SYSV", 4) &&
	       file->f_op != file_inode(file)->i_fop &&
	       (file_inode(file)->i_sb->s_magic == TMPFS_MAGIC ||
		file_inode(file)->i_sb->s_magic == HUGETLBFS_MAGIC);
}

static u64 file_flags(struct file *file)
{
	unsigned long magic = file_inode(file)->i_sb->s_magic;
	u64 flags = 0;

	if (magic == TMPFS_MAGIC)
		flags |= CRK_VMA_SHMEM;
	if (magic == SECRETMEM_MAGIC)
		flags |= CRK_VMA_SECRETMEM;
	if (!strcmp(file->f_path.dentry->d_name.name, "[aio]"))
		flags |= CRK_VMA_AIO_RING;
	if (is_sysv_shm(file))
		flags |= CRK_VMA_SYSV_SHM;
	return flags;
}

static void vma_file_get(struct crk_job *job, struct file *file, struct crk_vma *out)
{
	const struct inode *inode = crk_mapped_inode(file);

	out->flags |= file_flags(file);
	out->file_id = crk_job_id(job, file);
	out->inode_id = crk_job_id(job, inode);
	out->ino = inode->i_ino;
	out->dev = new_encode_dev(inode->i_sb->s_dev);
	out->file_flags = file->f_flags;
}

/* mappings made by the kernel have no file and name themselves */
static void vma_name_get(struct vm_area_struct *vma, struct crk_vma *out)
{
	const char *name = NULL;

	if (vma->vm_file)
		return;
	if (vma->vm_ops) {
		out->flags |= CRK_VMA_SPECIAL;
		if (vma->vm_ops->name)
			name = vma->vm_ops->name(vma);
	}
#ifdef CONFIG_ANON_VMA_NAME
	else if (vma->anon_name) {
		out->flags |= CRK_VMA_NAMED;
		name = vma->anon_name->name;
	}
#endif
	if (name)
		strscpy(out->name, name, sizeof(out->name));
}

static void vma_get(struct crk_job *job, struct vm_area_struct *vma, struct crk_vma *out)
{
	int i;

	mmap_assert_locked(vma->vm_mm);
	memset(out, 0, sizeof(*out));
	out->start = vma->vm_start;
	out->end = vma->vm_end;
	for (i = 0; i < ARRAY_SIZE(vma_flags); i++)
		if (vma->vm_flags & vma_flags[i].vm)
			out->flags |= vma_flags[i].crk;
	if (userfaultfd_armed(vma))
		out->flags |= CRK_VMA_UFFD;
	if (vma->anon_vma)
		out->flags |= CRK_VMA_ANON_VMA;
#ifdef CONFIG_NUMA
	if (vma->vm_policy)
		out->flags |= CRK_VMA_MEMPOLICY;
#endif
	out->anon_vma_id = crk_job_id(job, vma->anon_vma);
	out->pkey = vma_pkey(vma);
	out->page_shift = is_vm_hugetlb_page(vma) ? huge_page_shift(hstate_vma(vma)) : PAGE_SHIFT;
	if (vma->vm_file) {
		out->pgoff = (u64)vma->vm_pgoff << PAGE_SHIFT;
		vma_file_get(job, vma->vm_file, out);
	}
	vma_name_get(vma, out);
}

/* fills @batch with mappings from *@start on; *@start is where to go on */
static int vmas_collect(struct crk_job *job, struct mm_struct *mm, u64 *start, struct crk_vma *batch, u32 max)
{
	struct vm_area_struct *vma;
	u32 nr = 0;

	if (*start > ULONG_MAX || mmap_read_lock_killable(mm))
		return *start > ULONG_MAX ? 0 : -EINTR;
	VMA_ITERATOR(vmi, mm, *start);

	*start = CRK_CURSOR_END;
	for_each_vma(vmi, vma) {
		if (nr == max) {
			*start = vma->vm_start;
			break;
		}
		vma_get(job, vma, &batch[nr++]);
	}
	mmap_read_unlock(mm);
	return nr;
}

int crk_copy_records(u64 uptr, u32 entry_size, u32 index, const void *entries, u32 size, u32 nr)
{
	u32 known = min(entry_size, size), i;
	char __user *to = u64_to_user_ptr(uptr) + (u64)index * entry_size;

	if (entry_size == size)
		return copy_to_user(to, entries, (size_t)nr * size) ? -EFAULT : 0;
	for (i = 0; i < nr; i++, to += entry_size) {
		if (copy_to_user(to, entries + (size_t)i * size, known))
			return -EFAULT;
		if (clear_user(to + known, entry_size - known))
			return -EFAULT;
	}
	return 0;
}

int crk_vmas(struct crk_job *job, struct crk_vmas *cmd)
{
	struct crk_vma *batch __free(kvfree) = NULL;
	struct mm_struct *mm;
	u64 start = cmd->start;
	int ret = 0;

	cmd->out_nr = 0;
	if (cmd->flags || cmd->entry_size < CRK_VMA_SIZE_VER0)
		return -EINVAL;
	mm = crk_frozen_mm_get(job, cmd->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	batch = kvmalloc_array(VMA_BATCH, sizeof(*batch), GFP_KERNEL_ACCOUNT);
	if (!batch)
		ret = -ENOMEM;
	while (!ret && start != CRK_CURSOR_END && cmd->out_nr < cmd->nr) {
		ret = vmas_collect(job, mm, &start, batch, min_t(u32, VMA_BATCH, cmd->nr - cmd->out_nr));
		if (ret <= 0)
			break;
		cmd->out_nr += ret;
		ret = crk_copy_records(cmd->vmas_uptr, cmd->entry_size, cmd->out_nr - ret, batch,
				       sizeof(*batch), ret);
	}
	cmd->start = start;
	mmput(mm);
	return ret;
}
