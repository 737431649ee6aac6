#!/usr/bin/env bash
# Installs the Debian packages of tools/packages.txt that are missing, and nothing when none is.
#
# No database server is started: the PostgreSQL packages of Debian create and start a cluster when they are installed;
# that is switched off first, where nobody has configured it yet. TWOFOLD_SKIP_DEPS=1 leaves the machine alone.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list="$top/tools/packages.txt"
log="$top/build/install-packages.log"

die() {
    printf 'deps: %s\n' "$@" >&2
    exit 1
}

if [ -n "${TWOFOLD_SKIP_DEPS:-}" ]; then
    echo "deps: skipped (TWOFOLD_SKIP_DEPS is set)"
    exit 0
fi

mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' "$list" | grep -v '^$')

# Node often comes from elsewhere, and Debian's packages of it would not go together with that.
node_is_here() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' >/dev/null 2>&1
}
if node_is_here; then
    mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | grep -vxE 'nodejs|npm')
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is not a Debian system, so nothing can be installed from here." \
        "Install what tools/packages.txt lists in your system's way, then set TWOFOLD_SKIP_DEPS=1."
fi

# dpkg-query answers with an error when a name is unknown to it; what it prints is still right.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "deps: all ${#wanted[@]} packages are installed"
    exit 0
fi
echo "deps: installing ${#missing[@]} of ${#wanted[@]} packages: ${missing[*]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "packages are missing and this is neither root nor is there sudo. Run as root:" \
        "  apt-get install ${missing[*]}"
    as_root=(sudo)
fi

# No input: a prompt would wait for ever where nobody can answer it. Configuration files that are there stay.
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

# Passes one line in fifty on, so that a long step can be seen to move; everything goes to the log.
progress() {
    tee -a "$log" | awk '
        /^(Get:|Unpacking|Setting up)/ { seen[$1 ~ /^Get:/ ? "fetched" : $1]++; if (++n % 50 == 0) show() }
        function show() {
            printf "deps:   fetched %d, unpacked %d, set up %d\n", seen["fetched"], seen["Unpacking"], seen["Setting"]
            fflush()
        }'
}

mkdir -p "$(dirname "$log")"
: >"$log"

createcluster=/etc/postgresql-common/createcluster.conf
if [ ! -e "$createcluster" ]; then
    echo "deps: telling postgresql-common not to create or start a database server ($createcluster)"
    "${as_root[@]}" mkdir -p "$(dirname "$createcluster")"
    echo "create_main_cluster = false" | "${as_root[@]}" tee "$createcluster" >/dev/null
fi

echo "deps: refreshing the package lists"
if ! apt update -o APT::Update::Error-Mode=any >>"$log" 2>&1; then
    echo "deps: that failed; once more in 5 seconds"
    sleep 5
    apt update -o APT::Update::Error-Mode=any >>"$log" 2>&1 ||
        echo "deps: the lists could not be refreshed; trying with those that are here" >&2
fi

echo "deps: downloading and installing (a few minutes on a new machine; log: build/install-packages.log)"
if ! apt install -y --no-install-recommends "${missing[@]}" 2>&1 | progress; then
    tail -n 15 "$log" >&2
    die "apt-get could not install the packages; its last lines are above, all of them in $log." \
        "Is a Debian 12 package archive reachable from here? See /etc/apt/sources.list and sources.list.d."
fi
echo "deps: done"
