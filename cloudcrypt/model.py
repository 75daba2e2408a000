"""The nouns that every part shares: volumes, attachments, snapshots, modes and identities.

All are frozen values. A size is an ``int`` of bytes, a time an aware UTC ``datetime``.
"""

import enum
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import attrs

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId

VOLUME_ID_MAX = 128
_VOLUME_ID = re.compile(r"[A-Za-z0-9._:/@-]{1,128}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def check_volume_id(volume_id: str) -> str:
    """Return ``volume_id`` if it is one: 1 to 128 bytes of ``[A-Za-z0-9._:/@-]``.

    Raises:
        InvalidVolumeId: it is not.
    """
    if _VOLUME_ID.fullmatch(volume_id) is None:
        raise InvalidVolumeId(volume_id)
    return volume_id


def is_uuid(text: str) -> bool:
    """Say whether ``text`` is a well-formed lower-case UUID, as LUKS2 headers carry it."""
    return _UUID.fullmatch(text) is not None


GENERATION_MAX = 2**63 - 1


_DEVICE_NAME = re.compile(r"\w[\w.-]{0,254}", re.ASCII)  # GCE, as the API answers to another one
_DISK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", re.ASCII)  # Azure, naming rules
_LUN_MAX = 63  # Azure: the largest virtual machines take 64 data disks


def _check_generation(_: object, __: object, generation: int) -> None:
    if not 1 <= generation <= GENERATION_MAX:
        raise InvalidRequest("generation", generation, f"1 to {GENERATION_MAX}")


def _check_device_name(_: object, __: object, name: str) -> None:
    if _DEVICE_NAME.fullmatch(name) is None:
        raise InvalidRequest("device_name", name, "1 to 255 of A-Z a-z 0-9 . _ -")


def _check_lun(_: object, __: object, lun: int) -> None:
    if not 0 <= lun <= _LUN_MAX:
        raise InvalidRequest("lun", lun, f"0 to {_LUN_MAX}")


def _check_disk_name(_: object, __: object, name: str) -> None:
    if _DISK_NAME.fullmatch(name) is None:
        raise InvalidRequest("name", name, "1 to 80 of A-Z a-z 0-9 . _ -")


class Mode(enum.Enum):
    """What the encryption of a volume gives; chosen by the caller, never by the disk."""

    CRYPT = "crypt"
    """Confidentiality: AES-XTS. A changed sector decrypts to noise, without an error."""
    INTEGRITY = "integrity"
    """Confidentiality and integrity: AES-XTS with an HMAC-SHA256 tag for each sector."""


class KeyPolicy(enum.Enum):
    """How the keyslot of a volume gets its passphrase; chosen by the caller, never by the disk."""

    BOUND = "bound"
    """The header is sealed and bound to volume id and generation. For new volumes."""
    CONSTELLATION = "constellation"
    """The data key of the header's UUID is the passphrase. For volumes of Constellation."""


@attrs.frozen
class Blank:
    """The volume was created empty."""


@attrs.frozen
class RestoredFrom:
    """The volume was made from a snapshot of another volume.

    ``volume_id`` is the volume the snapshot was taken of, ``generation`` the key generation that
    whoever took it recorded with it.
    """

    volume_id: str
    generation: int | None = None


@attrs.frozen
class ClonedFrom:
    """The volume was copied from another volume directly."""

    volume_id: str
    generation: int | None = None


Origin = Blank | RestoredFrom | ClonedFrom


class VolumeState(enum.Enum):
    """Where a volume is in its life, in the words all clouds can be translated to."""

    CREATING = "creating"
    AVAILABLE = "available"
    ATTACHED = "attached"
    DELETING = "deleting"
    ERROR = "error"


@attrs.frozen
class Volume:
    """A block volume as the provider describes it.

    ``id`` is canonical and unique for ever (see docs/reference/volume-ids); ``name`` is the
    caller's; ``holders`` are the instances it is attached to. ``place`` is the zone or location,
    ``kind`` the cloud's volume type, ``throughput`` is in bytes a second, ``cloud_key`` the key of
    the cloud's own encryption: None where the provider has no such thing. ``maker`` is who asked
    for it first, if they said so; see `cloudcrypt.spi.CreateVolume`.
    """

    id: str
    name: str
    size: int
    state: VolumeState
    origin: Origin
    created: datetime
    holders: tuple[str, ...] = ()
    place: str | None = None
    kind: str | None = None
    iops: int | None = None
    throughput: int | None = None
    cloud_key: str | None = None
    multi_attach: bool = False
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    maker: str | None = None


class SnapshotState(enum.Enum):
    """How far a snapshot is: a pending one is of its moment already, but cannot be restored."""

    PENDING = "pending"
    READY = "ready"
    ERROR = "error"


@attrs.frozen
class Snapshot:
    """A point-in-time copy of a volume; ``size`` is that of the volume then."""

    id: str
    name: str
    volume_id: str
    size: int
    created: datetime
    generation: int | None = None
    state: SnapshotState = SnapshotState.READY


@attrs.frozen
class FilePath:
    """Identity of a volume that is a file: its path, device number and inode on this host."""

    path: str
    device: int
    inode: int


@attrs.frozen
class NvmeSerial:
    """Identity of a volume that is the NVMe controller with this serial number and model."""

    serial: str
    model: str


@attrs.frozen
class DeviceName:
    """Identity of a volume by the name of its device alone, as Xen shows it.

    A name proves nothing; the sealed header of the volume has to.
    """

    name: str


@attrs.frozen
class GoogleDeviceName:
    """Identity of a volume by the device name that Google's hypervisor reports for it.

    A SCSI disk has it in its identification page (VPD 0x83), an NVMe namespace in the vendor data
    of Identify Namespace, at byte 384. Which of the two it is, the instance decides. Device names
    are 1 to 255 of ``[A-Za-z0-9._-]``, and begin with neither point nor hyphen.

    Raises:
        InvalidRequest: it is no device name.
    """

    device_name: str = attrs.field(validator=_check_device_name)


@attrs.frozen
class AzureLun:
    """Identity of a volume by its logical unit number on the data controller of an Azure VM.

    A SCSI disk of Azure says no more than that; an NVMe namespace (number LUN + 2) may say
    ``name``, that of the disk, too. A LUN is used again, so the sealed header of the volume has to
    prove it.
    LUNs are 0 to 63, names 1 to 80 of ``[A-Za-z0-9._-]``, and begin with a letter or digit.

    Raises:
        InvalidRequest: it is no such number or name.
    """

    lun: int = attrs.field(validator=_check_lun)
    name: str = attrs.field(validator=_check_disk_name)


DeviceIdentity = FilePath | NvmeSerial | DeviceName | GoogleDeviceName | AzureLun
"""How the node finds and proves a device: data of the provider, so that a node needs no SDK."""


@attrs.frozen
class Attachment:
    """What passes from the control plane to the node: one JSON document, without secrets.

    ``size`` is the size of the device in bytes that the node must find.
    """

    volume_id: str
    instance: str
    size: int
    origin: Origin
    identity: DeviceIdentity

    def to_json(self) -> str:
        """Return the attachment as one JSON document."""
        return json.dumps(
            {
                "version": 1,
                "volume_id": self.volume_id,
                "instance": self.instance,
                "size": self.size,
                "origin": origin_to_dict(self.origin),
                "identity": identity_to_dict(self.identity),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the attachment that ``text``, made by `to_json`, describes.

        Raises:
            InvalidRequest: it is not such a document, or of a version this library does not read.
        """
        try:
            document = json.loads(text)
            if document["version"] != 1:
                raise InvalidRequest("attachment", text, "version 1 is read")
            return cls(
                volume_id=check_volume_id(document["volume_id"]),
                instance=str(document["instance"]),
                size=int(document["size"]),
                origin=origin_from_dict(document["origin"]),
                identity=identity_from_dict(document["identity"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest("attachment", text, "not an attachment document") from error


@attrs.frozen
class Expectation:
    """What the caller knows of a volume from a place other than the disk.

    ``None`` means that the caller does not know, and that the check is left to the seal.
    ``capacity`` is the size in bytes of the whole device, header included. ``journal_sections`` is
    that of an integrity volume that has grown since it was formatted; it follows from the capacity
    otherwise.
    """

    mode: Mode
    generation: int = attrs.field(default=1, validator=_check_generation)
    uuid: str | None = None
    capacity: int | None = None
    journal_sections: int | None = None


@attrs.frozen
class BlockDevice:
    """A device on this node whose identity was proven. Made by `cloudcrypt.device.locate`.

    ``identity`` is that of `cloudcrypt.blockdevices.identity_of`: what is opened later must be the
    same. None where whoever asks vouches for the path itself. ``proven`` False says that the device
    was found by its name alone: its sealed header has yet to prove it, and nothing is written where
    no header can.
    """

    volume_id: str
    path: Path
    size: int
    identity: tuple[int, int] | None = None
    proven: bool = True


def identity_to_dict(identity: DeviceIdentity) -> dict[str, Any]:
    """Return ``identity`` in the form in which it is stored and sent."""
    match identity:
        case FilePath():
            return {"kind": "file", **attrs.asdict(identity)}
        case NvmeSerial():
            return {"kind": "nvme", **attrs.asdict(identity)}
        case DeviceName():
            return {"kind": "name", **attrs.asdict(identity)}
        case GoogleDeviceName():
            return {"kind": "google", **attrs.asdict(identity)}
        case AzureLun():
            return {"kind": "azure", **attrs.asdict(identity)}


def identity_from_dict(document: Mapping[str, Any]) -> DeviceIdentity:
    """Return the identity that `identity_to_dict` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not such a form.
    """
    match document["kind"]:
        case "file":
            device, inode = int(document["device"]), int(document["inode"])
            return FilePath(str(document["path"]), device, inode)
        case "nvme":
            return NvmeSerial(str(document["serial"]), str(document["model"]))
        case "name":
            return DeviceName(str(document["name"]))
        case "google":
            return GoogleDeviceName(str(document["device_name"]))
        case "azure":
            return AzureLun(int(document["lun"]), str(document["name"]))
        case _:
            msg = "no identity of a device"
            raise ValueError(msg)


_ORIGINS: dict[str, type[RestoredFrom | ClonedFrom]] = {
    "snapshot": RestoredFrom,
    "clone": ClonedFrom,
}


def origin_to_dict(origin: Origin) -> dict[str, Any]:
    """Return ``origin`` in the form in which it is stored and sent."""
    match origin:
        case Blank():
            return {"kind": "blank"}
        case RestoredFrom():
            return {"kind": "snapshot", **attrs.asdict(origin)}
        case ClonedFrom():
            return {"kind": "clone", **attrs.asdict(origin)}


def origin_from_dict(document: Mapping[str, Any]) -> Origin:
    """Return the origin that `origin_to_dict` wrote.

    Raises:
        KeyError, TypeError: it is not such a form.
    """
    fields = dict(document)
    kind = fields.pop("kind")
    return Blank() if kind == "blank" else _ORIGINS[kind](**fields)
