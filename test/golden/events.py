"""An event file as the Python package `tensorboard` writes it (pip install tensorboard; TensorFlow is not needed), which src/learn/train/training-log.ts is compared with:

    python test/golden/events.py > test/golden/events.generated.json

The file in base64, and its events: wall time, step and scalars.
"""

import base64
import io
import json

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

events = [
    (1700000001.5, 0, {"validation_accuracy": 0.25}),
    (1700000002.25, 1, {"epoch": 1, "loss": 0.0, "learning_rate": 1e-3}),
    (1700000003.0, 300, {"epoch": 2, "loss": 1.5, "learning_rate": 5e-4}),
    (1700000004.0, 2**31 + 5, {"a name that is longer than forty characters, as those of metrics are": -2.0}),
]

file = io.BytesIO()
writer = RecordWriter(file)
writer.write(Event(wall_time=1700000000.0, file_version="brain.Event:2").SerializeToString())
for wall_time, step, scalars in events:
    event = Event(wall_time=wall_time, step=step)
    for tag, value in scalars.items():
        event.summary.value.add(tag=tag, simple_value=value)
    writer.write(event.SerializeToString())

print(
    json.dumps(
        {
            "file": base64.b64encode(file.getvalue()).decode(),
            "start": 1700000000.0,
            "events": [{"wallTime": t, "step": s, "scalars": list(v.items())} for t, s, v in events],
        },
        indent=2,
    )
)
