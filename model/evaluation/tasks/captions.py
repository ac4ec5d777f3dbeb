"""Captioning (COCO, Flickr30K): CIDEr of one caption per picture, with BLEU and ROUGE-L beside it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import join
from model.evaluation.answers import SWAPPED, as_map, as_texts, matched, problem_of, read_data, read_text
from model.evaluation.intervals import mean_interval
from model.evaluation.metrics.captions import bleu, cider, rouge_l
from model.evaluation.metrics.ptb_words import words
from model.evaluation.result import Item, Result
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Picture, Question, needed

MOST_CHARACTERS = 10_000  # of a caption: the time of the tokenizer grows with the square on hostile text
_FLICKR_LINE = re.compile(r"([^\t#]+)#\d+\t(.*)")  # Flickr30K's own results.token: NAME#NUMBER, tab, caption
_LAYOUTS = "COCO's annotations, Karpathy's dataset file, or an object {image id: [captions]}"


@dataclass(frozen=True)
class Captions:
    """split: of a Karpathy file that scoring takes, "test" in every published table."""

    split: str = "test"
    holds_references: bool = False

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return one question without text per picture; its answers are the reference captions."""
        entries = _entries(_read(files.questions), path=files.questions, split=files.split or self.split)
        found = []
        for key, (name, captions) in entries.items():
            name = name or files.image_name.format(image_id=int(key) if key.isdecimal() else key)
            picture = Picture(name=name, path=join(files.images or ".", name))
            found.append(Question(id=key, text="", pictures=(picture,), answers=tuple(captions)))
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return COCO's result layout."""
        return [
            {"image_id": int(one.id) if one.id.isdecimal() else one.id, "caption": answers[one.id]} for one in questions
        ]

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return CIDEr x 100, as the tables print it; `CIDEr` and the others are in the scale of the original."""
        path = needed(references, name)
        entries = _entries(_read(path), path=path, split=self.split)
        found = as_map(read_data(predictions), path=predictions, ids=("image_id", "id"), values=("caption", "answer"))
        answers = as_texts({key: _only(value) for key, value in found.items()}, path=predictions)
        long = [key for key, text in answers.items() if len(text) > MOST_CHARACTERS]
        if long:
            raise ConfigError(
                f"{predictions}: {len(long)} captions of more than {MOST_CHARACTERS} characters (id {long[0]})"
            )
        keys = matched(answers, entries, path=predictions, is_partial=scoring.is_partial)
        captions = words([answers[key] for key in keys])
        flat = words([caption for key in keys for caption in entries[key][1]])
        ends = [0]
        for key in keys:
            ends.append(ends[-1] + len(entries[key][1]))
        own = [flat[start:stop] for start, stop in itertools.pairwise(ends)]
        return _result(name, keys, [answers[key] for key in keys], captions, own)


def _result(
    name: str, keys: list[str], texts: list[str], captions: list[list[str]], references: list[list[list[str]]]
) -> Result:
    ciders, rouges, bleus = cider(captions, references), rouge_l(captions, references), bleu(captions, references)
    items = {
        key: Item(
            points=ciders[i],
            facts={"answer": texts[i], "CIDEr": ciders[i], "ROUGE_L": rouges[i]}
            | {f"Bleu_{n + 1}": value for n, value in enumerate(bleus.images[i])},
        )
        for i, key in enumerate(keys)
    }
    mean = math.fsum(ciders) / len(ciders)
    metrics = {"CIDEr": mean, "ROUGE_L": math.fsum(rouges) / len(rouges)}
    metrics |= {f"Bleu_{n + 1}": value for n, value in enumerate(bleus.corpus)}
    return Result(
        task=name,
        score=100 * mean,
        interval=mean_interval(ciders, scale=100),
        count=len(keys),
        metrics=metrics,
        items=items,
    )


def _read(path: str) -> Any:
    """Return the content of a file of references; Flickr30K's lines become {name: captions}."""
    if not path.removesuffix(".gz").endswith((".token", ".txt")):
        return read_data(path)
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_text(path).split("\n")):
        match = _FLICKR_LINE.fullmatch(line.removesuffix("\r"))
        if match is None and line.strip():
            raise ConfigError(f"{path}, line {number + 1}: expected NAME#NUMBER, a tab and a caption")
        if match:
            found.setdefault(match[1], []).append(match[2])
    return found


def _only(answer: Any) -> Any:
    """Return the caption of [caption] or [{"caption": ...}], as pycocoevalcap's own objects hold it."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer.get("caption") if isinstance(answer, dict) else answer


def _entries(data: Any, *, path: str, split: str) -> dict[str, tuple[str | None, list[str]]]:
    """Return {image id: (file name if the file says it, captions)}, in the order of the file."""
    try:
        if isinstance(data, dict) and "annotations" in data:
            found = _coco(data)
        elif isinstance(data, dict) and isinstance(data.get("images"), list):
            found = _karpathy(data["images"], split)
        elif isinstance(data, dict):
            found = {str(key): (None, _listed(captions)) for key, captions in data.items()}
        else:
            found = {str(row["image_id"]): (row.get("file_name"), _listed(row["captions"])) for row in data}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not references of captions ({problem_of(error)}); expected {_LAYOUTS}; {SWAPPED}"
        ) from None
    if not found:
        raise ConfigError(f"{path}: no pictures of split '{split}'; expected {_LAYOUTS}")
    empty = [key for key, (_, captions) in found.items() if not captions]
    if empty:
        raise ConfigError(f"{path}: {len(empty)} pictures without a reference caption (id {', '.join(empty[:3])})")
    return found


def _coco(data: dict[str, Any]) -> dict[str, tuple[str | None, list[str]]]:
    names = {str(image["id"]): image.get("file_name") for image in data.get("images", [])}
    found: dict[str, tuple[str | None, list[str]]] = {}
    for annotation in data["annotations"]:
        key = str(annotation["image_id"])
        found.setdefault(key, (names.get(key), []))[1].append(_text(annotation["caption"]))
    order = [key for key in names if key in found] + [key for key in found if key not in names]
    return {key: found[key] for key in order}


def _karpathy(images: list[dict[str, Any]], split: str) -> dict[str, tuple[str | None, list[str]]]:
    return {
        str(image.get("cocoid", image.get("imgid"))): (
            "/".join(part for part in (image.get("filepath"), image["filename"]) if part),
            [_text(sentence["raw"]) for sentence in image["sentences"]],
        )
        for image in images
        if image["split"] == split
    }


def _listed(captions: Any) -> list[str]:
    if not isinstance(captions, list):
        raise TypeError(f"captions {str(captions)[:40]!r} are no list")
    return [_text(one) for one in captions]


def _text(caption: Any) -> str:
    if isinstance(caption, dict):
        caption = caption["caption"]
    if not isinstance(caption, str):
        raise TypeError(f"caption {caption!r}")
    return caption
