/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unexported kernel functions that crk uses: the one table, and how to call them.  Prototypes are those of the
 * kernel's own headers wherever these have one.
 *
 * Calls go through static_call, which becomes a direct call: an indirect one would trap under IBT, since the kernel
 * seals functions whose address it never takes.  Function symbols only: many distributions have no KALLSYMS_ALL.
 */
#ifndef _CRK_SYMBOLS_H
#define _CRK_SYMBOLS_H

#include <linux/cgroup.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/pagewalk.h>
#include <linux/ptrace.h>
#include <linux/restart_block.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>

/**
 * struct crk_symbol - one row of the table
 * @name: in kallsyms
 * @config: kernel option that brings it, for the message when it is missing
 * @use: what it is for; for an optional one, what is off without it
 * @optional: the module loads without it
 * @addr: where its address goes, 0 if it is missing
 * @key: static call to point at it, NULL if it is only compared
 * @tramp: trampoline of @key
 */
struct crk_symbol {
	const char *name;
	const char *config;
	const char *use;
	bool optional;
	unsigned long *addr;
	struct static_call_key *key;
	void *tramp;
};

/*
 * NEED: called, the module doesn't load without it.  WANT: called, crk_have() tells whether it is there.
 * ADDR: needed, only its address is used (crk_addr()).  SEEK: the same, optional: the address may be 0.
 */
#ifdef CONFIG_THREAD_INFO_IN_TASK
#define CRK_STACK_SYMBOLS(NEED) NEED(put_task_stack, "CONFIG_MMU", "dump: hold kernel stacks")
#define crk_put_task_stack(t)	crk_call(put_task_stack)(t)
#else
#define CRK_STACK_SYMBOLS(NEED)
#define crk_put_task_stack(t)	put_task_stack(t)
#endif

/* 529ce23a764f ("mm: switch mm->get_unmapped_area() to a flag") (v6.10) */
#ifdef MMF_TOPDOWN
#define CRK_LAYOUT_SYMBOLS(ADDR)
#else
#define CRK_LAYOUT_SYMBOLS(ADDR)								\
	ADDR(arch_get_unmapped_area, "CONFIG_MMU",	"processes whose mmap looks upwards")	\
	ADDR(arch_get_unmapped_area_topdown, "CONFIG_MMU", "processes whose mmap looks downwards")
#endif

#ifdef CONFIG_STACKTRACE
#define CRK_TRACE_SYMBOLS(WANT)									\
	WANT(stack_trace_save_tsk, "CONFIG_STACKTRACE",	"kernel stacks of tasks that don't stop")
#else
#define CRK_TRACE_SYMBOLS(WANT)
#endif

#define CRK_SYMBOLS(NEED, WANT, ADDR, SEEK)							\
	CRK_STACK_SYMBOLS(NEED)									\
	CRK_TRACE_SYMBOLS(WANT)									\
	WANT(get_wchan,		"CONFIG_MMU",		"where tasks sleep that don't stop")	\
	NEED(ptrace_may_access,	"CONFIG_MMU",		"dump: access check")			\
	NEED(walk_page_range,	"CONFIG_MMU",		"dump: which pages are there")		\
	NEED(task_work_add,	"CONFIG_MMU",		"restore: the gate")			\
	NEED(file_close_fd,	"CONFIG_MMU",		"restore: file locks")			\
	NEED(set_mm_exe_file,	"CONFIG_MMU",		"restore: /proc/PID/exe")		\
	WANT(ksys_mmap_pgoff,	"CONFIG_MMU",		"restore of huge pages")		\
	NEED(cgroup_enter_frozen, "CONFIG_CGROUPS",	"restore: parents asleep in vfork")	\
	NEED(cgroup_leave_frozen, "CONFIG_CGROUPS",	"restore: parents asleep in vfork")	\
	NEED(ptrace_notify,	"CONFIG_MMU",		"restore: tracees")			\
	NEED(send_sig_info,	"CONFIG_MMU",		"restore: tracees")			\
	CRK_LAYOUT_SYMBOLS(ADDR)								\
	WANT(kernel_clone,	"CONFIG_MMU",		"snapshots of memory")			\
	WANT(user_enable_single_step, "CONFIG_MMU",	"restore of tracees that single-step")	\
	WANT(arch_prctl_spec_ctrl_get, "CONFIG_MMU",	"speculation controls of tasks")	\
	ADDR(do_no_restart_syscall, "CONFIG_MMU",	"restart blocks")			\
	ADDR(hrtimer_nanosleep_restart, "CONFIG_MMU",	"restart blocks of nanosleep")		\
	ADDR(do_restart_poll,	"CONFIG_MMU",		"restart blocks of poll")		\
	ADDR(futex_wait_restart, "CONFIG_FUTEX",	"restart blocks of futex")		\
	SEEK(posix_cpu_nsleep_restart, "CONFIG_POSIX_TIMERS", "remaining time of sleeps on CPU clocks") \
	SEEK(inotify_read,	"CONFIG_INOTIFY_USER",	"events that wait in inotify descriptors") \
	SEEK(alarm_timer_nsleep_restart, "CONFIG_RTC_CLASS", "remaining time of sleeps on alarm clocks")

