/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers of system calls that 32-bit architectures have twice: the plain names are those with 16-bit ids and 32-bit
 * times there.  For syscall(), where the C library's function would do more than the call.
 */
#ifndef _CRK_RAW_CALLS_H
#define _CRK_RAW_CALLS_H

#include <sys/syscall.h>

#ifdef SYS_setresuid32
#define SYS_SETRESUID	SYS_setresuid32
#define SYS_SETRESGID	SYS_setresgid32
#define SYS_SETFSUID	SYS_setfsuid32
#define SYS_SETFSGID	SYS_setfsgid32
#define SYS_SETGROUPS	SYS_setgroups32
#else
#define SYS_SETRESUID	SYS_setresuid
#define SYS_SETRESGID	SYS_setresgid
#define SYS_SETFSUID	SYS_setfsuid
#define SYS_SETFSGID	SYS_setfsgid
#define SYS_SETGROUPS	SYS_setgroups
#endif

#ifdef SYS_futex_time64
#define SYS_FUTEX	SYS_futex_time64
#else
#define SYS_FUTEX	SYS_futex
#endif

#endif /* _CRK_RAW_CALLS_H */
