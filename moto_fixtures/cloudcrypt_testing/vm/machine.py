"""The command lines of one virtual machine: QEMU's, and that of the server of the host's root."""

from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.sizes import MIB
from cloudcrypt_testing.vm.agent import PORT_NAME

PORTS: Final = 8
"""How many NVMe disks of QEMU can be plugged in at once: each takes a port of its own."""

CONTROLLERS: Final = ("google", "azure", "azure-os", "fabric")
"""The SCSI controllers: for each cloud, and for what the kernel presents again as NVMe."""

_KERNEL: Final = (
    *("console=ttyS0", "quiet", "panic=-1", "mitigations=off", "random.trust_cpu=on"),
    # On a busy host the emulated timer can be too late for the test that the kernel makes of it.
    "no_timer_check",
    # As with a disk on PCI, of which there is one path: nvme0n1 belongs to nvme0.
    "nvme_core.multipath=N",
    # As Amazon advises for EBS: a disk that is slow is not a disk that failed.
    "nvme_core.io_timeout=4294967295",
)
_TRANSLATED: Final = 256  # MiB of translated code that the emulator keeps
_HOST_TAG: Final = "host"  # what init.sh mounts


@attrs.frozen
class Machine:
    """What a virtual machine has; ``folder`` takes its sockets and logs."""

    folder: Path
    qemu: Path
    virtiofsd: Path
    kernel: Path
    cpus: int
    memory: int
    """Bytes."""
    has_network: bool

    @property
    def console(self) -> Path:
        """The log of the guest's console."""
        return self.folder / "console.log"

    @property
    def initramfs(self) -> Path:
        """The first root file system, which the caller puts here."""
        return self.folder / "initramfs.cpio"

    @property
    def monitor(self) -> Path:
        """The socket for QMP."""
        return self.folder / "qmp"

    @property
    def port(self) -> Path:
        """The socket of the agent."""
        return self.folder / "agent"

    @property
    def host(self) -> Path:
        """The socket of virtiofsd."""
        return self.folder / "virtiofs"

    def emulator(self) -> list[str | Path]:
        """Return QEMU's command line.

        It emulates, whatever the host could do: a /dev/kvm that is there may still be unable to
        run a stock kernel.
        """
        return [
            self.qemu,
            *("-machine", "q35", "-cpu", "max", "-smp", str(self.cpus)),
            *("-accel", f"tcg,thread=multi,tb-size={_TRANSLATED}"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", self.kernel, "-initrd", self.initramfs, "-append", " ".join(_KERNEL)),
            *("-serial", f"file:{self.console}"),
            *("-chardev", f"socket,id=monitor,path={self.monitor},server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={self.port},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
            *self._memory(),
            *self._controllers(),
            *self._network(),
        ]

    def file_server(self, root: Path, usage: str) -> list[str | Path]:
        """Return virtiofsd's command line.

        Args:
            root: the folder to share.
            usage: what it says when asked for help: there are two programs of this name.
        """
        if "--shared-dir" in usage:  # https://gitlab.com/virtio-fs/virtiofsd: Debian 13
            own = ["--socket-path", str(self.host), "--shared-dir", str(root)]
            own += ["--cache", "always", "--sandbox", "none", "--rlimit-nofile", "0"]
            # overlayfs cannot have a mount below its lower folder that the guest knows of.
            own += ["--no-announce-submounts"]
            own += ["--log-level", "error"]
            own += ["--readonly"] if "--readonly" in usage else []
            return [self.virtiofsd, *own]
        own = [f"--socket-path={self.host}", "-o", f"source={root}", "-o", "cache=always"]
        own += ["-o", "sandbox=chroot", "-o", "no_posix_lock", "-o", "log_level=err"]
        own += ["--rlimit-nofile=0"]
        return [self.virtiofsd, *own]

    def _memory(self) -> list[str]:
        size = f"{self.memory // MIB}M"
        return [
            *("-m", size, "-numa", "node,memdev=memory"),
            # virtiofsd reads and writes the guest's memory.
            *("-object", f"memory-backend-memfd,id=memory,size={size},share=on"),
            *("-chardev", f"socket,id=host,path={self.host}"),
            *("-device", f"vhost-user-fs-pci,chardev=host,tag={_HOST_TAG},queue-size=1024"),
        ]

    def _controllers(self) -> list[str]:
        devices = [f"virtio-scsi-pci,id={name},num_queues=1" for name in CONTROLLERS]
        for number in range(PORTS):
            # Eight functions of one PCI device; the devices before 16 are taken.
            address = f"{16 + number // 8:#x}.{number % 8}"
            device = f"pcie-root-port,id=port{number},bus=pcie.0,chassis={number + 1}"
            devices.append(f"{device},addr={address},multifunction=on")
        return [word for device in devices for word in ("-device", device)]

    def _network(self) -> list[str]:
        if not self.has_network:
            return []
        return ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
