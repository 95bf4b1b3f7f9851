"""Time of one `estimate()` call as a multiple of the reference work: `python -m benchmarks.estimate_speed`.

Every call asks about another configuration (batch, length, rank, method, checkpointing), so that nothing is remembered.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

from benchmarks.pace import Pace
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from recommender.model.spec import ModelSpec

LIMIT = 0.042
"""Of the median call, in multiples of `benchmarks.pace`."""


def configurations() -> list[FinetuneConfig]:
    """A few hundred different ones."""
    choices = itertools.product((1, 2, 3, 4, 8, 16), (512, 1024, 2000, 4096), (8, 16, 64), (4, 8, None), (True, False))
    return [
        FinetuneConfig.model_validate(
            {
                "model": "llama",
                "method": "qlora" if bits else "lora",
                "quantization": {"bits": bits},
                "lora": {"r": r},
                "data": {"max_length": length},
                "training": {"per_device_train_batch_size": rows, "gradient_checkpointing": checkpointing},
            }
        )
        for rows, length, r, bits, checkpointing in choices
    ]


def main() -> int:
    """Measure after one warm-up round, print, and say whether the limit holds."""
    from recommender.model.reader import read_model

    model: ModelSpec = read_model("meta-llama/Llama-3.1-8B-Instruct", offline=True)
    device, data = device_from_catalogue("RTX 4090"), synthetic_profile(50_000, 200)
    every = configurations()
    for config in every:
        estimate(config, model, device, data)
    pace, times = Pace(), []
    for number, config in enumerate(every * 3):
        if number % 20 == 0:
            pace.sample()
        began = time.process_time()
        estimate(config, model, device, data)
        times.append(time.process_time() - began)
    slow = statistics.quantiles(times, n=20)[-1]
    print(f"estimate(): {len(times)} calls, 95th percentile {slow * 1e6:.0f} µs of processor time")
    return int(not pace.judge("median", statistics.median(times), LIMIT))


if __name__ == "__main__":
    sys.exit(main())
