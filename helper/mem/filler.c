// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper lazy-pages at work: pages that somebody waits for first, and between them all others in order of address.
 * Every chunk of an image is verified when it is read, before a byte of it is seen.
 *
 * What the processes do with their memory meanwhile the kernel tells as events (userfaultfd(2)), and holds them until
 * these were read.  No page is taken while one is under way (EAGAIN), so that what is known here is never older than
 * what is done.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "filler.h"

#define STEP_BYTES	(1UL << 20)	/* in the background, before events are looked for again */
#define STEP_RUNS	64
#define CHANGING_MS	1

/* ---- from the images ---- */

/* the chunk that has @off of @source is f->chunk */
static int chunk_get(struct crk_filler *f, uint32_t source, uint64_t off)
{
	const struct crk_filler_source *s = &f->sources[source];
	size_t nr = off / CRK_IMG_CHUNK;
	int err;

	if (f->chunk_len && f->chunk_source == source && f->chunk_nr == nr)
		return 0;
	f->chunk_len = 0;
	err = crk_imgdir_read_chunk(s->dir, s->pages_id, s->fd, nr, f->chunk, &f->chunk_len);
	f->chunk_source = source;
	f->chunk_nr = nr;
	return err;
}

/* ---- into the processes ---- */

static void wake(const struct crk_filled *p, uint64_t addr)
{
	struct uffdio_range range = { addr, PAGE_SIZE };

	ioctl(p->uffd, UFFDIO_WAKE, &range);
}

static void filled_end(struct crk_filled *p)
{
	close(p->uffd);
	p->uffd = -1;
	crk_missing_free(&p->missing);
	p->nr_faults = 0;
}

/* @err of a call for @p: 0 if it only means that the page can't be brought now, or is not wanted */
static int refused(struct crk_filled *p, int err)
{
	switch (err) {
	case -EAGAIN:
		p->changing = true;
		return 0;
	case -ESRCH:			/* it has ended, or executes another program */
		filled_end(p);
		return 0;
	case -ENOMEM:
		return crk_fail(err, "memory has run out: what is missing of the restored processes' cannot be brought");
	default:
		return crk_err(err, "cannot bring a page");
	}
}

/* [addr, addr + len) from @src; *done_ret: bytes that are not missing any more.  @p may have ended */
static int copy(struct crk_filled *p, uint64_t addr, const void *src, uint64_t len, uint64_t *done_ret)
{
	uint64_t done = 0, most = len;
	int err = 0;

	while (done < len && !err) {
		struct uffdio_copy cmd = { .dst = addr + done, .src = (uintptr_t)src + done,
					   .len = min(most, len - done) };

		if (!ioctl(p->uffd, UFFDIO_COPY, &cmd)) {
			done += cmd.len;
			continue;
		}
		err = -errno;
		if (cmd.copy > 0) {
			done += cmd.copy;
			err = 0;
		} else if (err == -ENOENT && cmd.len > PAGE_SIZE) {
			most = PAGE_SIZE;	/* in parts of different kinds */
			err = 0;
		} else if (err == -ENOENT || err == -EEXIST) {
			/* nothing is mapped there any more, or the program has made it a guard */
			wake(p, addr + done);
			done += PAGE_SIZE;
			err = 0;
		}
	}
	*done_ret = done;
	return err ? refused(p, err) : 0;
}

/* from @addr, which is missing, up to @most bytes as far as the run and the chunk go */
static int bring(struct crk_filler *f, struct crk_filled *p, uint64_t addr, uint64_t most, uint64_t *done_ret)
{
	const struct crk_rrun *run = crk_missing_at(&p->missing, addr);
	uint64_t off = run->off + (addr - run->addr), at = off % CRK_IMG_CHUNK;
	uint64_t len = min(crk_rrun_end(run) - addr, most);
	int err = chunk_get(f, run->source, off);

	*done_ret = 0;
	if (err)
		return err;
	if (at >= f->chunk_len)
		return crk_fail(-EBADMSG, "the pages image ends before page %llx", (unsigned long long)addr);
	len = min(len, f->chunk_len - at);
	err = copy(p, addr, f->chunk + at, len, done_ret);
	if (!err && p->uffd >= 0)
		err = crk_missing_cut(&p->missing, addr, addr + *done_ret);
	return err;
}

/* a page that the images don't have, or that the program has given up since */
static int bring_zeros(struct crk_filled *p, uint64_t addr)
{
	struct uffdio_zeropage cmd = { .range = { addr, PAGE_SIZE } };

	if (!ioctl(p->uffd, UFFDIO_ZEROPAGE, &cmd))
		return 0;
	if (errno != EEXIST && errno != ENOENT)
		return refused(p, -errno);
	wake(p, addr);
	return 0;
}

/* the page, and then those behind it in the chunk, which is at hand */
static int serve(struct crk_filler *f, struct crk_filled *p, uint64_t addr)
{
	const struct crk_rrun *run = crk_missing_at(&p->missing, addr);
	uint64_t rest, done;
	int err;

	if (!run)
		return bring_zeros(p, addr);
	rest = CRK_IMG_CHUNK - (run->off + (addr - run->addr)) % CRK_IMG_CHUNK - PAGE_SIZE;
	err = bring(f, p, addr, PAGE_SIZE, &done);
	addr += PAGE_SIZE;
	if (err || !rest || p->changing || p->uffd < 0 || !crk_missing_at(&p->missing, addr))
		return err;
	return bring(f, p, addr, rest, &done);
}

