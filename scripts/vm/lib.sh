# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share: the cache and its locks, the kernels of kernels.list, the tools of the guest (PID 1, initramfs),
# builds of crk for a guest; packages are in apt.sh, the emulator in qemu.sh, root file systems in rootfs.sh.
#
# Every need_* function makes its thing if it is missing, under a lock, in a temporary place that is renamed when
# complete: a thing that exists is whole, and any number of scripts may run at once.  Progress goes to stderr.

CRK_TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
CRK_VM=$CRK_TOP/scripts/vm
CRK_CACHE=${CRK_CACHE:-$HOME/.cache/crk}
CRK_TREE=$(printf '%s' "$CRK_TOP" | sha1sum | cut -c1-10)	# this checkout's name in the cache
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
mkdir -p "$CRK_CACHE/lock" || exit 125

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "$@"
	exit "${DIE_STATUS:-1}"
}

# with_lock NAME CMD…: run CMD, a function too, while nobody else holds NAME; in a subshell
with_lock()
(
	exec {fd}>"$CRK_CACHE/lock/${1//\//_}" || exit
	flock "$fd" || exit
	shift
	"$@"
)

# quietly WHAT CMD…: show CMD's output only if it fails
quietly()
{
	local what=$1 log ret

	shift
	log=$(mktemp) || return
	"$@" >"$log" 2>&1 </dev/null
	ret=$?
	if [ $ret != 0 ]; then
		cat "$log" >&2
		say "$what failed"
	fi
	rm -f "$log"
	return $ret
}

# Files that belong to root in what we pack, whoever packs it
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		unshare -r "$@"
	fi
}

# Debian's name of an architecture or ABI
deb_arch()
{
	case $1 in
	x86_64)	echo amd64 ;;
	i686)	echo i386 ;;
	arm)	echo armhf ;;
	armel)	echo armel ;;
	arm64)	echo arm64 ;;
	*)	die "no such architecture: $1" ;;
	esac
}

# What the compilers of an ABI are called
triplet()
{
	case $1 in
	arm)	echo arm-linux-gnueabihf ;;
	armel)	echo arm-linux-gnueabi ;;
	*)	echo "$1-linux-gnu" ;;
	esac
}

# use_arch ARCH: sets VM_*, what is said in arch/*/vm.conf
use_arch()
{
	local conf=$CRK_TOP/arch/${1/x86_64/x86}/vm.conf

	[ -f "$conf" ] || die "no guests of architecture $1"
	# shellcheck source=arch/x86/vm.conf
	. "$conf"
}

# shellcheck source=scripts/vm/apt.sh
. "$CRK_VM/apt.sh"
# shellcheck source=scripts/vm/qemu.sh
. "$CRK_VM/qemu.sh"
# shellcheck source=scripts/vm/rootfs.sh
. "$CRK_VM/rootfs.sh"

# --- kernels -----------------------------------------------------------------

# kernel_row NAME ARCH: the row of kernels.list
kernel_row()
{
	awk -v n="$1" -v a="$2" '!/^#/ && $1 == n && $2 == a { print; exit }' "$CRK_TOP/scripts/kernels.list"
}

# All names of an architecture
kernel_names()
{
	awk -v a="$1" '!/^#/ && $2 == a { print $1 }' "$CRK_TOP/scripts/kernels.list"
}

# The newest release that a suite has of a version: 6.1 → 6.1.0-56-amd64
find_release()
{
	local suite=$1 arch=$2 name=$3

	private_apt "$suite" "$arch" apt-cache pkgnames "linux-headers-$name." |
		grep -E "^linux-headers-${name//./\\.}\.[^-]*(-[0-9]+)?-$VM_FLAVOUR\$" |
		sed 's/^linux-headers-//' | sort -V | tail -n1
}

# In the place of crk.ko, so that modprobe knows it; the guest puts the real one there
crk_stub()
{
	echo 'static const char l[] __attribute__((section(".modinfo"), used)) = "license=GPL";' | "${VM_CROSS}gcc" -x c -c -o "$1" -
}

