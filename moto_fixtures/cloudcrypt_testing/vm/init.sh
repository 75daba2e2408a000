#!/bin/sh
# The first process of the virtual machine, from its initramfs: the host's root becomes its own,
# read-only, below an overlay in memory. guest.sh goes on from there.
export PATH=/bin

give_up() {
  echo "init: $*"
  poweroff -n -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
  insmod "/modules/$module" || echo "init: $module was not loaded"
done </modules.order

mount -t virtiofs -o ro host /lower || give_up "the host's root cannot be mounted"
mount -t tmpfs -o mode=755 tmpfs /upper
mkdir /upper/changes /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work overlay /merged ||
  give_up "there is no overlay over the host's root"
for folder in proc sys dev; do
  mount --move /$folder /merged/$folder || give_up "the host has no folder /$folder"
done
mount -t tmpfs -o mode=755 tmpfs /merged/run || give_up "the host has no folder /run"
mkdir /merged/run/vm
cp /bin/busybox /guest.sh /settings /merged/run/vm/
exec switch_root /merged /run/vm/busybox sh /run/vm/guest.sh
