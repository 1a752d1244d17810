/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of ARM share: kern.c reads the state of tasks and holds crk_arch, restore.c gives it back, records.c
 * does both with what is in records of its own, vdso.c knows the vDSO and the page of signal trampolines.
 * Unexported functions of this architecture are the rows of CRK_ARCH_SYMBOLS, called by crk_call().
 */
#ifndef _CRK_ARCH_ARM_H
#define _CRK_ARCH_ARM_H

#ifndef CONFIG_MMU
#error crk needs a kernel with an MMU (CONFIG_MMU)
#endif

#include <linux/binfmts.h>
#include <linux/hw_breakpoint.h>
#include <linux/shm.h>

#include <asm/elf.h>

#include "private.h"
#include "symbols.h"

#ifdef CONFIG_HAVE_HW_BREAKPOINT
#define CRK_BREAKPOINT_SYMBOLS(NEED)								\
	NEED(flush_ptrace_hw_breakpoint, "CONFIG_HAVE_HW_BREAKPOINT", "restore: hardware breakpoints")
#else
#define CRK_BREAKPOINT_SYMBOLS(NEED)
#endif

/* see CRK_SYMBOLS() in symbols.h for the columns; system calls have no wrappers here */
#define CRK_ARCH_SYMBOLS(NEED, WANT)								\
	NEED(sys_mremap,	"CONFIG_MMU",		"restore: mappings")			\
	NEED(sys_mprotect,	"CONFIG_MMU",		"restore: mappings")			\
	NEED(sys_madvise,	"CONFIG_ADVISE_SYSCALLS", "restore: mappings")			\
	NEED(sys_mlock2,	"CONFIG_MMU",		"restore: locked memory")		\
	NEED(sys_mlockall,	"CONFIG_MMU",		"restore: locked memory")		\
	NEED(sys_prctl,		"CONFIG_MMU",		"restore: named memory")		\
	NEED(sys_setitimer,	"CONFIG_POSIX_TIMERS",	"restore: interval timers")		\
	NEED(sys_timer_settime,	"CONFIG_POSIX_TIMERS",	"restore: POSIX timers")		\
	NEED(sys_ptrace,	"CONFIG_MMU",		"restore: tracees")			\
	NEED(sys_exit,		"CONFIG_MMU",		"restore: leaders that have exited")	\
	NEED(arch_setup_additional_pages, "CONFIG_MMU",	"restore: signal trampolines and the vDSO") \
	NEED(arch_ptrace,	"CONFIG_MMU",		"restore: hardware breakpoints")	\
	CRK_BREAKPOINT_SYMBOLS(NEED)								\
	WANT(do_shmat,		"CONFIG_SYSVIPC",	"restore of SysV shared memory")

CRK_ARCH_SYMBOLS(CRK_SYMBOL_DECLARE_CALL, CRK_SYMBOL_DECLARE_CALL)

static inline unsigned int crk_arm_insn_size(const struct pt_regs *regs)
{
	return thumb_mode(regs) ? 2 : 4;
}

/* records.c: the members of crk_arch with these names */
int crk_arm_capture_thread(struct task_struct *t, struct crk_out *out);
int crk_arm_check_record(const struct crk_rec_arch *in, struct crk_log *log);
int crk_arm_set_record(struct task_struct *t, const struct crk_rec_arch *in);
void crk_arm_records_clear(struct task_struct *t);	/* of an earlier CRK_IOC_SET, or the helper's */

/* restore.c: the members of crk_arch with these names */
void crk_arm_park_prepare(void);
bool crk_arm_park_ok(void);
int crk_arm_check_mm(const struct crk_rec_mm *in, struct crk_log *log);
void crk_arm_set_mm(struct mm_struct *mm, const struct crk_rec_mm *in);
unsigned long crk_arm_set_action_abi(u32 abi);
void crk_arm_enter_abi(u32 mm_flags);
int crk_arm_check_thread(const struct crk_rec_thread *in, u32 machine, struct crk_log *log);
int crk_arm_check_regset(u32 machine, u32 note, const void *data, u32 len, struct crk_log *log);
void crk_arm_set_prepare(struct task_struct *t, u32 machine);
void crk_arm_set_finish(const struct crk_rec_thread *in);
long crk_arm_sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
			unsigned long new_addr);
long crk_arm_sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot);
long crk_arm_sys_madvise(unsigned long addr, unsigned long len, int advice);
long crk_arm_sys_mlock2(unsigned long addr, unsigned long len, int flags);
long crk_arm_sys_mlockall(int flags);
long crk_arm_sys_shmat(int shmid, unsigned long addr, int flags);
long crk_arm_sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);
long crk_arm_sys_setitimer(int which, unsigned long new_uptr);
long crk_arm_sys_timer_settime(int id, int flags, unsigned long new_uptr);
long crk_arm_sys_ptrace(long request, long pid, unsigned long addr, unsigned long data);
long crk_arm_sys_exit(int code);

/* vdso.c */
void crk_arm_get_vdso(struct mm_struct *mm, struct crk_rec_mm *rec);
long crk_arm_map_vdso(u32 kind, unsigned long addr, unsigned long tramp, unsigned long *vdso_ret);

#endif /* _CRK_ARCH_ARM_H */