# fetch_kbuild SUITE ARCH DIR PACKAGE: the tools that build modules run here, wherever the modules do
fetch_kbuild()
{
	local version

	need_apt "$1" amd64 || return
	version=$(private_apt "$1" "$2" apt-cache show --no-all-versions "$4" | sed -n 's/^Version: //p')
	fetch "$1" amd64 "$3" "$4=$version"
}

# A suite's compilers and what a build needs besides, to be used by chroot; with the kernel's headers where they can be
# installed here
fetch_chroot()
{
	local suite=$1 deb=$2 root=$3 rel=$4 more=()

	if [ "$VM_CROSS" ]; then
		# by the name of the native one: gcc-16-for-host
		mapfile -t more < <(private_apt "$suite" "$deb" apt-cache depends "linux-headers-$rel" |
			sed -n "s/^ *Depends: \(gcc-[0-9]*\)-for-host\$/\1-${VM_CROSS%-}/p")
		more+=("$(private_apt "$suite" "$deb" apt-cache depends "linux-headers-$rel" |
			awk '$1 == "Depends:" && $2 ~ /^linux-kbuild-/ { print $2 }')")
		need_apt "$suite" amd64 || return
	else
		more=("linux-headers-$rel")
	fi
	fetch_all "$suite" amd64 "$root" "${more[@]}" dash make mawk grep sed coreutils findutils bash diffutils || return
	ln -sf dash "$root/usr/bin/sh"
	ln -sf mawk "$root/usr/bin/awk"
	mkdir -p "$root"/{proc,dev,tmp,src}
	: >"$root/dev/null"
}

make_kernel()
{
	local name=$1 arch=$2 row suite build deb rel pkgs image kbuild dir=$CRK_CACHE/kernels/$1-$2 root final f

	[ ! -e "$dir" ] || return 0
	row=$(kernel_row "$name" "$arch")
	[ "$row" ] || die "kernel $name ($arch) is not in scripts/kernels.list"
	read -r _ _ suite build <<<"$row"
	deb=$(deb_arch "$arch")
	need_apt "$suite" "$deb" || return
	rel=$(find_release "$suite" "$deb" "$name")
	[ "$rel" ] || die "Debian's $suite has no kernel $name: change scripts/kernels.list"
	say "fetching Linux $rel, once"
	rm -rf "$dir".new.*
	final=$dir/root root=$dir.new.$$/root
	mkdir -p "$root"
	usr_merge "$root"

	# Newer packaging: linux-image-* is empty and depends on the kernel and the modules
	image=$(private_apt "$suite" "$deb" apt-cache depends "linux-image-$rel" |
		awk '$1 == "Depends:" && $2 ~ /^linux-(binary|modules)-/ { print $2 }')
	pkgs=$(private_apt "$suite" "$deb" apt-cache depends "linux-headers-$rel" |
		awk '$1 == "Depends:" && $2 ~ /^linux-headers-/ { print $2 }')
	kbuild=$(private_apt "$suite" "$deb" apt-cache depends "linux-headers-$rel" |
		awk '$1 == "Depends:" && $2 ~ /^linux-kbuild-/ { print $2 }')
	[ "$build" != chroot ] || fetch_chroot "$suite" "$deb" "$root" "$rel" || return
	if [ "$build" = host ] || [ "$VM_CROSS" ]; then
		# shellcheck disable=SC2086	# a list of packages
		fetch "$suite" "$deb" "$root" "linux-headers-$rel" $pkgs || return
	fi
	if [ "$build" = host ]; then
		fetch_kbuild "$suite" "$deb" "$root" "$kbuild" || return
		# The headers are not where they think: make their absolute paths ours
		grep -rlI --include=Makefile "/usr/src/linux-headers" "$root/usr/src" | while read -r f; do
			sed -i "s#/usr/src/linux-headers#$final/usr/src/linux-headers#g" "$f"
		done
	fi
	# shellcheck disable=SC2086	# a list of packages
	fetch "$suite" "$deb" "$root" ${image:-linux-image-$rel} || return
	echo "$rel" >"$dir.new.$$/release"
	echo "$build" >"$dir.new.$$/build"

	if [ -f "$root/usr/lib/modules/$rel/vmlinuz" ]; then
		cp "$root/usr/lib/modules/$rel/vmlinuz" "$dir.new.$$/vmlinuz"
	else
		mkdir -p "$root/usr/lib/modules"
		mv "$root/boot/vmlinuz-$rel" "$dir.new.$$/vmlinuz" || return
	fi
	mkdir -p "$root/usr/lib/modules/$rel/extra"
	crk_stub "$root/usr/lib/modules/$rel/extra/crk.ko" || return
	depmod -b "$root" "$rel" || return
	[ ! "$VM_ELF" ] || expand_kernel "$dir.new.$$/vmlinuz" "$dir.new.$$/vmlinux" || :
	mv "$dir.new.$$" "$dir"
}

