# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share: the cache and its locks, a private apt that touches nothing of the host, the kernels of
# kernels.list, the tools of the guest (PID 1, initramfs, default root file system), builds of crk for a guest.
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

# --- a private apt -----------------------------------------------------------

# The mirror is the host's: "uri|release" of all package sources that look like Debian's own
host_mirrors()
{
	# shellcheck disable=SC2016	# apt expands them
	apt-get indextargets --no-release-info --format '$(REPO_URI)|$(RELEASE)' 'Identifier: Packages' |
		grep -E '\|(bookworm|trixie|stable)(-security)?$' | sort -u
}

apt_sources()
{
	local suite=$1 mirrors main security key=

	mirrors=$(host_mirrors)
	main=$(grep -v -e '-security$' <<<"$mirrors" | head -n1 | cut -d'|' -f1)
	security=$(grep -e '-security$' <<<"$mirrors" | head -n1 | cut -d'|' -f1)
	[ "$main" ] || die "the host's apt knows no Debian mirror"
	if [ -f /usr/share/keyrings/debian-archive-keyring.gpg ]; then
		key=' [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	fi
	if [ "$suite" = sid ]; then
		echo "deb$key $main sid main"
		return
	fi
	echo "deb$key $main bookworm main"
	echo "deb$key $main bookworm-updates main"
	[ -z "$security" ] || echo "deb$key $security bookworm-security main"
	[ "$suite" = bookworm ] || echo "deb$key $main $suite main"
}

# private_apt SUITE ARCH CMD…: apt-get or apt-cache in a world of its own where nothing is installed
private_apt()
{
	local suite=$1 arch=$2 dir=$CRK_CACHE/apt/$1-$2

	shift 2
	APT_CONFIG=$dir/apt.conf "$@"
}

make_apt()
{
	local suite=$1 arch=$2 dir=$CRK_CACHE/apt/$1-$2

	if [ -f "$dir/updated" ] && [ -z "$(find "$dir/updated" -mmin +720)" ]; then
		return 0
	fi
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
	: >"$dir/status"
	apt_sources "$suite" >"$dir/sources.list.new" || return
	mv "$dir/sources.list.new" "$dir/sources.list"
	cat >"$dir/apt.conf" <<-END
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "$dir/parts";
		Dir::Etc::preferences "$dir/preferences";
		Dir::Etc::preferencesparts "$dir/parts";
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		APT::Default-Release "$suite";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dir::Log "$dir";
	END
	say "reading the package index of $suite ($arch)"
	# One index that can't be had is no reason to stop: what is missing shows when it is asked for
	private_apt "$suite" "$arch" apt-get -q update >"$dir/update.log" 2>&1 || cat "$dir/update.log" >&2
	touch "$dir/updated"
}

need_apt()
{
	with_lock "apt-$1-$2" make_apt "$1" "$2"
}

# unpack DEB DIR: without documentation, into a tree where /lib is /usr/lib
unpack()
{
	dpkg-deb --fsys-tarfile "$1" |
		as_root tar -x --keep-directory-symlink --no-same-owner -C "$2" \
			--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
			--exclude='./usr/share/locale/*' --exclude='./usr/share/info/*' \
			--exclude='./usr/share/lintian/*' --exclude='./dev/*'
}

usr_merge()
{
	local d

	mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
	for d in bin sbin lib lib64; do
		ln -sfn usr/$d "$1/$d"
	done
}

# fetch SUITE ARCH DIR PACKAGE…: download packages alone, no dependencies, and unpack them into DIR
fetch()
{
	local suite=$1 arch=$2 dir=$3 tmp deb

	shift 3
	tmp=$(mktemp -d -p "$CRK_CACHE") || return
	(
		cd "$tmp" || exit
		private_apt "$suite" "$arch" quietly "download of $*" apt-get -q download "$@" || exit
		for deb in *.deb; do
			unpack "$deb" "$dir" || exit
		done
	) || { rm -rf "$tmp"; return 1; }
	rm -rf "$tmp"
}

