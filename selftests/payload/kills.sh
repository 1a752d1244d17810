# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# kill -9 of a command at points spread over its run.  Sourced; needs $here, the build directory.
#
# How long the command takes is never known well: the first time is slower, and so is a machine that is busy.  So the estimate
# follows what each kill finds, and the points move with it.

here=${here:?the build directory of the tests}
kill_end=0	# when the command ends, microseconds after its start
kill_nr=0	# kills so far
kill_hit=0	# those that came before its end
kill_at=0	# when the last one came

# kills_of COMMAND...: run it to its end; kill_next begins anew
kills_of()
{
	local begin=${EPOCHREALTIME/[.,]/}
	"$@" >log 2>&1 </dev/null || return 1
	kill_end=$((${EPOCHREALTIME/[.,]/} - begin)) kill_nr=0 kill_hit=0
}

# kill_next FROM TO COMMAND...: kill it somewhere from FROM to TO percent of its time; 0 if it had not ended by then.
# TO should be above 100, the estimate grows only by that.
kill_next()
{
	local from=$1 to=$2
	shift 2
	# the golden ratio: whenever one stops, the points are spread evenly
	kill_nr=$((kill_nr + 1))
	kill_at=$((kill_end * (from * 1000 + (to - from) * (kill_nr * 618 % 1000)) / 100000))
	if "$here/payload/killat" $kill_at "$@" >log 2>&1 </dev/null; then
		kill_hit=$((kill_hit + 1))
		[ $kill_at -le $kill_end ] || kill_end=$kill_at
		return 0
	fi
	[ $kill_at -ge $kill_end ] || kill_end=$kill_at
	return 1
}

# kills_enough: did so many come before the end that the result means something?
kills_enough()
{
	echo "# $kill_hit of $kill_nr kills came before the end, which was at $kill_end us"
	[ $((kill_hit * 3)) -ge $kill_nr ]
}
