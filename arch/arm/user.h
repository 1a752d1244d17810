/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the helper's side of ARM share: members of crk_host_arm.
 */
#ifndef _CRK_ARM_USER_H
#define _CRK_ARM_USER_H

#include "../host.h"

/* user_calls.c */
long crk_arm_call_oabi(void);
long crk_arm_clone_thread(void *args, size_t size, void (*fn)(void *), void *arg);
int crk_arm_signal_queue(pid_t pid, pid_t tid, uint32_t signo, const void *info);
int crk_arm_timer_create(const struct crk_rec_posix_timer *rec, int *id);

/* user_frames.c */
uint32_t crk_arm_frame_format(void);
ssize_t crk_arm_frame_convert(uint8_t *buf, size_t len, uint32_t from, uint32_t to, size_t *changed_ret);

/* user_vdso.c */
int crk_arm_vdso_kind(unsigned int machine, bool is64);
int crk_arm_vdso_redirect(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to);

#endif /* _CRK_ARM_USER_H */
