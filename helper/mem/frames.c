// SPDX-License-Identifier: GPL-2.0
/*
 * Frames of signal handlers on the stacks of processes that another kernel has made: how they look may depend on how that
 * kernel was configured, and then they are changed to what this one takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "../../arch/host.h"
#include "../restore.h"
#include "mem.h"

#define STEP	(1UL << 20)
#define FRAME	4096UL		/* no frame is larger */

void crk_frames_inventory(CrkInventoryEntry *inv)
{
	if (!crk_host->frame_format)
		return;
	inv->has_frame_format = 1;
	inv->frame_format = crk_host->frame_format();
}

/* [start, end) of a process, which nobody changes meanwhile */
static int convert_range(const struct crk_rproc *p, int mem, uint8_t *buf, uint64_t start, uint64_t end, uint32_t from,
			 uint32_t to)
{
	size_t changed, len;
	ssize_t at, i;

	for (; start < end; start += len > STEP ? STEP : len) {
		len = min(end - start, (uint64_t)(STEP + FRAME));
		if (pread(mem, buf, len, start) != (ssize_t)len)
			return crk_err(-errno, "pid %d: cannot read its memory at %" PRIx64, p->pid, start);
		for (i = 0; (at = crk_host->frame_convert(buf + i, len - i, from, to, &changed)) >= 0; i += changed) {
			i += at;
			if (pwrite(mem, buf + i, changed, start + i) != (ssize_t)changed)
				return crk_err(-errno, "pid %d: cannot write to its memory at %" PRIx64, p->pid, start + i);
			crk_info("pid %d (%s): signal frame at %" PRIx64 " is made one of this kernel's", p->pid,
				 crk_rproc_comm(p), start + i);
		}
	}
	return 0;
}

static int convert_process(const struct crk_rproc *p, uint32_t from, uint32_t to)
{
	_cleanup_free_ uint8_t *buf = malloc(STEP + FRAME);
	const struct crk_rmem *m = p->mem;
	_cleanup_close_ int mem = -1;
	char path[32];
	size_t i, k;
	int err = 0;

	if (!buf)
		return crk_oom();
	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return crk_err(-errno, "pid %d: cannot open its memory", p->pid);
	for (i = 0; i < m->nr_vmas && !err; i++) {
		const struct crk_rvma *v = &m->vmas[i];

		if (!crk_vma_is_anon(v) || !(v->prot & PROT_WRITE))
			continue;
		for (k = crk_rrun_from(m, v->start); k < m->nr_runs && m->runs[k].addr < v->end && !err; k++)
			err = convert_range(p, mem, buf, max(m->runs[k].addr, v->start),
					    min(m->runs[k].addr + m->runs[k].nr * PAGE_SIZE, v->end), from, to);
	}
	return err;
}

int crk_frames_convert(struct crk_rst *r)
{
	const CrkInventoryEntry *inv = crk_imgdir_inventory(r->dir);
	uint32_t own;
	size_t i;
	int err = 0;

	if (!crk_host->frame_format || !inv->has_frame_format)
		return 0;
	own = crk_host->frame_format();
	for (i = 0; i < r->nr_procs && inv->frame_format != own && !err; i++)
		if (r->procs[i].mem && !r->procs[i].mm_of)
			err = convert_process(&r->procs[i], inv->frame_format, own);
	return err;
}
