"""The real cryptsetup, run against image files; no device-mapper and no root is needed."""

import itertools
import shutil
import subprocess
from pathlib import Path

import attrs

from cloudcrypt.secret import Secret

PROGRAM = shutil.which("cryptsetup", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin")


@attrs.frozen
class Cryptsetup:
    """The program; key files go to ``folder``."""

    program: str
    folder: Path
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count, repr=False)

    def run(self, *arguments: str | Path) -> str:
        """Run it and return what it printed.

        Raises:
            AssertionError: it failed.
        """
        done = self._run(*arguments)
        assert done.returncode == 0, f"cryptsetup {arguments}: {done.stderr}"
        return done.stdout

    def refuses(self, *arguments: str | Path) -> bool:
        """Run it and say whether it failed."""
        return self._run(*arguments).returncode != 0

    def _run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [self.program, "--batch-mode", "--disable-locks", *map(str, arguments)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    def key_file(self, passphrase: Secret | bytes) -> Path:
        """Return a new file that holds the passphrase as raw bytes."""
        path = self.folder / f"key-{next(self._numbers)}"
        path.write_bytes(passphrase if isinstance(passphrase, bytes) else passphrase.reveal())
        return path

    def opens(self, image: Path, passphrase: Secret | bytes, *options: str) -> bool:
        """Say whether the passphrase opens the image."""
        key = self.key_file(passphrase)
        return not self.refuses(
            "open", "--test-passphrase", "--type", "luks2", "--key-file", key, *options, image
        )

    def volume_key(self, image: Path, passphrase: Secret | bytes) -> Secret:
        """Return the volume key that it finds."""
        target = self.folder / f"volume-key-{next(self._numbers)}"
        key = self.key_file(passphrase)
        self.run(
            "luksDump", "--dump-volume-key", "--volume-key-file", target, "--key-file", key, image
        )
        return Secret(target.read_bytes())

    def add_key(self, image: Path, passphrase: Secret | bytes, new: bytes) -> None:
        """Add a second passphrase, cheaply."""
        old, added = self.key_file(passphrase), self.key_file(new)
        cost = ("--pbkdf-force-iterations", "4", "--pbkdf-memory", "32")
        self.run("luksAddKey", *cost, "--key-file", old, image, added)
