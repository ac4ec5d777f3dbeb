"""A small dump in the published layout for every recipe under configs/build, named as that recipe's file is."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.pipelines.archives.made_archives import page_records, write_crawl
from tests.web_server import PNG

ROWS = 30
Settings = Mapping[str, Any]
WORDS = "A red circle stands left of a blue square on this page."


def make_dump(recipe: str, folder: Path) -> Settings:
    """Write the dump of a recipe into a folder; return the settings of its source that say where it lies."""
    return MADE[recipe](folder)


def _pairs(suffix: str, **columns: Any) -> Callable[[Path], Settings]:
    """A table of pairs: URL and caption by the set's own names, and other columns with one value each."""
    (url, caption), more = list(columns.items())[:2], dict(list(columns.items())[2:])

    def write(folder: Path) -> Settings:
        rows = [{url[0]: f"https://a.example/{n}.jpg", caption[0]: f"{WORDS} {n}", **more} for n in range(ROWS)]
        if suffix == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / "part-00000.parquet")
        else:
            (folder / "part.tsv").write_text("".join("\t".join(map(str, row.values())) + "\n" for row in rows))
        return {"path": str(folder)}

    return write


def _table(row: Callable[[int], dict[str, Any]]) -> Callable[[Path], Settings]:
    def write(folder: Path) -> Settings:
        pq.write_table(pa.Table.from_pylist([row(n) for n in range(ROWS)]), folder / "train-00000.parquet")
        return {"path": str(folder)}

    return write


def _tar(members: Callable[[int], list[tuple[str, bytes]]]) -> Callable[[Path], Settings]:
    def write(folder: Path) -> Settings:
        with tarfile.open(folder / "00000.tar", "w") as tar:
            for name, data in (member for n in range(ROWS) for member in members(n)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return {"path": str(folder)}

    return write


def _json(name: str, data: Callable[[], Any], **settings: Any) -> Callable[[Path], Settings]:
    """A file of JSON (lines where the name says so); a setting "beside" is written too, and named by its path."""

    def write(folder: Path) -> Settings:
        rows = data()
        text = "".join(json.dumps(row) + "\n" for row in rows) if name.endswith(".jsonl") else json.dumps(rows)
        (folder / name).write_text(text)
        found = {"path": str(folder / name)}
        for key, value in settings.items():
            if callable(value):
                (folder / f"{key}.json").write_text(json.dumps(value()))
                found[key] = str(folder / f"{key}.json")
            else:
                found[key] = str(folder) if value == "FOLDER" else value
        return found

    return write


def _task(name: str, data: Callable[[], Any], **settings: Any) -> Callable[[Path], Settings]:
    return _json(name, data, images_root="FOLDER", **settings)


def _rows(**row: Any) -> list[dict[str, Any]]:
    return [{**row, "question_id": n, "image_id": n, "image": f"{n}.jpg"} for n in range(ROWS)]


def _archive(folder: Path) -> Settings:
    (folder / "a.warc.gz").write_bytes(b"".join(page_records(range(ROWS))))
    return {"path": str(folder)}


def _crawl(folder: Path) -> Settings:
    write_crawl(folder, files=2)
    return {"base": str(folder)}


def _index(folder: Path) -> Settings:
    names = ("filename", "offset", "length", "url")
    rows = [dict(zip(names, row, strict=True)) for row in write_crawl(folder, files=2)]
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"base": str(folder), "path": str(folder / "index.jsonl")}


def _urls(folder: Path) -> Settings:
    (folder / "pages.txt").write_text("".join(f"https://site{n % 3}.example/{n}\n" for n in range(ROWS)))
    return {"path": str(folder / "pages.txt")}


def _mmc4_record(number: int, **entry: Any) -> dict[str, Any]:
    image = {"image_name": "a.png", "raw_url": f"https://a.example/{number}.png", "matched_text_index": 0}
    return {
        "text_list": [WORDS, f"And {number}."], "url": f"https://a.example/{number}", "could_have_url_duplicate": 0,
        "image_info": [{**image, "matched_sim": 0.3, "face_detections": None, **entry}],
        "similarity_matrix": [[0.3, 0.1]],
    }  # fmt: skip


