#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Measure crk beside CRIU in one guest, on the same loads, with the images on tmpfs; see selftests/bench/bench.c for
# the lines it prints.  They are kept, with commit, date, kernel and architecture, in selftests/bench/results.tsv.
#
# usage: scripts/bench.sh [-a ARCH] [-k KERNEL] [--criu new|debian|none] [-n RUNS] [--compare [FILE|COMMIT]] [CASE]...
#	 scripts/bench.sh --compare [FILE|COMMIT] --results FILE
#	 scripts/bench.sh --table | --readme
# --criu new (default) is the one of Debian's sid, debian the one of Debian 12.  Where Debian has none (arm) the ratio to
# the machine's own copies of memory remains, and the same cases on x86_64.
# --compare names every ratio that has become worse by more than a fifth since the last line for the same case, figure, kernel
# and architecture, in FILE or in results.tsv, there of COMMIT if that is given; the exit status is 1 then.
# --results takes the lines of FILE for those that were measured, and measures and keeps nothing.
# --table prints what the last lines for the first kernel say, as README has it; --readme puts it there.

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/vm/lib.sh"

kept=$CRK_TOP/selftests/bench/results.tsv
arch=x86_64 kernel='' which=new runs=3 mem=6144 compare='' before=$kept of='' measured=''

table()
{
	awk -F'\t' -v kernel="$(kernel_names x86_64 | head -n1)" -f "$CRK_TOP/selftests/bench/table.awk" "$kept"
}

# README with the table between its marks
readme()
{
	table >"$1.table" || return
	awk -v table="$1.table" '
		/^\.\. end of the table/ { skip = 0 }
		!skip { print }
		/^\.\. table of/ { while ((getline line < table) > 0) print line; skip = 1 }
	' "$CRK_TOP/README" >"$1"
	rm -f "$1.table"
}

# FILE|COMMIT of --compare
compare_with()
{
	if [ -f "$1" ]; then
		before=$1
	else
		of=$(git -C "$CRK_TOP" rev-parse --verify --quiet --short=7 "$1^{commit}") && [ "$of" ]
	fi
}

while [ $# -gt 0 ]; do
	case $1 in
	-a)		arch=$2; shift ;;
	-k)		kernel=$2; shift ;;
	--criu)		which=$2; shift ;;
	-n)		runs=$2; shift ;;
	--compare)
		compare=1
		if [ "${2-}" ] && compare_with "$2"; then shift; fi ;;
	--results)
		[ -f "${2-}" ] || die "--results ${2-}: no such file"
		measured=$2; shift ;;
	--table)	table; exit ;;
	--readme)
		new=$(mktemp) && readme "$new" && cat "$new" >"$CRK_TOP/README"; ret=$?
		rm -f "$new"
		exit $ret ;;
	-h|--help)	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*)		die "no such option: $1" ;;
	*)		break ;;
	esac
	shift
done
[ ! "$compare" ] || [ -f "$before" ] || die "--compare: there is no $before yet"

results=$(mktemp) || exit 1
trap 'rm -f "$results" "$results.tsv"' EXIT
status=0
if [ "$measured" ]; then
	cp "$measured" "$results.tsv"
else
	use_arch "$arch"
	kernel=${kernel:-$(kernel_names "$arch" | head -n1)}
	[ "${VM_NOT_PACKAGED-}" != criu ] || which=none
	if [ "$mem" -gt "$VM_MEM_MAX" ]; then
		mem=$VM_MEM_MAX
		[ $# -gt 0 ] || set -- small mem-64m threads-1000 tree-200 maps-5000	# no room for 1 GiB and its image
	fi
	"$CRK_TOP/scripts/setup" -a "$arch" packages kernels "$kernel" rootfs source || exit 1
	build=build/$arch/bench
	quietly "build of the bench" make -C "$CRK_TOP/selftests" -j2 ABI="$arch" KSRC="$CRK_CACHE/source-6.12" \
		"$build/bench" "$build/bench-load" || exit 1
	build=$CRK_TOP/selftests/$build
	share=()
	case $which in
	new)	need_criu || exit 1
		share=(--share "$CRIU:/mnt/criu")
		criu=/opt/criu/criu ;;
	debian)	criu=criu ;;
	none)	criu=/nonexistent ;;
	*)	die "--criu $which: new, debian or none" ;;
	esac

	# shellcheck disable=SC2016	# for the guest's shell
	"$CRK_TOP/scripts/guest" -a "$arch" -k "$kernel" --mem "$mem" --timeout 7200 --share "$build:/mnt/bench" "${share[@]}" -- sh -c '
		mkdir -p /opt && cp -r /mnt/bench /opt/bench && umount /mnt/bench
		[ ! -d /mnt/criu ] || { cp -r /mnt/criu /opt/criu && umount /mnt/criu; }
		exec /opt/bench/bench "$@"
	' sh -n "$runs" -c $criu "$@" | tee "$results"
	status=${PIPESTATUS[0]}
	commit=$(git -C "$CRK_TOP" describe --always --dirty --abbrev=7 2>/dev/null || echo unknown)
	awk -v OFS='\t' -v commit="$commit" -v date="$(date +%F)" -v kernel="$kernel" -v arch="$arch" '$1 == "bench" {
		$1 = commit OFS date OFS kernel OFS arch
		print
	}' "$results" >"$results.tsv"
fi
if [ "$compare" ]; then
	awk -F'\t' -v of="$of" -f "$CRK_TOP/selftests/bench/compare.awk" "$before" "$results.tsv" || status=1
fi
[ "$measured" ] || cat "$results.tsv" >>"$kept"
exit "$status"
