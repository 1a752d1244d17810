// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_VMAS, CRK_IOC_PAGES, CRK_IOC_READ, CRK_IOC_FILES against what the kernel says elsewhere and what the target
 * made of its memory.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)

struct shared {
	unsigned long private, exclusive, untouched, zero, file, shm, none, huge, text, sysv, hugetlb, moved, alike;
	bool has_thp;
	pid_t child;
};

static struct shared *shared;

static void *map(size_t len, int prot, int flags, int fd)
{
	void *p = mmap(NULL, len, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		_exit(1);
	return p;
}

static unsigned long anon(size_t len)
{
	return (unsigned long)map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* 4 pages, the first of which has been written to */
static unsigned long private_file(void)
{
	char name[] = "/tmp/crk-memory-XXXXXX";
	int fd = mkstemp(name);
	char *p;

	unlink(name);
	if (ftruncate(fd, 4 * PAGE))
		_exit(1);
	p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	close(fd);
	p[0] = 'p';
	(void)*(volatile char *)(p + PAGE);
	return (unsigned long)p;
}

static void memory(void *arg)
{
	unsigned long i, own;
	pid_t child;
	char *p;

	shared->private = anon(8 * PAGE);
	memset((void *)shared->private, 'a', 8 * PAGE);
	p = (void *)anon(3 * PAGE);
	shared->zero = (unsigned long)p;
	(void)*(volatile char *)p;
	shared->untouched = anon(16 * PAGE);
	shared->file = private_file();
	shared->shm = (unsigned long)map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	*(char *)shared->shm = 's';
	shared->none = anon(3 * PAGE);
	for (i = 0; i < 3 * PAGE; i++)
		((char *)shared->none)[i] = 'n' + i / PAGE;
	mprotect((void *)shared->none, 3 * PAGE, PROT_NONE);
	shared->huge = (anon(4 * HUGE) + HUGE - 1) & ~(HUGE - 1);
	shared->has_thp = !madvise((void *)shared->huge, HUGE, MADV_HUGEPAGE);
	*(char *)shared->huge = 'h';
	i = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	shared->sysv = (unsigned long)shmat(i, NULL, 0);
	shmctl(i, IPC_RMID, NULL);
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p != MAP_FAILED) {
		shared->hugetlb = (unsigned long)p;
		p[HUGE - 1] = 'H';
	}
	p = (void *)anon(PAGE);
	*p = 'm';
	shared->moved = anon(PAGE);
	if (mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, shared->moved) == MAP_FAILED)
		_exit(1);
	shared->alike = anon(PAGE);
	*(char *)shared->alike = 'k';
	if (madvise((void *)shared->alike, PAGE, MADV_MERGEABLE))
		shared->alike = 0;
	child = fork();
	if (!child) {
		((char *)shared->private)[0] = 'c';	/* its own copy from now on */
		task_ready();
		for (;;)
			pause();
	}
	own = anon(2 * PAGE);
	memset((void *)own, 'e', 2 * PAGE);
	shared->child = child;
	shared->exclusive = own;
	for (;;)
		pause();
}

FIXTURE(mem) {
	char *cgroup;
	pid_t pid, child;
	int dev;
};

FIXTURE_SETUP(mem)
{
	pid_t *child;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self->cgroup = cgroup_make(NULL, "memory");
	self->pid = task_start(self->cgroup, memory, NULL);
	child = &shared->child;
	while (!*(volatile unsigned long *)&shared->exclusive || *(volatile pid_t *)child <= 0)
		usleep(1000);
	task_wait_state(self->pid, 'S');
	self->child = *child;
	self->dev = freeze(self->cgroup);
}

FIXTURE_TEARDOWN(mem)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
}

/* ---- mappings ---- */

static struct crk_vma *vmas_get(int dev, pid_t pid, unsigned int *nr)
{
	static struct crk_vma vmas[512];
	CMD(crk_vmas, cmd, .pid = pid, .entry_size = sizeof(*vmas), .vmas_uptr = (uintptr_t)vmas, .nr = 512);

