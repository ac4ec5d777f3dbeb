"""What the columns of the published image-caption sets mean, as data: one entry per set.

Where releases of a set name a column differently, all its names are listed; the first that a file has is read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Column names by meaning; () where a set has none.

    caption: the text that is kept with the image; alt: another text that is only kept on the image; id: the set's
    own name of a pair; width, height: pixels; numbers, slugs: what the set measured, kept under these names (of a
    list of numbers the largest); header: the columns of text files that do not begin with them.
    """

    url: tuple[str, ...]
    caption: tuple[str, ...]
    alt: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    width: tuple[str, ...] = ()
    height: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    slugs: tuple[str, ...] = ()
    header: tuple[str, ...] | None = None

    def names(self) -> frozenset[str]:
        """Return every column that is read."""
        found = (getattr(self, one.name) for one in fields(self) if one.name != "header")
        return frozenset(name for names in found for name in names)


_LAION_NUMBERS = ("similarity", "punsafe", "pwatermark", "aesthetic", "AESTHETIC_SCORE")
_LAION = Columns(  # dataset cards of LAION-400M, LAION-5B and Re-LAION, which writes the names in lower case
    url=("URL", "url"),
    caption=("TEXT", "text", "caption"),
    id=("SAMPLE_ID", "key"),
    width=("WIDTH", "width"),
    height=("HEIGHT", "height"),
    licence=("LICENSE", "license"),
    numbers=_LAION_NUMBERS,
    slugs=("NSFW", "LANGUAGE"),
)

SETS: dict[str, Columns] = {
    "laion_400m": _LAION,
    "laion_2b_en": _LAION,
    "laion_coco": Columns(  # the caption that BLIP wrote and two CLIPs chose; the alt text of the page stays as `alt`
        url=("URL", "url"),
        caption=("top_caption",),
        alt=("TEXT", "text"),
        id=("SAMPLE_ID", "key"),
        width=("WIDTH", "width"),
        height=("HEIGHT", "height"),
        licence=("LICENSE", "license"),
        numbers=(*_LAION_NUMBERS, "all_similarities"),
        slugs=("NSFW",),
    ),
    "coyo_700m": Columns(
        url=("url",),
        caption=("text",),
        id=("id",),
        width=("width",),
        height=("height",),
        numbers=(
            "num_faces", "clip_similarity_vitb32", "clip_similarity_vitl14", "nsfw_score_opennsfw2",
            "nsfw_score_gantman", "watermark_score", "aesthetic_score_laion_v2",
        ),
        slugs=("image_phash",),
    ),
    "datacomp": Columns(
        url=("url",),
        caption=("text",),
        id=("uid",),
        width=("original_width",),
        height=("original_height",),
        numbers=("clip_b32_similarity_score", "clip_l14_similarity_score"),
    ),
    "cc3m": Columns(url=("url",), caption=("caption",), header=("caption", "url")),
    "cc12m": Columns(url=("url",), caption=("caption",), header=("url", "caption")),
    "pmd": Columns(
        url=("image_url", "url"), caption=("text", "caption"), licence=("license",), slugs=("source",)
    ),
    "generic": Columns(
        url=("url", "URL", "image_url"),
        caption=("caption", "text", "TEXT", "top_caption"),
        width=("width", "WIDTH"),
        height=("height", "HEIGHT"),
        licence=("license", "LICENSE"),
    ),
}  # fmt: skip
