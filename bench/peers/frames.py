"""Polars with connectorx, whole in memory as they do it: `python -m bench.peers.frames ROW`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars as pl

from bench.works import WORKS, Work

CONNECTIONS = 2


def main(work: Work) -> None:
    frame = pl.read_database_uri(
        "SELECT * FROM lineitem",
        os.environ["URL"],
        partition_on="l_partkey",
        partition_num=CONNECTIONS,
        engine="connectorx",
    )
    target = Path(os.environ["OUT"], f"{work.resource}.{work.suffix}")
    if work.format == "csv":
        frame.write_csv(target)
    elif work.format == "ndjson":
        frame.write_ndjson(target)
    else:
        frame.write_parquet(target, compression="zstd", compression_level=1)


if __name__ == "__main__":
    main(WORKS[sys.argv[1]])
