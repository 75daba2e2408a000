"""Ids: what cloudcrypt calls a volume, what EC2 calls it, and what a handle refers to.

An EBS id is unique in all regions and never given again (EBS user guide, "Amazon EBS volumes"), so
``aws:<region>/<EBS id>`` names one volume for ever.
"""

import re
from typing import Final, Self

import attrs

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId, NotFound

_FORM: Final = re.compile(
    r"aws:(?P<region>[a-z0-9-]{1,40})/(?P<id>(?P<kind>vol|snap)-[0-9a-f]{8,17})", re.ASCII
)
_INSTANCE: Final = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)
_REFERENCE: Final = re.compile(
    r"(?P<id>(vol|snap)-[0-9a-f]{8,17})(@(?P<time>[0-9]{1,12}(\.[0-9]{1,6})?))?", re.ASCII
)
_KINDS: Final = {"vol": "volume", "snap": "snapshot"}


def canonical(region: str, ebs_id: str) -> str:
    """Return the id of the volume or snapshot that EC2 calls ``ebs_id``."""
    return f"aws:{region}/{ebs_id}"


def ebs_volume(region: str, volume_id: str) -> str:
    """Return what EC2 calls the volume.

    Raises:
        InvalidVolumeId: it is not an id of this provider.
        NotFound: it is one of another region, or of a snapshot.
    """
    return _ebs_id(region, volume_id, "volume")


def ebs_snapshot(region: str, snapshot_id: str) -> str:
    """Return what EC2 calls the snapshot.

    Raises:
        InvalidVolumeId: it is not an id of this provider.
        NotFound: it is one of another region, or of a volume.
    """
    return _ebs_id(region, snapshot_id, "snapshot")


def check_instance(instance: str) -> str:
    """Return ``instance`` if it has the form of an EC2 instance id.

    Raises:
        InvalidRequest: it has not.
    """
    if _INSTANCE.fullmatch(instance) is None:
        raise InvalidRequest("instance", instance, "the id of an EC2 instance, i-...")
    return instance


def _ebs_id(region: str, volume_id: str, kind: str) -> str:
    form = _FORM.fullmatch(volume_id)
    if form is None:
        raise InvalidVolumeId(volume_id)
    if form["region"] != region or _KINDS[form["kind"]] != kind:
        raise NotFound(kind, volume_id)
    return form["id"]


@attrs.frozen
class Reference:
    """What a handle refers to: an EBS id, and the time of what was accepted, where that matters.

    ``time`` is in seconds since 1970.
    """

    ebs_id: str
    time: float | None = None

    @classmethod
    def parse(cls, text: str, ebs_id: str | None = None) -> Self:
        """Return the reference that ``text``, made by `str`, stands for.

        Args:
            text: of a handle.
            ebs_id: the id that it has to be about, where the intent says that.

        Raises:
            NotFound: it is not a reference of this provider, or about something else.
        """
        form = _REFERENCE.fullmatch(text)
        if form is None or ebs_id not in {None, form["id"]}:
            raise NotFound("operation", text)
        time = form["time"]
        return cls(form["id"], None if time is None else float(time))

    def __str__(self) -> str:
        """Return the text of the reference."""
        return self.ebs_id if self.time is None else f"{self.ebs_id}@{self.time:.3f}"
