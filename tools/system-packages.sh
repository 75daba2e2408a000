#!/usr/bin/env bash
# Install the system packages that are asked for and missing, and say so.
#
#   tools/system-packages.sh [cryptsetup] [venv]
#
# cryptsetup  the program that tests/interop compares with (Debian: cryptsetup-bin)
# venv        the standard library's ensurepip, which Debian packages apart (python3-venv)
#
# Works as root, or through sudo; otherwise it ends with the command that a person can run.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
python=${PYTHON:-python3}

missing=()
for need in "$@"; do
  case $need in
    cryptsetup) command -v cryptsetup >/dev/null || missing+=(cryptsetup-bin) ;;
    venv) "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
    *) echo "system-packages: unknown need '$need'" >&2; exit 2 ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

say_and_stop() {
  {
    echo "$1"
    echo "Missing system packages: ${missing[*]}. On Debian, run this and try again:"
    echo "    sudo apt-get install ${missing[*]}"
  } >&2
  exit 1
}

command -v apt-get >/dev/null || say_and_stop "There is no apt-get here."
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || say_and_stop "Neither root nor sudo."
  as_root=(sudo)
  [ -t 0 ] || as_root=(sudo -n)   # nobody is there to type a password
fi

echo "Installing missing system packages: ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
  --no-install-recommends install "${missing[@]}")
"${as_root[@]}" apt-get -qq update || echo "apt-get update failed; trying the lists that are here" >&2
"${install[@]}" >/dev/null || say_and_stop "apt-get could not install them."