/* what one row declares, defines and puts into the table; arch/ uses the same on its own rows */
#define CRK_SYMBOL_DECLARE_CALL(fn, config, use)						\
	extern unsigned long crk_addr_##fn;							\
	DECLARE_STATIC_CALL(crk_call_##fn, fn);
#define CRK_SYMBOL_DECLARE_ADDR(fn, config, use)						\
	extern unsigned long crk_addr_##fn;
#define CRK_SYMBOL_DEFINE_CALL(fn, config, use)							\
	unsigned long crk_addr_##fn __ro_after_init;						\
	DEFINE_STATIC_CALL_NULL(crk_call_##fn, fn);
#define CRK_SYMBOL_DEFINE_ADDR(fn, config, use)							\
	unsigned long crk_addr_##fn __ro_after_init;
/* kcompat.h may give @fn the name of an older kernel: that is what is looked up */
#define CRK_SYMBOL_ROW(fn, address, option, text, opt, call, trampoline)			\
	{ .name = #fn, .config = option, .use = text, .optional = opt,				\
	  .addr = address, .key = call, .tramp = trampoline },
#define CRK_SYMBOL_NEED(fn, config, use)							\
	CRK_SYMBOL_ROW(fn, &crk_addr_##fn, config, use, false, &STATIC_CALL_KEY(crk_call_##fn),	\
		       STATIC_CALL_TRAMP_ADDR(crk_call_##fn))
#define CRK_SYMBOL_WANT(fn, config, use)							\
	CRK_SYMBOL_ROW(fn, &crk_addr_##fn, config, use, true, &STATIC_CALL_KEY(crk_call_##fn),	\
		       STATIC_CALL_TRAMP_ADDR(crk_call_##fn))
#define CRK_SYMBOL_ADDR(fn, config, use)							\
	CRK_SYMBOL_ROW(fn, &crk_addr_##fn, config, use, false, NULL, NULL)
#define CRK_SYMBOL_SEEK(fn, config, use)							\
	CRK_SYMBOL_ROW(fn, &crk_addr_##fn, config, use, true, NULL, NULL)

#define crk_call(fn)	static_call(crk_call_##fn)
#define crk_addr(fn)	crk_addr_##fn
#define crk_have(fn)	(crk_addr_##fn != 0)

CRK_SYMBOLS(CRK_SYMBOL_DECLARE_CALL, CRK_SYMBOL_DECLARE_CALL, CRK_SYMBOL_DECLARE_ADDR, CRK_SYMBOL_DECLARE_ADDR)

extern const struct crk_symbol crk_arch_symbols[];	/* arch/$(SRCARCH)/kern.c, ends with an empty row */

#endif /* _CRK_SYMBOLS_H */
