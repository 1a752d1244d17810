# SPDX-License-Identifier: GPL-2.0
#
# Reads what one test program printed and prints one line per test case: "ok", "FAIL" or "skip", the program, the case.
# A failed case is followed by what the program said about it, indented.  Knows kselftest's TAP and the liberties that
# kselftest_harness.h takes with it; a program that does not keep to its plan has failed.
#
# -v name=PROGRAM -v status=EXIT-STATUS -v limit=SECONDS

function result(word, what,	i)
{
	print word " " name (what == "" ? "" : ": " what)
	if (word == "FAIL")
		for (i = 0; i < nr_said; i++)
			print "    " said[i]
	nr_said = 0
	run = ""
}

BEGIN { plan = -1 }

{ sub(/\r$/, "") }

# "1..N", or "1..0 # SKIP reason": the whole program does not apply
/^1\.\.[0-9]+/ {
	plan = substr($1, 4) + 0
	if (plan == 0 && match(toupper($0), /# *SKIP/)) {
		reason = substr($0, RSTART + RLENGTH + 1)
		skip_all = 1
	}
	next
}

/^(not )?ok([ \t]|$)/ {
	failed = /^not/
	what = $0
	sub(/^(not )?ok[ \t]*[0-9]*[ \t]*(- )?/, "", what)
	seen++
	if (match(toupper(what), /# *SKIP/)) {
		reason = substr(what, RSTART + RLENGTH + 1)
		what = substr(what, 1, RSTART - 1)
		sub(/[ \t]+$/, "", what)
		# the older harness leaves the name out
		if (what == "")
			what = run
		result("skip", what (reason == "" ? "" : " (" reason ")"))
	} else if (failed && match(toupper(what), /# *(TODO|XFAIL)/)) {
		result("skip", what)
	} else if (failed) {
		nr_failed++
		result("FAIL", what == "" ? run : what)
	} else {
		result("ok", what == "" ? run : what)
	}
	next
}

/^# +RUN / {
	run = $3
	nr_said = 0
	next
}

/^TAP version/ || /^# Starting / || /^# (PASSED|FAILED):/ || /^# Totals:/ || /^# +(OK|FAIL) +/ { next }

NF {
	if (nr_said < 60)
		said[nr_said++] = $0
}

END {
	if (skip_all && status == 4)
		status = 0
	if (status == 124 || status == 137) {
		result("FAIL", (run == "" ? "" : run ": ") "no end within " limit " s")
	} else if (status > 128) {
		result("FAIL", (run == "" ? "" : run ": ") "killed by signal " status - 128)
	} else if (plan < 0) {
		if (status == 4)
			result("skip", "")
		else
			result("FAIL", "no plan, exit status " status)
	} else if (skip_all) {
		result("skip", reason == "" ? "" : "(" reason ")")
	} else if (plan == 0) {
		result("FAIL", "has no cases")
	} else if (seen != plan) {
		result("FAIL", "planned " plan " cases, ran " seen + 0)
	} else if (status && status != 4 && !nr_failed) {
		result("FAIL", "exit status " status ", though no case failed")
	} else if (!status && nr_failed) {
		result("FAIL", "exit status 0, though cases failed")
	}
}
