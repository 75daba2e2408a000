"""Both planes at once, for scripts on the VM that uses the disk: one call, one disk in use.

    parts = {"instance": instance, "keys": keys, "ledger": ledger, "journal": journal}
    with encrypted_volume(provider, VolumeRequest("data", 10 * GIB), **parts) as disk:
        disk.write(b"only this VM reads this")
    with mounted_volume(provider, VolumeRequest("files", 10 * GIB), target=target, **parts):
        (target / "file").write_text("only this VM reads this")

Called again, after a crash too, it opens the same volume with the same content. It formats what the
journal proves to have been made, blank, for this very call, and the ledger has never seen; and it
makes a filesystem where the ledger says that nothing was ever written; nothing else, whatever the
disk or the provider say.
"""

from cloudcrypt.facade.growing import grow_volume
from cloudcrypt.facade.mounting import MountChoices, mounted_volume, mounted_volumes
from cloudcrypt.facade.node import Grown
from cloudcrypt.facade.opening import Choices, encrypted_volume, encrypted_volumes

__all__ = [
    "Choices",
    "Grown",
    "MountChoices",
    "encrypted_volume",
    "encrypted_volumes",
    "grow_volume",
    "mounted_volume",
    "mounted_volumes",
]
