#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing septet needs; with --dev also what
# --config=fuzz and editors need. Safe to run again: it says and does nothing
# when nothing is missing.
#
# It also writes the first line of user.bazelrc: a disk cache for Bazel, under a
# name made of the installed versions. System headers are no inputs of Bazel's
# actions, so results made with other versions must not be found again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Debian package, and how to find it on a system without dpkg:
# command NAME, module NAME (pkg-config) or file PATH.
packages='
bazel-bootstrap         command bazel
bazel-rules-java        file    /usr/share/bazel/rules/java/java
bazel-rules-proto       file    /usr/share/bazel/rules/proto/proto
clang-format            command clang-format
dataset-fashion-mnist   file    /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
fonts-dejavu-core       file    /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
fortunes                file    /usr/share/games/fortunes/science
g++                     command g++
git                     command git
googletest              file    /usr/src/googletest/CMakeLists.txt
libabsl-dev             module  absl_base
libbenchmark-dev        module  benchmark
libcairo2-dev           module  cairo
libdnnl-dev             file    /usr/include/dnnl.hpp
libeigen3-dev           module  eigen3
libgmock-dev            module  gmock
libgtest-dev            module  gtest
libhdf5-dev             module  hdf5
libhwy-dev              module  libhwy
libjpeg62-turbo-dev     module  libjpeg
libminizip-dev          module  minizip
libopenblas-serial-dev  module  openblas
libpng-dev              module  libpng
libprotobuf-dev         module  protobuf
libsentencepiece-dev    module  sentencepiece
libutf8proc-dev         module  libutf8proc
nlohmann-json3-dev      module  nlohmann_json
pkg-config              command pkg-config
protobuf-compiler       command protoc
python3                 command python3
zlib1g-dev              module  zlib
'
dev_packages='
clang                   command clang
clangd                  command clangd
libclang-rt-dev         command clang
'

# What else a compilation reads; the names carry the compiler's version.
toolchain=('g++-*' 'gcc-*' 'clang-*' 'libstdc++-*-dev' libc6-dev linux-libc-dev
  binutils)

say() { printf 'setup.sh: %s\n' "$*" >&2; }

case "${1:-}" in
  '') ;;
  --dev) packages+=$dev_packages ;;
  -h | --help)
    sed -n 's/^# \{0,1\}//; 3,5p' "$0"
    printf '\nUsage: ./setup.sh [--dev]\n'
    exit 0
    ;;
  *)
    say "unknown argument '$1'; usage: ./setup.sh [--dev]"
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
  say "one argument at most; usage: ./setup.sh [--dev]"
  exit 2
fi

base_packages=$(awk '{print $1}' <<<"${packages%"$dev_packages"}")
names=()
missing=()

find_missing_with_dpkg() {
  local installed name
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
    "${names[@]}" 2>/dev/null || true)
  missing=()
  for name in "${names[@]}"; do
    [[ $'\n'$installed$'\n' == *$'\n'"installed $name"$'\n'* ]] ||
      missing+=("$name")
  done
}

find_missing_by_probing() {
  local name kind what
  missing=()
  while read -r name kind what; do
    case "$kind" in
      command) command -v "$what" >/dev/null ;;
      module) pkg-config --exists "$what" 2>/dev/null ;;
      file) [ -e "$what" ] ;;
      *) continue ;;
    esac || missing+=("$name ($kind $what)")
  done <<<"$packages"
}

install_missing() {
  local as_root=() update install
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "missing: ${missing[*]}"
      say "neither root nor sudo; let root run: apt-get install ${missing[*]}"
      exit 1
    fi
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  update=(env DEBIAN_FRONTEND=noninteractive apt-get -qq update)
  install=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
    --no-install-recommends install "${missing[@]}")
  "${as_root[@]}" "${update[@]}" >&2 ||
    say "apt-get update failed; trying with the package lists at hand"
  if ! "${as_root[@]}" "${install[@]}" >&2; then
    say "apt-get could not install: ${missing[*]}"
    exit 1
  fi
}

while read -r name _; do
  # A Bazel of the user's own stays.
  if [ "$name" = bazel-bootstrap ] && command -v bazel >/dev/null; then
    continue
  fi
  [ -z "$name" ] || names+=("$name")
done <<<"$packages"

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  find_missing_with_dpkg
  if [ ${#missing[@]} -gt 0 ]; then
    install_missing
    find_missing_with_dpkg
  fi
  # shellcheck disable=SC2086  # one word a package
  versions=$(dpkg-query -W -f '${Package} ${Version}\n' $base_packages \
    "${toolchain[@]}" 2>/dev/null || true)
else
  find_missing_by_probing
  versions=$(
    g++ -dumpfullversion -dumpmachine
    while read -r name kind what; do
      [ "$kind" != module ] || pkg-config --modversion "$what"
    done <<<"$packages"
  ) 2>/dev/null || true
fi
if [ ${#missing[@]} -gt 0 ]; then
  say "missing, by the names of Debian's packages:"
  printf '  %s\n' "${missing[@]}" >&2
  say "install them with this system's package manager, then run it again"
  exit 1
fi

# Debian's Bazel is 4.2.3 and does not say so. Another one does.
if [[ $'\n'$versions != *$'\n'"bazel-bootstrap "* ]]; then
  version=$(bazel --version 2>/dev/null | sed -n 's/^bazel \([0-9][0-9.]*\).*/\1/p')
  case "$version" in
    4.2.* | 5.* | 6.* | 7.*) ;;
    *)
      say "found Bazel '$version'; septet needs 4.2 to 7"
      exit 1
      ;;
  esac
fi

key=$(printf '%s\n' "$versions" | sha256sum | cut -c 1-16)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/septet
line="build --disk_cache=$cache/disk-$key"
first=
if [ -e user.bazelrc ]; then IFS= read -r first <user.bazelrc || true; fi
if [ "$first" != "$line" ]; then
  # The other lines are the user's.
  {
    printf '%s\n' "$line"
    [ ! -e user.bazelrc ] ||
      grep -v '^build --disk_cache=.*/septet/disk' user.bazelrc || true
  } >"user.bazelrc.$$"
  mv "user.bazelrc.$$" user.bazelrc
fi
