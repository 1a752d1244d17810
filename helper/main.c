// SPDX-License-Identifier: GPL-2.0
/*
 * Entry of crkhelper: the table of subcommands, which is the usage text as well.
 * Options are parsed by opts.c; what a subcommand does is in the file of its name.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "helper.h"
#include "opts.h"

static int cmd_run(const struct crk_opts *opts, char **argv)
{
	return crk_cmd_run(opts, argv);
}

static int cmd_dump(const struct crk_opts *opts, char **argv)
{
	(void)argv;
	return crk_cmd_dump(opts);
}

static int cmd_restore(const struct crk_opts *opts, char **argv)
{
	(void)argv;
	return crk_cmd_restore(opts);
}

static int cmd_check(const struct crk_opts *opts, char **argv)
{
	(void)argv;
	return crk_cmd_check(opts);
}

static int cmd_show(const struct crk_opts *opts, char **argv)
{
	(void)argv;
	return crk_cmd_show(opts);
}

static int cmd_dedup(const struct crk_opts *opts, char **argv)
{
	(void)argv;
	return crk_cmd_dedup(opts);
}

const struct crk_command crk_commands[] = {
	{ "run", CRK_CMD_RUN, "[-g CGROUP] [-j] -- CMD [ARG...]",
	  "start CMD in a cgroup of its own, ready to be dumped", cmd_run },
	{ "pre-dump", CRK_CMD_PRE_DUMP, "(-g CGROUP | -t PID) -D DIR [--prev-images-dir DIR] [OPTION...]",
	  "save only the memory of a process tree to DIR, for a dump that then has less to save", cmd_dump },
	{ "dump", CRK_CMD_DUMP, "(-g CGROUP | -t PID) -D DIR [OPTION...]",
	  "save a process tree to DIR and end it, unless told to leave it", cmd_dump },
	{ "restore", CRK_CMD_RESTORE, "-D DIR [-g CGROUP] [-d] [--check] [OPTION...]",
	  "bring a saved process tree back", cmd_restore },
	{ "check", CRK_CMD_CHECK, "[--json]",
	  "tell what this kernel and machine can do, what is missing and why", cmd_check },
	{ "show", CRK_CMD_SHOW, "DIR [--json]",
	  "tell what is in a checkpoint: tree, threads, memory, files", cmd_show },
	{ "dedup", CRK_CMD_DEDUP, "-D DIR [--json]",
	  "give up those pages of DIR's parent checkpoints that it does not need", cmd_dedup },
	{ NULL, 0, NULL, NULL, NULL }
};

int main(int argc, char **argv)
{
	const struct crk_command *cmd;
	struct crk_opts opts = {};
	char **rest;
	int ret;

	ret = crk_opts_parse(argc, argv, &opts, &cmd, &rest);
	if (ret)
		return ret < 0 ? CRK_EXIT_USAGE : CRK_EXIT_DONE;
	/* who started us may not care how children end; we do.  A command that is run has it as it was */
	if (cmd->bit != CRK_CMD_RUN)
		signal(SIGCHLD, SIG_DFL);
	crk_log_phase(cmd->name);
	return cmd->run(&opts, rest);
}
