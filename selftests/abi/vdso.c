// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_VDSO: this kernel's vDSO of every kind, and the caller's own is there afterwards as before, even if there was
 * no room for another (requirement 3.6).
 */
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

FIXTURE(dev) {
	int fd;
};

FIXTURE_SETUP(dev)
{
	self->fd = device_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(dev)
{
	close(self->fd);
}

static void *wait_for_it(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

/* every kind is an ELF image of its class, and the caller's own is where it was */
TEST_F(dev, every_kind)
{
	static const struct {
		unsigned int class, machine;
	} kinds[] = {
#ifdef __arm__
		[CRK_VDSO_NATIVE] = { ELFCLASS32, EM_ARM },
		[CRK_VDSO_COMPAT] = {},
		[CRK_VDSO_X32] = {},
#else
		[CRK_VDSO_NATIVE] = { ELFCLASS64, EM_X86_64 },
		[CRK_VDSO_COMPAT] = { ELFCLASS32, EM_386 },
		[CRK_VDSO_X32] = { ELFCLASS32, EM_X86_64 },
#endif
	};
#ifdef __i386__
	const __u32 own_kind = CRK_VDSO_COMPAT;
#else
	const __u32 own_kind = CRK_VDSO_NATIVE;
#endif
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	const void *own = (void *)getauxval(AT_SYSINFO_EHDR);
	static char before[4096], text[65536];
	const Elf64_Ehdr *head = (void *)text;
	CMD(crk_vdso, cmd, .text_uptr = (uintptr_t)text);
	pthread_t thread;
	__u32 kind;

	memcpy(before, own, sizeof(before));
	for (kind = 0; kind <= CRK_VDSO_X32; kind++) {
		memset(text, 0xcc, sizeof(text));
		cmd.kind = kind;
		cmd.text_len = sizeof(text);
		cmd.out_text_len = cmd.out_data_len = 0;
		if (!kinds[kind].class) {
			EXPECT_EQ(EOPNOTSUPP, device_call(self->fd, CRK_IOC_VDSO, &cmd));
			continue;
		}
		ASSERT_EQ(0, device_call(self->fd, CRK_IOC_VDSO, &cmd));
		EXPECT_EQ(0, memcmp(head->e_ident, ELFMAG, SELFMAG));
		EXPECT_EQ(kinds[kind].class, head->e_ident[EI_CLASS]);
		EXPECT_EQ(kinds[kind].machine, head->e_machine);
		EXPECT_TRUE(cmd.out_text_len && !(cmd.out_text_len % 4096) && cmd.out_text_len <= sizeof(text));
		EXPECT_TRUE(cmd.out_data_len && !(cmd.out_data_len % 4096));
		EXPECT_EQ((char)0xcc, text[cmd.out_text_len]);
		EXPECT_EQ(0, memcmp(before, own, sizeof(before)));
		EXPECT_LT(0, time(NULL));
		if (kind == own_kind) {
			EXPECT_EQ(0, memcmp(before, text, sizeof(before)));
		}
	}
	/* no more than asked for */
	memset(text, 0xcc, sizeof(text));
	cmd.kind = own_kind;
	cmd.text_len = 5;
	ASSERT_EQ(0, device_call(self->fd, CRK_IOC_VDSO, &cmd));
	EXPECT_EQ(ELFMAG3, text[3]);
	EXPECT_EQ((char)0xcc, text[5]);
	cmd.text_len = sizeof(text) + 1;
	EXPECT_EQ(EINVAL, device_call(self->fd, CRK_IOC_VDSO, &cmd));
	cmd.text_len = sizeof(text);
	cmd.kind = CRK_VDSO_X32 + 1;
	EXPECT_EQ(EINVAL, device_call(self->fd, CRK_IOC_VDSO, &cmd));
	/* another thread could be in it */
	cmd.kind = CRK_VDSO_NATIVE;
	pthread_mutex_lock(&mutex);
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_it, &mutex));
	EXPECT_EQ(EBUSY, device_call(self->fd, CRK_IOC_VDSO, &cmd));
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
}

static size_t maps_read(char *text, size_t size)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - len - 1)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return len;
}

static void fill_address_space(void)
{
	size_t size;

	for (size = SIZE_MAX / 2 + 1; size >= 4096; size /= 2)
		while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
			;
}

TEST_F(dev, no_room)
{
	static char before[1 << 20], after[1 << 20];
	CMD(crk_vdso, cmd);
	__u32 kind;

	fill_address_space();
	ASSERT_LT(0, maps_read(before, sizeof(before)));
	for (kind = 0; kind <= CRK_VDSO_X32; kind++) {
		cmd.kind = kind;
		EXPECT_EQ(ENOMEM, device_call(self->fd, CRK_IOC_VDSO, &cmd));
		maps_read(after, sizeof(after));
		EXPECT_STREQ(before, after);
		EXPECT_LT(0, time(NULL));
	}
}

TEST_HARNESS_MAIN
