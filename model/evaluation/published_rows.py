"""The published rows beside which ours stand (INFIMM.md 4.1: README of InfiMM-Zephyr).

Two cells of that README are not taken as printed: 22.69 and 24.53 stand there under MMMU for Otter and IDEFICS, but
its own commented-out table shows that they are InfiMM-Eval's, and Otter's 32.2 MMMU's.
"""

from __future__ import annotations

PRETRAINING = {
    "coco": "COCO CIDEr", "flickr30k": "Flickr30K CIDEr", "vqav2": "VQAv2", "textvqa": "TextVQA", "okvqa": "OK-VQA",
}  # fmt: skip
"""Task -> column of the first table."""

INSTRUCTION = {
    "scienceqa": "ScienceQA-IMG", "mme": "MME P / C", "mmvet": "MM-Vet", "infimm_eval": "InfiMM-Eval",
    "mmbench": "MMBench", "mmmu": "MMMU val", "mmmu_test": "MMMU test",
}  # fmt: skip
"""Task -> column of the second table; MMMU's test split is scored by its server alone."""

PRETRAINED = {
    "IDEFICS-9B": {0: ("46", "27.3", "50.9", "25.9", "38.4"), 4: ("93", "59.7", "55.4", "27.6", "45.5")},
    "IDEFICS-80B": {0: ("91.8", "53.7", "60", "30.9", "45.2"), 4: ("110.3", "73.7", "64.6", "34.4", "52.4")},
    "InfiMM-Zephyr-7B": {0: ("78.8", "60.7", "33.7", "15.2", "17.1"), 4: ("108.6", "71.9", "59.1", "34.3", "50.5")},
    "InfiMM-Llama2-13B": {0: ("85.4", "54.6", "51.6", "24.2", "26.4"), 4: ("125.2", "87.1", "66.1", "38.2", "55.5")},
    "InfiMM-Vicuna-13B": {0: ("69.6", "49.6", "60.4", "32.8", "49.2"), 4: ("118.1", "81.4", "64.2", "38.4", "53.7")},
}
"""Model -> shots -> cells in the order of PRETRAINING."""

INSTRUCTED = {
    "Otter-9B": ("-", "1292 / 306", "24.6", "22.69", "-", "32.2", "-"),
    "IDEFICS-9B-Instruct": ("60.6", "-", "-", "24.53", "-", "-", "-"),
    "InfiMM-Zephyr-7B": ("71.1", "1406 / 327", "32.8", "36.0", "59.7", "39.4", "35.5"),
    "InfiMM-Llama-13B": ("73.0", "1444.5 / 337.6", "39.2", "0.4559/0.414", "66.4", "39.1", "35.2"),
    "InfiMM-Vicuna-13B": ("74.0", "1461.2 / 323.5", "36.0", "40.0", "66.7", "37.6", "34.6"),
}
"""Model -> cells in the order of INSTRUCTION."""
