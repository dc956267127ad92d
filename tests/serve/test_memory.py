"""Memory of served models: one for all names of a bundle, and none while nobody asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from minnow.engines import EngineOptions
from minnow.engines.mnn import MnnEngine
from minnow.serve.inputs import Rows
from minnow.serve.models import ServedEmbedder, open_model
from minnow.serve.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from fakes.bundles import Tiny
    from numpy.typing import NDArray

    from minnow.serve.models import ServedModel
    from minnow.serve.service import Service

pytestmark = pytest.mark.extra("serve")

OPTIONS = EngineOptions(engine="mnn", threads=2)


def sessions(model: ServedModel) -> list[bool]:
    """Return whether the engine and each lane of a model hold a session."""
    engines = dict.fromkeys((model.whole, *model.lanes))
    assert all(isinstance(engine, MnnEngine) for engine in engines)
    return [engine._session is not None for engine in engines]  # type: ignore[attr-defined]


def service_of(settings: Settings, served: Tiny, *names: str) -> Service:
    from minnow.serve.service import Service  # it imports the extra `serve`

    return Service(settings, dict.fromkeys(names, served.bundle), OPTIONS)


async def vector(service: Service, name: str) -> NDArray[np.float32]:
    model = service.model(name, ServedEmbedder)
    texts = model.tokens(["fish sleep"], "")
    return await service.compute(model, Rows(texts))


async def wait_for_rest(model: ServedModel) -> None:
    for _ in range(100):
        if not any(sessions(model)):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the model did not rest within 5 s")


def test_names_of_one_folder_share_a_model(served: Tiny) -> None:
    async def run() -> None:
        service = service_of(Settings(), served, "a", "b")
        await service.start()
        first, second = service.models["a"], service.models["b"]
        assert (first.name, second.name) == ("a", "b")
        assert second.runner is first
        assert (await vector(service, "a") == await vector(service, "b")).all()
        await service._replace("a", served.bundle)
        assert service.models["a"].runner is first
        assert (await vector(service, "b")).size
        await service.close()

    asyncio.run(run())


def test_an_idle_model_takes_no_memory_and_answers_when_asked(served: Tiny) -> None:
    async def run() -> None:
        service = service_of(Settings(idle_seconds=0.2), served, "a")
        await service.start()
        before = await vector(service, "a")
        model = service.models["a"]
        assert all(sessions(model))
        await wait_for_rest(model)
        assert (await vector(service, "a") == before).all()
        assert any(sessions(model))
        await service.close()

    asyncio.run(run())


def test_a_model_rests_again_after_it_gave_states_of_tokens(served: Tiny) -> None:
    async def run() -> None:
        from minnow.serve.tei import answer_embed_all

        service = service_of(Settings(idle_seconds=0.2, on_demand=True), served, "a")
        await service.start()
        model = service.models["a"]
        assert not any(sessions(model))
        await answer_embed_all(service, b'{"inputs": "fish sleep"}', {})
        assert any(sessions(model))
        await wait_for_rest(model)
        await service.close()

    asyncio.run(run())


def test_a_model_is_loaded_on_demand(served: Tiny) -> None:
    async def run() -> None:
        service = service_of(Settings(on_demand=True), served, "a")
        await service.start()
        model = service.models["a"]
        assert not any(sessions(model))
        assert (await vector(service, "a")).size
        assert any(sessions(model))
        await service.close()

    asyncio.run(run())


@pytest.mark.parametrize(("lean", "count"), [(True, 1), (False, 3)])
def test_a_lean_server_has_one_session(served: Tiny, lean: bool, count: int) -> None:
    model = open_model("a", served.bundle, OPTIONS, settings=Settings(lean=lean))
    assert len(sessions(model)) == count
    model.close()
