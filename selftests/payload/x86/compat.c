// SPDX-License-Identifier: GPL-2.0
/*
 * A 64-bit program of which nothing is of 32 bit but a signal handler, by the way it was installed.  Makes DIR/ready when
 * it may be dumped.
 *
 * usage: compat DIR
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define I386_SIGACTION	67

int main(int argc, char **argv)
{
	/* handler, mask, flags, restorer: it is never called */
	static const uint32_t action[4] = { 0x10000 };
	void *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long ret;

	if (argc != 2 || chdir(argv[1]) || low == MAP_FAILED)
		return 2;
	memcpy(low, action, sizeof(action));
	__asm__ volatile ("int $0x80" : "=a" (ret) : "0" ((long)I386_SIGACTION), "b" ((long)SIGUSR1), "c" (low), "d" (0L)
			  : "r8", "r9", "r10", "r11", "memory");
	if (ret)
		return 1;
	close(open("ready", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	for (;;)
		pause();
}
