# SPDX-License-Identifier: GPL-2.0
#
# What has become worse: reads lines of results.tsv, those of before first, then those of now.  Two are of the same thing if
# kernel, architecture, case and figure are the same; of before the last one counts, of commit "of" if that is set.
# The ratio is that to CRIU, or of two sizes; where there is none, the one to the machine's limit.
# Status 1: something is worse by more than a fifth, and named; or there was nothing to compare.

function value(name,	i)
{
	for (i = 7; i <= NF; i++)
		if (index($i, name "=") == 1 && substr($i, length(name) + 2) ~ /^[0-9.]+$/)
			return substr($i, length(name) + 2) + 0
	return -1
}

FNR == 1 { file++ }

{
	thing = $5 " " $6 " on " $3 " " $4
}

file == 1 && (of == "" || index($1, of) == 1) {
	for (i = 1; i <= 2; i++) {
		kind = i == 1 ? "ratio" : "limit"
		if (value(kind) >= 0) {
			before[thing, kind] = value(kind)
			commit[thing, kind] = $1
		}
	}
}

file == 2 {
	kind = value("ratio") >= 0 ? "ratio" : "limit"
	now = value(kind)
	if (now < 0 || !((thing, kind) in before))
		next
	compared++
	if (now > before[thing, kind] * 1.2) {
		printf "worse: %s: %s %.4f, was %.4f (%s)\n", thing, kind, now, before[thing, kind], commit[thing, kind]
		worse++
	}
}

END {
	if (!compared)
		print "nothing to compare: no line of before is for a case, figure, kernel and architecture that was measured"
	else
		printf "%d ratios compared, %d worse by more than a fifth\n", compared, worse
	exit worse || !compared
}
