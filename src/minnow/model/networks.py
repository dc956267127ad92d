"""Functions that describe the forward pass of each kind of model, given its hyperparameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from minnow.model import network as net
from minnow.model.config_values import CONV, WINDOW
from minnow.model.network import Network

if TYPE_CHECKING:
    from minnow.model.spec import EncoderSpec


def post_norm_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Devlin et al., "BERT" (2018)."""
    norm, head_size = net.LayerNorm(spec.layer_norm_eps), spec.width // spec.heads
    block = net.Block(
        net.Attention(spec.heads, head_size, scale=head_size**-0.5),
        net.FeedForward(spec.inner_width, spec.activation),
        attention_norm=norm,
        output_norm=norm,
    )
    padding = spec.pad_token_id if spec.position_offset else None
    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size, spec.token_types),
        positions=net.LearnedPositions(spec.positions, spec.position_offset, padding),
        embedding_norm=norm,
        blocks=(block,) * spec.layers,
    )


def pre_norm_network(spec: EncoderSpec) -> Network:
    """Describe a BERT with norms before its parts: Megatron-BERT and XLM-RoBERTa-XL.

    Source: Shoeybi et al., "Megatron-LM" (2019); Goyal et al., "Larger-Scale Transformers for
    Multilingual Masked Language Modeling" (2021).
    """
    network = post_norm_network(spec)
    block = replace(network.blocks[0], placement=net.Placement.PRE)
    norm = network.embedding_norm
    return replace(network, embedding_norm=None, blocks=(block,) * spec.layers, final_norm=norm)


def static_network(spec: EncoderSpec) -> Network:
    """Describe a table of vectors without a network: its states are the rows of the tokens."""
    words = net.Words(spec.vocab_size, 0)
    return Network(spec.width, spec.max_positions, words, None, None, ())


def mpnet_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Song et al., "MPNet" (2020): BERT's, with relative positions too.

    The number of buckets and the distance are constants of the code, not of config.json.
    """
    relative = net.RelativeBuckets(spec.heads, buckets=32, distance=128)
    return replace(post_norm_network(spec), relative=relative)


def modernbert_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Warner et al., "Smarter, Better, Faster, Longer" (2024)."""
    given, head_size = spec.settings, spec.width // spec.heads
    norm = net.LayerNorm(spec.layer_norm_eps, bias=given["norm_bias"])
    feed_forward = net.FeedForward(
        spec.inner_width,
        spec.activation,
        gated=True,
        bias=given["mlp_bias"],
        output_bias=given["mlp_bias"],
    )

    def block(index: int, kind: str) -> net.Block:
        attention = net.Attention(
            spec.heads,
            head_size,
            scale=head_size**-0.5,
            rotary=net.Rotary(head_size, **given["rotary"][kind]),
            window=given["window"] if kind == WINDOW else None,
            bias=given["attention_bias"],
            output_bias=given["attention_bias"],
        )
        return net.Block(attention, feed_forward, norm if index else None, norm, net.Placement.PRE)

    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size),
        positions=None,
        embedding_norm=norm,
        blocks=tuple(block(i, kind) for i, kind in enumerate(given["layer_types"])),
        final_norm=norm,
    )


def gated_network(spec: EncoderSpec) -> Network:
    """Describe a BERT with rotations for positions: NomicBERT, and GTE with its gates and biases.

    Source: Nussbaum et al., "Nomic Embed" (2024); Zhang et al., "mGTE" (2024).
    """
    given, norm = spec.settings, net.LayerNorm(spec.layer_norm_eps)
    head_size = given.get("head_size", spec.width // spec.heads)
    block = net.Block(
        net.Attention(
            spec.heads,
            head_size,
            scale=head_size**-0.5,
            rotary=net.Rotary(head_size, **given["rotary"]) if "rotary" in given else None,
            bias=given.get("bias", True),
            output_bias=given.get("bias", True),
        ),
        net.FeedForward(
            given.get("units", spec.inner_width),
            spec.activation,
            gated=given.get("gated", True),
            bias=given.get("inner_bias", False),
            output_bias=given.get("output_bias", True),
        ),
        attention_norm=norm,
        output_norm=norm,
    )
    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size, spec.token_types),
        positions=None,
        embedding_norm=norm,
        blocks=(block,) * spec.layers,
    )


