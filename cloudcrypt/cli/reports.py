"""How ``luks inspect`` shows what it found."""

import attrs

from cloudcrypt.cli.output import say, show, show_rows, wants_json
from cloudcrypt.errors import shown
from cloudcrypt.integrity.inspect import IntegrityReport
from cloudcrypt.luks2.inspect import Report


def show_report(report: Report, integrity: IntegrityReport | None) -> None:
    """Print the report on a header and, of a volume with integrity, on what follows it."""
    rows = _header_rows(report)
    if integrity is not None:
        rows += _superblock_rows(integrity)
    if not wants_json():
        for row in rows:
            del row["value"]
    if wants_json():
        document: dict[str, object] = {
            "device": report.device,
            "device_size": report.device_size,
            "profile": report.profile,
            "mode": report.mode.value,
            "agrees": report.agrees and (integrity is None or integrity.agrees),
            "fields": rows,
        }
        if integrity is not None:
            document["integrity"] = _integrity_dict(integrity)
        show(document)
        return
    show_rows("fields", rows)
    if integrity is not None:
        show(_integrity_dict(integrity))
    differing = sum(not row["agrees"] for row in rows)
    say(
        f"{differing} of {len(rows)} fields differ from profile {report.profile}"
        if differing
        else f"all {len(rows)} fields agree with profile {report.profile}; "
        "only 'luks verify' proves whose header this is"
    )


def _header_rows(report: Report) -> list[dict[str, object]]:
    return [
        {
            "field": row.path,
            "found": row.found,
            "profile": row.expected,
            "agrees": row.agrees,
            "value": row.value,
        }
        for row in report.fields
    ]


def _superblock_rows(integrity: IntegrityReport) -> list[dict[str, object]]:
    return [
        {
            "field": f"superblock.{row.field}",
            "found": shown(row.found),
            "profile": shown(row.expected),
            "agrees": row.agrees,
            "value": row.found.hex() if isinstance(row.found, bytes) else row.found,
        }
        for row in integrity.superblock
    ]


def _integrity_dict(integrity: IntegrityReport) -> dict[str, object]:
    return {
        "journal": integrity.journal,
        **attrs.asdict(integrity.geometry),
        "payload": integrity.geometry.payload_size,
        "overhead": integrity.overhead,
    }
