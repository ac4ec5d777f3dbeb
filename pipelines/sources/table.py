"""Every source by its name in a recipe."""

from __future__ import annotations

from pipelines.sources.common_crawl import CommonCrawl
from pipelines.sources.common_crawl_index import CommonCrawlIndex
from pipelines.sources.contract import Source
from pipelines.sources.conversations import Conversations
from pipelines.sources.image_captions import ImageCaptions
from pipelines.sources.img2dataset_shards import Img2datasetShards
from pipelines.sources.instructions import Instructions
from pipelines.sources.live_crawl import LiveCrawl
from pipelines.sources.mint1t import Mint1t
from pipelines.sources.mmc4 import Mmc4
from pipelines.sources.obelics import Obelics
from pipelines.sources.omnicorpus import OmniCorpus
from pipelines.sources.openflamingo import OpenFlamingo
from pipelines.sources.tasks import Tasks
from pipelines.sources.web_archive import WebArchive
from pipelines.sources.webmath import WebMath

SOURCES: dict[str, type[Source]] = {
    "mmc4": Mmc4,
    "obelics": Obelics,
    "omnicorpus": OmniCorpus,
    "mint1t": Mint1t,
    "openflamingo": OpenFlamingo,
    "webmath": WebMath,
    "common_crawl": CommonCrawl,
    "common_crawl_index": CommonCrawlIndex,
    "live_crawl": LiveCrawl,
    "web_archive": WebArchive,
    "image_captions": ImageCaptions,
    "img2dataset_shards": Img2datasetShards,
    "conversations": Conversations,
    "instructions": Instructions,
    "tasks": Tasks,
}