# fetch_all SUITE ARCH DIR PACKAGE…: the same with all that they depend on; what was downloaded is kept for the next time
fetch_all()
{
	local suite=$1 arch=$2 dir=$3 kept=$CRK_CACHE/apt/$1-$2/kept tmp deb

	shift 3
	tmp=$(mktemp -d -p "$CRK_CACHE") || return
	mkdir -p "$tmp/partial" "$kept"
	(
		# apt leaves out what is there and has the right size; the rest of what is kept is not wanted
		private_apt "$suite" "$arch" apt-get -qq -y -o "Dir::Cache::archives=$tmp" --print-uris install "$@" |
			awk '{ print $2 }' | while read -r deb; do
			[ ! -e "$kept/$deb" ] || ln "$kept/$deb" "$tmp/"
		done
		private_apt "$suite" "$arch" quietly "download of $* and what they need" \
			apt-get -q -y -o "Dir::Cache::archives=$tmp" --download-only install "$@" || exit
		cd "$tmp" || exit
		for deb in *.deb; do
			unpack "$deb" "$dir" || exit
			rm -f "$kept/${deb%%_*}"_*
			ln -f "$deb" "$kept/" || exit
		done
	) || { rm -rf "$tmp"; return 1; }
	rm -rf "$tmp"
}

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

# make_tool NAME OUT [CROSS]
make_tool()
{
	local name=$1 out=$2 cross=${3-}

	[ ! -e "$out" ] || return 0
	mkdir -p "${out%/*}"
	quietly "build of $name.c" "${cross}gcc" -static -Os -Wall -o "$out.new" "$CRK_VM/$name.c" || return
	mv "$out.new" "$out"
}

# need_init ARCH: sets INIT, the static PID 1
need_init()
{
	INIT=$CRK_CACHE/tools/init-$1-$(sha1sum <"$CRK_VM/init.c" | cut -c1-10)
	[ -e "$INIT" ] || with_lock "init-$1" make_tool init "$INIT" "$VM_CROSS"
}

