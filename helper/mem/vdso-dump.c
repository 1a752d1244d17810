// SPDX-License-Identifier: GPL-2.0
/*
 * The code of vDSOs into crk-vdso.img: each kind that the processes of a dump have, once.  And where this process has its
 * own.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "../../arch/host.h"
#include "mem.h"

int crk_vdso_own(uint64_t *start, uint64_t *code, uint64_t *end)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int err = read_file_at(AT_FDCWD, "/proc/self/maps", &text, NULL);

	if (err)
		return crk_err(err, "/proc/self/maps");
	*start = *code = *end = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool is_code = strstr(line, " [vdso]");
		unsigned long long from, to;

		if ((!is_code && !strstr(line, " [vvar")) || sscanf(line, "%llx-%llx", &from, &to) != 2)
			continue;
		*start = *start ?: from;
		*end = to;
		if (is_code)
			*code = from;
	}
	return 0;
}

int crk_vdso_own_trampolines(const void **ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long from;
	const char *line;
	int err;

	*ret = NULL;
	if (!crk_host->trampolines)
		return 0;
	err = read_file_at(AT_FDCWD, "/proc/self/maps", &text, NULL);
	if (err)
		return crk_err(err, "/proc/self/maps");
	line = strstr(text, crk_host->trampolines);
	while (line && line > text && line[-1] != '\n')
		line--;
	if (line && sscanf(line, "%llx", &from) == 1)
		*ret = (const void *)(uintptr_t)from;
	return 0;
}

static const struct crk_vdso_saved *saved_find(const struct crk_dump_mem *m, int kind, uint64_t len)
{
	size_t i;

	for (i = 0; i < m->nr_vdsos; i++)
		if (m->vdsos[i].kind == kind && m->vdsos[i].len == len)
			return &m->vdsos[i];
	return NULL;
}

static int save(struct crk_dump *d, const struct crk_dproc *p, const uint8_t *text, size_t len,
		const struct crk_vdso_saved *s)
{
	CrkVdsoEntry e = CRK_VDSO_ENTRY__INIT;
	const void *trampolines;
	struct crk_elf elf;
	int err, kind = -1;

	if (!crk_elf_open(&elf, text, len))
		kind = crk_host->vdso_kind(elf.machine, elf.is64);
	if (kind < 0)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s): its vDSO is not one that crk knows: not supported", p->pid,
				(const char *)p->leader->comm);
	e.kind = kind;
	e.build_id.data = (uint8_t *)s->build_id;
	e.build_id.len = s->build_id_len;
	e.text.data = (uint8_t *)text;
	e.text.len = len;
	err = crk_vdso_own_trampolines(&trampolines);
	if (err)
		return err;
	e.has_trampolines = !!trampolines;
	e.trampolines = (ProtobufCBinaryData){ .data = (uint8_t *)trampolines, .len = trampolines ? PAGE_SIZE : 0 };
	if (!d->mem->vdso_img) {
		err = crk_img_create(d->dir, CRK_IMG_CRK_VDSO, 0, &d->mem->vdso_img);
		if (err)
			return err;
	}
	return crk_img_put(d->mem->vdso_img, &e.base);
}

static int kind_of(const struct crk_rec_mm *mm)
{
	if (mm && mm->flags & CRK_MM_VDSO_COMPAT)
		return CRK_VDSO_COMPAT;
	return mm && mm->flags & CRK_MM_VDSO_X32 ? CRK_VDSO_X32 : CRK_VDSO_NATIVE;
}

/* a kernel has one of each kind: what this process has need not be read, which would make pages of the target present */
static int text_get(struct crk_dump *d, const struct crk_dproc *p, const struct crk_vma *v, uint8_t *text)
{
	struct crk_range range = { .addr = v->start, .len = v->end - v->start };
	uint64_t start, code, end, len = range.len;
	_cleanup_close_ int fd = -1;
	struct crk_elf own;
	int err;

	err = crk_vdso_own(&start, &code, &end);
	if (err)
		return err;
	if (code && end - code == len && !crk_elf_open(&own, (void *)(uintptr_t)code, len) &&
	    crk_host->vdso_kind(own.machine, own.is64) == kind_of(p->mm)) {
		memcpy(text, (void *)(uintptr_t)code, len);
		return 0;
	}
	fd = memfd_create("crk-vdso", MFD_CLOEXEC);
	if (fd < 0)
		return crk_oom();
	return crk_dev_read(d->dev, p->live->tid, fd, 0, &range, 1) ?: pread_all(fd, text, len, 0);
}

/* once for each kind */
static int read_and_save(struct crk_dump *d, const struct crk_dproc *p, const struct crk_vma *v)
{
	_cleanup_free_ uint8_t *text = malloc(CRK_VDSO_TEXT_MAX);
	struct crk_vdso_saved *s;
	uint64_t len = v->end - v->start;
	int err;

	if (!text)
		return crk_oom();
	if (len > CRK_VDSO_TEXT_MAX)
		return crk_fail(-EOPNOTSUPP, "this kernel's vDSO is too large: not supported");
	err = text_get(d, p, v, text);
	if (err)
		return err;
	s = array_add(d->mem->vdsos, d->mem->nr_vdsos, d->mem->room_vdsos);
	if (!s)
		return crk_oom();
	s->kind = kind_of(p->mm);
	s->len = len;
	s->build_id_len = crk_elf_build_id(text, len, s->build_id, sizeof(s->build_id));
	if (!s->build_id_len)
		return crk_fail(-EOPNOTSUPP, "this kernel's vDSO has no build id, by which a restore would know it again: not supported");
	return save(d, p, text, len, s);
}

int crk_vdso_dump(struct crk_dump *d, const struct crk_dproc *p, const struct crk_vma *v, CrkVmaEntry *c)
{
	const struct crk_vdso_saved *known;
	int err, kind = kind_of(p->mm);

	known = saved_find(d->mem, kind, v->end - v->start);
	if (!known) {
		err = read_and_save(d, p, v);
		if (err)
			return err;
		known = saved_find(d->mem, kind, v->end - v->start);
	}
	c->has_build_id = 1;
	c->build_id.data = (uint8_t *)known->build_id;
	c->build_id.len = known->build_id_len;
	return 0;
}

int crk_vdso_dump_end(struct crk_dump *d)
{
	int err = crk_img_close(d->mem->vdso_img);

	d->mem->vdso_img = NULL;
	return err;
}
