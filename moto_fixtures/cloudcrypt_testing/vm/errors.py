"""What goes wrong with a virtual machine, apart from what its guest was asked to do."""

import attrs


@attrs.frozen
class VMUnavailable(Exception):
    """No virtual machine can be had on this host; ``reason`` says why, ``remedy`` what helps."""

    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        """Say both."""
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


@attrs.frozen
class VMFailed(Exception):
    """The virtual machine itself failed, stopped or did not answer in time."""

    reason: str
    log: str = ""
    """The end of what the console, QEMU and virtiofsd said."""

    def __str__(self) -> str:
        """Say what happened, and what was logged."""
        return f"{self.reason}\n{self.log}" if self.log else self.reason


@attrs.frozen
class QMPRefused(VMFailed):
    """QEMU refused a command; ``reason`` is its description."""

    command: str = ""
    kind: str = ""

    def __str__(self) -> str:
        """Say which command it was."""
        return f"{self.command}: {self.reason} ({self.kind})"


@attrs.frozen
class GuestRaised(Exception):
    """A Python function raised in the guest; ``kind`` is the dotted name of the exception."""

    function: str
    kind: str
    message: str
    traceback: str

    def __str__(self) -> str:
        """Show the traceback of the guest."""
        return f"{self.function} raised in the guest\n{self.traceback}"