# need_tsc: sets TSC, the program that tells how fast this machine's time stamp counter is
need_tsc()
{
	TSC=$CRK_CACHE/tools/tsc-$(sha1sum <"$CRK_VM/tsc.c" | cut -c1-10)
	[ -e "$TSC" ] || with_lock tsc make_tool tsc "$TSC"
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

# --- root file systems -------------------------------------------------------

# pack_image DIR IMG: an ext4 image with room to write in; sparse, needs no mount
pack_image()
{
	local kib inodes

	kib=$(du -skx --apparent-size "$1" | cut -f1)
	inodes=$(du -sx --inodes "$1" | cut -f1)
	# shellcheck disable=SC2016
	as_root quietly "packing of $1" mke2fs -q -F -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 \
		-N $((inodes + 100000)) -d "$1" "$2" $((kib + kib / 4 + inodes + (2 << 20)))k
}

# Files that maintainer scripts would make
finish_debian()
{
	local dir=$1 link

	cat >"$dir/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/bash
		daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
		redis:x:100:100::/var/lib/redis:/usr/sbin/nologin
		user:x:1000:1000:user:/home/user:/bin/bash
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
	END
	cat >"$dir/etc/group" <<-'END'
		root:x:0:
		daemon:x:1:
		tty:x:5:
		disk:x:6:
		redis:x:100:
		user:x:1000:
		nogroup:x:65534:
	END
	printf '127.0.0.1\tlocalhost crk\n::1\tlocalhost\n' >"$dir/etc/hosts"
	echo crk >"$dir/etc/hostname"
	echo 'hosts: files' >"$dir/etc/nsswitch.conf"
	ln -sf /proc/self/mounts "$dir/etc/mtab"
	mkdir -p "$dir"/{root,home/user,proc,sys,dev,run,tmp,var/tmp,var/lib/redis,var/log/redis,mnt,opt}
	chmod 1777 "$dir/tmp" "$dir/var/tmp"
	as_root chown 1000:1000 "$dir/home/user" 2>/dev/null || :
	while read -r link; do
		# shellcheck disable=SC2086	# target and name
		set -- $link
		[ ! -e "$dir/usr/bin/$1" ] || ln -sfn "$1" "$dir/usr/bin/$2"
	done <<-'END'
		dash sh
		gawk awk
		gcc cc
		which.debianutils which
	END
	as_root ldconfig -r "$dir"
}

# packages_of [ARCH]: those of debian.packages that are marked as ARCH's, or those without a mark
packages_of()
{
	awk -v arch="${1-}" '{ sub("#.*", ""); for (i = 1; i <= NF; i++) { split($i, p, ":"); if (p[2] == arch) print p[1] } }' \
		"$CRK_VM/debian.packages"
}

# Programs of i386 beside those of amd64: they go to /opt/i386/bin, their libraries where they belong.  What both have,
# such as scripts, is amd64's.
add_i386()
{
	local dir=$1 tmp=$1.i386

	need_apt bookworm i386 || return
	usr_merge "$tmp"
	# shellcheck disable=SC2046	# a list
	fetch_all bookworm i386 "$tmp" $(packages_of i386) || return
	mkdir -p "$dir/opt/i386"
	cp -a "$tmp/usr/bin" "$dir/opt/i386/" || return
	find "$dir/opt/i386/bin" -type f -exec grep -lIZ '^#!' {} + | xargs -0r rm
	find "$dir/opt/i386/bin" -xtype l -delete
	(cd "$tmp" && find etc usr \( -path '*i386-linux-gnu*' -o -name ld-linux.so.2 \) ! -path '*/gconv/*' |
		as_root cpio -pdm --quiet "$dir")
}

make_rootfs()
{
	local arch=$1 image=$2 deb dir

	[ ! -e "$image" ] || return 0
	deb=$(deb_arch "$arch")
	need_apt bookworm "$deb" || return
	say "making the Debian root file system, once"
	mkdir -p "${image%/*}"
	rm -rf "${image%/*}"/*.new.*
	dir=$image.new.$$
	mkdir -p "$dir/root"
	usr_merge "$dir/root"
	# shellcheck disable=SC2046	# a list
	fetch_all bookworm "$deb" "$dir/root" $(packages_of | grep -v -x -F "${VM_NOT_PACKAGED:-#}") || return
	[ "$arch" != x86_64 ] || add_i386 "$dir/root" || return
	finish_debian "$dir/root" || return
	pack_image "$dir/root" "$dir/image" || return
	mv "$dir/image" "$image"
	rm -rf "$dir"
}

# need_rootfs ARCH: sets ROOTFS, the image of the default root file system
need_rootfs()
{
	local id

	use_arch "$1"
	id=$(sed -n -e '/^add_i386/,/^}/p' -e '/^finish_debian/,/^}/p' "${BASH_SOURCE[0]}" |
		cat - "$CRK_VM/debian.packages" | sha1sum | cut -c1-10)
	ROOTFS=$CRK_CACHE/rootfs/debian-$1-$id.ext4
	[ -e "$ROOTFS" ] || with_lock "rootfs-$1" make_rootfs "$1" "$ROOTFS"
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

build_module()
{
	local dir=$CRK_CACHE/build/$KERNEL_RELEASE/$CRK_TREE out=$1 changed

	changed=$(sync_sources "$dir")
	if [ "$changed" ] || [ ! -e "$dir/built" ] || [ "$KERNEL/release" -nt "$dir/built" ]; then
		rm -f "$dir/built"
		quietly "build of crk.ko for $KERNEL_RELEASE" kernel_make "$dir" -j2 modules || return
		touch "$dir/built"
	fi
	"${VM_CROSS}objcopy" --strip-debug "$dir/crk.ko" "$out"
}

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
	fetch bookworm "$deb" "$dir.new.$$" libprotobuf-c-dev libxxhash-dev || return
	mv "$dir.new.$$" "$dir"
}

# need_libs ABI: sets LIBS, a tree with the headers and libraries that crkhelper needs besides the C library
need_libs()
{
	LIBS=$CRK_CACHE/libs-$1
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

# need_crk DIR HELPER: puts crk.ko and, if HELPER, crkhelper of that ABI, as far as there are sources, into DIR
need_crk()
{
	if [ -e "$CRK_TOP/module/main.c" ]; then
		with_lock "build-$KERNEL_RELEASE-$CRK_TREE" build_module "$1/crk.ko" || return
	fi
	if [ "$2" ] && [ -e "$CRK_TOP/helper/Makefile" ]; then
		with_lock "build-helper-$CRK_TREE" build_helper "$1/crkhelper" "$2" || return
	fi
}
