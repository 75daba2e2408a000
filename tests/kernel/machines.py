"""Two virtual machines at once: instances of one cloud, between which a disk goes."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import attrs

from cloudcrypt_testing.vm import VM

NODE = (
    "cffi.cparser",  # which is imported when it is first used
    "cloudcrypt.facade",
    "cloudcrypt_testing.headers",
    "cloudcrypt_testing.profiles",
)
"""What takes an emulated processor seconds to import, and calls of the node plane need."""

PRELOAD = (*NODE, "boto3", "cloudcrypt_aws")


@attrs.frozen
class Machines:
    """The nodes ``first`` and ``second``."""

    first: VM
    second: VM


@contextmanager
def two_machines(new_vm: Callable[..., VM]) -> Generator[Machines]:
    """Boot two virtual machines at the same time; each has a host name: that holds volumes."""
    vms = [new_vm(name=name, has_network=True, cpus=2) for name in ("first", "second")]
    with ExitStack() as stack:
        for vm in vms:
            stack.callback(vm.close)
        with ThreadPoolExecutor() as pool:
            list(pool.map(VM.boot, vms))
        for vm in vms:
            vm.write_bytes("/proc/sys/kernel/hostname", vm.name.encode())
            vm.preload(PRELOAD)
        yield Machines(*vms)
