"""Recipes: YAML into checked settings; a wrong key stops the run before any work and names the nearest right one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import read_bytes
from infimm_data.yaml_loader import Loader

M = TypeVar("M", bound=BaseModel)


SHOWN = 80  # characters of what was found that a message repeats


class Settings(BaseModel):
    """The base of every recipe section: frozen; unknown keys, texts for numbers and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def load_yaml(path: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; raises ConfigError in one line when it is not one."""
    try:
        data = yaml.load(read_bytes(path).decode("utf-8-sig"), Loader=Loader)  # noqa: S506  # a SafeLoader of ours
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{path}: no such file; expected a YAML recipe, see configs/ for examples") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); expected a YAML recipe") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; a recipe is UTF-8 YAML") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise ConfigError(f"{path}{line}: not valid YAML ({problem}); fix it and run again") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML (nested too deep); expected a recipe, see configs/") from None
    if data is None:
        raise ConfigError(f"{path}: the file is empty; expected a YAML recipe, see configs/ for examples")
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {type(data).__name__}, expected a mapping of keys to settings")
    return data


def load_settings(path: str, model: type[M]) -> M:
    """Return the settings in a YAML file, checked against `model`; raises ConfigError naming key and remedy."""
    return parse_settings(load_yaml(path), model, where=path)


def parse_settings(data: Any, model: type[M], *, where: str) -> M:
    """Return `data` as `model`; raises ConfigError whose one line starts with `where`."""
    try:
        checked: M = _strictly(TypeAdapter(model), data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_problem(error, model)}") from None
    return checked


def _strictly(adapter: TypeAdapter[Any], data: Any) -> Any:
    """Validate plain data without conversions ("5" is no number, `true` is not 1) but list to tuple, int to float.

    By way of JSON, as pydantic's strict mode takes a list for a tuple there only.
    """
    return adapter.validate_json(json.dumps(data), strict=True)


def build_entry(table: dict[str, type[Any]], entry: Any, *, kind_key: str, where: str) -> Any:
    """Return the dataclass that a recipe entry like `{filter: text_length, min_words: 50}` names.

    table: config name -> frozen dataclass; kind_key: the key that holds the name. Raises ConfigError in one
    line, with the nearest valid name or key.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get(kind_key), str):
        found = repr(entry)[:SHOWN]
        raise ConfigError(f"{where}: expected a mapping with the key '{kind_key}', found {found}")
    name = entry[kind_key]
    if name not in table:
        raise ConfigError(
            f"{where}: unknown {kind_key} '{name}'.{did_you_mean(name, table)} There are: {', '.join(table)}."
        )
    cls = table[name]
    settings = {key: value for key, value in entry.items() if key != kind_key}
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in settings:
        if key not in known:
            takes = f"It takes: {', '.join(known)}." if known else "It takes no settings."
            raise ConfigError(f"{where}: unknown key '{key}' for {name}.{did_you_mean(str(key), known)} {takes}")
    try:
        return _strictly(TypeAdapter(cls), settings)
    except ValidationError as error:
        raise ConfigError(f"{where}: {name}: {_first_problem(error, None)}") from None
    except ConfigError as error:  # of the settings' own __post_init__, which does not know where they stand
        raise ConfigError(f"{where}: {name}: {error}") from None


def _first_problem(error: ValidationError, model: type[BaseModel] | None) -> str:
    """Say the first problem of a pydantic error in one line: which key, what was found, what was expected.

    An unknown key comes first: when it is a misspelt one, the right one is missing because of it.
    """
    problems = error.errors(include_url=False)
    unknown = [found for found in problems if found["type"] in ("extra_forbidden", "unexpected_keyword_argument")]
    first = (unknown or problems)[0]
    keys = [str(part) for part in first["loc"]]
    key = ".".join(keys)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(model, keys[:-1]) if model else []
        takes = f" It takes: {', '.join(known)}." if known else ""
        return f"unknown key '{key}'.{did_you_mean(keys[-1], known)}{takes}"
    if first["type"] in ("missing", "missing_argument"):
        return f"the key '{key}' is missing; add it"
    problem = first["msg"].removeprefix("Value error, ")
    return f"'{key}' is {repr(first.get('input'))[:SHOWN]}: {problem}" if key else problem


def _known_keys(model: type[BaseModel], path: Iterable[str]) -> list[str]:
    """Return the keys that the section at `path` takes; [] when the path leads nowhere.

    In a table or a list of sections the key after its own is a name, or a number.
    """
    here: Any = model
    is_name_next = False
    for key in path:
        if is_name_next:
            is_name_next = False
            continue
        field = here.model_fields.get(key) if isinstance(here, type) and issubclass(here, BaseModel) else None
        here = field.annotation if field else None
        options = [a for a in getattr(here, "__args__", ()) if isinstance(a, type) and issubclass(a, BaseModel)]
        is_name_next = getattr(here, "__origin__", None) in (dict, list, tuple)
        here = options[0] if options else here
    if isinstance(here, type) and issubclass(here, BaseModel):
        return list(here.model_fields)
    return []