	memset(vmas, 0xcc, sizeof(vmas));
	errno = device_call(dev, CRK_IOC_VMAS, &cmd);
	if (errno || cmd.start != CRK_CURSOR_END)
		return NULL;
	*nr = cmd.out_nr;
	return vmas;
}

static struct crk_vma *vma_at(struct crk_vma *vmas, unsigned int nr, unsigned long addr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (vmas[i].start <= addr && addr < vmas[i].end)
			return &vmas[i];
	return NULL;
}

TEST_F(mem, vmas_are_those_of_proc)
{
	unsigned long start, end, pgoff, ino;
	unsigned int nr, n = 0, ma, mi;
	char path[64], line[512], perm[5];
	struct crk_vma *v = vmas_get(self->dev, self->pid, &nr);
	FILE *f;

	ASSERT_NE(NULL, v);
	snprintf(path, sizeof(path), "/proc/%d/maps", self->pid);
	f = fopen(path, "r");
	for (; fgets(line, sizeof(line), f); n++, v++) {
		ASSERT_EQ(7, sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perm, &pgoff, &ma, &mi, &ino));
		if (strstr(line, "[vsyscall]") || strstr(line, "[vectors]"))
			break;
		ASSERT_LT(n, nr);
		EXPECT_EQ(start, v->start);
		EXPECT_EQ(end, v->end);
		EXPECT_EQ(perm[0] == 'r', !!(v->flags & CRK_VMA_READ));
		EXPECT_EQ(perm[1] == 'w', !!(v->flags & CRK_VMA_WRITE));
		EXPECT_EQ(perm[2] == 'x', !!(v->flags & CRK_VMA_EXEC));
		EXPECT_EQ(perm[3] == 's', !!(v->flags & CRK_VMA_MAYSHARE));
		EXPECT_EQ(ino, v->ino) TH_LOG("%s", line);
		EXPECT_EQ(pgoff, v->pgoff);
		if (ino)
			EXPECT_EQ(makedev(ma, mi), (dev_t)v->dev);
		EXPECT_EQ(!ino, !v->file_id);
		EXPECT_EQ(12, v->page_shift + (v->flags & CRK_VMA_HUGETLB ? 12 - 21 : 0));
		EXPECT_EQ(!!(v->flags & CRK_VMA_SPECIAL), !!v->name[0]);
		EXPECT_TRUE(strstr(line, (char *)v->name)) TH_LOG("%s: %s", v->name, line);
	}
	fclose(f);
	EXPECT_EQ(n, nr);
	EXPECT_EQ(0xcc, *(unsigned char *)v);
}

TEST_F(mem, vmas_by_kind)
{
	unsigned int nr;
	struct crk_vma *all = vmas_get(self->dev, self->pid, &nr), *v;

	ASSERT_NE(NULL, all);
	v = vma_at(all, nr, shared->private);
	EXPECT_EQ(CRK_VMA_READ | CRK_VMA_WRITE | CRK_VMA_MAYREAD | CRK_VMA_MAYWRITE | CRK_VMA_MAYEXEC |
		  CRK_VMA_ACCOUNT | CRK_VMA_ANON_VMA, v->flags & ~(CRK_VMA_NORESERVE));
	v = vma_at(all, nr, shared->shm);
	EXPECT_EQ(CRK_VMA_SHARED | CRK_VMA_SHMEM, v->flags & (CRK_VMA_SHARED | CRK_VMA_SHMEM | CRK_VMA_SYSV_SHM));
	v = vma_at(all, nr, shared->sysv);
	EXPECT_EQ(CRK_VMA_SHARED | CRK_VMA_SHMEM | CRK_VMA_SYSV_SHM,
		  v->flags & (CRK_VMA_SHARED | CRK_VMA_SHMEM | CRK_VMA_SYSV_SHM));
	v = vma_at(all, nr, shared->huge);
	EXPECT_EQ(shared->has_thp, !!(v->flags & CRK_VMA_HUGEPAGE));
	v = vma_at(all, nr, shared->none);
	EXPECT_EQ(0, v->flags & (CRK_VMA_READ | CRK_VMA_WRITE | CRK_VMA_EXEC));
	EXPECT_TRUE(v->flags & CRK_VMA_ANON_VMA);
	v = vma_at(all, nr, shared->untouched);
	ASSERT_NE(NULL, v);
}

