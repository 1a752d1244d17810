# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels of one's own for the guests: "-k custom[-VERSION] --kconfig FRAGMENT" is Debian's linux-source-VERSION with
# custom.config, that of the architecture and the fragment, built once into the cache, where it goes by a hash of what it
# was made of.  Any other NAME.config of an architecture makes one too: "-k NAME[-VERSION]".
# Sourced after lib.sh.

CUSTOM_VERSION=6.1

custom_tools()
{
	local tool missing=()

	for tool in flex bison bc gcc make; do
		command -v $tool >/dev/null || missing+=("$tool")
	done
	[ -e /usr/include/libelf.h ] || missing+=(libelf-dev)
	[ ${#missing[@]} = 0 ] || die "to build a kernel, install ${missing[*]}"
}

# the source of VERSION in the cache, under its release's name
make_kernel_source()
{
	local version=$1 dir=$CRK_CACHE/source/$1 suite tmp

	[ ! -e "$dir" ] || return 0
	suite=$(kernel_row "$version" x86_64 | awk '{ print $3 }')
	suite=${suite:-bookworm}
	need_apt "$suite" amd64 || return
	say "fetching the source of Linux $version, once"
	rm -rf "$dir".new.*
	tmp=$dir.new.$$
	mkdir -p "$tmp/deb" "$tmp/tree"
	fetch "$suite" amd64 "$tmp/deb" "linux-source-$version" || return
	tar -xf "$tmp/deb/usr/src/linux-source-$version.tar.xz" -C "$tmp/tree" --strip-components=1 || return
	mv "$tmp/tree" "$dir"
	rm -rf "$tmp"
}

# Every option of a fragment must be as it says: one that the kernel doesn't take is a mistake to be told
check_fragment()
{
	local config=$1 fragment=$2 line name ret=0

	while IFS= read -r line; do
		case $line in
		'# CONFIG_'*' is not set')
			name=${line#\# } name=${name%% *}
			grep -q "^$name=" "$config" || continue ;;
		CONFIG_*=n)
			grep -q "^${line%=n}=" "$config" || continue ;;
		CONFIG_*=*)
			! grep -qxF "$line" "$config" || continue ;;
		*)	continue ;;
		esac
		say "${fragment##*/}: $line: this kernel has $(grep -E "^(# )?${name:-${line%%=*}}[ =]" "$config" || echo "no such option")"
		ret=1
	done <"$fragment"
	return $ret
}

# A line "#! not selected: NAME" in a fragment: options of init/ that would select it do without
kconfig_without()
{
	local source=$1 dir=$2 fragment=$3 name

	cp "$source/Kconfig" "$dir/Kconfig.top" && cp "$source/init/Kconfig" "$dir/Kconfig.init" || return
	sed -i "s#^source \"init/Kconfig\"#source \"$dir/Kconfig.init\"#" "$dir/Kconfig.top"
	sed -n 's/^#! not selected: //p' "${fragment:-/dev/null}" | while read -r name; do
		sed -i "/^[[:space:]]*select $name\$/d" "$dir/Kconfig.init"
	done
}

# in DIR.new, which is renamed when the kernel is whole
make_custom()
{
	local version=$1 dir=$2 tmp=$2.new source=$CRK_CACHE/source/$1 make f

	shift 2
	[ ! -e "$dir" ] || return 0
	custom_tools
	with_lock "source-$version" make_kernel_source "$version" || return
	# a build that was cut short goes on
	mkdir -p "$tmp"
	cat "$@" >"$tmp/wanted"
	kconfig_without "$source" "$tmp" "$tmp/wanted" || return
	make=(make -C "$source" O="$tmp" KBUILD_KCONFIG="$tmp/Kconfig.top" KCFLAGS=-w ARCH="$VM_KARCH")
	[ ! "$VM_CROSS" ] || make+=(CROSS_COMPILE="$VM_CROSS")
	quietly "configuration of Linux $version" "${make[@]}" KCONFIG_ALLCONFIG="$tmp/wanted" allnoconfig || return
	for f in "${@:2}"; do
		check_fragment "$tmp/.config" "$f" || return
	done
	say "building Linux $version with ${*:2}, once; takes minutes"
	quietly "build of Linux $version" nice -n 5 "${make[@]}" -j"$(nproc)" "${VM_IMAGE##*/}" modules || return
	# since 6.13 it names the directory
	sed -i "s#$tmp\$#$dir#" "$tmp/Makefile" && mv "$tmp" "$dir"
}

# is_custom NAME[-VERSION] ARCH: is it one of these?
is_custom()
{
	[[ $1 =~ ^custom(-|$) ]] || [ -f "$CRK_TOP/arch/${2/x86_64/x86}/${1%%-*}.config" ]
}

# find_custom NAME[-VERSION] ARCH FRAGMENT: sets CUSTOM, the directory that the kernel is or would be built in, and of what
find_custom()
{
	local name=${1%%-*} arch=$CRK_TOP/arch/${2/x86_64/x86} fragment=$3

	custom_version=${1#"${1%%-*}"}
	custom_version=${custom_version#-}
	custom_version=${custom_version:-$CUSTOM_VERSION}
	[ ! "$fragment" ] || [ -f "$fragment" ] || die "--kconfig $fragment: no such file"
	custom_parts=("$CRK_VM/custom.config")
	[ ! -f "$arch/custom.config" ] || custom_parts+=("$arch/custom.config")
	[ "$name" = custom ] || custom_parts+=("$arch/$name.config")
	[ ! "$fragment" ] || custom_parts+=("$fragment")
	custom_id=$custom_version-$(cat "${custom_parts[@]}" | grep -E '^(CONFIG|# CONFIG|#!)' | sha1sum | cut -c1-10)
	CUSTOM=$CRK_CACHE/custom/$custom_id
}

# need_custom NAME[-VERSION] ARCH FRAGMENT: the same, and it is there
need_custom()
{
	local custom_version custom_parts custom_id

	use_arch "$2"
	find_custom "$@"
	[ -e "$CUSTOM" ] || with_lock "custom-$custom_id" make_custom "$custom_version" "$CUSTOM" "${custom_parts[@]}"
}

# is_built NAME[-VERSION] ARCH [FRAGMENT]: is there one already?
is_built()
{
	local custom_version custom_parts custom_id CUSTOM

	find_custom "$1" "$2" "${3-}"
	[ -e "$CUSTOM" ]
}