# expand_kernel VMLINUZ VMLINUX: what is packed in a bzImage.  QEMU starts an ELF image with a PVH note as it is, and
# unpacking costs seconds under emulation.
expand_kernel()
{
	local magic off tool

	for tool in 'xz -dcq --single-stream' 'zstd -dcq' 'gzip -dcq' 'lz4 -dcq'; do
		case $tool in
		xz*)	magic=$'\xfd7zXZ' ;;
		zstd*)	magic=$'\x28\xb5\x2f\xfd' ;;
		gzip*)	magic=$'\x1f\x8b\x08' ;;
		lz4*)	magic=$'\x02\x21\x4c\x18' ;;
		esac
		LC_ALL=C grep -aboF "$magic" "$1" | cut -d: -f1 | while read -r off; do
			# the packer's stream ends before the file does: tools complain, the result counts
			tail -c "+$((off + 1))" "$1" | $tool >"$2" 2>/dev/null
			if [ "$(head -c 4 "$2" | tail -c 3)" = ELF ]; then
				break
			fi
			rm -f "$2"
		done
		[ ! -e "$2" ] || return 0
	done
	return 1
}

# A kernel tree of the user's own, built: its modules are installed into the cache when it was built anew
make_tree_kernel()
{
	local tree=$1 dir=$2 rel root=$2/root image=$VM_IMAGE

	rel=$(cat "$tree/include/config/kernel.release" 2>/dev/null)
	[ -e "$tree/$image" ] || die "$tree: no kernel has been built there"
	if [ -e "$dir/installed" ] && [ "$tree/$image" -ot "$dir/installed" ] &&
	   [ ! "$tree/modules.order" -nt "$dir/installed" ]; then
		return 0
	fi
	say "installing the modules of $tree"
	rm -rf "$dir"
	mkdir -p "$root/usr/lib/modules/$rel/extra"
	usr_merge "$root"
	if grep -q '^CONFIG_MODULES=y' "$tree/.config"; then
		quietly "installation of modules" make -C "$tree" INSTALL_MOD_PATH="$root/usr" INSTALL_MOD_STRIP=1 \
			modules_install || return
	fi
	crk_stub "$root/usr/lib/modules/$rel/extra/crk.ko" || return
	depmod -b "$root" "$rel" || return
	ln -s "$tree" "$dir/tree"
	ln -s "$tree/$image" "$dir/vmlinuz"
	if [ "$VM_ELF" ] && grep -q '^CONFIG_PVH=y' "$tree/.config"; then
		ln -s "$tree/vmlinux" "$dir/vmlinux"
	fi
	echo "$rel" >"$dir/release"
	touch "$dir/installed"
}

# need_kernel NAME|TREE ARCH: sets KERNEL (its directory in the cache), KERNEL_ROOT (what is unpacked there),
# KERNEL_RELEASE and VM_*
need_kernel()
{
	local tree

	use_arch "$2"
	if [ -d "$1" ]; then
		tree=$(cd "$1" && pwd) || return
		KERNEL=$CRK_CACHE/kernels/tree-$(printf '%s' "$tree" | sha1sum | cut -c1-10)
		with_lock "kernel-${KERNEL##*/}" make_tree_kernel "$tree" "$KERNEL" || return
	else
		KERNEL=$CRK_CACHE/kernels/$1-$2
		[ -e "$KERNEL" ] || with_lock "kernel-$1-$2" make_kernel "$1" "$2" || return
	fi
	KERNEL_ROOT=$KERNEL/root
	KERNEL_RELEASE=$(cat "$KERNEL/release")
}

