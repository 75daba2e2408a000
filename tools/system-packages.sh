#!/usr/bin/env bash
# Install the system packages that are asked for and missing, and say so.
#
#   tools/system-packages.sh [cryptsetup] [filesystems] [venv] [vm]
#
# cryptsetup  the program that tests/interop compares with (Debian: cryptsetup-bin)
# filesystems the programs of ext4 and XFS, on files (Debian: e2fsprogs and xfsprogs)
# venv        the standard library's ensurepip, which Debian packages apart (python3-venv)
# vm          what tests/kernel needs: QEMU, virtiofsd, kmod, and what a node has: cryptsetup,
#             dmsetup, ext4 and XFS tools. Kernel, udev and BusyBox are not among them: nothing
#             that boots or changes a machine is installed (see tools/vm_bed.py).
#
# Works as root, or through sudo; otherwise it ends with the command that a person can run.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
python=${PYTHON:-python3}

missing=()
program() { command -v "$1" >/dev/null || missing+=("$2"); }
for need in "$@"; do
  case $need in
    cryptsetup) program cryptsetup cryptsetup-bin ;;
    filesystems) program debugfs e2fsprogs; program mkfs.xfs xfsprogs ;;
    venv) "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
    vm)
      program qemu-system-x86_64 qemu-system-x86
      # Debian 12 has it in a package that QEMU depends on, Debian 13 in one of its own.
      [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ] || missing+=(virtiofsd)
      program depmod kmod
      program cryptsetup cryptsetup-bin
      program dmsetup dmsetup
      program debugfs e2fsprogs
      program mkfs.xfs xfsprogs
      ;;
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

"${as_root[@]}" apt-get -qq update || echo "apt-get update failed; trying the lists that are here" >&2
for index in "${!missing[@]}"; do
  [ "${missing[$index]}" != virtiofsd ] || apt-cache show virtiofsd >/dev/null 2>&1 ||
    unset "missing[$index]"
done
echo "Installing missing system packages: ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
  --no-install-recommends install "${missing[@]}")
"${install[@]}" >/dev/null || say_and_stop "apt-get could not install them."
