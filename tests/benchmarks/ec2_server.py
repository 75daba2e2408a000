"""The process that `ec2_process` starts: answers questions about its EC2, a line each."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudcrypt_testing.fake_aws import FakeAws, FakeClock, Timings

AT_ONCE = Timings(create=0, attach=0, detach=0, delete=0)


def answer(aws: FakeAws, question: Mapping[str, Any]) -> object:
    match question["verb"]:
        case "endpoint":
            return aws.endpoint
        case "empty":
            aws.reset(clock=FakeClock(is_real=True), timings=AT_ONCE)
            instances = [aws.run_instance() for _ in range(question["instances"])]
            for each in instances:
                aws.limit_attachments(each, 200)
            aws.faults.latency = question["latency"]
            return instances
        case "requests":
            return Counter(aws.requests.actions)
        case _:
            volumes = aws.volumes().values()
            return len(volumes), sum(len(volume.attachments) for volume in volumes)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, FakeAws(Path(folder)) as aws:
        for line in sys.stdin:
            print(json.dumps(answer(aws, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
