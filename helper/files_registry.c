// SPDX-License-Identifier: GPL-2.0
/*
 * What a dump keeps of open files: each once, found by its identity, with its id in files.img; memory, states of kinds
 * and images that live as long as the dump.  Asks nothing about a file.
 */
#include <errno.h>
#include <string.h>

#include "dfile.h"

struct chunk {
	struct chunk *next;
	char data[] __attribute__((aligned(16)));
};

struct state {
	const void *key;
	void *mem;
};

struct crk_dump_files {
	struct crk_dump_file **files;	/* [id - 1]; NULL for entries that are no file of a process */
	size_t nr, room;
	uint32_t *hash;			/* ids, 0: free */
	size_t hash_size;		/* a power of two */
	struct chunk *chunks;
	struct state states[16];	/* of kinds and their helpers */
	struct crk_index known;		/* by them */
	struct crk_img *imgs[CRK_NR_IMG_TYPES];
};

/* ---- memory and images ---- */

static struct crk_dump_files *dump_files(struct crk_dump *d)
{
	if (!d->files)
		d->files = calloc(1, sizeof(*d->files));
	if (!d->files)
		crk_oom();
	return d->files;
}

void *crk_dump_alloc(struct crk_dump *d, size_t size)
{
	struct crk_dump_files *s = dump_files(d);
	struct chunk *chunk = s ? calloc(1, sizeof(*chunk) + size) : NULL;

	if (!chunk) {
		if (s)
			crk_oom();
		return NULL;
	}
	chunk->next = s->chunks;
	s->chunks = chunk;
	return chunk->data;
}

