"""Transformers for text, of Hugging Face's transformers.

The configurations are those of well-known checkpoints, some with fewer layers or words, so that
none has more than some 60 million weights.
"""

from __future__ import annotations

from typing import Any

import torch
from registry import Example, example
from torch import Tensor, nn
from torch_export import mask, tokens

WORDS = 16000
LENGTH = 128


def text(module: nn.Module, *, words: int = WORDS, masked: bool = True) -> Example:
    """Return a network of token ids, with a mask of the padding."""
    inputs = {"input_ids": tokens(words, LENGTH)}
    return Example(module, inputs | ({"attention_mask": mask(LENGTH)} if masked else {}))


def plain(config: Any) -> Any:
    """Return the configuration of a network that reads a whole text at once, without a cache."""
    if hasattr(config, "use_cache"):
        config.use_cache = False
    return config


@example("encoder", "transformers")
def bert_medium() -> Example:
    """Build BERT of 8 layers with a classifier; batch and length are open."""
    import transformers as hf

    config = hf.BertConfig(
        vocab_size=WORDS,
        hidden_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        intermediate_size=2048,
    )
    made = text(hf.BertForSequenceClassification(plain(config)))
    axes = {0: "batch", 1: "sequence"}
    return Example(made.module, made.inputs, dict.fromkeys(made.inputs, axes))


