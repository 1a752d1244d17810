// SPDX-License-Identifier: GPL-2.0
/*
 * A job that holds what a dump or a restore can only get or make by changing something for a moment: what waits on both
 * sides of a pseudo terminal, queues of sockets, files and sockets without a name, shared memory of SysV.  Asked by
 * SIGTERM it looks whether all is there, says so in a file, and ends.
 *
 * usage: holder FILE VERDICT	FILE as counter's; VERDICT: "same" or what is not; works in its current directory
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MUST(_ok) do { if (!(_ok)) { perror(#_ok); exit(2); } } while (0)

static const char *verdict = "same";
static volatile sig_atomic_t asked;
static int master, slave, stream[2], packets[2], gone, listener, client, server;
static struct termios settings;
static char *segment;

/* FD gives exactly @want now */
static void check(int fd, const char *want, const char *what)
{
	char buf[256] = "";
	ssize_t n;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	n = read(fd, buf, sizeof(buf) - 1);
	if (n != (ssize_t)strlen(want) || memcmp(buf, want, n))
		verdict = what;
}

static void terminal_make(void)
{
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	MUST(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	MUST(slave >= 0 && !tcgetattr(slave, &settings));
	settings.c_lflag &= ~ECHO;
	settings.c_cc[VINTR] = 'q';
	MUST(!tcsetattr(slave, TCSANOW, &settings) && !tcgetattr(slave, &settings));
	MUST(write(master, "a line\nhalf", 11) == 11 && write(slave, "output", 6) == 6);
}

static void terminal_check(void)
{
	struct termios now = {};	/* padding too */

	if (tcgetattr(slave, &now) || memcmp(&now, &settings, sizeof(now)))
		verdict = "settings of the terminal";
	if (fcntl(master, F_GETFL) & O_NONBLOCK)
		verdict = "flags of the terminal";
	check(slave, "a line\n", "input of the terminal");
	now.c_lflag &= ~ICANON;
	tcsetattr(slave, TCSANOW, &now);
	check(slave, "half", "half a line of the terminal");
	check(master, "output", "output of the terminal");
}

static void sockets_make(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "listener" };
	int two = 2;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, stream) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, packets));
	MUST(write(stream[1], "abcdef", 6) == 6 && write(packets[1], "one", 3) == 3 && write(packets[1], "two", 3) == 3);
	MUST(!setsockopt(stream[0], SOL_SOCKET, SO_PEEK_OFF, &two, sizeof(two)));
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(!bind(listener, (struct sockaddr *)&name, sizeof(name)) && !listen(listener, 1));
	MUST(!connect(client, (struct sockaddr *)&name, sizeof(name)) && !unlink(name.sun_path));
	server = accept(listener, NULL, NULL);
	MUST(server >= 0 && write(client, "hello", 5) == 5);
}

static void sockets_check(void)
{
	socklen_t len = sizeof(int);
	int off;

	if (getsockopt(stream[0], SOL_SOCKET, SO_PEEK_OFF, &off, &len) || off != 2)
		verdict = "peek offset of a socket";
	check(stream[0], "abcdef", "queue of a stream");
	check(packets[0], "one", "first packet");
	check(packets[0], "two", "second packet");
	check(server, "hello", "what a client sent");
}

static void ask(int sig)
{
	(void)sig;
	asked = 1;
}

int main(int argc, char **argv)
{
	const struct timespec doze = { .tv_nsec = 2000000 };
	unsigned long n;
	char line[64];
	FILE *f;
	int out;

	if (argc != 3)
		return 2;
	out = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	gone = open("gone", O_RDWR | O_CREAT | O_EXCL, 0600);
	MUST(out >= 0 && gone >= 0 && write(gone, "contents", 8) == 8 && !unlink("gone"));
	segment = shmat(shmget(0x63726b31, 4096, IPC_CREAT | IPC_EXCL | 0600), NULL, 0);
	MUST(segment != (void *)-1);
	strcpy(segment, "segment");
	terminal_make();
	sockets_make();
	signal(SIGTERM, ask);
	for (n = 0; !asked; n++) {
		int len = snprintf(line, sizeof(line), "%012lu %012lu %08d\n", n, n, getpid());

		MUST(pwrite(out, line, len, 0) == len);
		nanosleep(&doze, NULL);
	}
	terminal_check();
	sockets_check();
	lseek(gone, 0, SEEK_SET);
	check(gone, "contents", "a file without a name");
	if (strcmp(segment, "segment"))
		verdict = "shared memory";
	f = fopen(argv[2], "we");
	return !f || fputs(verdict, f) < 0 || fclose(f);
}
