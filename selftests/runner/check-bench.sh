#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, what scripts/bench.sh makes of lines that were measured: --compare names what has become worse by more than a
# fifth, of the same case, figure, kernel and architecture, and nothing else; the table is of the last lines.  Prints TAP.

top=$(cd "${0%/*}/../.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
n=0 bad=0

ok()
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
	else
		bad=$((bad + 1))
		[ ! -e out ] || sed 's/^/# /' out
		echo "not ok $n $2"
	fi
}

# line COMMIT KERNEL CASE FIGURE VALUE...
line()
{
	printf '%s\t2026-01-0%d\t%s\tx86_64\t%s\t%s' "$1" "$((RANDOM % 9 + 1))" "$2" "$3" "$4"
	shift 4
	printf '\t%s' "$@"
	printf '\n'
}

# compare STATUS: of before and now
compare()
{
	"$top/scripts/bench.sh" --compare before --results now >out 2>&1
	[ $? = "$1" ]
}

echo "TAP version 13"
{
	line aaaaaaa 6.1 small dump crk=1 criu=2 ratio=0.1000 limit=9
	line bbbbbbb 6.1 small dump crk=1 criu=2 ratio=0.5000 limit=9
	line bbbbbbb 6.1 small frozen crk=1 criu=2 ratio=0.2000 limit=9
	line bbbbbbb 6.12 small dump crk=1 criu=2 ratio=0.1000 limit=9
	line bbbbbbb 6.1 sparse dump crk=1 criu=- ratio=- limit=2.0000
	line bbbbbbb 6.1 tree-2000 dump small=9 large=9 ratio=1.0000
} >before

line ccccccc 6.1 small dump crk=2 criu=2 ratio=0.5900 limit=99 >now
compare 0 && grep -qx '1 ratios compared, 0 worse by more than a fifth' out
ok $? "worse by less than a fifth than the last line is no complaint"

line ccccccc 6.1 small dump crk=2 criu=2 ratio=0.6100 limit=9 >now
compare 1 && grep -qx 'worse: small dump on 6.1 x86_64: ratio 0.6100, was 0.5000 (bbbbbbb)' out && [ "$(grep -c worse: out)" = 1 ]
ok $? "worse by more than a fifth is named, and the status is 1"

line ccccccc 6.1 small dump crk=2 criu=2 ratio=0.0100 limit=9 >now
compare 0
ok $? "better is no complaint"

line ccccccc 6.1 small frozen crk=2 criu=2 ratio=0.2300 limit=9 >now
line ccccccc 6.12 small dump crk=2 criu=2 ratio=0.1300 limit=9 >>now
compare 1 && grep -q 'worse: small dump on 6.12 x86_64: ratio 0.1300, was 0.1000' out && [ "$(grep -c worse: out)" = 1 ]
ok $? "each figure and kernel is compared with its own"

line ccccccc 6.1 sparse dump crk=3 criu=- ratio=- limit=2.5000 >now
compare 1 && grep -q 'worse: sparse dump on 6.1 x86_64: limit 2.5000, was 2.0000' out
ok $? "without CRIU it is the machine's limit that is compared with"

line ccccccc 6.1 tree-2000 dump small=9 large=18 ratio=2.0000 >now
compare 1 && grep -q 'worse: tree-2000 dump on 6.1 x86_64: ratio 2.0000, was 1.0000' out
ok $? "time that no longer grows linearly is named"

line ccccccc 7.2 small dump crk=3 criu=9 ratio=0.5000 limit=1 >now
compare 1 && grep -q 'nothing to compare' out
ok $? "nothing to compare with is no success"

"$top/scripts/bench.sh" --compare before --results nowhere >out 2>&1
[ $? = 1 ] && grep -q 'nowhere: no such file' out
ok $? "no lines are a refusal"

"$top/scripts/bench.sh" --table >table 2>out
grep -q "$(tail -n1 "$top/selftests/bench/results.tsv" | cut -f2)" table && ! grep -q 'nan\|inf' table
ok $? "the table has the last line's date"

sed -n '/^\.\. table of/,/^\.\. end of the table/p' "$top/README" | sed '1d;$d' >readme
[ -s table ] && diff table readme >out 2>&1
ok $? "README has the table of results.tsv"

echo "1..$n"
[ $bad = 0 ]
