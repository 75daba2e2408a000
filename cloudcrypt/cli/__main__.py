"""``python -m cloudcrypt.cli``: the same as ``cloudcrypt``."""

from cloudcrypt.cli import main

main()