def eurobert_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Boizard et al., "EuroBERT" (2025): Llama's, in both directions."""
    given = spec.settings
    size, bias, inner_bias = given["head_size"], given["attention_bias"], given["mlp_bias"]
    attention = net.Attention(
        spec.heads,
        size,
        scale=size**-0.5,
        group=given["group"],
        rotary=net.Rotary(size, **given["rotary"]),
        bias=bias,
        output_bias=bias,
    )
    feed_forward = net.FeedForward(
        spec.inner_width, spec.activation, gated=True, bias=inner_bias, output_bias=inner_bias
    )
    return _rms_network(spec, attention, feed_forward, spec.layer_norm_eps)


def qwen3_network(spec: EncoderSpec) -> Network:
    """Describe a decoder as in Yang et al., "Qwen3" (2025): a token sees those before it."""
    given, norm = spec.settings, net.RmsNorm(spec.layer_norm_eps)
    size, bias = given["head_size"], given["attention_bias"]

    def block(kind: str) -> net.Block:
        attention = net.Attention(
            spec.heads,
            size,
            scale=given["scale"],
            group=given["group"],
            rotary=net.Rotary(size, **given["rotary"][kind]),
            window=given["window"] if kind == WINDOW else None,
            bias=bias,
            output_bias=bias,
            causal=given["causal"],
            norm=norm,
        )
        feed_forward = net.FeedForward(
            spec.inner_width, spec.activation, gated=True, bias=False, output_bias=False
        )
        return net.Block(attention, feed_forward, norm, norm, net.Placement.PRE)

    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size),
        positions=None,
        embedding_norm=None,
        blocks=tuple(map(block, given["layer_types"])),
        final_norm=norm,
    )


def gemma3_network(spec: EncoderSpec) -> Network:
    """Describe a network as in Kamath et al., "Gemma 3" (2025), in one or both directions.

    Source: Schechter Vera et al., "EmbeddingGemma" (2025), for both directions.
    """
    network, norm = qwen3_network(spec), net.RmsNorm(spec.layer_norm_eps)
    return replace(
        network,
        words=replace(network.words, scale=spec.width**0.5),
        blocks=tuple(
            replace(block, attention_end_norm=norm, output_end_norm=norm)
            for block in network.blocks
        ),
    )


def embedding_gemma2_network(spec: EncoderSpec) -> Network:
    """Describe the text network of EmbeddingGemma 2, as `transformers` computes it.

    The embedded words, from which each layer makes numbers of its own, are divided there by the
    root of their width; the norm that follows takes that out again, but for its eps.
    """
    given, norm = spec.settings, net.RmsNorm(spec.layer_norm_eps)
    width, bias = given["states"], given["attention_bias"]
    words = net.WordsPart(
        given["words_width"],
        spec.activation,
        norm=net.RmsNorm(spec.layer_norm_eps * width),
        end_norm=norm,
    )
    feed_forward = net.FeedForward(
        spec.inner_width, spec.activation, gated=True, bias=False, output_bias=False
    )

    def block(kind: str, size: int, group: int) -> net.Block:
        attention = net.Attention(
            spec.heads,
            size,
            scale=1.0,
            group=group,
            rotary=net.Rotary(size, **given["rotary"][kind]),
            window=given["window"] if kind == WINDOW else None,
            bias=bias,
            output_bias=bias,
            norm=norm,
            value_norm=norm,
        )
        return net.Block(
            attention,
            feed_forward,
            norm,
            norm,
            net.Placement.PRE,
            attention_end_norm=norm,
            output_end_norm=norm,
            words=words,
            scaled=True,
        )

    layers = zip(given["layer_types"], given["head_sizes"], given["groups"], strict=True)
    placeholders = tuple(id_ for id_ in given.get("placeholders", ()) if id_ < spec.vocab_size)
    return Network(
        width=width,
        longest=spec.max_positions,
        words=net.Words(
            spec.vocab_size,
            scale=width**0.5,
            placeholders=placeholders,
            padding=spec.pad_token_id,
        ),
        positions=None,
        embedding_norm=None,
        blocks=tuple(block(*layer) for layer in layers),
        final_norm=norm,
        projection=spec.width,
    )


