"""Efficiencies fitted to public measurements: printed by `python -m benchmarks.fit_time`.

A factor is the seconds that a second's work at the vendor's peak takes. That of traffic stands on a nominal count of
passes through memory, so it may be below 1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """The fitted efficiency of a kind of device."""

    products: float
    """Factor of matrix products at the peak rate of their dtype."""
    traffic: float
    """Factor of bytes moved at the peak bandwidth."""
    pass_seconds: float
    """Seconds of a layer's pass that are there at any size: launches and Python."""
    low: float
    high: float
    """Ends of the interval, as shares of the estimate: the 5th and 95th percentile of truth over estimate with each
    row's model left out, and wider where a whole kind of card was not measured."""


TURING = Speed(products=3.184, traffic=0.7782, pass_seconds=0.001889, low=0.75, high=1.5)
"""49 steps of 5 models on a T4; median error with the model left out 12.8 %, 90th percentile 25.2 %."""

AMPERE = Speed(products=1.288, traffic=1.733, pass_seconds=0.001526, low=0.75, high=1.5)
"""14 rows of 2 models on an A100; median error with the model left out 4.8 %, 90th percentile 11.1 %. The interval is
wider, because every card from Ampere on is priced by it."""

CPU = Speed(products=1.0, traffic=1.0, pass_seconds=0.0005, low=0.4, high=2.5)
CPU_FLOPS_PER_CORE = 45e9
"""fp32 FLOP/s that training reached on a core (SmolLM2-135M, 2 cores: about 100 tokens/s). A guess for any other."""
CPU_BANDWIDTH = 10e9
"""Bytes a second, of a core that shares its memory with others: a guess."""
