# SPDX-License-Identifier: GPL-2.0
#
# The table of README: of results.tsv, for one kernel, the last line of each case for dump, frozen time and restore.

$3 == kernel && $4 == "x86_64" {
	if (!($5 in seen)) {
		seen[$5] = 1
		names[++nr] = $5
	}
	for (i = 7; i <= NF; i++) {
		split($i, pair, "=")
		last[$5, $6, pair[1]] = pair[2]
	}
	date[$5] = $2
}


function cell(name, figure,	t)
{
	if (!((name, figure, "crk") in last))
		return "-"
	t = sprintf("%.3f", last[name, figure, "crk"])
	return t " / " (last[name, figure, "criu"] == "-" ? "-" : sprintf("%.3f", last[name, figure, "criu"]))
}

function micro(name, figure)
{
	if (!((name, figure, "small") in last))
		return "-"
	return sprintf("%.0f / %.0f", last[name, figure, "small"], last[name, figure, "large"])
}

END {
	printf "\n\tkernel %s, x86_64, emulated: seconds, crk / CRIU\n\n", kernel
	printf "\t%-15s %-17s %-17s %-17s %s\n", "", "dump", "of it frozen", "restore", "measured"
	for (n = 1; n <= nr; n++)
		if ((names[n], "dump", "crk") in last)
			printf "\t%-15s %-17s %-17s %-17s %s\n", names[n], cell(names[n], "dump"), cell(names[n], "frozen"),
			       cell(names[n], "restore"), date[names[n]]
	for (n = 1; n <= nr; n++) {
		if (!((names[n], "dump", "small") in last))
			continue
		if (!scale++)
			printf "\n\tmicroseconds per item, of a quarter of them / of all\n\n"
		printf "\t%-15s %-17s %-17s %-17s %s\n", names[n], micro(names[n], "dump"), micro(names[n], "frozen"),
		       micro(names[n], "restore"), date[names[n]]
	}
	print ""
}
