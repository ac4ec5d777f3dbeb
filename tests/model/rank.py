"""One rank of a test: joins the group that its environment names, as under torchrun, and trains each job of a file."""

from __future__ import annotations

import json
import sys
import warnings

from infimm_data.config import parse_settings


def main(jobs: str) -> None:
    """Train the jobs, a JSON list of {config, data, out}, one after the other."""
    warnings.simplefilter("ignore")
    import torch

    from model.config import TrainConfig
    from model.parallel import joined
    from model.train import train

    torch.set_num_threads(1)
    with joined("cpu"):
        for job in json.loads(jobs):
            train(parse_settings(job["config"], TrainConfig, where="test"), data=job["data"], out=job["out"])


if __name__ == "__main__":
    main(sys.argv[1])
