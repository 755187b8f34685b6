"""Transformers for speech and images, of Hugging Face's transformers; see `language`."""

from __future__ import annotations

from typing import Any

import torch
from language import WORDS, plain
from registry import Example, example
from torch_export import image, mask, tokens


def whisper_tiny() -> Any:
    """Build Whisper tiny with fewer words."""
    import transformers as hf

    config = hf.WhisperConfig(
        vocab_size=WORDS,
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
    )
    return hf.WhisperModel(plain(config))


@example("speech", "transformers")
def whisper_tiny_encoder() -> Example:
    """Build the encoder of Whisper tiny, for 30 seconds."""
    return Example(whisper_tiny().get_encoder(), {"input_features": torch.randn(1, 80, 3000)})


@example("speech", "transformers")
def whisper_tiny_decoder() -> Example:
    """Build the decoder of Whisper tiny."""
    states = torch.randn(1, 1500, 384)
    inputs = {"input_ids": tokens(WORDS, 32), "encoder_hidden_states": states}
    return Example(whisper_tiny().get_decoder(), inputs)


@example("speech", "transformers")
def wav2vec2_6() -> Example:
    """Build wav2vec 2.0 of 6 layers with its CTC head, for one second of sound."""
    import transformers as hf

    config = hf.Wav2Vec2Config(num_hidden_layers=6)
    return Example(hf.Wav2Vec2ForCTC(plain(config)), {"input_values": torch.randn(1, 16000)})


@example("multimodal", "transformers")
def clip_vision() -> Example:
    """Build the image encoder of CLIP with patches of 32, 6 layers."""
    import transformers as hf

    config = hf.CLIPVisionConfig(num_hidden_layers=6, projection_dim=512)
    return Example(hf.CLIPVisionModelWithProjection(plain(config)), {"pixel_values": image()})


@example("multimodal", "transformers")
def clip_text() -> Example:
    """Build the text encoder of CLIP, 6 layers."""
    import transformers as hf

    config = hf.CLIPTextConfig(
        vocab_size=WORDS, num_hidden_layers=6, eos_token_id=2, bos_token_id=1, pad_token_id=0
    )
    ids = tokens(WORDS, 77)
    ids[ids == 2] = 3
    ids[0, 50] = 2
    inputs = {"input_ids": ids, "attention_mask": mask(77)}
    return Example(hf.CLIPTextModelWithProjection(plain(config)), inputs)


@example("segmentation", "transformers")
def segformer_b1() -> Example:
    """Build SegFormer B1."""
    import transformers as hf

    config = hf.SegformerConfig(hidden_sizes=[64, 128, 320, 512], num_labels=150)
    module = hf.SegformerForSemanticSegmentation(plain(config))
    return Example(module, {"pixel_values": image(256)})


@example("detection", "transformers")
def detr_resnet50() -> Example:
    """Build DETR with a ResNet-50, whose outputs need no NMS."""
    import transformers as hf

    config = hf.DetrConfig(
        backbone="resnet50",
        use_timm_backbone=True,
        use_pretrained_backbone=False,
        num_labels=91,
    )
    module = hf.DetrForObjectDetection(plain(config))
    pixels = torch.ones(1, 256, 256, dtype=torch.int64)
    pixels[:, :, 224:] = 0
    return Example(module, {"pixel_values": image(256), "pixel_mask": pixels})


@example("detection", "transformers")
def yolos_tiny() -> Example:
    """Build YOLOS tiny, a ViT that detects."""
    import transformers as hf

    config = hf.YolosConfig(
        hidden_size=192,
        num_attention_heads=3,
        intermediate_size=768,
        image_size=[256, 256],
        num_labels=91,
    )
    return Example(hf.YolosForObjectDetection(plain(config)), {"pixel_values": image(256)})


@example("depth", "transformers")
def depth_anything_small() -> Example:
    """Build Depth Anything with the smallest DINOv2, 6 layers."""
    import transformers as hf

    backbone = hf.Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        num_hidden_layers=6,
        image_size=224,
        patch_size=14,
        out_indices=[2, 3, 5, 6],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = hf.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=384,
        neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64,
    )
    return Example(hf.DepthAnythingForDepthEstimation(plain(config)), {"pixel_values": image()})
