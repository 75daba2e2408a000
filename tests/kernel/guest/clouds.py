"""What QEMU cannot show of a cloud's disks, added to sysfs; and AWS as a guest sees it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.device import ROOT, grown, locate
from cloudcrypt.errors import DeviceError
from cloudcrypt.model import Attachment, BlockDevice
from cloudcrypt.spi import VolumeProvider

SHOWN: Final = Path("/run/shown")
"""A root whose ``dev`` is the guest's, and whose ``sys`` says more than the guest's."""

PATIENCE: Final = 60.0  # seconds
STEP: Final = 0.05
VIRTIO: Final = "virtio_scsi"

VMBUS: Final = {
    1: "f8b3781b-1e82-4818-a1c3-63d806ec15bb",
    2: "f8b3781a-1e82-4818-a1c3-63d806ec15bb",
}
"""azure-vm-utils, ``80-azure-disk.rules``: the controller of data disks, and that of the operating
system; by the number of the controller, see `cloudcrypt_testing.vm.machine.CONTROLLERS`."""

Pages = Mapping[str, str]
"""What namespaces answer to Identify Namespace, in hexadecimal, by their numbers."""


def device_of(attachment: str, pages: Pages | None = None, size: int | None = None) -> BlockDevice:
    """Return the proven device of an attachment, waiting for it, and for it to have a size.

    Args:
        attachment: as the control plane hands it over.
        pages: None for a guest that is as it is; else its controllers are those of Azure's VMBus,
            and its NVMe namespaces answer this.
        size: bytes that the device must have by now, after the cloud resized it.
    """
    wanted = Attachment.from_json(attachment)
    root = ROOT if pages is None else SHOWN
    end = time.monotonic() + PATIENCE
    while True:
        if pages is not None:
            show(pages)
        try:
            found = grown(wanted, size, root=root) if size else locate(wanted, root=root)
        except DeviceError:
            if time.monotonic() > end:
                raise
            time.sleep(STEP)
        else:
            return attrs.evolve(found, path=Path("/dev", found.path.name))


def show(pages: Pages) -> None:
    """Show all disks that there are now below `SHOWN`, as the hosts of the clouds do."""
    if not SHOWN.exists():
        SHOWN.mkdir()
        SHOWN.joinpath("dev").symlink_to("/dev")
        SHOWN.joinpath("sys", "block").mkdir(parents=True)
    block = SHOWN / "sys" / "block"
    real = {path.name: path for path in Path("/sys/block").iterdir()}
    for name in {path.name for path in block.iterdir()} - set(real):
        _forget(block / name)
    for name, path in real.items():
        if name.startswith(("sd", "nvme")):
            _show(block / name, path, pages)


def _forget(path: Path) -> None:
    for each in path.iterdir():
        each.unlink()
    path.rmdir()


def _show(path: Path, real: Path, pages: Pages) -> None:
    if path.exists():
        _forget(path)
    path.mkdir()
    for each in ("dev", "diskseq", "size", "nsid"):
        if (real / each).exists():
            path.joinpath(each).symlink_to(real / each)
    folder = (real / "device").resolve()
    if real.name.startswith("sd"):
        folder = _on_vmbus(folder)
    path.joinpath("device").symlink_to(folder)
    nsid = real / "nsid"
    page = pages.get(nsid.read_text().strip()) if nsid.exists() else None
    if page is not None:
        path.joinpath("identify").write_bytes(bytes.fromhex(page))


def _on_vmbus(real: Path) -> Path:
    """Return the folder of a SCSI disk below a controller that has the GUID of Azure's."""
    hosts = sorted(
        int(path.name.removeprefix("host"))
        for path in Path("/sys/class/scsi_host").iterdir()
        if path.joinpath("proc_name").read_text().strip() == VIRTIO
    )
    host, _, target, _ = real.name.split(":")
    controller = VMBUS.get(hosts.index(int(host)))
    if controller is None:
        return real
    above = SHOWN / "sys" / "devices" / controller
    folder = above / f"host{host}" / f"target{host}:0:{target}" / real.name
    if not folder.exists():
        folder.mkdir(parents=True)
        above.joinpath("device_id").write_text(f"{{{controller}}}\n")
        for each in ("vendor", "model", "rescan"):
            folder.joinpath(each).symlink_to(real / each)
    return folder


def aws(facts: Mapping[str, str]) -> VolumeProvider:
    """Return the adapter of AWS: of the three SDKs it is imported in the shortest time."""
    import boto3  # noqa: PLC0415 - seconds, under emulation, which only some guests need

    from cloudcrypt_aws import AwsProvider  # noqa: PLC0415

    region = facts["region"]
    session = boto3.Session("testing", "testing", region_name=region)
    return AwsProvider(region, session=session, endpoint=facts["endpoint"], zone=f"{region}a")
