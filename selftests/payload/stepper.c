// SPDX-License-Identifier: GPL-2.0
/*
 * For debuggers: calls step() ten times, then repeats what it reads until there is a 'q', and exits with 3.
 */
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) int step(int i)
{
	asm volatile("");
	return i + 1;
}

int main(void)
{
	int i = 0;
	char c;

	setlinebuf(stdout);
	while (i < 10)
		i = step(i);
	printf("done %d\n", i);
	while (read(STDIN_FILENO, &c, 1) == 1 && c != 'q')
		printf("got %c\n", c);
	return 3;
}
