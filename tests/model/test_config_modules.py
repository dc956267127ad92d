from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import (
    VOCABULARY,
    edit_json,
    embedding_of,
    encoder_of,
    write_json,
    write_model,
    write_pooling,
)

from minnow.errors import (
    AmbiguousModelError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.model.head import LayerKind
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path


PROMPTS_FILE = "config_sentence_transformers.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


# --- modules -----------------------------------------------------------------------------


def write_modules(folder: Path, *rows: tuple[str, str]) -> None:
    write_json(folder / "modules.json", [{"type": kind, "path": path} for kind, path in rows])


OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}


@pytest.mark.parametrize("normalize", [True, False])
def test_modules_are_read_under_their_old_and_their_new_names(
    folder: Path, normalize: bool
) -> None:
    rows = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    rows = rows if normalize else rows[:2]
    write_modules(folder, *((OLD + kind, path) for kind, path in rows))
    old = embedding_of(folder)
    write_modules(folder, *((NEW[kind], path) for kind, path in rows))

    assert embedding_of(folder) == old
    assert old.normalize is normalize


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "WordWeights", "WeightedLayerPooling"])
def test_a_module_that_minnow_does_not_compute_is_refused(folder: Path, kind: str) -> None:
    write_modules(
        folder,
        (OLD + "Transformer", ""),
        (OLD + "Pooling", "1_Pooling"),
        (OLD + kind, "2_More"),
        (OLD + "Normalize", "3_Normalize"),
    )

    with pytest.raises(UnsupportedModelError, match=rf"modules\.json names modules .*: {kind}\."):
        embedding_of(folder)


def test_a_choice_of_pooling_does_not_make_a_dense_module_go_away(folder: Path) -> None:
    write_modules(folder, (OLD + "Transformer", ""), (OLD + "Dense", "1_Dense"))
    dense = {"in_features": 32, "out_features": 8, "bias": False}
    write_json(folder / "1_Dense/config.json", dense)

    (layer,) = embedding_of(folder, pooling=Pooling.CLS, normalize=True).layers
    assert (layer.kind, layer.width) == (LayerKind.DENSE, 8)


def test_a_module_without_its_configuration_is_refused(folder: Path) -> None:
    rows = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]
    write_modules(folder, *((OLD + kind, path) for kind, path in rows))

    with pytest.raises(SourceNotFoundError, match=r"has no 2_Dense/config\.json"):
        embedding_of(folder)


def test_the_authors_own_code_is_refused_under_its_whole_name(folder: Path) -> None:
    write_modules(folder, ("custom_st.Transformer", ""), (OLD + "Pooling", "1_Pooling"))

    with pytest.raises(UnsupportedModelError, match=r"compute: custom_st\.Transformer\."):
        embedding_of(folder)


def test_a_module_named_twice_is_refused(folder: Path) -> None:
    write_modules(folder, *[(OLD + "Transformer", ""), *[(OLD + "Pooling", "1_Pooling")] * 2])

    with pytest.raises(UnsupportedModelError, match="the same one twice"):
        embedding_of(folder)


@pytest.mark.parametrize(
    "rows",
    [
        [("Transformer", ""), ("Normalize", "1_Normalize"), ("Pooling", "1_Pooling")],
        [("Pooling", "1_Pooling"), ("Transformer", "")],
        [("Transformer", "0_Transformer"), ("Pooling", "1_Pooling")],
    ],
    ids=["normalize before pooling", "pooling first", "network in a folder"],
)
def test_modules_in_another_order_or_place_are_refused(
    folder: Path, rows: list[tuple[str, str]]
) -> None:
    write_modules(folder, *((OLD + kind, path) for kind, path in rows))

    with pytest.raises(UnsupportedModelError, match="should name the Transformer in the root"):
        embedding_of(folder)


@pytest.mark.parametrize("content", [{}, None, 3, ["Transformer"], [{"type": "Transformer"}]])
def test_modules_json_of_another_shape_is_refused(folder: Path, content: object) -> None:
    write_json(folder / "modules.json", content)

    with pytest.raises(SourceError, match=r"modules\.json"):
        embedding_of(folder)


def test_without_modules_json_the_choice_of_normalize_is_the_users(folder: Path) -> None:
    (folder / "modules.json").unlink()

    with pytest.raises(AmbiguousModelError, match="Give `normalize=True` or `normalize=False`"):
        embedding_of(folder)
    assert embedding_of(folder, normalize=False).normalize is False
    assert embedding_of(folder, normalize=True).normalize is True


def test_without_modules_json_pooling_is_still_read_if_it_is_there(folder: Path) -> None:
    (folder / "modules.json").unlink()
    assert embedding_of(folder, normalize=True).pooling is Pooling.CLS

    (folder / "1_Pooling/config.json").unlink()
    with pytest.raises(
        AmbiguousModelError, match=r"no 1_Pooling/config\.json\)\. Give `pooling=cls\|mean\|"
    ):
        embedding_of(folder, normalize=True)
    assert embedding_of(folder, normalize=True, pooling=Pooling.MEAN).pooling is Pooling.MEAN


def test_the_users_choice_of_normalize_wins_over_the_modules(folder: Path) -> None:
    assert embedding_of(folder).normalize is True
    assert embedding_of(folder, normalize=False).normalize is False


