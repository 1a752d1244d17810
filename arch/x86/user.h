/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the helper's side of x86 share: members of crk_host_x86.
 */
#ifndef _CRK_X86_USER_H
#define _CRK_X86_USER_H

#include "../host.h"

/* user_vdso.c */
int crk_x86_vdso_kind(unsigned int machine, bool is64);
int crk_x86_vdso_redirect(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to);

#endif /* _CRK_X86_USER_H */
