// SPDX-License-Identifier: GPL-2.0
/*
 * The vDSO of a restored process, which belongs to the kernel.  On one with the same build of it the kernel's own is
 * mapped in its place.  On another the old code comes back as ordinary memory whose functions lead to the kernel's vDSO,
 * mapped elsewhere, and its data as pages that say "no clock to read here, ask the kernel": for threads that were in the
 * midst of the old code.  arch/ knows the instructions; arch/x86/README tells the whole of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "../../arch/host.h"
#include "../restore.h"
#include "mem.h"

#define LOW_END		(1ULL << 20)	/* nothing is put below */
#define STACK_GUARD	(1ULL << 20)	/* the kernel's gap: nothing can be mapped there */
#define REACH		(2000ULL << 20)	/* of jumps */

/* ---- those of the images ---- */

static int read_vdsos(struct crk_rst *r)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	int ret;

	ret = crk_img_open(r->dir, CRK_IMG_CRK_VDSO, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) == 1) {
		struct crk_rvdso *v = array_add(r->mem->vdsos, r->mem->nr_vdsos, r->mem->room_vdsos);

		if (!v) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		v->e = (CrkVdsoEntry *)msg;
		if (v->e->text.len > CRK_VDSO_TEXT_MAX || v->e->text.len % PAGE_SIZE ||
		    (v->e->trampolines.len && v->e->trampolines.len != PAGE_SIZE) ||
		    crk_elf_open(&v->old, v->e->text.data, v->e->text.len)) {
			ret = crk_fail(-EBADMSG, "crk-vdso.img: a vDSO is no ELF image");
			break;
		}
	}
	crk_img_close(img);
	return ret < 0 ? ret : 0;
}

void crk_vdso_free(struct crk_rst *r)
{
	size_t i;

	for (i = 0; i < r->mem->nr_vdsos; i++) {
		crk_vdso_entry__free_unpacked(r->mem->vdsos[i].e, NULL);
		free(r->mem->vdsos[i].text);
	}
	free(r->mem->vdsos);
}

/* ---- those of this kernel ---- */

/* are the signal trampolines of @v those of this boot? */
static int trampolines_look(struct crk_rvdso *v)
{
	const void *own;
	int err = crk_vdso_own_trampolines(&own);

	v->same_trampolines = !v->e->trampolines.len ||
			      (own && !memcmp(own, v->e->trampolines.data, v->e->trampolines.len));
	return err;
}

static int own_look(struct crk_rvdso *v)
{
	uint64_t start = 0, code = 0, end = 0;
	struct crk_elf own;
	int err = crk_vdso_own(&start, &code, &end);

	if (err || !code || end - code > CRK_VDSO_TEXT_MAX || crk_elf_open(&own, (void *)(uintptr_t)code, end - code) ||
	    crk_host->vdso_kind(own.machine, own.is64) != (int)v->e->kind)
		return err;
	memcpy(v->text, (void *)(uintptr_t)code, end - code);
	v->text_len = end - code;
	v->data_len = code - start;
	return 0;
}