def lfm2_network(spec: EncoderSpec) -> Network:
    """Describe a network as in Liquid AI, "LFM2" (2025): a decoder, or an encoder made of it."""
    given, network = spec.settings, qwen3_network(spec)
    convolving = net.Attention(
        heads=1,
        head_size=spec.width,
        scale=1.0,
        bias=False,
        output_bias=False,
        causal=given["causal"],
        convolution=net.Convolution(given["taps"], given["before"]),
    )

    def block(block: net.Block, kind: str) -> net.Block:
        return replace(
            block,
            attention=convolving if kind == CONV else block.attention,
            feed_forward=replace(block.feed_forward, width=given["units"]),
        )

    return replace(network, blocks=tuple(map(block, network.blocks, given["layer_types"])))


def t5_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Raffel et al., "T5" (2020), or with gates as in version 1.1."""
    given = spec.settings
    attention = net.Attention(
        spec.heads, given["head_size"], scale=1.0, bias=False, output_bias=False
    )
    feed_forward = net.FeedForward(
        spec.inner_width, spec.activation, gated=given["gated"], bias=False, output_bias=False
    )
    network = _rms_network(spec, attention, feed_forward, spec.layer_norm_eps)
    relative = net.RelativeBuckets(spec.heads, given["buckets"], given["distance"])
    return replace(network, relative=relative)


def _rms_network(
    spec: EncoderSpec, attention: net.Attention, feed_forward: net.FeedForward, eps: float
) -> Network:
    """Describe equal layers with RMS norms before each part and at the end, and no positions."""
    norm = net.RmsNorm(eps)
    block = net.Block(attention, feed_forward, norm, norm, net.Placement.PRE)
    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size),
        positions=None,
        embedding_norm=None,
        blocks=(block,) * spec.layers,
        final_norm=norm,
    )


def jina_bert_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Günther et al., "Jina Embeddings 2" (2023): ALiBi and gates."""
    network = gated_network(spec)
    slopes = net.Slopes(tuple(_slopes(spec.heads)))
    return replace(network, relative=slopes)


def _slopes(heads: int) -> list[float]:
    """Return ALiBi's slopes: powers of 2 ** (-8 / heads), for a power of two.

    Other numbers of heads take those of the power below, and every other one of twice as many.
    """
    if heads & (heads - 1) == 0:
        return [2.0 ** (-8 * (i + 1) / heads) for i in range(heads)]
    below = 1 << (heads.bit_length() - 1)
    return _slopes(below) + _slopes(2 * below)[::2][: heads - below]


def deberta_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in He et al., "DeBERTa" (2020), in its second and third version."""
    given, network = spec.settings, post_norm_network(spec)
    block, distances = network.blocks[0], None
    parts = 1 + given["keys"] + given["queries"]
    scale = (block.attention.head_size * parts) ** -0.5
    if given["span"]:
        norm = network.embedding_norm if given["norm"] else None
        distances = net.Disentangled(
            given["span"],
            given["distance"],
            keys=given["keys"],
            queries=given["queries"],
            shared=given["shared"],
            norm=norm,
        )
    return replace(
        network,
        positions=network.positions if given["positions"] else None,
        blocks=(replace(block, attention=replace(block.attention, scale=scale)),) * spec.layers,
        distances=distances,
    )


def projected_network(spec: EncoderSpec) -> Network:
    """Describe a BERT whose tables may be narrower than its states: ELECTRA and ALBERT.

    ALBERT's layers have the same tensors; its names say so, and its network has one for each.

    Source: Clark et al., "ELECTRA" (2020); Lan et al., "ALBERT" (2019), section 3.1.
    """
    words = net.Words(spec.vocab_size, spec.token_types, spec.settings["table_width"])
    return replace(post_norm_network(spec), words=words)
