// SPDX-License-Identifier: GPL-2.0
/*
 * Parses the command line into struct crk_opts.  One table holds every option: its letter, its words in --help,
 * the subcommands that take it and where its value goes.  Names that CRIU has are CRIU's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opts.h"

#ifndef CRK_VERSION
#define CRK_VERSION "0.1"
#endif

#define DEFAULT_TIMEOUT_MS	10000

enum kind { OPT_FLAG, OPT_STRING, OPT_PID, OPT_SECONDS, OPT_SIZE, OPT_NUMBER, OPT_INHERIT, OPT_FAULT, OPT_SNAPSHOTS, OPT_COMPRESS, OPT_VERBOSE, OPT_HELP,
	    OPT_NOTHING, OPT_REFUSED };

struct option_row {
	const char *name;
	int letter;			/* 0: none */
	enum kind kind;
	unsigned int commands;
	size_t offset;			/* of the member of struct crk_opts */
	const char *arg;		/* NULL: takes none */
	const char *help;		/* NULL: only in the manual, for testers; OPT_REFUSED: why */
};

#define TO(member) offsetof(struct crk_opts, member)

static const struct option_row rows[] = {
	{ "images-dir", 'D', OPT_STRING, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP | CRK_CMD_RESTORE | CRK_CMD_DEDUP, TO(images_dir), "DIR",
	  "directory of the checkpoint" },
	{ "cgroup", 'g', OPT_STRING, CRK_CMD_RUN | CRK_CMD_PRE_DUMP | CRK_CMD_DUMP | CRK_CMD_RESTORE, TO(cgroup), "CGROUP",
	  "cgroup v2, as a path below the mount point or absolute" },
	{ "tree", 't', OPT_PID, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(tree), "PID",
	  "dump the tree of processes below PID" },
	{ "leave-running", 'R', OPT_FLAG, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(leave_running), NULL,
	  "let the processes go on after the dump" },
	{ "leave-stopped", 's', OPT_FLAG, CRK_CMD_DUMP | CRK_CMD_RESTORE, TO(leave_stopped), NULL,
	  "leave the processes stopped (SIGSTOP)" },
	{ "leave-frozen", 0, OPT_FLAG, CRK_CMD_DUMP | CRK_CMD_RESTORE, TO(leave_frozen), NULL,
	  "leave the cgroup frozen" },
	{ "snapshot", 0, OPT_SNAPSHOTS, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(snapshots), "WHEN",
	  "with -R: let them go on before their memory is written: auto (default), always, never" },
	{ "compress", 0, OPT_COMPRESS, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(compress), "HOW",
	  "compress memory in the images: none (default), lz4 (faster), zstd (smaller)" },
	{ "track-mem", 0, OPT_FLAG, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(track_mem), NULL,
	  "track writes to memory from this dump on, for one with --prev-images-dir" },
	{ "prev-images-dir", 0, OPT_STRING, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(prev_images), "DIR",
	  "save only what changed since that checkpoint; seen from that of -D" },
	{ "retry", 0, OPT_NUMBER, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(retry), "N",
	  "try again up to N times when the processes were disturbed meanwhile" },
	{ "refuse-traced", 0, OPT_FLAG, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(refuse_traced), NULL,
	  "do not dump processes that have a tracer" },
	{ "restore-detached", 'd', OPT_FLAG, CRK_CMD_RESTORE, TO(detach), NULL,
	  "return when the processes run, do not wait for them" },
	{ "lazy-pages", 0, OPT_FLAG, CRK_CMD_RESTORE, TO(lazy_pages), NULL,
	  "let the processes run before their memory is there" },
	{ "restore-times", 0, OPT_FLAG, CRK_CMD_RESTORE, TO(restore_times), NULL,
	  "keep the start times and the CPU times of the processes" },
	{ "pidfile", 0, OPT_STRING, CRK_CMD_RESTORE, TO(pidfile), "FILE",
	  "write the pid of the restored root process to FILE" },
	{ "check", 0, OPT_FLAG, CRK_CMD_RESTORE, TO(check_only), NULL,
	  "only tell whether the restore would be possible" },
	{ "shell-job", 'j', OPT_FLAG, CRK_CMD_RUN | CRK_CMD_PRE_DUMP | CRK_CMD_DUMP | CRK_CMD_RESTORE, TO(shell_job), NULL,
	  "session and terminal belong to a shell outside" },
	{ "file-locks", 'l', OPT_NOTHING, CRK_CMD_DUMP | CRK_CMD_RESTORE, 0, NULL,
	  "accepted for CRIU's sake: file locks are always carried" },
	{ "ext-unix-sk", 'x', OPT_REFUSED, CRK_CMD_DUMP | CRK_CMD_RESTORE, 0, NULL,
	  "unix sockets whose peer is outside are not supported" },
	{ "link-remap", 0, OPT_FLAG, CRK_CMD_DUMP, TO(link_remap), NULL,
	  "allow open files that lost their name but have another" },
	{ "ghost-limit", 0, OPT_SIZE, CRK_CMD_DUMP, TO(ghost_limit), "SIZE",
	  "largest unlinked open file to save; default: any size" },
	{ "inherit-fd", 0, OPT_INHERIT, CRK_CMD_RESTORE, TO(inherit), "fd[N]:RES",
	  "use descriptor N for a file from outside, e.g. fd[1]:pipe:[4711]" },
	{ "external", 0, OPT_REFUSED, CRK_CMD_DUMP | CRK_CMD_RESTORE, 0, "RES",
	  "not needed for pipes, which a restore gets by --inherit-fd; nothing else can stay outside" },
	{ "timeout", 0, OPT_SECONDS, CRK_CMD_PRE_DUMP | CRK_CMD_DUMP, TO(timeout_ms), "SECONDS",
	  "how long to wait for the processes to stop; default 10" },
	{ "json", 0, OPT_FLAG, CRK_CMD_ALL & ~CRK_CMD_RUN, TO(json), NULL,
	  "print the result as JSON" },
	{ "verbose", 'v', OPT_VERBOSE, CRK_CMD_ALL, TO(verbose), NULL,
	  "tell phases with times; twice: every object" },
	{ "fault", 0, OPT_FAULT, CRK_CMD_DUMP | CRK_CMD_RESTORE, TO(fault), "WHAT", NULL },
	{ "help", 'h', OPT_HELP, CRK_CMD_ALL, 0, NULL, "print this text" },
};

