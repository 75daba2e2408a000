"""Sizes on the command line."""

import click

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.sizes import parse_size


class Size(click.ParamType[int]):
    """A size such as 10GiB, in bytes."""

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of bytes."""
        try:
            return value if isinstance(value, int) else parse_size(value)
        except InvalidRequest as error:
            self.fail(error.message, param, ctx)
