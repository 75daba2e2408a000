"""The process that `cloud_process` starts: answers questions about its cloud, a line each."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudcrypt_testing import fake_aws, fake_azure, fake_gce
from cloudcrypt_testing.world.clock import FakeClock
from tests.unit.clouds import Aws, Azure, Cloud, Gce


@contextmanager
def serving(name: str, folder: Path) -> Generator[Cloud]:
    match name:
        case "aws":
            with fake_aws.FakeAws(folder) as aws:
                yield Aws(aws)
        case "gce":
            with fake_gce.FakeGce(folder) as gce:
                yield Gce(gce)
        case _:
            with fake_azure.FakeAzure(folder) as azure:
                yield Azure(azure)


def answer(cloud: Cloud, question: Mapping[str, Any]) -> object:
    match question["verb"]:
        case "facts":
            return {"cloud": cloud.name, "kind": cloud.kind, **cloud.facts()}
        case "empty":
            cloud.empty(FakeClock(is_real=True))
            instances = [cloud.instance() for _ in range(question["instances"])]
            for each in instances:
                cloud.fake.limit_attachments(each, 200)
            cloud.fake.faults.latency = question["latency"]
            return instances
        case "requests":
            return Counter(cloud.fake.requests.actions)
        case _:
            holders = cloud.holders()
            return len(holders), sum(holders.values())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(sys.argv[1], Path(folder)) as cloud:
        for line in sys.stdin:
            print(json.dumps(answer(cloud, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
