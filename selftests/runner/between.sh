# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What the tests of several guests share: scripts that run in one after the other, their results, TAP.  Sourced after
# scripts/vm/lib.sh; makes $tmp, which is /kernels in all guests; $guest_options are those of all.

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
guest_options=()
bad=0 n=0

# guest KERNEL HELPER SCRIPT [ARG]... [-- OPTION]...: its output, and what else it had to say as comments
guest()
{
	local ret kernel=$1 helper=$2 script=$3 args=()

	shift 3
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift $(($# > 0))
	# a kernel of our own may have no driver of this machine's clock
	# shellcheck disable=SC2016	# for the guest's shell
	"$CRK_TOP/scripts/guest" "${guest_options[@]}" -k "$kernel" --helper "$helper" "$@" --timeout 900 --share "$tmp:/kernels" -- \
		sh -c 'date -s "@$1" >/dev/null && shift && exec sh "$@"' sh "$(date +%s)" "/kernels/$script.sh" "${args[@]}" 2>"$tmp/err"
	ret=$?
	[ $ret = 0 ] || sed "s/^/# $kernel: /" "$tmp/err"
	return $ret
}

# report KERNEL HELPER SCRIPT [ARG]... [-- OPTION]...: the guest's results are kept for expect, its comments printed
report()
{
	guest "$@" >"$tmp/out"
	grep '^#' "$tmp/out"
}

# expect WHAT: is it among the results?
expect()
{
	n=$((n + 1))
	if grep -q "^ok $1\$" "$tmp/out"; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		bad=1
	fi
}