/* of a kind that this process has not: in a child, which has none for a moment */
static int other_look(struct crk_rst *r, struct crk_rvdso *v)
{
	struct shared {
		int err;
		uint64_t text_len, data_len;
		uint8_t text[CRK_VDSO_TEXT_MAX];
	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err = 0;
	pid_t pid;

	if (s == MAP_FAILED)
		return crk_oom();
	s->err = -ECHILD;
	pid = fork();
	if (!pid) {
		s->err = crk_dev_vdso(r->dev, v->e->kind, s->text, CRK_VDSO_TEXT_MAX, &s->text_len, &s->data_len);
		_exit(0);
	}
	if (pid < 0)
		err = crk_err(-errno, "cannot make a process to look at a vDSO");
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	err = err ?: s->err == -ECHILD ? crk_fail(-ECHILD, "a process that looked at a vDSO died") : s->err;
	if (!err && s->text_len > CRK_VDSO_TEXT_MAX)
		err = crk_fail(-EOPNOTSUPP, "this kernel's vDSO is too large");
	if (!err) {
		memcpy(v->text, s->text, s->text_len);
		v->text_len = s->text_len;
		v->data_len = s->data_len;
	}
	munmap(s, sizeof(*s));
	return err;
}

/* what this kernel has instead of @v; once */
static int look(struct crk_rst *r, struct crk_rvdso *v)
{
	uint8_t id[32];
	size_t id_len;
	int err;

	if (v->text)
		return 0;
	v->text = calloc(1, CRK_VDSO_TEXT_MAX);
	if (!v->text)
		return crk_oom();
	err = trampolines_look(v) ?: own_look(v);
	if (!err && !v->text_len)
		err = other_look(r, v);
	if (err)
		return err;
	if (crk_elf_open(&v->new, v->text, v->text_len))
		return crk_fail(-EOPNOTSUPP, "this kernel's vDSO is not one that crk knows");
	id_len = crk_elf_build_id(v->text, v->text_len, id, sizeof(id));
	v->same = id_len && id_len == v->e->build_id.len && !memcmp(id, v->e->build_id.data, id_len) &&
		  v->text_len == v->e->text.len && !(r->opts->fault && !strcmp(r->opts->fault, "vdso"));
	return 0;
}

/* ---- a place for this kernel's ---- */

struct place {
	uint64_t at, distance;
};

/* @len bytes of [@start, @end), at its start or at its end, if that is better than what is known */
static void place_try(struct place *best, uint64_t start, uint64_t end, bool at_end, uint64_t len, uint64_t near)
{
	uint64_t at, distance;

	if (end < start || end - start < len + 2 * PAGE_SIZE)
		return;
	at = at_end ? end - PAGE_SIZE - len : start + PAGE_SIZE;	/* touches nothing */
	distance = at > near ? at + len - near : near - at;
	if (!best->at || distance < best->distance)
		*best = (struct place){ at, distance };
}

/*
 * @len free bytes in reach of @near, and as close as can be: best right behind a mapping, since new ones are put before
 * others; not right behind the heap and not close below a stack, which grow.  What is out of reach may do for some CPUs.
 */
static uint64_t place_find(const struct crk_rmem *m, const struct crk_rec_mm *mm, uint64_t limit, uint64_t len,
			   uint64_t near)
{
	/* bytes to be left for a stack or the heap to grow */
	static const struct { uint64_t room; bool at_end; } tries[] = {
		{ 64UL << 20, false }, { 64UL << 20, true }, { STACK_GUARD, false }, { STACK_GUARD, true },
	};
	uint64_t heap_end = align_up(mm->brk, PAGE_SIZE);
	struct place best = {};
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(tries) && (!best.at || best.distance > REACH); k++) {
		for (i = 0; i <= m->nr_vmas; i++) {
			uint64_t start = i ? m->vmas[i - 1].end : LOW_END;
			uint64_t end = i < m->nr_vmas ? m->vmas[i].start : limit;

			if (start <= heap_end && heap_end <= end) {
				if (!tries[k].at_end)
					continue;
				start = heap_end + tries[k].room;
			}
			if (i < m->nr_vmas && m->vmas[i].e->flags & CRK_VMA_GROWSDOWN)
				end -= min(end, tries[k].room);
			place_try(&best, max(start, (uint64_t)LOW_END), min(end, limit), tries[k].at_end, len, near);
		}
	}
	return best.at;
}

/* ---- the old code ---- */

static int redirect(const struct crk_rproc *p, const struct crk_rvdso *v, struct crk_vdso_use *u)
{
	struct crk_elf_symbol from, to;
	size_t i;
	int err;

	for (i = 0; i < v->old.nr_symbols; i++) {
		/* what this kernel does not have works as it did, and asks the kernel: see data_fill() */
		if (!crk_elf_function(&v->old, i, &from) || !crk_elf_find(&v->new, from.name, &to))
			continue;
		err = crk_host->vdso_redirect(u->text, &from, u->addr + u->data_len + from.off,
					      u->new_addr + v->data_len + to.off);
		if (err)
			return crk_fail(err, "pid %d (%s): its vDSO is of another kernel, and %s in it can't be made to lead to this kernel's",
					p->pid, crk_rproc_comm(p), from.name);
	}
	return 0;
}

/*
 * A thread amid the old code goes on in a copy of it that is not changed: it could be at, or jump back to, instructions
 * that are no more.  One that is asleep in a system call stays, at an address that unwinders know.
 */
