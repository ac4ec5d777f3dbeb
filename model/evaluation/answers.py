"""Files of answers and references: JSON, JSON lines, CSV or TSV, plain or gzip; and answers matched to questions."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infimm_data.document import well_formed
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import read_bytes

SHOWN = 3  # ids that a message names
_GZIP = b"\x1f\x8b"


def read_data(path: str) -> Any:
    """Return the content of a JSON or JSON lines file, or the rows (dicts) of a .csv or .tsv, each perhaps .gz.

    Raises ConfigError in one line.
    """
    text = read_text(path)
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty")
    kind = path.removesuffix(".gz").rpartition(".")[2].lower()
    if kind in ("csv", "tsv"):
        return _rows(text, "\t" if kind == "tsv" else ",")
    try:
        return _loaded(text, path)
    except RecursionError:
        raise ConfigError(f"{path}: JSON nested too deep") from None
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}: not JSON ({error.msg})"
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        raise ConfigError(where)
    try:
        return [json.loads(line) for line in lines]
    except (json.JSONDecodeError, RecursionError):
        raise ConfigError(f"{where}, and not JSON lines either") from None


def _loaded(text: str, path: str) -> Any:
    """Return the JSON; raises ConfigError where an object holds a key twice (json keeps the last without a word)."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
            raise ConfigError(f"{path}: {_cases(twice)} more than once; each needs one answer")
        return found

    try:
        return json.loads(text, object_pairs_hook=checked)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{path}: not JSON ({error})") from None


def read_text(path: str) -> str:
    """Return a text file, perhaps gzip; raises ConfigError in one line."""
    try:
        data = read_bytes(path)
        return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder, expected a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ConfigError(f"{path}: the gzip file ends early or is damaged") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; expected JSON, CSV or TSV") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None


def _rows(text: str, delimiter: str) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)  # MMBench's rows hold whole pictures
    try:
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)]
    except csv.Error as error:
        raise ConfigError(f"not a table: {error}") from None


def as_map(data: Any, *, path: str, ids: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """Return {id: value} of a JSON object, or of a list of records by the first of the keys that they have.

    Ids become text. Raises ConfigError when an id comes twice or a record lacks a key.
    """
    if isinstance(data, dict):
        return {str(key): value for key, value in data.items()}
    if not isinstance(data, list):
        raise ConfigError(f"{path}: found {type(data).__name__}, expected a list of records or an object by id")
    found: dict[str, Any] = {}
    twice: list[str] = []
    for number, record in enumerate(data):
        key, value = (_first(record, names, path=path, number=number) for names in (ids, values))
        if str(key) in found:
            twice.append(str(key))
        found[str(key)] = value
    if twice:
        raise ConfigError(f"{path}: {_cases(twice)} more than once; each needs one answer")
    return found


def _first(record: Any, names: Sequence[str], *, path: str, number: int) -> Any:
    if isinstance(record, dict):
        for name in names:
            if name in record:
                return record[name]
    keys = list(record) if isinstance(record, dict) else []
    hint = did_you_mean(names[0], map(str, keys))
    found = f"keys {', '.join(map(repr, keys[:8]))}" if keys else repr(record)[:60]
    raise ConfigError(f"{path}, record {number + 1}: no '{names[0]}' (found {found}).{hint}")


def as_texts(found: Mapping[str, Any], *, path: str) -> dict[str, str]:
    """Return the answers as text: numbers are written out; raises ConfigError on anything else."""
    wrong = [key for key, value in found.items() if not isinstance(value, str | int | float) or isinstance(value, bool)]
    if wrong:
        raise ConfigError(f"{path}: {_cases(wrong)}: the answer is {type(found[wrong[0]]).__name__}, expected text")
    return {key: well_formed(str(value)) for key, value in found.items()}


def matched(answers: Mapping[str, Any], wanted: Iterable[str], *, path: str, is_partial: bool = False) -> list[str]:
    """Return the ids to score, in the order of the references.

    is_partial: score only what was answered. Raises ConfigError when an answer is missing, or answers no question.
    """
    wanted = list(wanted)
    known = set(wanted)
    strange = [key for key in answers if key not in known]
    if not known:
        raise ConfigError(f"{path}: the references hold no questions; {SWAPPED}")
    if strange:
        raise ConfigError(f"{path}: {_cases(strange)} not among the {len(known)} of the references")
    missing = [key for key in wanted if key not in answers]
    if missing and not is_partial:
        raise ConfigError(
            f"{path}: {_cases(missing)} without an answer, of {len(wanted)}; answer them, or pass --partial to score "
            "the answered ones"
        )
    chosen = [key for key in wanted if key in answers]
    if not chosen:
        raise ConfigError(f"{path}: no answers; nothing can be scored")
    return chosen


SWAPPED = "are --predictions and --references swapped?"


def problem_of(error: Exception) -> str:
    """Return what is wrong with a record, in words: a key that is absent, or a value of another kind."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}"
    return "a value of another kind" if isinstance(error, AttributeError) else str(error)


def _cases(keys: Sequence[str]) -> str:
    """Return "3 questions (id 4, 7, 9)" or "12 questions (id 4, 7, 9, ...)"."""
    dots = ", ..." if len(keys) > SHOWN else ""
    shown = ", ".join(key[:60] for key in keys[:SHOWN])
    return f"{len(keys)} question{'s' * (len(keys) != 1)} (id {shown}{dots})"
