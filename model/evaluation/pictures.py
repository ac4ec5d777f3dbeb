"""Pictures of questions: that they are all there before anything runs, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from infimm_data.errors import ConfigError
from infimm_data.files import exists, read_bytes
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from model.evaluation.tasks.contract import Picture, Question

SHOWN = 3


def check_pictures(questions: Iterable[Question], *, what: str) -> None:
    """Raise ConfigError naming how many pictures are absent, and the first of them."""
    paths = dict.fromkeys(picture.path for one in questions for picture in one.pictures if picture.path)
    absent = [path for path in paths if not exists(path)]
    if absent:
        dots = ", ..." if len(absent) > SHOWN else ""
        first = ", ".join(absent[:SHOWN])
        raise ConfigError(
            f"{what}: {len(absent)} of {len(paths)} pictures are not there ({first}{dots}); see 'images' and "
            "'image_name' of the recipe"
        )


def open_picture(picture: Picture, *, max_pixels: int) -> Image.Image:
    """Return the picture, RGB and upright; raises ConfigError when its bytes are no good picture."""
    try:
        data = picture.data if picture.data is not None else read_bytes(picture.path or picture.name)
        return decode_rgb(data, max_pixels=max_pixels)
    except FileNotFoundError:
        raise ConfigError(f"{picture.path}: no such picture") from None
    except BadImage as bad:
        raise ConfigError(f"{picture.path or picture.name}: {bad.reason}; expected a JPEG, PNG, WebP or GIF") from None