TEST_F(mem, vmas_in_pieces)
{
	unsigned int nr, n = 0;
	struct crk_vma *all = vmas_get(self->dev, self->pid, &nr), one;
	CMD(crk_vmas, cmd, .pid = self->pid, .entry_size = sizeof(one), .vmas_uptr = (uintptr_t)&one, .nr = 1);

	ASSERT_NE(NULL, all);
	for (; cmd.start != CRK_CURSOR_END && n <= nr; n += cmd.out_nr) {
		ASSERT_EQ(0, device_call(self->dev, CRK_IOC_VMAS, &cmd));
		if (cmd.out_nr)
			EXPECT_EQ(0, memcmp(&one, &all[n], sizeof(one)));
	}
	EXPECT_EQ(nr, n);
	cmd.pid = getpid();
	EXPECT_EQ(ESRCH, device_call(self->dev, CRK_IOC_VMAS, &cmd));
	cmd.pid = self->pid;
	cmd.start = 0;
	cmd.entry_size = 16;
	EXPECT_EQ(EINVAL, device_call(self->dev, CRK_IOC_VMAS, &cmd));
}

/* ---- page facts ---- */

static struct crk_pages runs[4096];
static uint64_t ids[65536];
static unsigned int nr_runs, nr_ids;

static int pages_get(int dev, pid_t pid, unsigned long start, unsigned long end)
{
	CMD(crk_pagerun, cmd, .pid = pid, .entry_size = sizeof(runs[0]), .start = start, .end = end,
	    .pages_uptr = (uintptr_t)runs, .nr = 4096, .ids_uptr = (uintptr_t)ids, .nr_ids = 65536);
	int err = device_call(dev, CRK_IOC_PAGES, &cmd);

	nr_runs = cmd.out_nr;
	nr_ids = cmd.out_nr_ids;
	return err ?: cmd.start == end ? 0 : -1;
}

#define TRACKING (CRK_PAGE_SOFT_DIRTY | CRK_PAGE_UNTRACKED)

/* flags of the page at @addr; -1 if absent */
static int page_all(unsigned long addr)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++)
		if (runs[i].addr <= addr && addr < runs[i].addr + runs[i].nr * PAGE)
			return runs[i].flags;
	return -1;
}

static int page(unsigned long addr)
{
	int flags = page_all(addr);

	return flags < 0 ? flags : flags & ~(int)TRACKING;
}

static uint64_t page_id(unsigned long addr)
{
	unsigned int i, id = 0;

	for (i = 0; i < nr_runs; i++) {
		if (!(runs[i].flags & CRK_PAGE_MAYSHARE))
			continue;
		if (runs[i].addr <= addr && addr < runs[i].addr + runs[i].nr * PAGE)
			return ids[id + (addr - runs[i].addr) / PAGE];
		id += runs[i].nr;
	}
	return 0;
}


TEST_F(mem, pages_by_kind)
{
	ASSERT_EQ(0, pages_get(self->dev, self->pid, 0, task_end()));
	EXPECT_EQ(CRK_PAGE_ANON, page(shared->exclusive));
	EXPECT_EQ(CRK_PAGE_ANON, page(shared->exclusive + PAGE));
	EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE, page(shared->private + PAGE));
	EXPECT_EQ(CRK_PAGE_ZERO, page(shared->zero));
	EXPECT_EQ(-1, page(shared->zero + PAGE));
	EXPECT_EQ(-1, page(shared->untouched));
	EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE, page(shared->file));
	EXPECT_EQ(CRK_PAGE_FILE, page(shared->file + PAGE));
	EXPECT_EQ(CRK_PAGE_FILE, page(shared->shm));
	EXPECT_EQ(-1, page(shared->shm + PAGE));
	EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE, page(shared->none));
	if (page(shared->huge) & CRK_PAGE_HUGE) {
		EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE | CRK_PAGE_HUGE, page(shared->huge));
		EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE | CRK_PAGE_HUGE, page(shared->huge + HUGE - PAGE));
		EXPECT_NE(page_id(shared->huge), page_id(shared->huge + PAGE));
	} else {
		TH_LOG("no huge page was to be had");
	}
	if (shared->hugetlb)
		EXPECT_EQ(CRK_PAGE_ANON | CRK_PAGE_MAYSHARE | CRK_PAGE_HUGE, page(shared->hugetlb));
}

