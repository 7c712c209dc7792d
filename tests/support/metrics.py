"""Metrics as Prometheus reads them: by its own client's parser, and held to the conventions of the text format."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["counters", "parse"]


def parse(text: str) -> dict[str, float]:
    """Samples by name and labels, as `name{label="value"}`; AssertionError where Prometheus would mind.

    Every family has HELP and TYPE and stands once, no sample is there twice, counters and nothing else end with _total,
    and histograms are cumulative up to +Inf.
    """
    assert text.endswith("\n")
    samples: dict[str, float] = {}
    for family in _families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            key = sample.name + (f"{{{labels}}}" if labels else "")
            assert key not in samples, f"{key} twice"
            samples[key] = float(sample.value)
    return samples


def counters(text: str) -> dict[str, float]:
    """Those samples that may never fall while the process lives: of counters, and the buckets of histograms."""
    falling = {sample.name for family in _families(text) if family.type == "gauge" for sample in family.samples}
    return {name: value for name, value in parse(text).items() if name.partition("{")[0] not in falling}


def _families(text: str) -> Iterator[Metric]:
    seen = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in seen, f"{family.name} stands twice"
        seen.add(family.name)
        assert family.name.startswith("understudy_"), family.name
        assert family.type in ("counter", "gauge", "histogram"), f"{family.name} has the type {family.type}"
        assert family.documentation.strip(), f"{family.name} has no HELP"
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total"}, names
        elif family.type == "gauge":
            assert names == {family.name}
            assert not family.name.endswith("_total")
        else:
            _assert_histogram(family)
        yield family


def _assert_histogram(family: Metric) -> None:
    """Buckets rise in their bounds and never fall in their counts; the last is +Inf, and is the count of all."""
    buckets = [sample for sample in family.samples if sample.name == f"{family.name}_bucket"]
    bounds = [float(sample.labels["le"]) for sample in buckets]
    counts = [sample.value for sample in buckets]
    assert bounds == sorted(set(bounds)), bounds
    assert bounds[-1] == math.inf
    assert buckets[-1].labels["le"] == "+Inf"
    assert counts == sorted(counts), counts
    rest = {sample.name: sample.value for sample in family.samples if sample not in buckets}
    assert set(rest) == {f"{family.name}_sum", f"{family.name}_count"}
    assert rest[f"{family.name}_count"] == counts[-1]
    assert 0 <= rest[f"{family.name}_sum"] < math.inf
