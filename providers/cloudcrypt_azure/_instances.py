"""Instances: virtual machines, and those of scale sets, by short texts and by ids of Azure.

The canonical text is ``group/machine`` or ``group/scale-set/number``, in lower case. Azure keeps
the case that a name was created with and does not look at it (Azure Resource Manager, "Resource
names are case-insensitive").
"""

import re
from typing import Final, Self

import attrs

from cloudcrypt.errors import InvalidRequest

_NAME: Final = r"[\w-]{1,64}|[\w-][\w.-]{0,62}[\w-]"
_GROUP: Final = r"[\w().-]{0,89}[\w()-]"
_TEXT: Final = re.compile(
    rf"((?P<group>{_GROUP})/)?(?P<name>{_NAME})|(?P<set_group>{_GROUP})/(?P<set>{_NAME})/(?P<number>[0-9]{{1,10}})"
)
_ID: Final = re.compile(
    rf"/subscriptions/(?P<subscription>[0-9a-f-]{{36}})/resourcegroups/(?P<group>{_GROUP})"
    r"/providers/microsoft\.compute/"
    rf"(virtualmachinescalesets/(?P<set>{_NAME})/virtualmachines/((?P=set)_)?(?P<number>[0-9]{{1,10}})"
    rf"|virtualmachines/(?P<name>{_NAME}))"
)
_FORM: Final = (
    "MACHINE, GROUP/MACHINE, GROUP/SCALE_SET/NUMBER or a resource id of this subscription"
)


@attrs.frozen
class Instance:
    """A virtual machine ``name``, or the machine ``name`` of ``scale_set``; all in lower case."""

    group: str
    name: str
    scale_set: str | None = None

    @classmethod
    def parse(cls, text: str, subscription: str, group: str) -> Self:
        """Return the instance that a caller calls ``text``.

        Args:
            text: a name in the provider's group, a canonical text, or an id of Azure.
            subscription: of the provider: disks are attached within one only.
            group: of the provider.

        Raises:
            InvalidRequest: it is nothing of these, or in another subscription.
        """
        lower = text.lower()
        if lower.startswith("/"):
            form = _ID.fullmatch(lower)
            if form is None or form["subscription"] != subscription:
                raise InvalidRequest("instance", text, _FORM)
            return cls(form["group"], form["number"] or form["name"], form["set"])
        form = _TEXT.fullmatch(lower)
        if form is None:
            raise InvalidRequest("instance", text, _FORM)
        if form["set"] is not None:
            return cls(form["set_group"], form["number"], form["set"])
        return cls(form["group"] or group, form["name"])

    @classmethod
    def of_id(cls, resource_id: str) -> Self | None:
        """Return the instance with an id of Azure, or None if that is the id of something else."""
        form = _ID.fullmatch(resource_id.lower())
        if form is None:
            return None
        return cls(form["group"], form["number"] or form["name"], form["set"])

    def __str__(self) -> str:
        """Return the canonical text."""
        parts = (self.group, self.scale_set, self.name)
        return "/".join(part for part in parts if part is not None)


def holder_of(resource_id: str) -> str:
    """Return what a holder is called: the canonical text of an instance, else its id as it is.

    Something else than a machine may hold a disk; it has to be told from "nobody".
    """
    instance = Instance.of_id(resource_id)
    return resource_id.lower() if instance is None else str(instance)