TEST_F(mem, pages_shared_with_the_child)
{
	uint64_t first, second, huge;

	ASSERT_EQ(0, pages_get(self->dev, self->pid, 0, task_end()));
	first = page_id(shared->private);
	second = page_id(shared->private + PAGE);
	huge = page_id(shared->huge + 5 * PAGE);
	EXPECT_NE(0, second);
	ASSERT_EQ(0, pages_get(self->dev, self->child, 0, task_end()));
	EXPECT_EQ(CRK_PAGE_ANON, page(shared->private));	/* it wrote to this one */
	EXPECT_NE(first, page_id(shared->private));
	EXPECT_EQ(second, page_id(shared->private + PAGE));
	EXPECT_EQ(huge, page_id(shared->huge + 5 * PAGE));
}

/* a debugger's write counts like the process's own */
TEST_F(mem, pages_that_were_written)
{
	CMD(crk_info, info);
	char path[64];
	int fd;

	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_INFO, &info));
	ASSERT_EQ(0, pages_get(self->dev, self->pid, 0, task_end()));
	EXPECT_TRUE(page_all(shared->exclusive) & TRACKING);
	if (!(info.out_features & CRK_FEAT_SOFT_DIRTY)) {
		EXPECT_TRUE(page_all(shared->exclusive) & CRK_PAGE_UNTRACKED);
		SKIP(return, "CONFIG_MEM_SOFT_DIRTY is off");
	}
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", self->pid);
	fd = open(path, O_WRONLY);
	ASSERT_EQ(1, write(fd, "4", 1));
	close(fd);
	ASSERT_EQ(0, pages_get(self->dev, self->pid, 0, task_end()));
	EXPECT_EQ(0, page_all(shared->private) & TRACKING);
	EXPECT_EQ(0, page_all(shared->exclusive) & TRACKING);
	EXPECT_EQ(0, page_all(shared->huge) & TRACKING);
	EXPECT_EQ(0, page_all(shared->file) & TRACKING);
	EXPECT_EQ(CRK_PAGE_UNTRACKED, page_all(shared->moved) & TRACKING);
	if (shared->alike)
		EXPECT_EQ(CRK_PAGE_UNTRACKED, page_all(shared->alike) & TRACKING);
	if (shared->hugetlb)
		EXPECT_EQ(CRK_PAGE_UNTRACKED, page_all(shared->hugetlb) & TRACKING);
	snprintf(path, sizeof(path), "/proc/%d/mem", self->pid);
	fd = open(path, O_RDWR);
	ASSERT_EQ(1, pwrite(fd, "x", 1, shared->exclusive + PAGE));
	close(fd);
	ASSERT_EQ(0, pages_get(self->dev, self->pid, 0, task_end()));
	EXPECT_EQ(0, page_all(shared->exclusive) & TRACKING);
	EXPECT_EQ(CRK_PAGE_SOFT_DIRTY, page_all(shared->exclusive + PAGE) & TRACKING);
}

