# The first process of the virtual machine, once its root is that of the host below an overlay: makes
# it a node with a kernel's modules, a loopback interface and, if asked for, udev; then lets the
# agent obey the host, and turns the machine off when the host is gone.
busybox() { /run/vm/busybox "$@"; }

. /run/vm/settings
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

busybox mkdir -p /dev/pts /dev/shm /run/lock /run/cryptsetup /mnt /lib/modules
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
for link in fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
  target=/proc/self/fd
  case $link in *:*) target=$target/${link##*/} ;; esac
  busybox ln -sf "$target" "/dev/${link%%:*}"
done
busybox mount -o bind "$MODULES" /lib/modules
busybox mount -t configfs configfs /sys/kernel/config
busybox ip link set lo up
if [ -n "$NETWORK" ]; then
  busybox ip link set eth0 up
  busybox ip address add "$NETWORK" dev eth0
fi

if [ -n "$UDEV" ]; then
  # Nothing of the host's own udev is used: its rules are about the host.
  busybox mkdir -p /usr/lib/udev "$LIBRARIES/systemd"
  busybox mount -o bind "$UDEV/lib" /usr/lib/udev
  busybox cp "$UDEV"/shared/* "$LIBRARIES/systemd/"
  busybox cp "$UDEV/bin/udevadm" /usr/bin/udevadm
  busybox ln -sf /usr/bin/udevadm /run/vm/systemd-udevd
  /run/vm/systemd-udevd --daemon
  udevadm trigger --action=add --subsystem-match=block
  udevadm settle
fi

"$PYTHON" -I -S "$AGENT"
busybox poweroff -n -f