static const struct crk_command *command_find(const char *name)
{
	const struct crk_command *cmd;

	for (cmd = crk_commands; cmd->name; cmd++)
		if (!strcmp(cmd->name, name))
			return cmd;
	return NULL;
}

static void usage_all(FILE *to)
{
	const struct crk_command *cmd;

	fprintf(to, "crkhelper %s: checkpoint and restore process trees with /dev/crk\n\n", CRK_VERSION);
	for (cmd = crk_commands; cmd->name; cmd++)
		fprintf(to, "  crkhelper %-8s %s\n%20s%s\n", cmd->name, cmd->args, "", cmd->help);
	fprintf(to, "\ncrkhelper SUBCOMMAND --help tells the options; crkhelper(8) the whole story.\n"
		"Exit status: 0 done, 1 failed and the target is as before, 2 usage,\n"
		"3 failed and the target is gone or in doubt.\n");
}

static void usage_command(FILE *to, const struct crk_command *cmd)
{
	size_t i;

	fprintf(to, "usage: crkhelper %s %s\n%s\n\n", cmd->name, cmd->args, cmd->help);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct option_row *o = &rows[i];
		char left[64];

		if (!(o->commands & cmd->bit) || !o->help || o->kind == OPT_REFUSED)
			continue;
		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ?: ' ',
			 o->letter ? "," : " ", o->name, o->arg ? " " : "", o->arg ?: "");
		fprintf(to, "  %-30s %s\n", left, o->help);
	}
}

static int parse_number(const struct option_row *o, const char *text, unsigned long long max,
			unsigned long long *ret)
{
	static const char units[] = "kmgt";
	const char *unit;
	int shift = 0;
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (o->kind == OPT_SIZE && *end && (unit = strchr(units, *end | 0x20))) {
		shift = 10 * (unit - units + 1);
		end++;
	}
	if (errno || end == text || *end || *text == '-' || *ret > max >> shift) {
		fprintf(stderr, "crkhelper: --%s %s: not a number from 0 to %llu\n", o->name, text, max);
		return -EINVAL;
	}
	*ret <<= shift;
	return 0;
}

