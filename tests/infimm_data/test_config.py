"""Recipes: each mistake is one line that says where, what was found and what to do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from infimm_data.config import Settings, build_entry, load_settings, load_yaml, parse_settings
from infimm_data.errors import ConfigError
from infimm_data.rules import check_bounds


class Inner(Settings):
    rate: float = 0.5
    names: tuple[str, ...] = ()


class Outer(Settings):
    inner: Inner = Inner()
    count: int
    flag: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    min_side: int | None = 150
    max_side: int | None = None
    max_aspect: float | None = 2.0
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class Nothing:
    pass


TABLE = {"image_size": ImageSize, "nothing": Nothing}


def problem(call, *arguments, **settings):
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


def entry(data):
    return build_entry(TABLE, data, kind_key="filter", where="c.yaml, step 2")


def test_a_misspelt_key_suggests_the_nearest_and_lists_all():
    assert problem(entry, {"filter": "image_size", "min_sid": 3}) == (
        "c.yaml, step 2: unknown key 'min_sid' for image_size. Did you mean 'min_side'? "
        "It takes: min_side, max_side, max_aspect, keep."
    )


def test_a_key_like_no_other_lists_all():
    assert problem(entry, {"filter": "nothing", "zzz": 3}) == (
        "c.yaml, step 2: unknown key 'zzz' for nothing. It takes no settings."
    )


def test_a_misspelt_filter_suggests_the_nearest():
    assert problem(entry, {"filter": "image_sise"}) == (
        "c.yaml, step 2: unknown filter 'image_sise'. Did you mean 'image_size'? There are: image_size, nothing."
    )


@pytest.mark.parametrize("data", ["image_size", None, {}, {"filter": 3}, ["x" * 9_999]])
def test_what_is_no_entry_is_said(data):
    assert problem(entry, data).startswith("c.yaml, step 2: expected a mapping with the key 'filter', found ")
    assert len(problem(entry, data)) < 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_side": "5"}, "image_size: 'min_side' is '5': Input should be a valid integer"),
        ({"min_side": 5.5}, "'min_side' is 5.5: Input should be a valid integer"),
        ({"min_side": True}, "'min_side' is True: Input should be a valid integer"),
        ({"max_aspect": "x" * 999}, "'max_aspect' is 'xxx"),
        ({"keep": "jpeg"}, "'keep' is 'jpeg': Input should be a valid"),
        ({"min_side": 9, "max_side": 5}, "image_size: min_side is 9, above max_side 5: nothing could pass"),
    ],
)
def test_a_value_of_the_wrong_type_is_said_and_never_converted(settings, said):
    text = problem(entry, {"filter": "image_size", **settings})
    assert text.startswith("c.yaml, step 2: image_size: ")
    assert said in text
    assert len(text) < 250


def test_a_right_entry_is_built_with_lists_as_tuples_and_whole_numbers_as_floats():
    built = entry({"filter": "image_size", "min_side": None, "max_aspect": 3, "keep": ["a"]})
    assert built == ImageSize(min_side=None, max_aspect=3.0, keep=("a",))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "r.yaml: the key 'count' is missing; add it"),
        ({"count": 1, "coun": 2}, "unknown key 'coun'. Did you mean 'count'? It takes: inner, count, flag."),
        ({"count": 1, "inner": {"rat": 2}}, "unknown key 'inner.rat'. Did you mean 'rate'? It takes: rate, names."),
        ({"count": "1"}, "'count' is '1': Input should be a valid integer"),
        ({"count": 1, "flag": 1}, "'flag' is 1: Input should be a valid boolean"),
        ({"count": 1, "inner": 3}, "'inner' is 3: "),
        ({"count": 1, "inner": {"rate": float("inf")}}, "'inner.rate' is inf: Input should be a finite number"),
        ([], "r.yaml: "),
    ],
)
def test_a_wrong_section_is_said_with_its_key(data, said):
    text = problem(parse_settings, data, Outer, where="r.yaml")
    assert text.startswith("r.yaml: ")
    assert said in text


def test_right_settings_are_read(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("\ufeffcount: 3\ninner: {rate: 1e-4, names: [en, no]}\n", encoding="utf-8")
    assert load_settings(str(path), Outer) == Outer(count=3, inner=Inner(rate=1e-4, names=("en", "no")))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "r.yaml: the file is empty"),
        (b"- a\n", "r.yaml: found list, expected a mapping"),
        (b"just words\n", "r.yaml: found str, expected a mapping"),
        (b"a: 1\nb: [1, 2\n", "r.yaml, line 3: not valid YAML ("),
        (b"a: 1\nb: 2\na: 3\n", "r.yaml, line 3: not valid YAML (the key 'a' stands there twice)"),
        (b"a: \xff\n", "r.yaml: byte 3 is not UTF-8"),
        (b"a: \x00\n", "not valid YAML (special characters are not allowed)"),
        (b"a: !!python/object:os.system {}\n", "not valid YAML (could not determine a constructor"),
        (b"a: " + b"[" * 5_000, "not valid YAML"),
        (b"? [a]\n: 1\n", "not valid YAML (found unhashable key)"),
    ],
)
def test_a_file_that_is_no_recipe_is_said_in_one_line(tmp_path, content, said):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert said in problem(load_yaml, str(path))


def test_a_recipe_that_is_absent_or_a_folder_is_said(tmp_path):
    assert problem(load_yaml, str(tmp_path / "x.yaml")).endswith("see configs/ for examples")
    assert "no such file" in problem(load_yaml, str(tmp_path))
    (tmp_path / "file").write_text("")
    assert "cannot be read (Not a directory)" in problem(load_yaml, str(tmp_path / "file" / "x.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("1e-4", 1e-4), ("-1.5E+3", -1500.0), ("10:30", "10:30"), ("010", "010"),
        ("2024-01-01", "2024-01-01"), ("1_000", 1000), ("0x1f", 31), ("true", True), ("~", None), ("", None),
        ("1.2.3", "1.2.3"), ("'5'", "5"), (".5", 0.5), ("+3", 3),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(tmp_path, text, value):
    path = tmp_path / "r.yaml"
    path.write_text(f"x: {text}\n")
    read = load_yaml(str(path))["x"]
    assert (type(read), read) == (type(value), value)
