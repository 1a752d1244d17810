// SPDX-License-Identifier: GPL-2.0
/*
 * The build id of an ELF file, which tells one build of a program or library from the next better than times do.
 */
#include <elf.h>
#include <string.h>

#include "mem.h"

#define HEAD	4096	/* program headers and notes of what linkers make are in the first page */

/* [@off, @off + @len) of @head as notes */
static size_t note_find(const uint8_t *head, size_t n, uint64_t off, uint64_t len, uint8_t *buf, size_t size)
{
	uint64_t end = off + len;

	while (off < n && end <= n && off + sizeof(Elf64_Nhdr) <= end) {
		const Elf64_Nhdr *note = (const void *)(head + off);	/* of 32-bit files, too */
		uint64_t desc = off + sizeof(*note) + align_up((uint64_t)note->n_namesz, 4);

		if (desc + note->n_descsz > end)
			return 0;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && note->n_descsz <= size &&
		    !memcmp(note + 1, "GNU", 4)) {
			memcpy(buf, head + desc, note->n_descsz);
			return note->n_descsz;
		}
		off = desc + align_up((uint64_t)note->n_descsz, 4);
	}
	return 0;
}

size_t crk_build_id(int fd, uint8_t *buf, size_t size)
{
	_Alignas(8) uint8_t head[HEAD];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	const Elf64_Ehdr *e64 = (const void *)head;
	const Elf32_Ehdr *e32 = (const void *)head;
	bool is64;
	size_t i, nr, len = 0;

	if (n < (ssize_t)sizeof(*e64) || memcmp(head, ELFMAG, SELFMAG))
		return 0;
	is64 = head[EI_CLASS] == ELFCLASS64;
	nr = is64 ? e64->e_phnum : e32->e_phnum;
	for (i = 0; i < nr && !len; i++) {
		uint64_t at = is64 ? e64->e_phoff + i * sizeof(Elf64_Phdr) : e32->e_phoff + i * sizeof(Elf32_Phdr);
		const Elf64_Phdr *p64 = (const void *)(head + at);
		const Elf32_Phdr *p32 = (const void *)(head + at);

		if (at > (uint64_t)n || at % 4 || at + sizeof(*p64) > (uint64_t)n)
			break;
		if (is64 && p64->p_type == PT_NOTE)
			len = note_find(head, n, p64->p_offset, p64->p_filesz, buf, size);
		else if (!is64 && p32->p_type == PT_NOTE)
			len = note_find(head, n, p32->p_offset, p32->p_filesz, buf, size);
	}
	return len;
}
