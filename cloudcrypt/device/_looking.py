"""One look for the device of an attachment: which identity is told by what."""

from pathlib import Path

import attrs

from cloudcrypt.device._azure import AzureDisk
from cloudcrypt.device._file import open_file
from cloudcrypt.device._google import GoogleDisk
from cloudcrypt.device._node import is_host
from cloudcrypt.device._nvme import Identify, usual_identify
from cloudcrypt.device._search import find
from cloudcrypt.device._serial import SerialNumber
from cloudcrypt.device._xen import XenDisk
from cloudcrypt.errors import UnsupportedOperation
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    BlockDevice,
    DeviceName,
    FilePath,
    GoogleDeviceName,
    NvmeSerial,
)


@attrs.frozen
class Host:
    """Where devices are looked for, and how; as `cloudcrypt.device.locate` has it."""

    root: Path
    identify: Identify | None
    unproven: bool

    def look(self, attachment: Attachment) -> BlockDevice:
        """Return the device of ``attachment`` if it is there; errors as `locate`."""
        identity, root = attachment.identity, self.root
        ask = self.identify or usual_identify(root)
        match identity:
            case FilePath():
                return open_file(attachment, identity)
            case NvmeSerial():
                return find(attachment, SerialNumber(identity), root)
            case GoogleDeviceName():
                return find(attachment, GoogleDisk(identity.device_name, ask), root)
            case AzureLun():
                return find(attachment, AzureDisk(identity, ask), root)
            case DeviceName():
                wanted = XenDisk.of(identity)
                if not self.unproven:
                    raise UnsupportedOperation(
                        f"finding a device by its name alone ({identity.name})",
                        "use an instance type that shows its volumes as NVMe devices; or say "
                        "unproven=True, and let the sealed header of a formatted volume prove it",
                    )
                return attrs.evolve(find(attachment, wanted, root), proven=False)

    def folders(self, attachment: Attachment) -> tuple[Path, ...]:
        """Return the folders in which something appears when the device of ``attachment`` does."""
        if isinstance(attachment.identity, FilePath):
            return (Path(attachment.identity.path).parent,)
        nodes = self.root / "dev"
        return (nodes,) if is_host(self.root) else (nodes, self.root / "sys" / "block")
