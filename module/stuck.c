// SPDX-License-Identifier: GPL-2.0
/*
 * What a task that did not stop is doing, for the log of a freeze that timed out: its state, where it sleeps and its
 * kernel stack, as far as the caller might read them in /proc.  Addresses become names here; one that has none, of
 * generated code, is left out.
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/kallsyms.h>
#include <linux/sched.h>
#include <linux/stacktrace.h>
#include <linux/user_namespace.h>

#include "frozen.h"
#include "symbols.h"

#define STUCK_FRAMES	10

/* "name+0x1/0x2 [module]" or, without an offset, "name"; false if the kernel would print the bare address */
static bool symbol_text(char text[KSYM_SYMBOL_LEN], unsigned long addr, bool offset)
{
	scnprintf(text, KSYM_SYMBOL_LEN, offset ? "%pB" : "%ps", (void *)addr);
	return !isdigit(text[0]);
}

/* /proc/PID/wchan */
static unsigned long stuck_wchan(struct task_struct *t)
{
	if (!crk_have(get_wchan) || !crk_call(ptrace_may_access)(t, PTRACE_MODE_READ_FSCREDS | PTRACE_MODE_NOAUDIT))
		return 0;
	return crk_call(get_wchan)(t);
}

/* /proc/PID/stack */
static void stuck_stack(struct task_struct *t, char text[KSYM_SYMBOL_LEN], struct crk_log *log)
{
#ifdef CONFIG_STACKTRACE
	unsigned long frames[STUCK_FRAMES];
	unsigned int nr, i;

	if (!crk_have(stack_trace_save_tsk) || !ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN))
		return;
	nr = crk_call(stack_trace_save_tsk)(t, frames, ARRAY_SIZE(frames), 0);
	for (i = 0; i < nr; i++)
		if (symbol_text(text, frames[i], true))
			crk_log(log, 0, "  in %s", text);
#endif
}

void crk_stuck_log(struct task_struct *t, struct crk_log *log)
{
	char *text = kmalloc(KSYM_SYMBOL_LEN, GFP_KERNEL_ACCOUNT);
	unsigned long wchan = text ? stuck_wchan(t) : 0;
	bool named = wchan && symbol_text(text, wchan, false);

	crk_log(log, 0, "task %d (%s) of process %d did not stop: state %c%s%s", task_pid_vnr(t), t->comm,
		task_tgid_vnr(t), task_state_to_char(t), named ? ", asleep in " : "", named ? text : "");
	if (text)
		stuck_stack(t, text, log);
	kfree(text);
}
