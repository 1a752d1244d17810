/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the helper's side of x86 share: members of crk_host_x86.
 */
#ifndef _CRK_X86_USER_H
#define _CRK_X86_USER_H

#include "../host.h"

/* user_calls.c */
long crk_x86_clone_thread(void *args, size_t size, void (*fn)(void *), void *arg);
long crk_x86_call_compat(void);
long crk_x86_call_x32(void);
int crk_x86_signal_queue(pid_t pid, pid_t tid, uint32_t signo, const void *info);
int crk_x86_timer_create(const struct crk_rec_posix_timer *rec, int *id);
int crk_x86_ioctl(int fd, unsigned long cmd, void *arg);

/* user_records.c */
int crk_x86_thread_check(const struct crk_rec *recs, size_t len, const char **what);
int crk_x86_thread_set(const struct crk_rec *recs, size_t len, bool leader, const char **what);

/* user_vdso.c */
int crk_x86_vdso_kind(unsigned int machine, bool is64);
int crk_x86_vdso_redirect(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to);

#endif /* _CRK_X86_USER_H */
