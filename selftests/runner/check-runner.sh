#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests run.sh and tap.awk, on the host: a skip counts as skip, a failure as failure, and so does whatever keeps a
# program from saying what became of its cases.  Prints TAP.

here=$(cd "${0%/*}" && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0

# got WHAT WANTED GOT
got()
{
	n=$((n + 1))
	if [ "$3" = "$2" ]; then
		echo "ok $n $1"
	else
		bad=$((bad + 1))
		echo "# wanted $2"
		echo "# got    $3"
		echo "not ok $n $1"
	fi
}

# run [PATTERN]...: the lines, joined by |
run()
{
	CRK_GUEST='' TMPDIR=$tmp sh "$here/run.sh" "$tmp/b" debian "$@" 2>/dev/null | grep -v -e '^#' -e '^    ' | paste -sd '|'
}

# expect WHAT WANTED: the test program on stdin must give these lines
expect()
{
	rm -rf "$tmp/b"
	mkdir -p "$tmp/b/runner" "$tmp/b/t"
	cp "$here/tap.awk" "$tmp/b/runner/"
	{ echo '#!/bin/sh'; cat; } >"$tmp/b/t/x"
	chmod +x "$tmp/b/t/x"
	echo "t/x debian 2" >"$tmp/b/tests.list"
	got "$1" "$2" "$(run)"
}

echo "TAP version 13"
expect "passes" "ok t/x: a|ok t/x: b" <<'END'
printf 'TAP version 13\n1..2\n#  RUN  a ...\n#    OK  a\nok 1 a\nok 2 - b\n'
END
expect "a failure is a failure" "ok t/x: a|FAIL t/x: b" <<'END'
printf '1..2\nok 1 a\n# b.c:1:b:Expected 1 (1) == 0 (0)\nnot ok 2 b\n'; exit 1
END
expect "a skip is a skip" "skip t/x: a (no such thing)" <<'END'
printf '1..1\nok 1 a # SKIP no such thing\n'
END
expect "a skip without a name is that of the case that ran" "skip t/x: g.a (why)" <<'END'
printf '1..1\n#  RUN           g.a ...\nok 1 # SKIP why\n'
END
expect "a whole program skipped by its plan" "skip t/x: (no device)" <<'END'
printf 'TAP version 13\n1..0 # SKIP no device\n'; exit 4
END
expect "a whole program skipped by its status" "skip t/x" <<'END'
exit 4
END
expect "no plan is a failure" "ok t/x: a|FAIL t/x: no plan, exit status 0" <<'END'
printf 'ok 1 a\n'
END
expect "a program without cases is a failure" "FAIL t/x: has no cases" <<'END'
printf 'TAP version 13\n1..0\n'
END
expect "no output is a failure" "FAIL t/x: no plan, exit status 0" <<'END'
exit 0
END
expect "a case that is missing is a failure" "ok t/x: a|FAIL t/x: planned 2 cases, ran 1" <<'END'
printf '1..2\nok 1 a\n'
END
expect "a crash is a failure" "ok t/x: a|FAIL t/x: g.b: killed by signal 11" <<'END'
printf '1..2\nok 1 a\n#  RUN           g.b ...\n'; kill -SEGV $$
END
expect "a hang is a failure" "FAIL t/x: no end within 2 s" <<'END'
echo 1..1; sleep 60
END
expect "a bad status is a failure" "ok t/x: a|FAIL t/x: exit status 3, though no case failed" <<'END'
printf '1..1\nok 1 a\n'; exit 3
END
expect "a good status does not hide a failure" \
	"FAIL t/x: a|FAIL t/x: exit status 0, though cases failed" <<'END'
printf '1..1\nnot ok 1 a\n'
END
expect "an expected failure is no failure" "skip t/x: a # XFAIL later" <<'END'
printf '1..1\nnot ok 1 a # XFAIL later\n'
END

# which run when some are named
for t in t/x t/x.sh t/y.sh u/x; do
	mkdir -p "$tmp/b/${t%/*}"
	printf '#!/bin/sh\nprintf "1..1\nok 1 a\n"\n' >"$tmp/b/$t"
	chmod +x "$tmp/b/$t"
	echo "$t debian 2"
done >"$tmp/b/tests.list"
got "a folder" "ok t/x: a|ok t/x.sh: a|ok t/y.sh: a" "$(run t)"
got "a script without its ending" "ok t/y.sh: a" "$(run t/y)"
got "a program, not the script that is called like it" "ok t/x: a" "$(run t/x)"
got "a pattern" "ok t/y.sh: a" "$(run 't/y*')"
got "several" "ok t/x.sh: a|ok u/x: a" "$(run t/x.sh u)"
echo "1..$n"
[ $bad = 0 ]