# --- the guest's own tools ---------------------------------------------------

# make_tool OUT CROSS FILE.c...
make_tool()
{
	local out=$1 cross=$2
	shift 2

	[ ! -e "$out" ] || return 0
	mkdir -p "${out%/*}"
	quietly "build of ${1##*/}" "${cross}gcc" -static -Os -Wall -o "$out.new" "$@" || return
	mv "$out.new" "$out"
}

# need_init ARCH: sets INIT, the static PID 1
need_init()
{
	INIT=$CRK_CACHE/tools/init-$1-$(cat "$CRK_VM"/{init.c,files.c,files.h} | sha1sum | cut -c1-10)
	[ -e "$INIT" ] || with_lock "init-$1" make_tool "$INIT" "$VM_CROSS" "$CRK_VM"/{init,files}.c
}

# need_tsc: sets TSC, the program that tells how fast this machine's time stamp counter is
need_tsc()
{
	TSC=$CRK_CACHE/tools/tsc-$(sha1sum <"$CRK_VM/tsc.c" | cut -c1-10)
	[ -e "$TSC" ] || with_lock tsc make_tool "$TSC" "" "$CRK_VM/tsc.c"
}

make_busybox()
{
	local deb out=$2

	[ ! -e "$out" ] || return 0
	deb=$(deb_arch "$1")
	need_apt bookworm "$deb" || return
	rm -rf "$out".new.*
	mkdir -p "$out.new.$$"
	usr_merge "$out.new.$$"
	fetch bookworm "$deb" "$out.new.$$" busybox-static || return
	mv "$out.new.$$/usr/bin/busybox" "$out"
	rm -rf "$out.new.$$"
}

# need_busybox ARCH: sets BUSYBOX, the static program
need_busybox()
{
	BUSYBOX=$(command -v busybox)
	[ "$VM_CROSS" ] || return 0
	BUSYBOX=$CRK_CACHE/tools/busybox-$1
	[ -e "$BUSYBOX" ] || with_lock "busybox-$1" make_busybox "$1" "$BUSYBOX"
}

# The modules, in order, that a guest needs for something; those built in have no file
module_closure()
{
	local m

	for m in "${@:2}"; do
		modprobe -d "$KERNEL_ROOT" -S "$KERNEL_RELEASE" --show-depends "$m" 2>/dev/null || :
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

copy_modules()
{
	local set=$1 dir=$2 f name

	shift 2
	module_closure "$KERNEL" "$@" | while read -r f; do
		name=${f##*/}
		name=${name%%.ko*}.ko
		case $f in
		*.xz)	xz -dc "$f" ;;
		*.zst)	zstd -qdc "$f" ;;
		*)	cat "$f" ;;
		esac >"$dir/mod/$name"
		echo "load /mod/$name"
	done >"$dir/load.$set"
}

make_initrd()
{
	local out=$1 tmp applet

	[ ! -e "$out/initrd" ] || return 0
	tmp=$(mktemp -d -p "$CRK_CACHE") || return
	mkdir -p "$tmp/mod" "$tmp/minimal"/{bin,sbin,usr/bin,usr/sbin,etc,root,tmp,var,lib,lib64}
	copy_modules base "$tmp" "$VM_MODULE" virtio_console
	copy_modules disk "$tmp" virtio_blk crc32c_generic crc32c ext4
	copy_modules share "$tmp" 9pnet_virtio 9p
	cp "$INIT" "$tmp/init"
	cp "$BUSYBOX" "$tmp/minimal/bin/busybox" || return
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$tmp/minimal/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tmp/minimal/etc/passwd"
	echo 'root:x:0:' >"$tmp/minimal/etc/group"
	mkdir -p "$out"
	mv "$tmp"/load.* "$out/"
	(cd "$tmp" && find . -mindepth 1 | as_root cpio -o -H newc --quiet -R 0:0) >"$out/initrd.new" || return
	rm -rf "$tmp"
	mv "$out/initrd.new" "$out/initrd"
}

