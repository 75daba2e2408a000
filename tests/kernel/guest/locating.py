"""Finding devices, in the guest."""

from typing import Any

from cloudcrypt.device import locate
from cloudcrypt.model import Attachment
from cloudcrypt.waiting import SYSTEM_CLOCK, Deadline


def located(attachment: str, patience: float = 60.0) -> dict[str, Any]:
    """Return path, size and volume id of the device of an attachment.

    It is waited for for ``patience`` seconds.
    """
    deadline = Deadline.after(patience, clock=SYSTEM_CLOCK)
    device = locate(Attachment.from_json(attachment), deadline=deadline)
    return {"path": str(device.path), "size": device.size, "volume_id": device.volume_id}
