// SPDX-License-Identifier: GPL-2.0
/*
 * ELF images: the build id, which tells one build of a program or library from the next better than times do, and the
 * functions that a vDSO exports.  Whatever an image says, nothing outside of it is read.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"
#include "util.h"

#define HEAD	4096	/* program headers and notes of what linkers make are in the first page */

/* ---- both classes as one ---- */

struct segment {
	uint32_t type;
	uint64_t off, addr, len;
};

static size_t nr_segments(const struct crk_elf *e)
{
	return e->is64 ? ((const Elf64_Ehdr *)e->data)->e_phnum : ((const Elf32_Ehdr *)e->data)->e_phnum;
}

static bool segment_get(const struct crk_elf *e, size_t i, struct segment *ret)
{
	const Elf64_Ehdr *e64 = (const void *)e->data;
	const Elf32_Ehdr *e32 = (const void *)e->data;
	size_t size = e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t at = (e->is64 ? e64->e_phoff : e32->e_phoff) + i * size;
	const Elf64_Phdr *p64 = (const void *)(e->data + at);
	const Elf32_Phdr *p32 = (const void *)(e->data + at);

	if (at > e->len || size > e->len - at || at % 4)
		return false;
	if (e->is64)
		*ret = (struct segment){ p64->p_type, p64->p_offset, p64->p_vaddr, p64->p_filesz };
	else
		*ret = (struct segment){ p32->p_type, p32->p_offset, p32->p_vaddr, p32->p_filesz };
	return true;
}

static bool segment_find(const struct crk_elf *e, uint32_t type, struct segment *ret)
{
	size_t i;

	for (i = 0; i < nr_segments(e); i++)
		if (segment_get(e, i, ret) && ret->type == type)
			return true;
	return false;
}

static int head_open(struct crk_elf *e, const void *data, size_t len)
{
	const Elf32_Ehdr *head = data;

	*e = (struct crk_elf){ .data = data, .len = len };
	if (len < sizeof(Elf64_Ehdr) || memcmp(data, ELFMAG, SELFMAG))
		return -ENOEXEC;
	e->is64 = head->e_ident[EI_CLASS] == ELFCLASS64;
	e->machine = head->e_machine;
	return 0;
}

/* ---- the build id ---- */

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

size_t crk_elf_build_id(const void *data, size_t len, uint8_t *buf, size_t size)
{
	struct crk_elf e;
	struct segment s;
	size_t i, ret = 0;

	if (head_open(&e, data, len))
		return 0;
	for (i = 0; i < nr_segments(&e) && !ret && segment_get(&e, i, &s); i++)
		if (s.type == PT_NOTE)
			ret = note_find(data, len, s.off, s.len, buf, size);
	return ret;
}

size_t crk_build_id(int fd, uint8_t *buf, size_t size)
{
	_Alignas(8) uint8_t head[HEAD];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	return n > 0 ? crk_elf_build_id(head, n, buf, size) : 0;
}

/* ---- dynamic symbols ---- */

static uint64_t dynamic_get(const struct crk_elf *e, const struct segment *s, int64_t tag)
{
	size_t size = e->is64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
	uint64_t at;

	for (at = s->off; at + size <= s->off + s->len; at += size) {
		const Elf64_Dyn *d64 = (const void *)(e->data + at);
		const Elf32_Dyn *d32 = (const void *)(e->data + at);

		if ((e->is64 ? d64->d_tag : d32->d_tag) == tag)
			return (e->is64 ? d64->d_un.d_ptr : d32->d_un.d_ptr) - e->base;
	}
	return e->len;		/* nowhere */
}

int crk_elf_open(struct crk_elf *e, const void *data, size_t len)
{
	struct segment load, dyn;
	uint64_t hash;
	size_t size;

	if (head_open(e, data, len) || !segment_find(e, PT_LOAD, &load) || !segment_find(e, PT_DYNAMIC, &dyn) ||
	    dyn.off > len || dyn.len > len - dyn.off || dyn.off % 4)
		return -ENOEXEC;
	e->base = load.addr - load.off;
	hash = dynamic_get(e, &dyn, DT_HASH);
	e->symbols = dynamic_get(e, &dyn, DT_SYMTAB);
	e->strings = dynamic_get(e, &dyn, DT_STRTAB);
	if (hash > len - 8 || hash % 4 || e->symbols >= len || e->symbols % 4 || e->strings >= len)
		return -ENOEXEC;
	e->nr_symbols = ((const uint32_t *)(e->data + hash))[1];	/* of chains, which is one for each */
	size = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	return e->nr_symbols > (len - e->symbols) / size ? -ENOEXEC : 0;
}

bool crk_elf_function(const struct crk_elf *e, size_t i, struct crk_elf_symbol *ret)
{
	const Elf64_Sym *s64 = (const Elf64_Sym *)(e->data + e->symbols) + i;
	const Elf32_Sym *s32 = (const Elf32_Sym *)(e->data + e->symbols) + i;
	uint64_t value = e->is64 ? s64->st_value : s32->st_value;
	uint32_t name = e->is64 ? s64->st_name : s32->st_name;
	unsigned int type = ELF64_ST_TYPE(e->is64 ? s64->st_info : s32->st_info);
	unsigned int section = e->is64 ? s64->st_shndx : s32->st_shndx;

	/* some are written in assembly, and have no type */
	if ((type != STT_FUNC && type != STT_NOTYPE) || section == SHN_UNDEF || section == SHN_ABS ||
	    name >= e->len - e->strings || value < e->base)
		return false;
	ret->name = (const char *)e->data + e->strings + name;
	ret->off = value - e->base;
	ret->len = e->is64 ? s64->st_size : s32->st_size;
	return ret->off < e->len && ret->len <= e->len - ret->off &&
	       memchr(ret->name, '\0', e->len - e->strings - name);
}

bool crk_elf_find(const struct crk_elf *e, const char *name, struct crk_elf_symbol *ret)
{
	size_t i;

	for (i = 0; i < e->nr_symbols; i++)
		if (crk_elf_function(e, i, ret) && !strcmp(ret->name, name))
			return true;
	return false;
}
