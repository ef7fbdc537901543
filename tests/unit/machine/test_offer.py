from __future__ import annotations

import asyncio

from node.domain.events import EngineChanged
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.machine.catalogue import CataloguePolicy, ModelCatalogue
from node.machine.offer import EngineOffer
from node.ports.library import StoredModel
from node.ports.offer import Offer
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.machine.doubles import MemoryLibrary, Told, gone, there

SPEC = NodeSpec(
    Identity(NodeId("n"), Secret("s"), AccountId("a"), "k"), Hardware(1, 1, 0, "none", "os"), models=("declared",)
)


def catalogue_of(library: MemoryLibrary, told: Told, policy: CataloguePolicy | None = None) -> ModelCatalogue:
    catalogue = ModelCatalogue(library, policy or CataloguePolicy(), VirtualClock(), told)
    told.attach(catalogue)
    return catalogue


class TestCatalogue:
    @in_virtual_time
    async def test_offers_what_the_engine_has_and_is_allowed(self) -> None:
        library = MemoryLibrary().have("qwen:7b", "llama3:latest", "llama3:70b", "nomic:latest")
        catalogue = catalogue_of(library, Told(), CataloguePolicy(allowed=("qwen*", "llama3")))
        assert catalogue.offered() == ()
        assert not catalogue.is_fresh
        assert await catalogue.refresh()
        assert catalogue.offered() == ("llama3:latest", "qwen:7b")
        assert catalogue.has("nomic")
        assert not catalogue.has("mistral")
        assert catalogue.is_fresh

    @in_virtual_time
    async def test_offers_allowed_models_that_may_be_fetched(self) -> None:
        library = MemoryLibrary().have("llama3:latest")
        policy = CataloguePolicy(allowed=("llama3", "mistral:7b", "qwen*"), pulls=True)
        catalogue = catalogue_of(library, Told(), policy)
        await catalogue.refresh()
        assert catalogue.offered() == ("llama3:latest", "mistral:7b")
        assert catalogue.may_pull("mistral:7b")
        assert not catalogue.may_pull("qwen:7b")
        catalogue.withdraw("mistral:7b", 300)
        assert catalogue.offered() == ("llama3:latest",)
        await asyncio.sleep(300)
        catalogue.review()
        assert catalogue.offered() == ("llama3:latest", "mistral:7b")
        library.manages = False
        await catalogue.refresh()
        assert catalogue.offered() == ("llama3:latest",)

    @in_virtual_time
    async def test_the_last_offer_holds_for_the_grace_of_an_engine_that_is_missing(self) -> None:
        library, told, changes = MemoryLibrary().have("a"), Told(), []
        catalogue = catalogue_of(library, told, CataloguePolicy(grace_s=120))
        catalogue.on_change(lambda: changes.append(catalogue.offered()))
        await catalogue.refresh()
        library.down = "connection refused"
        assert not await catalogue.refresh()
        await asyncio.sleep(119)
        await catalogue.refresh()
        assert catalogue.offered() == ("a",)
        await asyncio.sleep(1)
        catalogue.review()
        assert catalogue.offered() == ()
        library.down = ""
        await catalogue.refresh()
        assert changes == [("a",), (), ("a",)]

    @in_virtual_time
    async def test_tells_of_the_engine_once_it_failed_twice(self) -> None:
        library, told = MemoryLibrary().have("a"), Told()
        catalogue = catalogue_of(library, told)
        for _ in range(3):
            await catalogue.refresh()
        library.down = "connection refused"
        await catalogue.refresh()
        assert told.of(EngineChanged) == [there("ollama")]
        for _ in range(3):
            await catalogue.refresh()
        library.down = ""
        await catalogue.refresh()
        assert told.of(EngineChanged)[1:] == [
            gone("ollama", "connection refused"),
            there("ollama"),
        ]

    @in_virtual_time
    async def test_tells_nothing_that_others_told_and_hears_of_it(self) -> None:
        library, told, heard = MemoryLibrary(), Told(), []
        catalogue = catalogue_of(library, told)
        catalogue.on_engine(lambda: heard.append(True))
        told.emit(there("ollama"))
        told.emit(gone("vllm", ""))
        await catalogue.refresh()
        told.emit(gone("ollama", "gone"))
        told.emit(gone("ollama", "gone"))
        library.down = "gone"
        for _ in range(3):
            await catalogue.refresh()
        assert len(told.of(EngineChanged)) == 4
        assert len(heard) == 2

    @in_virtual_time
    async def test_a_listing_that_takes_too_long_failed(self) -> None:
        library, told = MemoryLibrary(answers_in_s=20).have("a"), Told()
        catalogue = catalogue_of(library, told)
        began = VirtualClock().monotonic()
        for _ in range(2):
            assert not await catalogue.refresh()
        assert VirtualClock().monotonic() - began == 30
        assert told.of(EngineChanged)[0].reason == "ollama did not say in 15 s which models it has"

    @in_virtual_time
    async def test_of_two_listings_that_overlap_the_later_one_counts(self) -> None:
        class Slowing(MemoryLibrary):
            async def stored(self) -> tuple[StoredModel, ...]:
                answer, self.answers_in_s = tuple(self.models.values()), self.answers_in_s / 10
                await asyncio.sleep(self.answers_in_s * 10)
                return answer

        library = Slowing(answers_in_s=10).have("old")
        catalogue = catalogue_of(library, Told())
        first = asyncio.create_task(catalogue.refresh())
        await asyncio.sleep(1)
        library.have("new")
        await catalogue.refresh()
        await first
        assert catalogue.offered() == ("new", "old")


class TestOffer:
    @in_virtual_time
    async def test_joins_the_engines_and_tells_of_real_changes_alone(self) -> None:
        told = Told()
        one, two = MemoryLibrary("one").have("b", "a"), MemoryLibrary("two", manages=False).have("c", "b")
        catalogues = [catalogue_of(one, told, CataloguePolicy(grace_s=0)), catalogue_of(two, told)]
        offer: Offer = EngineOffer(catalogues)
        assert isinstance(offer, EngineOffer)
        assert offer.models(SPEC) == ()
        changes: list[tuple[str, ...]] = []
        end = offer.on_change(lambda: changes.append(offer.models(SPEC)))
        await offer.refresh()
        await offer.refresh()
        assert offer.models(SPEC) == ("a", "b", "c")
        assert offer.models_of("one") == ("a", "b")
        assert offer.models_of("three") == ()
        one.models = dict(reversed(one.models.items()))
        del two.models["b"]
        await offer.refresh()
        assert changes == [("a", "b"), ("a", "b", "c")]
        one.down = "gone"
        await offer.refresh()
        assert changes[-1] == ("c",)
        end()
        end()
        one.down = ""
        await offer.refresh()
        assert len(changes) == 3
        assert offer.models(SPEC) == ("a", "b", "c")
