# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Root file systems: images of directories, and the default one, a small Debian made of packages.  Sourced by lib.sh.

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
