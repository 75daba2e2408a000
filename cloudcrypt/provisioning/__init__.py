"""The story of the control plane: from a request to a volume that is attached, once.

    provisioner = Provisioner(open_provider(url), SqliteJournal("journal.db"))
    volume = provisioner.ensure_volume(VolumeRequest("data", 10 * GIB))
    attachment = provisioner.ensure_attached(volume.id, instance)

Before the provider is asked for a change, the journal holds the intent; once it has accepted, its
handle; at the end, the outcome. docs/explanation/provisioning.md says what each crash leaves.
"""

from cloudcrypt.provisioning.many import Report, Results, Step
from cloudcrypt.provisioning.provisioner import Provisioner, Resumption
from cloudcrypt.provisioning.request import VolumeRequest

__all__ = ["Provisioner", "Report", "Results", "Resumption", "Step", "VolumeRequest"]
