#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, make, make install and make clean: what is installed, and where; that the manual and --help know the same
# options; that nothing is left of a build.  Prints TAP.

top=$(cd "${0%/*}/../.." && pwd)
# shellcheck source=scripts/vm/lib.sh
. "$top/scripts/vm/lib.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0

check()
{
	n=$((n + 1))
	if "${@:2}" >>"$tmp/log" 2>&1; then
		echo "ok $n $1"
	else
		bad=$((bad + 1))
		tail -n 20 "$tmp/log" | sed 's/^/# /'
		echo "not ok $n $1"
	fi
	: >"$tmp/log"
}

echo "TAP version 13"
use_arch x86_64
need_kernel "$(kernel_names x86_64 | head -n1)" x86_64 || { echo "Bail out! no kernel"; exit 1; }
mkdir "$tmp/tree" "$tmp/as-git-has-it" "$tmp/destdir"
git -C "$top" ls-files -z | tar -C "$top" --null -T - -cf - | tee >(tar -C "$tmp/tree" -xf -) | tar -C "$tmp/as-git-has-it" -xf -
in_tree() { make -C "$tmp/tree" -j2 KDIR="$KERNEL_ROOT/usr/src/linux-headers-$KERNEL_RELEASE" "$@"; }

check "make" in_tree
check "make install" in_tree install DESTDIR="$tmp/destdir" PREFIX=/usr
installed()
{
	diff - <(cd "$tmp/destdir" && find . -type f ! -name 'modules.*' | sort) <<-END
	./lib/modules/$KERNEL_RELEASE/extra/crk.ko
	./usr/sbin/crkhelper
	./usr/share/man/man8/crkhelper.8
	END
}
check "module, program and manual are where they belong, and nothing else" installed
helper=$tmp/destdir/usr/sbin/crkhelper
check "the program runs" "$helper" --version
module_is_for() { [ "$(modinfo -F vermagic "$tmp/destdir/lib/modules/$KERNEL_RELEASE/extra/crk.ko" | cut -d' ' -f1)" = "$KERNEL_RELEASE" ]; }
check "the module is for that kernel" module_is_for
options_are_in_manual()
{
	local c
	for c in run dump restore check show; do
		"$helper" $c --help
	done | grep -o -e '--[a-z-]*' | grep -v -x -e --help | sort -u >"$tmp/helps"
	sed -n '/^\.SH OPTIONS/,/^\.SH EXIT/p' "$tmp/destdir/usr/share/man/man8/crkhelper.8" | grep -A1 '^\.TP' | sed 's/\\-/-/g' |
		grep -o -e '--[a-z-]*' | sort -u >"$tmp/manuals"
	grep -q leave-running "$tmp/helps" && diff "$tmp/helps" "$tmp/manuals"
}
check "--help and the manual have the same options" options_are_in_manual
check "make clean" in_tree clean
check "make clean leaves what git has" diff -r "$tmp/as-git-has-it" "$tmp/tree"
echo "1..$n"
[ $bad = 0 ]