# need_initrd ARCH: sets INITRD for KERNEL: a directory with initrd and load.*, what to load for what
need_initrd()
{
	need_init "$1" && need_busybox "$1" || return
	INITRD=$KERNEL/initrd-${INIT##*-}-$(sha1sum <"${BASH_SOURCE[0]}" | cut -c1-6)
	[ -e "$INITRD/initrd" ] || with_lock "initrd-${KERNEL##*/}" make_initrd "$INITRD"
}

# --- parts of the kernel's source, and the peer ------------------------------

make_source()
{
	local dir=$1 tmp

	[ ! -e "$dir" ] || return 0
	need_apt bookworm-backports amd64 || return
	say "fetching checkpatch and the kselftest headers from the kernel's source, once"
	tmp=$dir.new.$$
	mkdir -p "$tmp/deb" "$tmp/tree"
	fetch bookworm-backports amd64 "$tmp/deb" linux-source-6.12 || return
	tar -xf "$tmp"/deb/usr/src/linux-source-6.12.tar.xz -C "$tmp/tree" --strip-components=1 --wildcards \
		'*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' \
		'*/tools/testing/selftests/kselftest*.h' '*/scripts/kernel-doc' || return
	mv "$tmp/tree" "$dir"
	rm -rf "$tmp"
}

# need_source: sets KSRC, a kernel source tree with only checkpatch, kernel-doc and the kselftest headers in it
need_source()
{
	KSRC=$CRK_CACHE/source-6.12
	[ -e "$KSRC" ] || with_lock source make_source "$KSRC"
}

make_criu()
{
	local dir=$1

	[ ! -e "$dir" ] || return 0
	need_apt sid amd64 && need_apt bookworm amd64 || return
	say "fetching the newest CRIU, to compare with, once"
	rm -rf "$dir".new.*
	mkdir -p "$dir.new.$$"
	usr_merge "$dir.new.$$"
	fetch_all sid amd64 "$dir.new.$$" criu || return
	# With its own C library, at a fixed place in the guest; a wrapper would count in what is measured
	fetch bookworm amd64 "$dir.new.$$" patchelf || return
	quietly "patchelf of criu" "$dir.new.$$/usr/bin/patchelf" --force-rpath \
		--set-rpath /opt/criu/usr/lib/x86_64-linux-gnu:/opt/criu/usr/lib \
		--set-interpreter /opt/criu/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
		"$dir.new.$$/usr/sbin/criu" || return
	ln -s usr/sbin/criu "$dir.new.$$/criu"
	mv "$dir.new.$$" "$dir"
}

# need_criu: sets CRIU, a directory with sid's CRIU; it runs as /opt/criu/criu in a guest that has it there
need_criu()
{
	CRIU=$CRK_CACHE/criu-sid
	[ -e "$CRIU" ] || with_lock criu make_criu "$CRIU"
}

# --- crk itself --------------------------------------------------------------

# kernel_make DIR ARG…: make in DIR, an external module, for KERNEL, with the compiler that fits
kernel_make()
{
	local dir=$1 root=$KERNEL_ROOT headers=/usr/src/linux-headers-$KERNEL_RELEASE unshare=(unshare -m)
	local make=(make M="$dir" CONFIG_DEBUG_INFO_BTF_MODULES=)

	shift
	[ ! "$VM_CROSS" ] || make+=(ARCH="$VM_KARCH" CROSS_COMPILE="$VM_CROSS")
	if [ -e "$KERNEL/tree" ]; then
		"${make[@]}" -C "$(readlink -f "$KERNEL/tree")" "$@"
		return
	fi
	if [ "$(cat "$KERNEL/build")" = host ]; then
		"${make[@]}" -C "$root$headers" "$@"
		return
	fi
	# The paths in the chroot are those outside, so that messages and dependency files fit.  objtool needs /proc.
	mkdir -p "$root$dir" "$root/proc" "$root/dev"
	[ "$(id -u)" = 0 ] || unshare=(unshare -rm)
	# shellcheck disable=SC2016	# expanded by the inner shell
	"${unshare[@]}" sh -e -c '
		root=$1 dir=$2
		shift 2
		mount --rbind /proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount --bind "$dir" "$root$dir"
		exec env PATH=/usr/sbin:/usr/bin LC_ALL=C chroot "$root" "$@"
	' sh "$root" "$dir" "${make[@]}" -C "$headers" "$@"
}

# sync_sources DIR: a copy of what a module is made of; prints the files that changed
sync_sources()
{
	mkdir -p "$1"
	(cd "$CRK_TOP" && rsync -rlc --delete --out-format=%n --include='*/' --include='*.[chS]' --include=Kbuild \
		--include=Makefile --exclude='*' Kbuild module uapi arch "$1/") | grep -v '/$'
}

# kernels of our own have one release and different options: the directory is of the kernel
build_module()
{
	local dir=$CRK_CACHE/build/$KERNEL_RELEASE-${KERNEL##*/}/$CRK_TREE out=$1 changed

	changed=$(sync_sources "$dir")
	if [ "$changed" ] || [ ! -e "$dir/built" ] || [ "$KERNEL/release" -nt "$dir/built" ]; then
		rm -f "$dir/built"
		quietly "build of crk.ko for $KERNEL_RELEASE" kernel_make "$dir" -j2 modules || return
		touch "$dir/built"
	fi
	"${VM_CROSS}objcopy" --strip-debug "$dir/crk.ko" "$out"
}

helper_libs=(libprotobuf-c-dev libxxhash-dev liblz4-dev libzstd-dev)

make_libs()
{
	local deb dir=$2

	[ ! -e "$dir" ] || return 0
	deb=$(deb_arch "$1")
	need_apt bookworm "$deb" || return
	say "fetching the libraries that crkhelper is linked with for $1, once"
	rm -rf "$dir".new.*
	mkdir -p "$dir.new.$$"
	usr_merge "$dir.new.$$"
	fetch bookworm "$deb" "$dir.new.$$" "${helper_libs[@]}" || return
	mv "$dir.new.$$" "$dir"
}

# need_libs ABI: sets LIBS, a tree with the headers and libraries that crkhelper needs besides the C library
need_libs()
{
	LIBS=$CRK_CACHE/libs-$1-$(printf '%s\n' "${helper_libs[@]}" | sha1sum | cut -c1-6)
	[ -e "$LIBS" ] || with_lock "libs-$1" make_libs "$1" "$LIBS"
}

# build_helper OUT ABI
build_helper()
{
	local triplet

	if [ "$2" = x86_64 ]; then
		quietly "build of crkhelper" make -C "$CRK_TOP/helper" -j2 || return
		cp "$CRK_TOP/helper/crkhelper" "$1"
		return
	fi
	need_libs "$2" || return
	triplet=$(triplet "$2")
	quietly "build of crkhelper for $2" make -C "$CRK_TOP/helper" -j2 CROSS="$triplet-" SYSROOT="$LIBS" || return
	cp "$CRK_TOP/helper/build-$triplet/crkhelper" "$1"
}

# need_crk DIR ABI[,ABI]: puts crk.ko into DIR, and into DIR/bin crkhelper of the first ABI and crkhelper-ABI of the others,
# as far as there are sources
need_crk()
{
	local abi name=crkhelper

	if [ -e "$CRK_TOP/module/main.c" ]; then
		with_lock "build-$KERNEL_RELEASE-$CRK_TREE" build_module "$1/crk.ko" || return
	fi
	[ -e "$CRK_TOP/helper/Makefile" ] || return 0
	mkdir -p "$1/bin"
	for abi in ${2//,/ }; do
		with_lock "build-helper-$CRK_TREE" build_helper "$1/bin/${name:-crkhelper-$abi}" "$abi" || return
		name=
	done
}