static int list_add(void *list, size_t *nr, size_t size, const void *item)
{
	void **array = list;
	void *grown = realloc(*array, (*nr + 1) * size);

	if (!grown)
		return -ENOMEM;
	memcpy((char *)grown + *nr * size, item, size);
	*array = grown;
	(*nr)++;
	return 0;
}

static int parse_inherit(struct crk_opts *opts, const char *text)
{
	struct crk_inherit in = {};
	int len = 0;

	if (sscanf(text, "fd[%d]:%n", &in.fd, &len) != 1 || !len || !text[len] || in.fd < 0) {
		fprintf(stderr, "crkhelper: --inherit-fd %s: expected fd[N]:RES\n", text);
		return -EINVAL;
	}
	/* later it may be one of the helper's own */
	if (fcntl(in.fd, F_GETFD) < 0) {
		fprintf(stderr, "crkhelper: --inherit-fd %s: descriptor %d is not open\n", text, in.fd);
		return -EINVAL;
	}
	in.what = text + len;
	return list_add(&opts->inherit, &opts->nr_inherit, sizeof(in), &in);
}

static int parse_fault(struct crk_opts *opts, const struct crk_command *cmd, const char *text)
{
	bool dump = cmd->bit == CRK_CMD_DUMP;

	if (strcmp(text, dump ? "kcmp" : "vdso") && (dump || strcmp(text, "lazy"))) {
		fprintf(stderr, "crkhelper: --fault %s: no such fault point\n", text);
		return -EINVAL;
	}
	opts->fault = text;
	return 0;
}

static int parse_snapshots(struct crk_opts *opts, const char *text)
{
	static const char * const words[] = {
		[CRK_SNAPSHOTS_AUTO] = "auto", [CRK_SNAPSHOTS_ALWAYS] = "always", [CRK_SNAPSHOTS_NEVER] = "never",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i])) {
			opts->snapshots = i;
			return 0;
		}
	}
	fprintf(stderr, "crkhelper: --snapshot %s: expected auto, always or never\n", text);
	return -EINVAL;
}

static int parse_compress(struct crk_opts *opts, const char *text)
{
	size_t i;

	for (i = 0; i < CRK_NR_PACK_ALGORITHMS; i++) {
		if (!strcmp(text, crk_pack_names[i])) {
			opts->compress = i;
			return 0;
		}
	}
	fprintf(stderr, "crkhelper: --compress %s: expected none, lz4 or zstd\n", text);
	return -EINVAL;
}

static int option_apply(const struct crk_command *cmd, const struct option_row *o, struct crk_opts *opts, char *arg)
{
	char *member = (char *)opts + o->offset;
	unsigned long long number;
	int ret = 0;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)member = true;
		break;
	case OPT_STRING:
		*(const char **)member = arg;
		break;
	case OPT_PID:
		ret = parse_number(o, arg, INT_MAX, &number);
		if (!ret)
			*(pid_t *)member = number;
		break;
	case OPT_SECONDS:
		ret = parse_number(o, arg, UINT_MAX / 1000, &number);
		if (!ret)
			*(unsigned int *)member = number * 1000;
		break;
	case OPT_SIZE:
		ret = parse_number(o, arg, INT64_MAX, &number);
		if (!ret)
			*(uint64_t *)member = number;
		break;
	case OPT_NUMBER:
		ret = parse_number(o, arg, UINT_MAX, &number);
		if (!ret)
			*(unsigned int *)member = number;
		break;
	case OPT_INHERIT:
		ret = parse_inherit(opts, arg);
		break;
	case OPT_FAULT:
		ret = parse_fault(opts, cmd, arg);
		break;
	case OPT_SNAPSHOTS:
		ret = parse_snapshots(opts, arg);
		break;
	case OPT_COMPRESS:
		ret = parse_compress(opts, arg);
		break;
	case OPT_VERBOSE:
		opts->verbose++;
		break;
	case OPT_HELP:
		ret = 1;
		break;
	case OPT_NOTHING:
		break;
	case OPT_REFUSED:
		fprintf(stderr, "crkhelper: --%s: %s\n", o->name, o->help);
		ret = -EINVAL;
		break;
	}
	return ret;
}

