/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For subjects of round trips that trace their children by ptrace(2).
 */
#ifndef _TRACER_H
#define _TRACER_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

/* what waitpid() gives: held with a signal, at a system call, at an event, at a stop of one that was seized */
#define SIGNAL_STATUS(sig)	((sig) << 8 | 0x7f)
#define SYSCALL_STATUS		SIGNAL_STATUS(SIGTRAP | 0x80)
#define EVENT_STATUS(event)	((event) << 16 | SIGNAL_STATUS(SIGTRAP))
#define STOP_STATUS(sig)	(PTRACE_EVENT_STOP << 16 | SIGNAL_STATUS(sig))

/* ptrace() by the kernel's own calling convention: PEEK requests write to *@data; fails the subject */
long trace(long request, pid_t pid, unsigned long addr, unsigned long data);
/* waits for @pid; fails the subject unless the status is @want */
void must_wait(pid_t pid, int want);
/* a child that is held with SIGSTOP, and runs @body when it is let go; @init, if not NULL, before it is held */
pid_t tracee_held(void (*init)(void), void (*body)(void));
/* a tracee that runs @body after its tracer has attached with @options and let it go from there by @request; it counts SIGUSR1 */
pid_t tracee_of(void (*body)(void), unsigned long options, long request);
extern volatile sig_atomic_t nr_usr1;
/* for @body: exits with the number of those that were given to it */
void raise_usr1(void);

/* all that a tracer is told of a tracee that it holds */
struct view {
#ifdef __arm__
	struct user_regs regs;
#else
	struct user_regs_struct regs;
#endif
	siginfo_t info;
	unsigned long message;
	struct __ptrace_syscall_info call;
};

void view_get(pid_t pid, struct view *v);
/* is the caller its tracer, as /proc says? */
void must_be_traced(pid_t pid);
/* checkpoint_here(), with @pid held and waited for by its tracer: nobody is told anything, and all looks as before */
void checkpoint_held(pid_t pid);
/* lets all that are traced go on until @pid is at @want; new ones may report first */
void wait_for(pid_t pid, int want, long request);
/* lets @pid alone go on until it is at @want: what it made waits in its first stop and can't exit */
void wait_alone(pid_t pid, int want, long request);

#endif /* _TRACER_H */
