"""The requests that only look: volumes, their status, modifications and snapshots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from cloudcrypt_testing.fake_aws import errors, filters, xml
from cloudcrypt_testing.fake_aws.cloud import Cloud, View
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Modification, Snapshot, Volume

T = TypeVar("T")


def describe_volumes(cloud: Cloud, query: Query, view: View) -> str:
    """Answer DescribeVolumes."""
    tests = filters.conditions(query, filters.VOLUMES, _volume_tags)
    found, token = _volumes(query, view, tests)
    return xml.page("volumeSet", map(cloud.render, found), token)


def describe_volume_status(_cloud: Cloud, query: Query, view: View) -> str:
    """Answer DescribeVolumeStatus."""
    found, token = _volumes(query, view, filters.conditions(query, filters.STATUSES))
    return xml.page("volumeStatusSet", map(xml.status, found), token)


def describe_volumes_modifications(_cloud: Cloud, query: Query, view: View) -> str:
    """Answer DescribeVolumesModifications: the latest one of each volume."""
    ids = query.volume_ids()
    filters.check_page(query, ids, "volumes", least=1)
    _check_known(ids, view.volumes)
    latest = {volume_id: past[-1] for volume_id, past in view.modifications.items()}
    never = [volume_id for volume_id in ids if volume_id not in latest]
    if never:
        raise errors.EC2Error(
            "InvalidVolumeModification.NotFound",
            f"Modification for volume '{', '.join(never)}' does not exist.",
        )
    tests = filters.conditions(query, filters.MODIFICATIONS)
    chosen: Iterable[Modification] = _chosen(ids, latest)
    found, token = filters.paged(query, _passing(chosen, tests))
    return xml.page("volumeModificationSet", map(xml.modification, found), token)


def describe_snapshots(cloud: Cloud, query: Query, view: View) -> str:
    """Answer DescribeSnapshots: those of this account."""
    ids = query.snapshot_ids()
    filters.check_page(query, ids, "snapshotIds")
    missing = [snapshot_id for snapshot_id in ids if snapshot_id not in view.snapshots]
    if missing:
        raise errors.no_snapshot(*missing)
    owners = query.all("Owner")
    is_ours = not owners or bool({"self", cloud.moto.account} & set(owners))
    tests = filters.conditions(query, filters.SNAPSHOTS, _snapshot_tags)
    chosen = _chosen(ids, view.snapshots) if is_ours else ()
    found, token = filters.paged(query, _passing(chosen, tests))
    bodies = (xml.snapshot(one, cloud.moto.account) for one in found)
    return xml.page("snapshotSet", bodies, token)


def _volumes(
    query: Query, view: View, tests: Sequence[filters.Test[Volume]]
) -> tuple[list[Volume], str | None]:
    ids = query.volume_ids()
    filters.check_page(query, ids, "volumes")
    _check_known(ids, view.volumes)
    return filters.paged(query, _passing(_chosen(ids, view.volumes), tests))


def _check_known(ids: Sequence[str], volumes: Mapping[str, Volume]) -> None:
    missing = [volume_id for volume_id in ids if volume_id not in volumes]
    if missing:
        raise errors.no_volume(*missing)


def _chosen(ids: Sequence[str], known: Mapping[str, T]) -> Iterable[T]:
    return [known[one] for one in dict.fromkeys(ids)] if ids else known.values()


def _passing(chosen: Iterable[T], tests: Sequence[filters.Test[T]]) -> Iterable[T]:
    return (one for one in chosen if all(test(one) for test in tests))


def _volume_tags(volume: Volume) -> Mapping[str, str]:
    return volume.tags


def _snapshot_tags(snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.tags
