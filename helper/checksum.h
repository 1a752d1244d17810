/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Work on many pieces of many files by all processors: the checksums of a checkpoint, made or compared.
 */
#ifndef _CRK_CHECKSUM_H
#define _CRK_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH64, seed 0 */
uint64_t crk_checksum(const void *buf, size_t len);

/*
 * The same of @len bytes of a file; -ENODATA if it is shorter; prints nothing.  @map: the whole file, mapped for
 * reading, or NULL; then @off is a multiple of the page size.
 */
int crk_checksum_file(int fd, void *map, uint64_t off, size_t len, const uint64_t *dead, size_t nr_dead, uint64_t *ret);

/*
 * Calls work(arg, 0 … nr - 1), each once, in any order, by up to four threads; by one if @bytes (to be looked at in
 * all) are few.  Stops early when a call fails; returns the first failure.
 */
int crk_parallel(size_t nr, uint64_t bytes, int (*work)(void *arg, size_t i), void *arg);

#endif /* _CRK_CHECKSUM_H */