/* as many calls as it takes; the result is the same */
TEST_F(mem, pages_in_pieces)
{
	static unsigned char want[65536], got[65536];
	struct crk_pages few[3];
	uint64_t few_ids[5];
	unsigned long base = shared->private & ~(256 * PAGE - 1), end = base + 1024 * PAGE, i;
	CMD(crk_pagerun, cmd, .pid = self->pid, .entry_size = sizeof(few[0]), .start = base, .end = end,
	    .pages_uptr = (uintptr_t)few, .nr = 3, .ids_uptr = (uintptr_t)few_ids, .nr_ids = 5);
	unsigned int n, k, id = 0, calls = 0;

	ASSERT_EQ(0, pages_get(self->dev, self->pid, base, end));
	for (i = 0; i < 1024; i++)
		want[i] = page(base + i * PAGE) + 1;
	for (; cmd.start != end && calls < 5000; calls++) {
		ASSERT_EQ(0, device_call(self->dev, CRK_IOC_PAGES, &cmd));
		for (n = 0, k = 0; n < cmd.out_nr; n++) {
			for (i = 0; i < few[n].nr; i++)
				got[(few[n].addr - base) / PAGE + i] = (few[n].flags & ~TRACKING) + 1;
			if (few[n].flags & CRK_PAGE_MAYSHARE)
				for (i = 0; i < few[n].nr; i++)
					EXPECT_EQ(ids[id++], few_ids[k++]);
		}
		EXPECT_EQ(k, cmd.out_nr_ids);
	}
	EXPECT_EQ(end, cmd.start);
	EXPECT_EQ(nr_ids, id);
	EXPECT_EQ(0, memcmp(want, got, sizeof(want)));
}

/* ---- contents ---- */

TEST_F(mem, read)
{
	struct crk_range r[] = {
		{ shared->private, 8 * PAGE }, { shared->none + PAGE, 2 * PAGE }, { shared->exclusive, PAGE },
		{ shared->huge, HUGE }, { shared->file, PAGE },
	};
	size_t len = (8 + 2 + 1 + 512 + 1) * PAGE;
	int fd = memfd_create("out", MFD_CLOEXEC);
	CMD_LOG(crk_read, cmd, .pid = self->pid, .file_fd = fd, .file_off = 3 * PAGE, .ranges_uptr = (uintptr_t)r,
		.nr = sizeof(r) / sizeof(r[0]));
	char *p;

	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_READ, &cmd)) TH_LOG("%s", cmd_log);
	EXPECT_EQ(len, cmd.out_len);
	p = mmap(NULL, len + 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	p += 3 * PAGE;
	EXPECT_EQ('a', p[0]);
	EXPECT_EQ('a', p[8 * PAGE - 1]);
	EXPECT_EQ('o', p[8 * PAGE]);
	EXPECT_EQ('p', p[9 * PAGE]);
	EXPECT_EQ('e', p[10 * PAGE]);
	EXPECT_EQ('h', p[11 * PAGE]);
	EXPECT_EQ(0, p[11 * PAGE + 1]);
	EXPECT_EQ('p', p[(11 + 512) * PAGE]);
	close(fd);
}

TEST_F(mem, read_hugetlb)
{
	struct crk_range r = { shared->hugetlb, HUGE };
	int fd = memfd_create("out", MFD_CLOEXEC);
	CMD_LOG(crk_read, cmd, .pid = self->pid, .file_fd = fd, .ranges_uptr = (uintptr_t)&r, .nr = 1);
	char c = 0;

	if (!shared->hugetlb) {
		close(fd);
		SKIP(return, "no hugetlb pages: vm.nr_hugepages");
	}
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_READ, &cmd)) TH_LOG("%s", cmd_log);
	EXPECT_EQ(HUGE, cmd.out_len);
	EXPECT_EQ(1, pread(fd, &c, 1, HUGE - 1));
	EXPECT_EQ('H', c);
	close(fd);
}