@example("encoder", "transformers")
def bert_base_4() -> Example:
    """Build the first 4 layers of BERT base, with token types."""
    import transformers as hf

    config = hf.BertConfig(vocab_size=WORDS, num_hidden_layers=4)
    made = text(hf.BertModel(plain(config)))
    types = torch.zeros(1, LENGTH, dtype=torch.int64)
    types[:, LENGTH // 2 :] = 1
    return Example(made.module, {**made.inputs, "token_type_ids": types})


@example("encoder", "transformers")
def distilbert() -> Example:
    """Build DistilBERT with a question answering head."""
    import transformers as hf

    return text(hf.DistilBertForQuestionAnswering(plain(hf.DistilBertConfig(vocab_size=WORDS))))


@example("encoder", "transformers")
def roberta_4() -> Example:
    """Build the first 4 layers of RoBERTa base, which computes positions of the ids."""
    import transformers as hf

    config = hf.RobertaConfig(vocab_size=WORDS, num_hidden_layers=4, max_position_embeddings=514)
    return text(hf.RobertaModel(plain(config)))


@example("encoder", "transformers")
def albert_base() -> Example:
    """Build ALBERT base, whose 12 layers share weights."""
    import transformers as hf

    config = hf.AlbertConfig(
        vocab_size=WORDS, hidden_size=768, num_attention_heads=12, intermediate_size=3072
    )
    return text(hf.AlbertModel(plain(config)))


@example("encoder", "transformers")
def electra_small() -> Example:
    """Build ELECTRA small."""
    import transformers as hf

    return text(hf.ElectraForPreTraining(plain(hf.ElectraConfig(vocab_size=WORDS))))


@example("encoder", "transformers")
def deberta_v3_small() -> Example:
    """Build DeBERTa v3 small, with its disentangled attention."""
    import transformers as hf

    config = hf.DebertaV2Config(
        vocab_size=WORDS,
        hidden_size=768,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    )
    return text(hf.DebertaV2Model(plain(config)))


@example("encoder", "transformers")
def modernbert_6() -> Example:
    """Build 6 layers of ModernBERT, with local and global attention and rotary positions."""
    import transformers as hf

    config = hf.ModernBertConfig(
        vocab_size=WORDS, num_hidden_layers=6, pad_token_id=0, reference_compile=False
    )
    return text(hf.ModernBertModel(plain(config)))


@example("decoder", "transformers")
def distilgpt2() -> Example:
    """Build GPT-2 of 6 layers with the language model's head."""
    import transformers as hf

    config = hf.GPT2Config(vocab_size=WORDS, n_layer=6, bos_token_id=0, eos_token_id=0)
    return text(hf.GPT2LMHeadModel(plain(config)))


class WithPast(nn.Module):
    """A language model that reads one more token, with keys and values of those before."""

    def __init__(self, module: nn.Module, layers: int) -> None:
        super().__init__()
        self.module, self.layers = module, layers

    def forward(self, input_ids: Tensor, past: Tensor) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(self.layers):
            cache.update(past[layer, 0], past[layer, 1], layer)
        found = self.module(input_ids=input_ids, past_key_values=cache, use_cache=True)
        pairs = [(layer.keys, layer.values) for layer in found.past_key_values.layers]
        return found.logits, torch.stack([torch.stack(pair) for pair in pairs])


@example("decoder", "transformers")
def distilgpt2_step() -> Example:
    """Build a step of GPT-2 of 6 layers after 63 tokens."""
    import transformers as hf

    config = hf.GPT2Config(vocab_size=WORDS, n_layer=6, bos_token_id=0, eos_token_id=0)
    past = torch.randn(6, 2, 1, 12, 63, 64)
    module = WithPast(hf.GPT2LMHeadModel(config), 6)
    return Example(module, {"input_ids": tokens(WORDS, 1), "past": past})


@example("decoder", "transformers")
def llama_8() -> Example:
    """Build a Llama of 8 layers: grouped queries, rotary positions, gated MLP."""
    import transformers as hf

    config = hf.LlamaConfig(
        vocab_size=WORDS,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    )
    return text(hf.LlamaForCausalLM(plain(config)))


@example("decoder", "transformers")
def qwen2_6() -> Example:
    """Build a Qwen2 of 6 layers, tokens only."""
    import transformers as hf

    config = hf.Qwen2Config(
        vocab_size=WORDS,
        hidden_size=640,
        intermediate_size=1728,
        num_hidden_layers=6,
        num_attention_heads=10,
        num_key_value_heads=2,
        max_position_embeddings=2048,
    )
    return text(hf.Qwen2ForCausalLM(plain(config)), masked=False)


@example("decoder", "transformers")
def gemma3_6() -> Example:
    """Build a Gemma 3 of 6 layers, with sliding windows and norms of queries and keys."""
    import transformers as hf

    config = hf.Gemma3TextConfig(
        vocab_size=WORDS,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=64,
        max_position_embeddings=2048,
    )
    return text(hf.Gemma3ForCausalLM(plain(config)))


@example("decoder", "transformers")
def opt_6() -> Example:
    """Build 6 layers of OPT 125M."""
    import transformers as hf

    config = hf.OPTConfig(vocab_size=WORDS, num_hidden_layers=6, word_embed_proj_dim=768)
    return text(hf.OPTForCausalLM(plain(config)))


@example("decoder", "transformers")
def mamba_4() -> Example:
    """Build 4 layers of Mamba, a state space model, over 16 tokens."""
    import transformers as hf

    config = hf.MambaConfig(vocab_size=WORDS, hidden_size=512, num_hidden_layers=4)
    return Example(hf.MambaModel(plain(config)), {"input_ids": tokens(WORDS, 16)})


def t5_small() -> Any:
    """Build T5 small with fewer words."""
    import transformers as hf

    return hf.T5Model(plain(hf.T5Config(vocab_size=WORDS, num_layers=6, num_heads=8)))


@example("encoder", "transformers")
def t5_small_encoder() -> Example:
    """Build the encoder of T5 small."""
    return text(t5_small().get_encoder())


@example("decoder", "transformers")
def t5_small_decoder() -> Example:
    """Build the decoder of T5 small, over the states of an encoder."""
    states = torch.randn(1, LENGTH, 512)
    inputs = {"input_ids": tokens(WORDS, 32), "encoder_hidden_states": states}
    return Example(t5_small().get_decoder(), inputs)


@example("encoder-decoder", "transformers")
def bart_3() -> Example:
    """Build BART of 3 and 3 layers, both ids as inputs."""
    import transformers as hf

    config = hf.BartConfig(
        vocab_size=WORDS,
        d_model=512,
        encoder_layers=3,
        decoder_layers=3,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
    )
    inputs = {"input_ids": tokens(WORDS, 64), "decoder_input_ids": tokens(WORDS, 32)}
    return Example(hf.BartModel(plain(config)), inputs)
