// SPDX-License-Identifier: GPL-2.0
/*
 * x86 for the helper: instructions that lead from an old vDSO to this kernel's.  Why these and no others is told in
 * README.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "user.h"

#define JUMP_LEN	5	/* jmp rel32 */

int crk_x86_vdso_kind(unsigned int machine, bool is64)
{
	if (machine == EM_386)
		return CRK_VDSO_COMPAT;
	if (machine != EM_X86_64)
		return -ENOEXEC;
	return is64 ? CRK_VDSO_NATIVE : CRK_VDSO_X32;
}

/*
 * The way into the kernel of 32-bit programs.  A thread sleeps in it, and unwinders know no other, so it stays, but takes
 * the slow gate: after sysenter and syscall the kernel would go on in its own vDSO.
 */
static void vsyscall_redirect(uint8_t *text, const struct crk_elf_symbol *sym)
{
	static const uint8_t sysenter[] = { 0x89, 0xe5, 0x0f, 0x34 };	/* mov %esp, %ebp; sysenter */
	static const uint8_t syscall[] = { 0x89, 0xcd, 0x0f, 0x05 };	/* mov %ecx, %ebp; syscall */
	uint64_t i;

	for (i = sym->off; i + sizeof(sysenter) <= sym->off + sym->len; i++) {
		if (memcmp(text + i, sysenter, sizeof(sysenter)) && memcmp(text + i, syscall, sizeof(syscall)))
			continue;
		memset(text + i, 0x90, sizeof(sysenter));		/* int $0x80 follows */
		return;
	}
}

int crk_x86_vdso_redirect(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to)
{
	bool wraps = ((const Elf32_Ehdr *)text)->e_machine == EM_386;
	int64_t distance = to - (from + JUMP_LEN);
	int32_t rel = distance;

	/* these only call the kernel, and unwinders know them by their bytes */
	if (!strcmp(sym->name, "__kernel_sigreturn") || !strcmp(sym->name, "__kernel_rt_sigreturn"))
		return 0;
	if (!strcmp(sym->name, "__kernel_vsyscall")) {
		vsyscall_redirect(text, sym);
		return 0;
	}
	if (sym->len < JUMP_LEN)
		return -EOPNOTSUPP;
	if (!wraps && rel != distance)
		return -ERANGE;
	text[sym->off] = 0xe9;
	memcpy(text + sym->off + 1, &rel, sizeof(rel));
	return 0;
}
