"""The features of the frozen vision tower, kept on disk: the second time that an image comes, its tower does not run.

An entry is named by a hash of the pixels that the tower sees (after decoding, resizing and cropping, so of file and
transform together), of the tower's weights and of the precision; nothing from outside names a file. It is one
safetensors file, written beside its place and renamed; an entry that cannot be read is computed again and replaced.
What the cache holds stays: with the least recently used one dropped, a set larger than the cache, read epoch after
epoch, would never hit. An image is still decoded, as its pixels are its name. Zephyr's tower: 1.2 MB an image in bf16.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from infimm_data.errors import ConfigError
from model.vision import VisionTower

log = logging.getLogger(__name__)

_TENSOR = "features"
_OLD_S = 3600  # a half-written entry this old belongs to a process that is gone


class FeatureCache:
    """Features by image. hits, misses, damaged: of this process, counted since it began."""

    def __init__(self, folder: str, tower: VisionTower, *, max_bytes: int, digest: str, precision: str) -> None:
        """max_bytes: of all files in the folder, those of other towers too; digest: the tower's fingerprint.

        Raises ConfigError when the folder cannot be made.
        """
        self._folder, self._tower, self._max_bytes = Path(folder), tower, max_bytes
        self._key = f"{digest} {tower.image_side} {precision}".encode()
        self.hits = self.misses = self.damaged = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"feature_cache.folder {folder}: {error.strerror}; name one that can be written"
            ) from None
        for leftover in self._folder.glob(".part-*"):
            if time.time() - leftover.stat().st_mtime > _OLD_S:
                leftover.unlink(missing_ok=True)
        self._bytes = sum(file.stat().st_size for file in self._folder.glob("*/*.safetensors"))

    @torch.no_grad()
    def features(self, images_NCHW: UInt8[Tensor, "N C H W"], device: torch.device) -> Float[Tensor, "N P V"]:
        """Return the tower's features of N >= 1 images of the CPU, on `device`."""
        names = [self._name(image) for image in images_NCHW]
        found = [self._read(name) for name in names]
        missing = [i for i, one in enumerate(found) if one is None]
        if missing:
            computed = self._tower(images_NCHW[missing].to(device))
            for place, one in zip(missing, computed, strict=True):
                found[place] = one
                self._write(names[place], one)
        self.misses += len(missing)
        self.hits += len(found) - len(missing)
        return torch.stack([one.to(device, non_blocking=True) for one in found if one is not None])

    def _name(self, image: Tensor) -> Path:
        digest = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=24, key=self._key[:64]).hexdigest()
        return self._folder / digest[:2] / f"{digest}.safetensors"

    def _read(self, path: Path) -> Tensor | None:
        try:
            found = load_file(path)[_TENSOR]
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError) as error:
            problem = str(error)
        else:
            if found.dim() == 2 and found.shape[1] == self._tower.width:
                return found
            problem = f"shape {list(found.shape)}"
        log.warning("feature cache: %s cannot be read and is made again (%s)", path.name, problem)
        self.damaged += 1
        path.unlink(missing_ok=True)
        return None

    def _write(self, path: Path, features: Tensor) -> None:
        size = features.numel() * features.element_size()
        if self._bytes + size > self._max_bytes:
            return
        part = self._folder / f".part-{uuid.uuid4().hex}"
        try:
            path.parent.mkdir(exist_ok=True)
            save_file({_TENSOR: features.cpu().contiguous()}, part)
            self._bytes += part.stat().st_size
            os.replace(part, path)
        except (SafetensorError, OSError) as error:
            log.warning("feature cache: %s takes no more entries (%s)", self._folder, error)
            self._max_bytes = 0
