#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Measure crk beside CRIU in one guest, on the same loads, with the images on tmpfs; see selftests/bench/bench.c for
# the lines it prints.  They are kept, with commit, kernel and architecture, in selftests/bench/results.tsv.
#
# usage: scripts/bench.sh [-k KERNEL] [--criu new|debian|none] [-n RUNS] [CASE]...
# --criu new (default) is the one of Debian's sid, debian the one of Debian 12.

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/vm/lib.sh"

kernel=$(kernel_names x86_64 | head -n1) which=new runs=3
while [ $# -gt 0 ]; do
	case $1 in
	-k)		kernel=$2; shift ;;
	--criu)		which=$2; shift ;;
	-n)		runs=$2; shift ;;
	-h|--help)	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*)		die "no such option: $1" ;;
	*)		break ;;
	esac
	shift
done

"$CRK_TOP/scripts/setup" packages kernels "$kernel" rootfs source || exit 1
quietly "build of the bench" make -C "$CRK_TOP/selftests" -j2 KSRC="$CRK_CACHE/source-6.12" || exit 1
build=$CRK_TOP/selftests/build/x86_64
share=()
case $which in
new)	need_criu || exit 1
	share=(--share "$CRIU:/mnt/criu")
	criu=/opt/criu/criu ;;
debian)	criu=criu ;;
none)	criu=/nonexistent ;;
*)	die "--criu $which: new, debian or none" ;;
esac

results=$(mktemp) || exit 1
trap 'rm -f "$results"' EXIT
# shellcheck disable=SC2016	# for the guest's shell
"$CRK_TOP/scripts/guest" -k "$kernel" --mem 6144 --timeout 7200 --share "$build/bench:/mnt/bench" "${share[@]}" -- sh -c '
	mkdir -p /opt && cp -r /mnt/bench /opt/bench && umount /mnt/bench
	[ ! -d /mnt/criu ] || { cp -r /mnt/criu /opt/criu && umount /mnt/criu; }
	exec /opt/bench/bench "$@"
' sh -n "$runs" -c $criu "$@" | tee "$results"
status=${PIPESTATUS[0]}

commit=$(git -C "$CRK_TOP" describe --always --dirty 2>/dev/null || echo unknown)
awk -v OFS='\t' -v commit="$commit" -v kernel="$kernel" '$1 == "bench" {
	$1 = commit OFS kernel OFS "x86_64"
	print
}' "$results" >>"$CRK_TOP/selftests/bench/results.tsv"
exit "$status"
