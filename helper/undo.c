// SPDX-License-Identifier: GPL-2.0
/*
 * What a restore that does not come to its end must take back, besides processes and cgroups: names in file systems
 * and SysV objects.  Each is noted before it is made, in memory that the watcher shares: it does this when the
 * coordinator was killed.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "restore.h"

/* room for the notes; only what is written takes memory */
#define UNDO_ROOM	(64UL << 20)

enum undo_kind { UNDO_SHM, UNDO_NAME };

struct undo_note {
	uint32_t size;			/* of this note, 0 behind the last one; written when the rest is there */
	uint32_t kind;
	int32_t id;
	char name[];
};

int crk_undo_create(struct crk_rst *r)
{
	struct undo_note *notes = mmap(NULL, UNDO_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
				       -1, 0);

	if (notes == MAP_FAILED)
		return crk_err(-errno, "cannot make shared memory");
	r->sync->undo = notes;
	return 0;
}

/*
 * The watcher has it; the processes of the tree would only have to let go of it again, which takes a 32-bit ARM kernel that
 * flushes the TLB page by page longer than all else.  To write a note is the coordinator's alone.
 */
void crk_undo_keep(struct crk_sync *s)
{
	madvise(s->undo, UNDO_ROOM, MADV_DONTFORK);
}

void crk_undo_destroy(struct crk_sync *s)
{
	if (s->undo)
		munmap(s->undo, UNDO_ROOM);
}

static int note(struct crk_rst *r, enum undo_kind kind, int id, const char *name)
{
	size_t size = align_up(sizeof(struct undo_note) + strlen(name) + 1, 8), used = r->sync->undo_used;
	struct undo_note *n = (void *)((char *)r->sync->undo + used);

	if (used + size + sizeof(*n) > UNDO_ROOM)
		return crk_fail(-E2BIG, "there are too many names of files to make");
	n->kind = kind;
	n->id = id;
	strcpy(n->name, name);
	__atomic_store_n(&n->size, size, __ATOMIC_SEQ_CST);
	r->sync->undo_used += size;
	return 0;
}

int crk_undo_name(struct crk_rst *r, const char *name)
{
	return note(r, UNDO_NAME, 0, name);
}

int crk_undo_shm(struct crk_rst *r, int id)
{
	return note(r, UNDO_SHM, id, "");
}

void crk_undo_run(struct crk_sync *s)
{
	const struct undo_note *n = s->undo;
	struct shmid_ds ds;

	for (; n && n->size; n = (const void *)((const char *)n + n->size)) {
		if (n->kind == UNDO_NAME)
			unlink(n->name);
		else if (!shmctl(n->id, IPC_STAT, &ds) && !ds.shm_nattch)
			shmctl(n->id, IPC_RMID, NULL);
	}
}
