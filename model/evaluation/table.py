"""The registry of tasks: name of `infimm eval --task` and of recipes -> task. Adding one is one file and one line."""

from __future__ import annotations

from infimm_data.errors import ConfigError, did_you_mean
from model.evaluation.tasks.captions import Captions
from model.evaluation.tasks.contract import Task
from model.evaluation.tasks.graded import INFIMM_EVAL_PROMPT, MM_VET_PROMPT, Graded
from model.evaluation.tasks.mmbench import MmBench
from model.evaluation.tasks.mme import Mme
from model.evaluation.tasks.mmmu import Mmmu
from model.evaluation.tasks.science_qa import ScienceQa
from model.evaluation.tasks.vqa import Vqa

TASKS: dict[str, Task] = {
    "coco": Captions(),
    "flickr30k": Captions(),
    "vqav2": Vqa(),
    "okvqa": Vqa(),
    "textvqa": Vqa(),
    "vizwiz": Vqa(),
    "scienceqa": ScienceQa(),
    "mme": Mme(),
    "mmvet": Graded(prompt=MM_VET_PROMPT, is_weighted=False),
    "infimm_eval": Graded(prompt=INFIMM_EVAL_PROMPT, is_weighted=True),
    "mmbench": MmBench(),
    "mmmu": Mmmu(),
}


def task_named(name: str) -> Task:
    """Return the task; raises ConfigError with the nearest name."""
    if name not in TASKS:
        raise ConfigError(f"unknown task '{name}'.{did_you_mean(name, TASKS)} There are: {', '.join(TASKS)}.")
    return TASKS[name]