def _mmc4(folder: Path) -> Settings:
    lines = "".join(json.dumps(_mmc4_record(n)) + "\n" for n in range(ROWS))
    with zipfile.ZipFile(folder / "docs_shard_0_v2.jsonl.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("docs_shard_0_v2.jsonl", lines)
    return {"path": str(folder)}


def _tiff() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 200), (9, 99, 199)).save(buffer, "TIFF")
    return buffer.getvalue()


def _mint(number: int) -> list[tuple[str, bytes]]:
    record = {
        "texts": [None, WORDS], "images": ["page_0_image_85", None], "url": f"https://a.example/{number}.pdf",
        "image_metadata": [{"height": 200, "width": 200, "page": 0, "sha256": "0", "xref": 85}],
    }  # fmt: skip
    return [(f"{number:032x}.json", json.dumps(record).encode()), (f"{number:032x}.tiff", _tiff())]


def _fetched(number: int) -> list[tuple[str, bytes]]:
    facts = {"url": f"https://a.example/{number}.jpg", "caption": WORDS, "status": "success", "width": 9, "height": 9}
    parts = {"jpg": PNG, "txt": WORDS.encode(), "json": json.dumps(facts).encode()}
    return [(f"{number:09d}.{suffix}", data) for suffix, data in parts.items()]


def _turns(number: int) -> dict[str, Any]:
    said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": f"{WORDS} {number}"}]
    return {"id": str(number), "image": f"coco/{number}.jpg", "conversations": said}