TEST_F(mem, read_does_not_split)
{
	struct crk_range r = { shared->huge, HUGE };
	int fd = memfd_create("out", MFD_CLOEXEC), before;
	CMD_LOG(crk_read, cmd, .pid = self->pid, .file_fd = fd, .ranges_uptr = (uintptr_t)&r, .nr = 1);

	if (!shared->has_thp) {
		close(fd);
		SKIP(return, "CONFIG_TRANSPARENT_HUGEPAGE is off");
	}
	ASSERT_EQ(0, pages_get(self->dev, self->pid, shared->huge, shared->huge + HUGE));
	before = page(shared->huge);
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_READ, &cmd));
	ASSERT_EQ(0, pages_get(self->dev, self->pid, shared->huge, shared->huge + HUGE));
	EXPECT_EQ(before, page(shared->huge));
	EXPECT_EQ(1, nr_runs);
	close(fd);
}

TEST_F(mem, read_errors)
{
	struct crk_range r[] = { { shared->private, PAGE }, { 0x8000, PAGE } };
	int fd = memfd_create("out", MFD_CLOEXEC), ro = open("/proc/self/exe", O_RDONLY), p[2];
	CMD_LOG(crk_read, cmd, .pid = self->pid, .file_fd = fd, .ranges_uptr = (uintptr_t)r, .nr = 2);

	EXPECT_EQ(EFAULT, device_call(self->dev, CRK_IOC_READ, &cmd));
	EXPECT_TRUE(strstr(cmd_log, "address 8000 ")) TH_LOG("%s", cmd_log);
	cmd.nr = 1;
	cmd.file_fd = ro;
	EXPECT_EQ(EBADF, device_call(self->dev, CRK_IOC_READ, &cmd));
	cmd.file_fd = -1;
	EXPECT_EQ(EBADF, device_call(self->dev, CRK_IOC_READ, &cmd));
	ASSERT_EQ(0, pipe(p));
	cmd.file_fd = p[1];
	EXPECT_EQ(EBADF, device_call(self->dev, CRK_IOC_READ, &cmd));
	cmd.file_fd = fd;
	r[0].len = 100;
	EXPECT_EQ(EINVAL, device_call(self->dev, CRK_IOC_READ, &cmd));
	r[0].len = -(__u64)PAGE;
	EXPECT_EQ(EINVAL, device_call(self->dev, CRK_IOC_READ, &cmd));
	cmd.ranges_uptr = 8;
	EXPECT_EQ(EFAULT, device_call(self->dev, CRK_IOC_READ, &cmd));
}

/* ---- files ---- */

TEST_F(mem, files_are_those_of_proc)
{
	struct crk_fd fds[256], one;
	CMD(crk_files, cmd, .pid = self->pid, .entry_size = sizeof(fds[0]), .fds_uptr = (uintptr_t)fds, .nr = 256);
	CMD(crk_files, piece, .pid = self->pid, .entry_size = sizeof(one), .fds_uptr = (uintptr_t)&one, .nr = 1);
	char path[300];
	struct dirent *e;
	struct stat st;
	unsigned int n = 0, i;
	DIR *dir;

	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_FILES, &cmd));
	EXPECT_EQ(CRK_FD_END, cmd.first_fd);
	snprintf(path, sizeof(path), "/proc/%d/fd", self->pid);
	dir = opendir(path);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		for (i = 0; i < cmd.out_nr && fds[i].fd != (unsigned int)atoi(e->d_name); i++)
			;
		ASSERT_LT(i, cmd.out_nr) TH_LOG("fd %s", e->d_name);
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", self->pid, e->d_name);
		ASSERT_EQ(0, stat(path, &st));
		EXPECT_EQ(st.st_ino, fds[i].ino);
		EXPECT_EQ(st.st_dev, (dev_t)fds[i].dev);
		EXPECT_EQ(st.st_mode, fds[i].mode);
		n++;
	}
	closedir(dir);
	EXPECT_EQ(n, cmd.out_nr);
	for (i = 0; piece.first_fd != CRK_FD_END && i <= n; i += piece.out_nr) {
		ASSERT_EQ(0, device_call(self->dev, CRK_IOC_FILES, &piece));
		if (piece.out_nr)
			EXPECT_EQ(0, memcmp(&one, &fds[i], sizeof(one)));
	}
	EXPECT_EQ(n, i);
}

TEST_HARNESS_MAIN
