"""Tests of torch and bitsandbytes on this machine: `python -m trainer.worker.measure.probe {torch,quantisation}`.

Prints one JSON line: {"ok", "detail", "remedy"}. A process of its own: a broken library may take it down.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def try_torch(cuda: bool) -> dict[str, Any]:
    """Compute one product on the device, by the torch that the worker would use."""
    import torch

    if not cuda:
        product = torch.ones(64, 64) @ torch.ones(64, 64)
        return {"ok": float(product[0, 0]) == 64.0, "detail": f"torch {torch.__version__} on the CPU"}
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = f"built for {'CUDA' if torch.version.cuda else 'ROCm'} {built}" if built else "a CPU build"
        # The driver answers, or the GPU would not be listed: what to change is the build, or the driver under it.
        what = "Update the driver, or install" if torch.version.cuda else "Install"
        return {
            "ok": False,
            "detail": f"torch {torch.__version__} ({why}) does not see the GPU",
            "remedy": f"{what} the torch build for this driver and card; `lora-wizard probe` names the command.",
        }
    product = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    name = torch.cuda.get_device_name(0)
    return {"ok": float(product[0, 0]) == 64.0, "detail": f"torch {torch.__version__} computes on {name}"}


def try_quantisation(cuda: bool) -> dict[str, Any]:
    """Compare a 4-bit product with the same product in full precision; NF4 keeps it within a tenth."""
    import bitsandbytes as bnb
    import torch

    if cuda and not torch.cuda.is_available():
        return try_torch(cuda)
    device = "cuda" if cuda else "cpu"
    torch.manual_seed(0)
    weight = torch.randn(256, 256)
    layer = bnb.nn.Linear4bit(256, 256, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    layer.weight = bnb.nn.Params4bit(weight.clone(), requires_grad=False, quant_type="nf4")
    layer = layer.to(device)
    x = torch.randn(8, 256)
    exact = x @ weight.T
    error = float((layer(x.to(device)).float().cpu() - exact).norm() / exact.norm())
    return {
        "ok": error < 0.15,
        "detail": f"bitsandbytes {bnb.__version__}, a 4-bit product is off by {error * 100:.1f} %",
    }


def main() -> int:
    """Run one test and print its result."""
    what, cuda = sys.argv[1], "--cuda" in sys.argv
    try:
        answer = try_torch(cuda) if what == "torch" else try_quantisation(cuda)
    except Exception as problem:
        # Whatever a broken installation raises is the answer.
        answer = {
            "ok": False,
            "detail": f"{type(problem).__name__}: {problem}".splitlines()[0],
            "remedy": "Reinstall the tested versions: pip install -c constraints.txt torch bitsandbytes.",
        }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
