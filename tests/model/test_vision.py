"""The vision tower: un-normed tokens of the last block, normalised inside, frozen."""

import pytest
import torch

from infimm_data.errors import ConfigError
from model.config import VisionSettings
from model.vision import load_vision
from tests.model.conftest import SIDE, pictures


@pytest.fixture
def tower(clip_folder):
    return load_vision(VisionSettings(name=f"local-dir:{clip_folder}"))


def test_features_are_the_tokens_of_the_last_block_before_the_final_norm(tower):
    seen = []
    visual = tower.encoder.visual
    hook = visual.transformer.resblocks[-1].register_forward_hook(lambda module, given, out: seen.append(out))
    features = tower(pictures(3))
    hook.remove()
    assert features.shape == (3, 1 + 4, 16)
    assert torch.equal(features, seen[0])
    assert (tower.image_side, tower.width) == (SIDE, 16)


def test_bytes_are_normalised_with_the_towers_mean_and_std(tower):
    images = pictures(2)
    assert torch.equal(tower(images), tower((images.float() / 255 - 0.5) / 0.25))


def test_it_never_trains(tower):
    tower.train()
    assert not any(module.training for module in tower.encoder.modules())
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert not tower(pictures(1)).requires_grad


def test_its_fingerprint_follows_its_weights(tower):
    before = tower.fingerprint()
    with torch.no_grad():
        tower.encoder.visual.proj += 1
    assert tower.fingerprint() != before


def test_a_name_that_open_clip_does_not_know_names_the_nearest():
    with pytest.raises(ConfigError, match=r"not in open_clip\. Did you mean 'ViT-B-32'"):
        load_vision(VisionSettings(name="ViT-B-3"))


@pytest.mark.parametrize(
    ("name", "side", "width", "parameters"),
    [
        ("EVA02-L-14-336", 336, 1024, 304_432_832),  # INFIMM.md 1.0
        ("EVA01-g-14", 224, 1408, 1_012_588_928),
        ("EVA02-E-14", 224, 1792, 4_350_556_928),  # INFIMM.md 1.0
    ],
)
def test_the_published_towers_are_there_by_name_and_export_their_config(name, side, width, parameters):
    from model.published_vision import build_vision, visual_of

    with torch.device("meta"):
        tower = load_vision(VisionSettings(name=name))
        again = build_vision(visual_of(tower))
    assert (tower.image_side, tower.width) == (side, width)
    assert sum(p.numel() for p in tower.parameters()) == parameters
    sizes = {n.replace("visual.", ""): p.shape for n, p in tower.named_parameters()}
    assert sizes == {n: p.shape for n, p in again.named_parameters()}


@pytest.mark.parametrize(
    "kind",
    [
        {"qkv_fused": False, "swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True, "use_rot_pos_emb": True,
         "ref_feat_shape": (3, 3), "mlp_ratio": 8 / 3},
        {"use_post_norm": True, "mlp_ratio": 60 / 28},
    ],
    ids=["EVA02-L in small", "EVA02-E in small"],
)  # fmt: skip
def test_an_eva_of_open_clip_gives_the_same_tokens_when_built_from_its_published_config(kind):
    from open_clip.timm_model import TimmModel
    from timm.models.eva import Eva

    from model.published_vision import build_vision, visual_of
    from model.vision import tower_of

    torch.manual_seed(0)
    visual = TimmModel("vit_tiny_patch16_224", embed_dim=8, image_size=224, pool="token", proj=None).eval()
    sizes = {"img_size": 28, "patch_size": 14, "embed_dim": 28, "depth": 2, "num_heads": 7, "num_classes": 8}
    visual.trunk, visual.image_size = Eva(**sizes, global_pool="token", **kind).eval(), (28, 28)
    tower = tower_of(visual, "small")
    again = build_vision(visual_of(tower))
    again.encoder.trunk.load_state_dict(visual.trunk.state_dict())
    images = torch.randint(0, 256, (2, 3, 28, 28)).byte()
    assert torch.equal(tower(images), again(images))


def test_a_tower_that_is_no_transformer_is_refused():
    with torch.device("meta"), pytest.raises(ConfigError, match="ModifiedResNet, expected a vision transformer"):
        load_vision(VisionSettings(name="RN50"))


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="vision tower 'local-dir:") as error:
        load_vision(VisionSettings(name=f"local-dir:{tmp_path / 'nowhere'}"))
    assert "\n" not in str(error.value)


def test_a_timm_trunk_gives_its_tokens_too():
    """EVA02 in small, as open_clip wraps it: prefix and patches of the last block, un-normed."""
    import timm
    from open_clip.timm_model import TimmModel

    from model.vision import ClipTokens

    torch.manual_seed(0)
    visual = TimmModel("eva02_tiny_patch14_224", embed_dim=8, image_size=224, pool="token", proj=None).eval()
    assert isinstance(visual.trunk, timm.models.eva.Eva)
    seen = []
    visual.trunk.blocks[-1].register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        features = ClipTokens(visual)(torch.randn(1, 3, 224, 224))
    assert features.shape == (1, 257, 192)
    assert torch.equal(features, seen[0])
