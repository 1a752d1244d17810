// SPDX-License-Identifier: GPL-2.0
/*
 * ARM for the helper: instructions that lead from an old vDSO to this kernel's.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "user.h"

int crk_arm_vdso_kind(unsigned int machine, bool is64)
{
	return machine == EM_ARM && !is64 ? CRK_VDSO_NATIVE : -ENOEXEC;
}

/* ldr pc, [pc, #-4], and the address; functions of the vDSO are ARM code */
int crk_arm_vdso_redirect(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to)
{
	const uint32_t jump[] = { 0xe51ff004, to };

	(void)from;
	if (sym->len < sizeof(jump) || sym->off % 4 || to % 4)
		return -EOPNOTSUPP;
	memcpy(text + sym->off, jump, sizeof(jump));
	return 0;
}
