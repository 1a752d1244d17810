# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages of any suite and architecture: a private apt that touches nothing of the host, and trees that they are unpacked
# into.  Sourced by lib.sh.

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