static int serve_all(struct crk_filler *f, struct crk_filled *p)
{
	size_t i;
	int err = 0;

	for (i = 0; i < p->nr_faults && !err && !p->changing && p->uffd >= 0; i++)
		err = serve(f, p, p->faults[i]);
	/* the last one again, if it was not taken */
	if (p->changing && i)
		i--;
	memmove(p->faults, p->faults + i, (p->nr_faults - min(i, p->nr_faults)) * sizeof(*p->faults));
	p->nr_faults -= min(i, p->nr_faults);
	return err;
}

static int bring_some(struct crk_filler *f, struct crk_filled *p)
{
	uint64_t bytes = 0, done;
	int i, err = 0;

	for (i = 0; i < STEP_RUNS && bytes < STEP_BYTES && !err && !p->changing; i++) {
		const struct crk_rrun *run = p->uffd < 0 ? NULL : crk_missing_first(&p->missing);

		if (!run)
			break;
		err = bring(f, p, run->addr, CRK_IMG_CHUNK, &done);
		bytes += done;
	}
	return err;
}

/* ---- what the processes do ---- */

/* a child has what its parent has, and misses what that misses */
static int event_fork(struct crk_filler *f, size_t parent, int uffd)
{
	struct crk_filled *child = array_add(f->procs, f->nr_procs, f->room_procs);

	if (!child)
		return crk_oom();
	child->uffd = uffd;
	return crk_missing_copy(&child->missing, &f->procs[parent].missing);
}

static int event(struct crk_filler *f, size_t i, const struct uffd_msg *msg)
{
	struct crk_filled *p = &f->procs[i];
	uint64_t *fault;

	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		fault = array_add(p->faults, p->nr_faults, p->room_faults);
		if (!fault)
			return crk_oom();
		*fault = align_down(msg->arg.pagefault.address, PAGE_SIZE);
		return 0;
	case UFFD_EVENT_FORK:
		return event_fork(f, i, msg->arg.fork.ufd);
	case UFFD_EVENT_REMAP:
		return crk_missing_move(&p->missing, msg->arg.remap.from, msg->arg.remap.to, msg->arg.remap.len);
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		return crk_missing_cut(&p->missing, msg->arg.remove.start, msg->arg.remove.end);
	default:
		return crk_fail(-EPROTO, "unknown event %u of userfaultfd", msg->event);
	}
}

/* one at a time: the descriptor of a child must be known before anything else goes wrong */
static int events(struct crk_filler *f, size_t i)
{
	struct uffd_msg msg;
	int err = 0;

	f->procs[i].changing = false;
	while (!err) {
		ssize_t len = read(f->procs[i].uffd, &msg, sizeof(msg));

		if (len == sizeof(msg)) {
			err = event(f, i, &msg);
			continue;
		}
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN)
			return 0;
		err = crk_err(len < 0 ? -errno : -EPROTO, "cannot read events of userfaultfd");
	}
	return err;
}

/* @timeout_ms: until something happens */
static int events_all(struct crk_filler *f, int timeout_ms)
{
	_cleanup_free_ struct pollfd *fds = calloc(f->nr_procs, sizeof(*fds));
	size_t i, nr = f->nr_procs;	/* there may be more afterwards */
	int err = 0;

	if (!fds)
		return crk_oom();
	for (i = 0; i < nr; i++)
		fds[i] = (struct pollfd){ .fd = f->procs[i].uffd, .events = POLLIN };
	if (poll(fds, nr, timeout_ms) < 0 && errno != EINTR)
		return crk_err(-errno, "cannot wait for events of userfaultfd");
	for (i = 0; i < nr && !err; i++) {
		if (f->procs[i].uffd < 0)
			continue;
		if (fds[i].revents & POLLIN)
			err = events(f, i);
		else
			f->procs[i].changing = false;
		err = err ?: serve_all(f, &f->procs[i]);
	}
	return err;
}

/* for tests: otherwise they could not tell what happens before all is there from what happens later */
static bool holds_back(const struct crk_filler *f)
{
	sigset_t set;

	return f->on_demand && !sigpending(&set) && !sigismember(&set, SIGUSR1);
}

int crk_filler_run(struct crk_filler *f)
{
	int err = 0, timeout_ms = 0;
	size_t i, left;

	f->chunk = malloc(CRK_IMG_CHUNK);
	if (!f->chunk)
		return crk_oom();
	do {
		bool held = holds_back(f), tried = held, all_changing = true;

		err = events_all(f, timeout_ms);
		for (i = 0, left = 0; i < f->nr_procs && !err; i++) {
			struct crk_filled *p = &f->procs[i];

			if (p->uffd >= 0 && !crk_missing_first(&p->missing))
				filled_end(p);	/* who waits for a page that was zeros gets it from the kernel now */
			if (p->uffd < 0)
				continue;
			left++;
			if (!tried && !p->changing) {
				err = bring_some(f, p);
				tried = true;
			}
			all_changing = all_changing && p->changing;
		}
		timeout_ms = all_changing || held ? CHANGING_MS : 0;
	} while (left && !err);
	return err;
}

void crk_filler_free(struct crk_filler *f)
{
	size_t i;

	for (i = 0; i < f->nr_procs; i++) {
		if (f->procs[i].uffd >= 0)
			close(f->procs[i].uffd);
		crk_missing_free(&f->procs[i].missing);
		free(f->procs[i].faults);
	}
	for (i = 0; i < f->nr_sources; i++)
		if (f->sources[i].fd >= 0)
			close(f->sources[i].fd);
	free(f->procs);
	free(f->sources);
	free(f->chunk);
	*f = (struct crk_filler){};
}