def _messages(number: int) -> dict[str, Any]:
    said = [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": f"{WORDS} {number}"}]
    return {"messages": said, "images": [f"{number}.jpg"]}


def _m3it(folder: Path) -> Settings:
    row = {"inputs": "What?", "image_base64_str": [base64.b64encode(PNG).decode()], "outputs": "A square."}
    (folder / "train.jsonl").write_text(
        "".join(json.dumps({**row, "instruction": f"Do {n}."}) + "\n" for n in range(ROWS))
    )
    return {"path": str(folder / "*.jsonl")}


_DETAILS = {"aesthetic_prob": 5.5, "unsafe_prob": 0.0, "height": 480, "width": 640}
_ANSWERS = [{"answer": "blue"}] * 3
_LAION = {"URL": "", "TEXT": "", "HEIGHT": 480, "WIDTH": 640, "LICENSE": "?", "NSFW": "UNLIKELY"}
_SCORES = {"similarity": 0.31, "punsafe": 0.01, "pwatermark": 0.2}
_COYO = {
    "width": 640, "height": 480, "image_phash": "a" * 16, "num_faces": 0, "clip_similarity_vitb32": 0.3,
    "nsfw_score_opennsfw2": 0.1, "nsfw_score_gantman": 0.2, "watermark_score": 0.1, "aesthetic_score_laion_v2": 5.0,
}  # fmt: skip
_POOL = {
    "original_width": 640,
    "original_height": 480,
    "clip_b32_similarity_score": 0.3,
    "clip_l14_similarity_score": 0.2,
}


def _questions(**row: Any) -> Callable[[], Any]:
    return lambda: {"questions": _rows(question="What colour?", **row)}


def _annotations() -> Any:
    return {"annotations": [{"question_id": n, "multiple_choice_answer": "blue", "answers": []} for n in range(ROWS)]}


def _captions() -> Any:
    images = [{"id": n, "file_name": f"{n}.jpg", "coco_url": f"http://c.example/{n}.jpg"} for n in range(ROWS)]
    return {"images": images, "annotations": [{"image_id": n, "id": n, "caption": WORDS} for n in range(ROWS)]}


def _choice(number: int) -> dict[str, Any]:
    return {
        "question": "What?",
        "choices": ["red", "blue"],
        "answer": 1,
        "hint": "",
        "image": "image.png",
        "split": "train",
    }


def _answered(number: int) -> dict[str, Any]:
    return {"imageId": str(number), "question": "What?", "answer": "blue", "fullAnswer": "It is blue."}


def _cover(number: int) -> dict[str, Any]:
    return {"imageURL": f"http://x.example/{number}.jpg", "questions": ["Who?"], "answers": ["Me"], "split": 1}


MADE: Mapping[str, Callable[[Path], Settings]] = {
    "web_archive": _archive,
    "crawl_like_obelics": _archive,
    "crawl_like_webmath": _archive,
    "crawl_like_mmc4": _archive,
    "crawl_like_fineweb": _archive,
    "common_crawl": _crawl,
    "common_crawl_wat": _crawl,
    "common_crawl_index": _index,
    "live_crawl": _urls,
    "demo": lambda folder: {},
    "mmc4": _mmc4,
    "obelics": _table(
        lambda n: {
            "images": [None, f"https://a.example/{n}.jpg"], "texts": [WORDS, None],
            "metadata": json.dumps([None, {"alt_text": "a"}]),
            "general_metadata": json.dumps({"url": f"https://a.example/{n}"}),
        }
    ),
    "omnicorpus": _table(
        lambda n: {
            "images": [None, f"https://a.example/{n}.jpg"], "texts": [WORDS, None], "metadata": [None, _DETAILS],
            "general_metadata": {"url": f"https://a.example/{n}", "fluency_prob": 0.9},
        }
    ),
    "webmath": _table(
        lambda n: {
            "URL": f"https://m.example/{n}", "text_list": ["Let $x$.", None],
            "image_list": [None, f"https://m.example/{n}.png"], "metadata": json.dumps({"math_prob": 0.9}),
        }
    ),
    "mint1t": _tar(_mint),
    "openflamingo": _tar(
        lambda n: [
            (f"{n}.json", json.dumps(_mmc4_record(n, image_base64=base64.b64encode(PNG).decode())).encode())
        ]
    ),
    "laion_400m": _pairs("parquet", **_LAION, **_SCORES),
    "laion_2b_en": _pairs("parquet", **_LAION, **_SCORES),
    "laion_coco": _pairs("parquet", URL="", top_caption="", TEXT="x", all_captions=["a"], **_SCORES),
    "coyo_700m": _pairs("parquet", url="", text="", **_COYO),
    "datacomp": _pairs("parquet", url="", text="", **_POOL),
    "pmd": _pairs("parquet", image_url="", text="", source="coco"),
    "cc3m": lambda folder: _swapped(folder),
    "cc12m": _pairs("tsv", url="", caption=""),
    "img2dataset_shards": _tar(_fetched),
    "llava_mix665k": _json("llava.json", lambda: [_turns(n) for n in range(ROWS)], images_root="FOLDER"),
    "sharegpt": _json("sharegpt.jsonl", lambda: [_messages(n) for n in range(ROWS)], images_root="FOLDER"),
    "m3it": _m3it,
    "coco_captions": _task("captions_train2014.json", _captions),
    "vizwiz_captions": _task("train.json", _captions),
    "textcaps": _task("textcaps.json", lambda: {"data": _rows(caption_str=WORDS, reference_strs=[WORDS])}),
    "vqav2": _task("questions.json", _questions(), annotations=_annotations),
    "okvqa": _task("questions.json", _questions(), annotations=_annotations),
    "textvqa": _task("textvqa.json", lambda: {"data": _rows(question="What?", answers=["blue"])}),
    "docvqa": _task("docvqa.json", lambda: {"data": _rows(question="What?", answers=["blue"])}),
    "stvqa": _task("stvqa.json", lambda: {"data": _rows(question="What?", answers=["blue"], file_path="a/b.jpg")}),
    "vizwiz": _task("vizwiz.json", lambda: _rows(question="What?", answers=_ANSWERS)),
    "gqa": _task("gqa.json", lambda: {str(n): _answered(n) for n in range(ROWS)}),
    "ocrvqa": _task("ocrvqa.json", lambda: {str(n): _cover(n) for n in range(ROWS)}),
    "scienceqa": _task("problems.json", lambda: {str(n): _choice(n) for n in range(ROWS)}),
}  # fmt: skip


def _swapped(folder: Path) -> Settings:
    (folder / "Train_GCC-training.tsv").write_text(
        "".join(f"{WORDS} {n}\thttps://a.example/{n}.jpg\n" for n in range(ROWS))
    )
    return {"path": str(folder)}