# --- pooling -----------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_is_read_from_flags(folder: Path, pooling: Pooling) -> None:
    write_pooling(folder, pooling.value)

    assert embedding_of(folder).pooling is pooling


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("listed", [False, True])
def test_pooling_is_read_from_its_name(folder: Path, pooling: Pooling, listed: bool) -> None:
    named = [pooling.value] if listed else pooling.value
    write_json(folder / "1_Pooling/config.json", {"pooling_mode": named, "include_prompt": True})

    assert embedding_of(folder).pooling is pooling


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode": []},
        {"pooling_mode_cls_token": False},
        {},
    ],
)
def test_no_pooling_is_the_users_choice(folder: Path, config: dict[str, Any]) -> None:
    write_json(folder / "1_Pooling/config.json", config)

    with pytest.raises(AmbiguousModelError, match=r"asks for none of the .*`pooling=cls\|"):
        embedding_of(folder)
    assert embedding_of(folder, pooling=Pooling.MAX).pooling is Pooling.MAX


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        ({"pooling_mode": ["mean", "cls"]}, (Pooling.MEAN, Pooling.CLS)),
        (
            {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True},
            (Pooling.CLS, Pooling.MAX),
        ),
    ],
    ids=["as listed", "flags in the order of sentence-transformers"],
)
def test_several_poolings_are_joined(
    folder: Path, config: dict[str, Any], poolings: tuple[Pooling, ...]
) -> None:
    write_json(folder / "1_Pooling/config.json", config)

    head = embedding_of(folder).head
    assert head.poolings == poolings
    assert head.width(32) == 64
    assert embedding_of(folder, pooling=Pooling.MAX).head.poolings == (Pooling.MAX,)


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode": "attention"},
        {"pooling_mode": ["cls", "attention"]},
        {"pooling_mode": 3},
        {"pooling_mode": None},
        {"pooling_mode_attention": True, "pooling_mode_cls_token": True},
    ],
)
def test_an_unknown_pooling_is_refused(folder: Path, config: dict[str, Any]) -> None:
    write_json(folder / "1_Pooling/config.json", config)

    with pytest.raises(UnsupportedModelError, match=r"1_Pooling/config\.json: unknown pooling"):
        embedding_of(folder)


def test_an_unknown_pooling_that_is_off_does_no_harm(folder: Path) -> None:
    edit_json(folder / "1_Pooling/config.json", pooling_mode_attention=False)

    assert embedding_of(folder).pooling is Pooling.CLS


def test_pooling_without_the_prompt(folder: Path) -> None:
    edit_json(folder / "1_Pooling/config.json", include_prompt=False)
    assert not embedding_of(folder).include_prompt
    assert not embedding_of(folder, pooling=Pooling.MAX).include_prompt

    edit_json(folder / "1_Pooling/config.json", include_prompt="no")
    with pytest.raises(SourceError, match="include_prompt should be true or false, not 'no'"):
        embedding_of(folder)

    edit_json(folder / "1_Pooling/config.json", without=("include_prompt",))
    assert embedding_of(folder).include_prompt
    assert not embedding_of(folder, "hkunlp/instructor-large").include_prompt


@pytest.mark.parametrize("key", ["embedding_dimension", "word_embedding_dimension"])
def test_pooling_of_another_width_is_refused(folder: Path, key: str) -> None:
    write_json(folder / "1_Pooling/config.json", {"pooling_mode": "cls", key: 33})

    with pytest.raises(SourceError, match="is made for width 33, but the model's is 32"):
        embedding_of(folder)


def test_pooling_is_read_from_the_folder_that_modules_json_names(folder: Path) -> None:
    write_modules(folder, (OLD + "Transformer", ""), (OLD + "Pooling", "2_Pooling"))
    write_json(folder / "2_Pooling/config.json", {"pooling_mode": "lasttoken"})

    assert embedding_of(folder).pooling is Pooling.LAST_TOKEN


def test_modules_without_pooling_leave_it_open(folder: Path) -> None:
    write_modules(folder, (OLD + "Transformer", ""))

    with pytest.raises(AmbiguousModelError, match=r"modules\.json names no Pooling\)\. Give `pool"):
        embedding_of(folder)


def test_a_folder_outside_the_model_is_refused(folder: Path) -> None:
    write_modules(folder, (OLD + "Transformer", ""), (OLD + "Pooling", "../elsewhere"))

    with pytest.raises(SourceNotFoundError, match="outside its folder"):
        embedding_of(folder)


# --- what sentence-transformers itself writes --------------------------------------------


@pytest.mark.extra("sentence-transformers")
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
def test_a_model_saved_by_sentence_transformers_reads_the_same(
    tmp_path: Path, pooling: str, normalize: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    mine = write_model(
        tmp_path / "mine",
        pooling=pooling,
        normalize=normalize,
        prompts={"query": "query: ", "document": "passage: "},
    )
    edit_json(mine / PROMPTS_FILE, default_prompt_name="query", similarity_fn_name="dot")
    theirs = tmp_path / "theirs"
    model = SentenceTransformer(str(mine), device="cpu")
    model.save_pretrained(str(theirs))

    assert (theirs / "modules.json").read_text() != (mine / "modules.json").read_text()
    assert encoder_of(theirs) == encoder_of(mine)
    assert embedding_of(theirs) == embedding_of(mine)
    assert embedding_of(theirs).max_tokens == model.max_seq_length == 24
    assert embedding_of(theirs).pooling.value == pooling
    assert embedding_of(theirs).normalize is normalize
    assert encoder_of(theirs).vocab_size == len(VOCABULARY)
