"""``cloudcrypt doctor``: what of this host is ready, and what to install for the rest."""

import json

import click

from cloudcrypt.cli.checks import Area, Check, examine, missing_for
from cloudcrypt.cli.output import json_option, say, show_rows, wants_json


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say what of this host is ready; exit 8 if something required is missing.

    That is what volumes in user space need. Root can see more than others.
    """
    checks = list(examine())
    missing = {area.value: missing_for(area, checks) for area in Area}
    rows = [_row(check) for check in checks]
    if wants_json():
        ready = {area: not names for area, names in missing.items()}
        click.echo(json.dumps({"checks": rows, "ready": ready, "missing": missing}))
    else:
        show_rows("checks", rows)
        for area, names in missing.items():
            say(f"ready for {area}: " + (f"no, for lack of {', '.join(names)}" if names else "yes"))
    if missing[Area.USER_SPACE.value]:
        context.exit(8)


def _row(check: Check) -> dict[str, object]:
    return {
        "check": check.what,
        "ready": check.ready,
        "needed_for": None if check.area is None else check.area.value,
        "found": check.found,
        "advice": None if check.ready else check.advice,
    }
