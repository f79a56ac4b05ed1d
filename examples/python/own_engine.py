"""An engine of your own: what each member says decides whether it is sent.

Print the message without sending it: python examples/python/own_engine.py
"""

import json
from typing import Annotated

from otel_usage import Usage, private, record, sent


@record("my_engine/1", switch="MY_ENGINE_NO_USAGE_STATS", heartbeat=None)
class Report:
    """The report of the engine at its start."""

    layers: Annotated[int, sent("Number of layers.", "configuration", "{layer}")]
    model_path: Annotated[str, private("It may name a person.")]

    def __init__(self, layers: int, model_path: str) -> None:
        self.layers, self.model_path = layers, model_path


with Usage(Report, version="1.2", sample_data=True) as usage:
    usage.record(Report(32, "/home/someone/model"))
    print(usage)
    for message in usage.preview("my_engine.report", {"my_engine.layers": 32}):
        print(json.dumps(message, indent=2))
