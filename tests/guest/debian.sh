# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Packages of Debian trixie on any Debian, without root and without touching the machine's own
# apt: apt is given sources, lists, cache and an empty dpkg status of its own, dpkg-deb unpacks.
# No maintainer script runs, nothing is installed. The mirror is one that the machine's own apt
# sources name, and what comes from it must be signed by Debian's archive keys.
#
#   debian_open DIR             makes DIR the private state, finds a mirror
#   debian_get DIR apt-get ...  any apt command on that state; packages land in DIR/debs
#   debian_unpack TREE DEB...   the files of packages, without documentation

debian_release=trixie

debian_fail() {
	echo "$*" >&2
	return 1
}

debian_get() {
	local dir=$1 command=$2
	shift 2
	"$command" -q -o Dir::State="$dir/state" -o Dir::State::status="$dir/status" \
		-o Dir::Cache="$dir/cache" -o Dir::Cache::archives="$dir/debs" \
		-o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Default-Release= \
		-o APT::Install-Recommends=false -o APT::Sandbox::User= "$@"
}

# The places where this machine gets Debian from, likeliest first. apt itself reads its sources
# here, in both formats; a third party's "bookworm main" fails the signature check later.
debian_mirrors() {
	local codename
	if [ -n "${RIDGE_DEBIAN_MIRROR:-}" ]; then
		echo "$RIDGE_DEBIAN_MIRROR"
		return
	fi
	codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-none}")
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v codename="$codename" '
			$3 != "main" || $1 ~ /security/ { next }
			{ score[$1] += 1 }
			$2 == codename || $2 ~ /^(stable|testing|unstable|sid)$/ { score[$1] += 4 }
			$2 == codename "-updates" { score[$1] += 8 }
			END { for (uri in score) print score[uri], uri }' |
		sort -k1,1nr -k2 | cut -d' ' -f2
}

debian_open() {
	local dir=$1 keyring mirror log=$1/update.log
	mkdir -p "$dir/state/lists/partial" "$dir/cache" "$dir/debs/partial"
	: >"$dir/status"
	for keyring in /usr/share/keyrings/debian-archive-keyring.gpg \
		/usr/share/keyrings/debian-archive-keyring.pgp; do
		[ -r "$keyring" ] && break
	done
	[ -r "$keyring" ] || debian_fail "no /usr/share/keyrings/debian-archive-keyring.gpg:" \
		"install debian-archive-keyring" || return 1

	: >"$log"
	for mirror in $(debian_mirrors); do
		printf "deb [signed-by=$keyring] $mirror %s main\\n" \
			"$debian_release" "$debian_release-backports" >"$dir/sources.list"
		if debian_get "$dir" apt-get update -o APT::Update::Error-Mode=any >>"$log" 2>&1; then
			return 0
		fi
	done
	cat "$log" >&2
	debian_fail "no mirror in this machine's apt sources gives Debian $debian_release and" \
		"$debian_release-backports; name one in RIDGE_DEBIAN_MIRROR"
}

debian_unpack() {
	local tree=$1
	shift
	mkdir -p "$tree"
	printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" sh -c '
		dpkg-deb --fsys-tarfile "$2" |
		tar -x -C "$1" --no-same-owner --exclude=./usr/share/doc --exclude=./usr/share/man \
			--exclude=./usr/share/locale' sh "$tree"
}
