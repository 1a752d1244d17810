#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Look at the sources before a commit: style, warnings of two compilers and of sparse, spelling, rules of the house.
# Silent and 0 if there is nothing to say.
#
# usage: scripts/check.sh [fast | full | format]
#	fast	(default) a minute at most
#	full	clang-tidy too, then scripts/check-all
#	format	where clang-format would write changed lines differently; a hint, not a rule

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/vm/lib.sh"
cd "$CRK_TOP" || exit 1

bad=0
shopt -s lastpipe	# findings come through pipes
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# finding WHAT: stdin is what was found, if anything
finding()
{
	local text

	text=$(cat)
	[ "$text" ] || return 0
	printf '%s:\n%s\n' "$1" "$text"
	bad=1
}

# All files that are or will be in the repository
mapfile -t files < <(git ls-files -co --exclude-standard | while read -r f; do [ ! -f "$f" ] || echo "$f"; done)

# select REGEX: the files whose path matches
select_files()
{
	printf '%s\n' "${files[@]}" | grep -E "$1"
}

check_patch()
{
	local ignore='' t sources

	# uapi headers have no BIT(); a struct's size stands right below it; tables are macros of rows; kcompat.h asks
	# for headers; locks are described where their order is
	for t in BIT_MACRO LINE_SPACING MACRO_ARG_UNUSED MACRO_ARG_REUSE COMPLEX_MACRO MULTISTATEMENT_MACRO_USE_DO_WHILE \
		TRAILING_SEMICOLON UNCOMMENTED_DEFINITION MACRO_WITH_FLOW_CONTROL; do
		ignore+=,$t
	done
	mapfile -t sources < <(select_files '^(module|uapi)/.*\.[ch]$|^arch/.*/kern.*\.[chS]$' | grep -v /kcompat)
	[ ${#sources[@]} = 0 ] || perl "$KSRC/scripts/checkpatch.pl" --no-tree --strict --terse --show-types --quiet \
		--max-line-length=120 --ignore "${ignore#,}" -f "${sources[@]}" | grep -v '^total:' | finding checkpatch
	[ ! -e module/kcompat.h ] || perl "$KSRC/scripts/checkpatch.pl" --no-tree --strict --terse --show-types --quiet \
		--max-line-length=120 --ignore "${ignore#,},LINUX_VERSION_CODE,CONSTANT_COMPARISON,SPACING" \
		-f module/kcompat*.h | grep -v '^total:' | finding checkpatch
}

# W=1 and sparse (requirement 2.21), in a build of its own; only what changed is built again
check_module()
{
	local dir ret

	[ -e module/main.c ] || return 0
	need_kernel "$(kernel_names x86_64 | head -n1)" x86_64 || exit 1
	dir=$CRK_CACHE/build/$KERNEL_RELEASE-${KERNEL##*/}/$CRK_TREE-lint
	if [ ! "$(sync_sources "$dir")" ] && [ -e "$dir/clean" ]; then
		return 0
	fi
	rm -f "$dir/clean"
	find "$dir" -name '*.o' -exec rm -f {} +
	kernel_make "$dir" -j2 W=1 C=1 modules >"$log" 2>&1 </dev/null
	ret=$?
	sed "s#$dir/##" "$log" | grep -E '^(module|uapi|arch)/.*(warning|error):' | finding "module, W=1 and sparse"
	if [ $ret != 0 ]; then
		finding "module does not build" <"$log"
	elif ! grep -q -E "^$dir/.*(warning|error):" "$log"; then
		touch "$dir/clean"
	fi
}

check_helper()
{
	[ -e helper/main.c ] || return 0
	make -s -C helper -j2 >"$log" 2>&1 || finding "helper, gcc" <"$log"
	make -s -C helper -j2 CC=clang B="$CRK_CACHE/build/helper-clang-$CRK_TREE" \
		PROG="$CRK_CACHE/build/helper-clang-$CRK_TREE/crkhelper" >"$log" 2>&1 ||
		finding "helper, clang" <"$log"
}

check_shell()
{
	local f scripts=()

	for f in "${files[@]}"; do
		case $(head -c 60 "$f" | head -n1 | tr -d '\0') in
		'#!/bin/sh'*|'#!/bin/bash'*) scripts+=("$f") ;;
		esac
	done
	shellcheck -x -f gcc "${scripts[@]}" scripts/vm/lib.sh | finding shellcheck
}

check_spelling()
{
	select_files '.' | grep -v -e '^COPYING$' | xargs codespell -q 7 -L crit,fo,te,ans,restor,useable | finding codespell
}

check_house()
{
	local f d

	select_files '^(module|helper|uapi|arch|selftests)/.*\.[chS]$' | grep -v '^module/kcompat' |
		xargs grep -n -E 'LINUX_VERSION_CODE|KERNEL_VERSION\(' | finding "only module/kcompat*.h know kernel versions"
	select_files '^(helper/.*|arch/.*/user.*)\.[ch]$' | grep -v '^helper/dev\.c$' |
		xargs grep -n -E 'CRK_IOC_' | grep -v -E ':[0-9]+:(.*/\*|\s*\*).*CRK_IOC_' | finding "only helper/dev.c talks to /dev/crk"
	select_files '^(module|helper)/.*\.[chS]$' |
		xargs grep -n -E 'CONFIG_(X86|ARM)' | finding "what differs between architectures lives in arch/"
	sed -n -E 's/^#define (CRK_IOC_[A-Z_]+).*/\1/p' uapi/*.h | grep -v -x CRK_IOC_MAGIC |
		while read -r d; do
			grep -q "^### .*\b$d\b" uapi/API.md || echo "$d"
		done | finding "no section in uapi/API.md"
	sed -n -E 's/^#define CRK_REC_([A-Z_]+).*/\1/p' uapi/crk_regs.h | grep -v -x NONE |
		while read -r d; do
			grep -q -E "^\| (thread|leader) \|.*\b${d}s?\b" uapi/API.md || echo "$d"
		done | finding "not in the table of records in uapi/API.md"
	for f in "${files[@]}"; do
		case $f in
		*.c|*.h|*.S|*.sh|*.proto|*.awk|*.def|*/Makefile|Makefile|Kbuild)
			head -n3 "$f" | grep -q SPDX-License-Identifier || echo "$f" ;;
		esac
	done | finding "no SPDX line"
	diff <(sed -n '/^\.\. table of/,/^\.\. end of the table/p' README | sed '1d;$d') <(scripts/bench.sh --table) |
		finding "README does not have the table of selftests/bench/results.tsv: scripts/bench.sh --readme"
	for d in $(printf '%s\n' "${files[@]}" | grep / | cut -d/ -f1 | sort -u); do
		[ "$d" = .ci ] || [ -e "$d/README" ] || echo "$d"
	done | finding "no README"
}

check_tidy()
{
	select_files '^(helper|arch/.*/user).*\.c$' | xargs clang-tidy --quiet \
		--checks='-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier' \
		-- -std=gnu11 -D_GNU_SOURCE -Iuapi -Ihelper -Ihelper/build/proto 2>/dev/null | finding clang-tidy
}

case ${1:-fast} in
format)
	git clang-format --diff --extensions c,h
	exit 0 ;;
fast|full)
	;;
*)
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
	exit 2 ;;
esac
"$CRK_TOP/scripts/setup" packages source || exit 1
need_source || exit 1
check_patch
check_house
check_shell
check_spelling
check_helper
check_module
if [ "${1-}" = full ]; then
	check_tidy
	scripts/check-all || bad=1
fi
exit $bad
