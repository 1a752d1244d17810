/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ELF images in memory, of 32 and 64 bit: build id and dynamic symbols.
 */
#ifndef _CRK_ELF_H
#define _CRK_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crk_elf {
	const uint8_t *data;
	size_t len;
	bool is64;
	uint16_t machine;
	uint64_t base;			/* address that @data[0] was linked for */
	uint64_t symbols, strings;	/* offsets of the tables */
	size_t nr_symbols;
};

struct crk_elf_symbol {
	const char *name;
	uint64_t off;			/* into the image */
	uint64_t len;			/* 0: not told */
};

/* NT_GNU_BUILD_ID in the first pages of an image: its length, 0 if it has none */
size_t crk_elf_build_id(const void *data, size_t len, uint8_t *buf, size_t size);
/* the same of a file */
size_t crk_build_id(int fd, uint8_t *buf, size_t size);
/* -ENOEXEC: no ELF image, or one that crk does not understand.  @data must stay */
int crk_elf_open(struct crk_elf *e, const void *data, size_t len);
/* function @i of the dynamic symbols; false if it is something else or not defined */
bool crk_elf_function(const struct crk_elf *e, size_t i, struct crk_elf_symbol *ret);
bool crk_elf_find(const struct crk_elf *e, const char *name, struct crk_elf_symbol *ret);

#endif /* _CRK_ELF_H */