char *crk_dump_strdup(struct crk_dump *d, const char *text)
{
	char *copy = crk_dump_alloc(d, strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

void *crk_dump_state(struct crk_dump *d, const void *key, size_t size)
{
	struct crk_dump_files *s = dump_files(d);
	struct state *state = s ? s->states : NULL;

	while (state && state->key && state->key != key)
		state++;
	if (state && !state->mem) {
		state->key = key;
		state->mem = crk_dump_alloc(d, size);
	}
	return state ? state->mem : NULL;
}

void *crk_dump_known(struct crk_dump *d, const void *kind, uint64_t a, uint64_t b)
{
	return d->files ? crk_index_find(&d->files->known, kind, a, b) : NULL;
}

int crk_dump_know(struct crk_dump *d, const void *kind, uint64_t a, uint64_t b, void *item)
{
	struct crk_dump_files *s = dump_files(d);

	return s ? crk_index_add(&s->known, kind, a, b, item) : -ENOMEM;
}

int crk_dump_img(struct crk_dump *d, enum crk_img_type type, struct crk_img **ret)
{
	struct crk_dump_files *s = dump_files(d);
	int err = s ? 0 : -ENOMEM;

	if (s && !s->imgs[type])
		err = crk_img_create(d->dir, type, 0, &s->imgs[type]);
	if (!err)
		*ret = s->imgs[type];
	return err;
}

int crk_dump_put_file(struct crk_dump *d, FileEntry *fe)
{
	struct crk_img *img;
	int err = crk_dump_img(d, CRK_IMG_FILES, &img);

	return err ?: crk_img_put(img, &fe->base);
}

int crk_files_dump_end(struct crk_dump *d)
{
	struct crk_dump_files *s = d->files;
	struct crk_img *img;
	int err = 0, err2;
	size_t i;

	for (i = 0; i < s->nr && !err; i++) {
		if (!s->files[i] || !s->files[i]->extra)
			continue;
		err = crk_dump_img(d, CRK_IMG_CRK_FILES, &img);
		err = err ?: crk_img_put(img, &s->files[i]->extra->base);
	}
	for (i = 0; i < CRK_NR_IMG_TYPES; i++) {
		err2 = s->imgs[i] ? crk_img_close(steal_ptr(&s->imgs[i])) : 0;
		err = err ?: err2;
	}
	return err;
}

void crk_files_dump_free(struct crk_dump *d)
{
	struct crk_dump_files *s = d->files;
	struct chunk *chunk;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->nr; i++) {
		if (!s->files[i])
			continue;
		s->files[i]->held = false;
		crk_dfile_done(s->files[i]);
	}
	for (i = 0; i < CRK_NR_IMG_TYPES; i++)
		if (s->imgs[i])
			crk_img_close(s->imgs[i]);
	while ((chunk = s->chunks)) {
		s->chunks = chunk->next;
		free(chunk);
	}
	free(s->files);
	free(s->hash);
	crk_index_free(&s->known);
	free(s);
	d->files = NULL;
}

/* ---- files by identity ---- */

static int hash_grow(struct crk_dump_files *s)
{
	size_t size = s->hash_size ? s->hash_size * 2 : 256, i, slot;
	uint32_t *hash = calloc(size, sizeof(*hash));

	if (!hash)
		return crk_oom();
	for (i = 0; i < s->nr; i++) {
		if (!s->files[i])
			continue;
		slot = crk_index_mix(s->files[i]->key) & (size - 1);
		while (hash[slot])
			slot = (slot + 1) & (size - 1);
		hash[slot] = i + 1;
	}
	free(s->hash);
	s->hash = hash;
	s->hash_size = size;
	return 0;
}

struct crk_dump_file *crk_files_find(struct crk_dump_files *s, uint64_t key, bool by_path,
				     bool (*same)(const struct crk_dump_file *df, const void *arg), const void *arg)
{
	size_t slot;

	if (!s || !s->hash_size)
		return NULL;
	for (slot = crk_index_mix(key) & (s->hash_size - 1); s->hash[slot]; slot = (slot + 1) & (s->hash_size - 1)) {
		struct crk_dump_file *df = s->files[s->hash[slot] - 1];

		if (df->key == key && df->by_path == by_path && (!same || same(df, arg)))
			return df;
	}
	return NULL;
}

uint32_t crk_files_id(struct crk_dump *d, uint64_t file_id)
{
	struct crk_dump_file *df = file_id ? crk_files_find(d->files, file_id, false, NULL, NULL) : NULL;

	return df ? df->f.id : 0;
}

uint32_t crk_dump_new_id(struct crk_dump *d)
{
	struct crk_dump_files *s = dump_files(d);
	struct crk_dump_file **slot = s ? array_add(s->files, s->nr, s->room) : NULL;

	if (!slot) {
		if (s)
			crk_oom();
		return 0;
	}
	*slot = NULL;
	return s->nr;
}

struct crk_dump_file *crk_files_add(struct crk_dump *d, uint64_t key, bool by_path)
{
	struct crk_dump_file *df = crk_dump_alloc(d, sizeof(*df));
	struct crk_dump_files *s = d->files;
	uint32_t id;
	size_t slot;

	if (!df || (s->nr * 2 >= s->hash_size && hash_grow(s)))
		return NULL;
	id = crk_dump_new_id(d);
	if (!id)
		return NULL;
	df->f.id = id;
	df->f.fd = -1;
	df->f.facts = &df->facts;
	df->key = key;
	df->by_path = by_path;
	s->files[id - 1] = df;
	slot = crk_index_mix(key) & (s->hash_size - 1);
	while (s->hash[slot])
		slot = (slot + 1) & (s->hash_size - 1);
	s->hash[slot] = id;
	return df;
}

uint32_t crk_files_search(struct crk_dump *d, uint64_t ino, uint32_t dev,
			  bool (*same)(const struct crk_dproc *p, const struct crk_fd *file, void *arg), void *arg)
{
	struct crk_dump_files *s = d->files;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct crk_dump_file *df = s->files[i];

		if (!df || df->by_path || df->facts.ino != ino || df->facts.dev != dev)
			continue;
		if (same(df->held ? NULL : df->f.proc, &df->facts, arg))
			return df->f.id;
	}
	return 0;
}
