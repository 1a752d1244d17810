/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of x86 share: kern.c reads the state of tasks and holds crk_arch, restore.c gives it back, records.c
 * does both with what is in records of its own, vdso.c knows the vDSO.
 * Unexported functions of this architecture are the rows of CRK_ARCH_SYMBOLS, called by crk_call().
 */
#ifndef _CRK_ARCH_X86_H
#define _CRK_ARCH_X86_H

#include <asm/mmu.h>
#include <asm/proto.h>

#include "private.h"
#include "symbols.h"

#define CRK_X86_SYSCALL(name)	long __x64_sys_##name(const struct pt_regs *regs)

CRK_X86_SYSCALL(mremap);
CRK_X86_SYSCALL(mprotect);
CRK_X86_SYSCALL(madvise);
CRK_X86_SYSCALL(mlock2);
CRK_X86_SYSCALL(mlockall);
CRK_X86_SYSCALL(mseal);
CRK_X86_SYSCALL(shmat);
CRK_X86_SYSCALL(prctl);
CRK_X86_SYSCALL(setitimer);
CRK_X86_SYSCALL(timer_settime);
CRK_X86_SYSCALL(ptrace);
CRK_X86_SYSCALL(exit);
CRK_X86_SYSCALL(arch_prctl);

/* see CRK_SYMBOLS() in symbols.h for the columns */
#define CRK_ARCH_SYMBOLS(NEED, WANT, ADDR, SEEK)						\
	NEED(__x64_sys_mremap,	"CONFIG_MMU",		"restore: mappings")			\
	NEED(__x64_sys_mprotect, "CONFIG_MMU",		"restore: mappings")			\
	NEED(__x64_sys_madvise,	"CONFIG_ADVISE_SYSCALLS", "restore: mappings")			\
	NEED(__x64_sys_mlock2,	"CONFIG_MMU",		"restore: locked memory")		\
	NEED(__x64_sys_mlockall, "CONFIG_MMU",		"restore: locked memory")		\
	NEED(__x64_sys_prctl,	"CONFIG_MMU",		"restore: named memory")		\
	NEED(__x64_sys_setitimer, "CONFIG_POSIX_TIMERS", "restore: interval timers")		\
	NEED(__x64_sys_timer_settime, "CONFIG_POSIX_TIMERS", "restore: POSIX timers")		\
	NEED(__x64_sys_ptrace,	"CONFIG_MMU",		"restore: tracees")			\
	NEED(__x64_sys_exit,	"CONFIG_MMU",		"restore: leaders that have exited")	\
	NEED(arch_ptrace,	"CONFIG_MMU",		"restore: hardware breakpoints")	\
	WANT(__x64_sys_arch_prctl, "CONFIG_X86_64",	"restore of tasks that may not use CPUID") \
	WANT(__x64_sys_shmat,	"CONFIG_SYSVIPC",	"restore of SysV shared memory")	\
	WANT(__x64_sys_mseal,	"CONFIG_64BIT",		"restore of sealed mappings")		\
	SEEK(elf_format,	"CONFIG_KALLSYMS_ALL",	"core dumps of the right class when helper and process differ") \
	SEEK(compat_elf_format,	"CONFIG_KALLSYMS_ALL",	"core dumps of 32-bit processes as 32-bit files") \
	NEED(do_arch_prctl_64,	"CONFIG_CHECKPOINT_RESTORE", "restore: the vDSO")

CRK_ARCH_SYMBOLS(CRK_SYMBOL_DECLARE_CALL, CRK_SYMBOL_DECLARE_CALL, CRK_SYMBOL_DECLARE_ADDR, CRK_SYMBOL_DECLARE_ADDR)

/* MM_CONTEXT_* of mm->context.flags: masks in Linux 6.1, later bit numbers */
static inline unsigned long crk_x86_context_mask(int flag)
{
	return MM_CONTEXT_UPROBE_IA32 ? flag : BIT(flag);
}

/* records.c: the members of crk_arch with these names */
int crk_x86_capture_thread(struct task_struct *t, struct crk_out *out);
int crk_x86_capture_mm(struct mm_struct *mm, struct crk_out *out);
int crk_x86_check_record(const struct crk_rec_arch *in, struct crk_log *log);
int crk_x86_set_record(struct task_struct *t, const struct crk_rec_arch *in);
void crk_x86_breakpoints_clear(struct task_struct *t);	/* of an earlier CRK_IOC_SET */

/* restore.c: the members of crk_arch with these names */
int crk_x86_check_mm(const struct crk_rec_mm *in, struct crk_log *log);
void crk_x86_set_mm(struct mm_struct *mm, const struct crk_rec_mm *in);
unsigned long crk_x86_set_action_abi(u32 abi);
void crk_x86_enter_abi(u32 mm_flags);
int crk_x86_check_thread(const struct crk_rec_thread *in, u32 machine, struct crk_log *log);
int crk_x86_check_regset(u32 machine, u32 note, const void *data, u32 len, struct crk_log *log);
void crk_x86_set_prepare(struct task_struct *t, u32 machine);
int crk_x86_set_order(u32 note);
void crk_x86_set_rest(struct task_struct *t, u32 machine, u32 note, const void *data);
void crk_x86_set_finish(const struct crk_rec_thread *in);
long crk_x86_sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
			unsigned long new_addr);
long crk_x86_sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot);
long crk_x86_sys_madvise(unsigned long addr, unsigned long len, int advice);
long crk_x86_sys_mlock2(unsigned long addr, unsigned long len, int flags);
long crk_x86_sys_mlockall(int flags);
long crk_x86_sys_mseal(unsigned long addr, unsigned long len);
long crk_x86_sys_shmat(int shmid, unsigned long addr, int flags);
long crk_x86_sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);
long crk_x86_sys_setitimer(int which, unsigned long new_uptr);
long crk_x86_sys_timer_settime(int id, int flags, unsigned long new_uptr);
long crk_x86_sys_ptrace(long request, long pid, unsigned long addr, unsigned long data);
long crk_x86_sys_exit(int code);

/* vdso.c */
void crk_x86_get_vdso(struct mm_struct *mm, struct crk_rec_mm *rec);
struct page *crk_x86_vdso_page(struct mm_struct *mm, unsigned long addr);
long crk_x86_map_vdso(u32 kind, unsigned long addr, unsigned long tramp, unsigned long *vdso_ret);

#endif /* _CRK_ARCH_X86_H */