static bool thread_moves(const struct crk_vdso_use *u, struct crk_rthread *t)
{
	const struct crk_rec_thread *rec = crk_rec_find(t->recs, t->recs_len, CRK_REC_THREAD, NULL);
	uint64_t code = u->addr + u->data_len, pc = crk_host->pc_get(t->recs, t->recs_len);

	if (!rec || rec->syscall != CRK_SYSCALL_NONE || pc < code || pc >= code + u->vdso->e->text.len)
		return false;
	crk_host->pc_set((struct crk_rec *)t->recs, t->recs_len, pc - u->addr + u->copy_addr);
	return true;
}

static void threads_move(struct crk_rst *r, const struct crk_rproc *p, struct crk_vdso_use *u)
{
	size_t i, k;

	for (i = 0; i < r->nr_procs; i++) {
		struct crk_rproc *q = &r->procs[i];

		if (q != p && q->mm_of != p)
			continue;
		for (k = 0; k < q->nr_threads; k++)
			if (thread_moves(u, &q->threads[k]))
				u->copy = true;
	}
}

/* ---- what a process has ---- */

static bool is_trampolines(const struct crk_rvma *v)
{
	return crk_host->trampolines && v->e->name && !strcmp(v->e->name, crk_host->trampolines);
}

/* [vvar…] and [vdso] follow each other; but for trampolines nothing else is the kernel's */
static int use_find(struct crk_rst *r, const struct crk_rproc *p, struct crk_vdso_use **ret)
{
	struct crk_rmem *m = p->mem;
	uint64_t start = 0, code = 0, trampolines = 0;
	struct crk_vdso_use *u;
	size_t i, k;

	for (i = 0; i < m->nr_vmas; i++) {
		const struct crk_rvma *v = &m->vmas[i];

		if (!(v->e->flags & CRK_VMA_SPECIAL))
			continue;
		if (is_trampolines(v)) {
			trampolines = v->start;
			continue;
		}
		if ((start && m->vmas[i - 1].end != v->start) || code)
			return crk_fail(-EBADMSG, "pid %d: mapping %zu is of no vDSO", p->pid, i);
		start = start ?: v->start;
		if (v->e->has_build_id)
			code = v->start;
		for (k = 0; code && k < r->mem->nr_vdsos; k++) {
			struct crk_rvdso *d = &r->mem->vdsos[k];

			if (d->e->build_id.len != v->e->build_id.len || v->end - code != d->e->text.len ||
			    memcmp(d->e->build_id.data, v->e->build_id.data, d->e->build_id.len))
				continue;
			u = m->vdso = *ret = calloc(1, sizeof(*u));
			if (!u)
				return crk_oom();
			*u = (struct crk_vdso_use){ .vdso = d, .addr = start, .data_len = code - start };
		}
	}
	if (m->vdso)
		m->vdso->trampolines = trampolines;
	return !start || m->vdso ? 0 : crk_fail(-EBADMSG, "pid %d: its vDSO is not in crk-vdso.img", p->pid);
}

static int no_room(const struct crk_rproc *p)
{
	return crk_fail(-ENOMEM, "pid %d (%s): its vDSO is of another kernel, and its address space has no room for this kernel's",
			p->pid, crk_rproc_comm(p));
}

static int use_plan(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rec_mm *mm = crk_rec_find(p->threads[0].recs, p->threads[0].recs_len, CRK_REC_MM, NULL);
	uint64_t limit, len, old_len;
	struct crk_vdso_use *u = NULL;
	struct crk_rvdso *v;
	int err;

	err = use_find(r, p, &u);
	if (err || !u)
		return err;
	v = u->vdso;
	err = look(r, v);
	if (err) {
		crk_fail(err, "pid %d (%s): needs a vDSO that this kernel does not have", p->pid, crk_rproc_comm(p));
		return err;
	}
	if (!mm)
		return crk_fail(-EBADMSG, "pid %d: crk-core image without address space", p->pid);
	u->new_trampolines = u->trampolines;
	u->foreign = !v->same || u->data_len != v->data_len;
	if (u->trampolines && (u->foreign || !v->same_trampolines)) {
		if (!v->e->trampolines.len)
			return crk_fail(-EBADMSG, "crk-vdso.img has no signal trampolines");
		u->new_trampolines = place_find(p->mem, mm, mm->task_size, PAGE_SIZE, u->trampolines);
		if (!u->new_trampolines)
			return no_room(p);
	}
	if (!u->foreign)
		return 0;
	limit = v->e->kind == CRK_VDSO_NATIVE ? mm->task_size : min((uint64_t)mm->task_size, 0xffff0000ULL);
	old_len = u->data_len + v->e->text.len;
	len = align_up(v->data_len + v->text_len + PAGE_SIZE, PAGE_SIZE);
	/* with room at both ends for trampolines that have found the same place */
	u->new_addr = place_find(p->mem, mm, limit, len + old_len + 4 * PAGE_SIZE, u->addr);
	if (!u->new_addr)
		return no_room(p);
	u->new_addr += 2 * PAGE_SIZE;
	u->copy_addr = u->new_addr + len;
	u->text = malloc(v->e->text.len);
	if (!u->text)
		return crk_oom();
	memcpy(u->text, v->e->text.data, v->e->text.len);
	err = redirect(p, v, u);
	if (!err)
		threads_move(r, p, u);
	return err;
}