/* the rows of one subcommand in getopt's form */
static void getopt_tables(const struct crk_command *cmd, struct option *longs, char *shorts)
{
	size_t i;

	*shorts++ = '+';
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct option_row *o = &rows[i];

		if (!(o->commands & cmd->bit))
			continue;
		*longs++ = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, 256 + (int)i };
		if (o->letter) {
			*shorts++ = o->letter;
			if (o->arg)
				*shorts++ = ':';
		}
	}
	*longs = (struct option){};
	*shorts = '\0';
}

static const struct option_row *row_of(int c)
{
	size_t i;

	if (c >= 256)
		return &rows[c - 256];
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].letter == c)
			return &rows[i];
	return NULL;
}

static int usage_error(const struct crk_command *cmd, const char *what)
{
	fprintf(stderr, "crkhelper: %s: %s\n", cmd->name, what);
	usage_command(stderr, cmd);
	return -EINVAL;
}

/* what a subcommand can't do without, and what excludes each other */
static int opts_check(const struct crk_command *cmd, struct crk_opts *opts, char **rest)
{
	if (cmd->bit == CRK_CMD_SHOW) {
		if (!rest[0] || rest[1])
			return usage_error(cmd, "needs one directory");
		opts->images_dir = rest[0];
		return 0;
	}
	if (cmd->bit == CRK_CMD_RUN)
		return rest[0] ? 0 : usage_error(cmd, "needs a command");
	if (rest[0])
		return usage_error(cmd, "takes options only");
	if ((cmd->bit & (CRK_CMD_PRE_DUMP | CRK_CMD_DUMP | CRK_CMD_RESTORE | CRK_CMD_DEDUP)) && !opts->images_dir)
		return usage_error(cmd, "needs -D DIR");
	if (cmd->bit & (CRK_CMD_PRE_DUMP | CRK_CMD_DUMP) && !opts->cgroup == !opts->tree)
		return usage_error(cmd, "needs either -g CGROUP or -t PID");
	if (opts->prev_images && !*opts->prev_images)
		return usage_error(cmd, "--prev-images-dir needs a directory");
	if (cmd->bit == CRK_CMD_PRE_DUMP)
		opts->pre_dump = opts->leave_running = opts->track_mem = true;
	if (opts->leave_running + opts->leave_stopped + opts->leave_frozen > 1)
		return usage_error(cmd, "--leave-running, --leave-stopped and --leave-frozen exclude each other");
	return 0;
}

int crk_opts_parse(int argc, char **argv, struct crk_opts *opts, const struct crk_command **cmd_ret,
		   char ***rest_ret)
{
	struct option longs[ARRAY_SIZE(rows) + 1];
	char shorts[2 * ARRAY_SIZE(rows) + 2];
	const struct crk_command *cmd;
	int c, ret;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
		usage_all(stdout);
		return 1;
	}
	if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		printf("crkhelper %s, ABI %d of %s\n", CRK_VERSION, CRK_ABI, CRK_DEVICE);
		return 1;
	}
	cmd = argc > 1 ? command_find(argv[1]) : NULL;
	if (!cmd) {
		if (argc > 1)
			fprintf(stderr, "crkhelper: no subcommand '%s'\n", argv[1]);
		usage_all(stderr);
		return -EINVAL;
	}
	opts->timeout_ms = DEFAULT_TIMEOUT_MS;
	getopt_tables(cmd, longs, shorts);
	optind = 2;
	if (cmd->bit != CRK_CMD_RUN)
		memmove(shorts, shorts + 1, strlen(shorts));	/* options may follow words */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *o = row_of(c);

		if (!o) {
			fprintf(stderr, "try 'crkhelper %s --help'\n", cmd->name);
			return -EINVAL;
		}
		ret = option_apply(cmd, o, opts, optarg);
		if (ret > 0)
			usage_command(stdout, cmd);
		if (ret)
			return ret;
	}
	ret = opts_check(cmd, opts, argv + optind);
	if (ret)
		return ret;
	crk_log_verbosity(opts->verbose);
	*cmd_ret = cmd;
	*rest_ret = argv + optind;
	return 0;
}
