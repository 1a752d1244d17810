// SPDX-License-Identifier: GPL-2.0
/*
 * The files of a checkpoint in pieces that several CPUs work on, at the commit and at the check.  Knows neither: what
 * is done with a piece its caller says.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "checksum.h"
#include "imgdir.h"
#include "log.h"

int crk_pieces_add(struct crk_pieces *pieces, size_t file, size_t chunk)
{
	__typeof__(pieces->items) item = array_add(pieces->items, pieces->nr, pieces->room);

	if (!item)
		return crk_oom();
	item->file = file;
	item->chunk = chunk;
	return 0;
}

bool crk_pieces_say_now(struct crk_pieces *pieces)
{
	return !atomic_flag_test_and_set(&pieces->said);
}

/*
 * Ends the pieces; @err: what came of their making.  Large files are mapped once, since to map and unmap each piece
 * would have all CPUs flush their TLBs each time; what can't be mapped is read.
 */
int crk_pieces_run(struct crk_pieces *pieces, int err, int (*work)(void *arg, size_t i))
{
	struct crk_imgdir *dir = pieces->dir;
	size_t i;

	for (i = 0; i < pieces->nr && !err; i++) {
		struct crk_imgfile *file = &dir->files[pieces->items[i].file];
		_cleanup_close_ int fd = -1;

		if (pieces->items[i].chunk != 1 || file->size > SIZE_MAX)
			continue;
		fd = openat(dir->fd, dir->writing ? crk_imgdir_disk_name(file->name) : file->name,
			    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
		if (file->map == MAP_FAILED)
			file->map = NULL;
	}
	crk_progress(dir->writing ? "checksums" : "reading images", pieces->bytes);
	err = err ?: crk_parallel(pieces->nr, pieces->bytes, work, pieces);
	for (i = 0; i < dir->nr_files; i++) {
		if (dir->files[i].map)
			munmap(dir->files[i].map, dir->files[i].size);
		dir->files[i].map = NULL;
	}
	free(pieces->items);
	return err;
}