int crk_vdso_plan(struct crk_rst *r)
{
	size_t i;
	int err = read_vdsos(r);

	for (i = 0; i < r->nr_procs && !err; i++)
		if (r->procs[i].mem)
			err = use_plan(r, &r->procs[i]);
	return err;
}

void crk_vdso_use_free(struct crk_vdso_use *u)
{
	if (!u)
		return;
	free(u->text);
	free(u);
}

/* ---- restore, in the process: the old code and data as a file ---- */

/* @len bytes at @off, if the dump told where it is */
static void data_put(uint8_t *data, size_t data_len, uint64_t off, const void *what, size_t len)
{
	if (off && len <= data_len && off <= data_len - len)
		memcpy(data + off, what, len);
}

/*
 * The data of a vDSO begins a new period with every change, and readers try again if that happened meanwhile.  A thread
 * that has begun to read does so here: all is 0, it is another period, and no clock can be read without the kernel.
 * What the old code takes from memory anyway has the value of this moment: the coarse clocks, the time in seconds, the
 * resolution.  The generation of random numbers is one that no one has used.
 */
static void data_fill(uint8_t *data, size_t len, const struct crk_rec_mm *mm)
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
		CLOCK_BOOTTIME, CLOCK_TAI,
	};
	struct timezone zone = {};
	struct timespec ts = {};
	struct timeval tv;
	uint64_t random = 0;
	uint32_t words[3];
	size_t i;

	memset(data, 0, len);
	for (i = 0; mm->vvar_times && i < ARRAY_SIZE(clocks); i++) {
		uint64_t pair[2];

		clock_gettime(clocks[i], &ts);
		pair[0] = ts.tv_sec;
		pair[1] = ts.tv_nsec;
		data_put(data, len, mm->vvar_times + clocks[i] * sizeof(pair), pair, sizeof(pair));
	}
	gettimeofday(&tv, &zone);
	clock_getres(CLOCK_MONOTONIC, &ts);
	words[0] = zone.tz_minuteswest;
	words[1] = zone.tz_dsttime;
	words[2] = ts.tv_nsec;
	data_put(data, len, mm->vvar_zone, words, sizeof(words));
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = ts.tv_nsec ^ (uintptr_t)&random;
	random |= 1;
	data_put(data, len, mm->vvar_random, &random, sizeof(random));
}

/* trampolines; of a foreign one also data, code with its functions redirected, code as it was */
int crk_vdso_file(struct crk_rst *r, const struct crk_rproc *p, int *ret)
{
	const struct crk_rec_mm *mm = crk_rec_find(p->threads[0].recs, p->threads[0].recs_len, CRK_REC_MM, NULL);
	const struct crk_vdso_use *u = p->mem->vdso;
	const CrkVdsoEntry *e = u->vdso->e;
	_cleanup_free_ uint8_t *data = malloc(u->data_len + 1);
	_cleanup_close_ int fd = memfd_create("crk-vdso", MFD_CLOEXEC);
	uint64_t off = e->trampolines.len;
	int err;

	if (!data || fd < 0)
		return crk_oom();
	err = pwrite_all(fd, e->trampolines.data, e->trampolines.len, 0);
	if (u->foreign) {
		data_fill(data, u->data_len, mm);
		err = err ?: pwrite_all(fd, data, u->data_len, off);
		off += u->data_len;
		err = err ?: pwrite_all(fd, u->text, e->text.len, off);
		off += e->text.len;
		err = err ?: pwrite_all(fd, e->text.data, e->text.len, off);
	}
	if (err)
		return crk_err(err, "pid %d: memory for its vDSO", p->pid);
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);
	return *ret < 0 ? crk_err(-errno, "cannot move a descriptor above %d", r->fd_base) : 0;
}
