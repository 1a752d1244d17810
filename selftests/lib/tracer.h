/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For subjects of round trips that trace their children by ptrace(2).
 */
#ifndef _TRACER_H
#define _TRACER_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>

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

#endif /* _TRACER_H */
