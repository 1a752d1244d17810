/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of subcommands and the option parser.
 */
#ifndef _CRK_OPTS_H
#define _CRK_OPTS_H

#include "helper.h"

/* which subcommands an option belongs to */
#define CRK_CMD_RUN	(1U << 0)
#define CRK_CMD_DUMP	(1U << 1)
#define CRK_CMD_RESTORE	(1U << 2)
#define CRK_CMD_CHECK	(1U << 3)
#define CRK_CMD_SHOW	(1U << 4)
#define CRK_CMD_PRE_DUMP	(1U << 5)
#define CRK_CMD_DEDUP	(1U << 6)
#define CRK_CMD_ALL	(~0U)

/**
 * struct crk_command - a subcommand
 * @name: as typed
 * @bit: CRK_CMD_*
 * @args: synopsis of its arguments
 * @help: one line
 * @run: does it; @argv are the words that are not options; returns the exit status
 */
struct crk_command {
	const char *name;
	unsigned int bit;
	const char *args;
	const char *help;
	int (*run)(const struct crk_opts *opts, char **argv);
};

extern const struct crk_command crk_commands[];	/* ends with a NULL name */

/* 0: go on with *cmd_ret; 1: help or version was printed; -EINVAL: usage, said on stderr */
int crk_opts_parse(int argc, char **argv, struct crk_opts *opts, const struct crk_command **cmd_ret,
		   char ***rest_ret);

#endif /* _CRK_OPTS_H */
