"""Every attack, bounded in time, against real servers: nothing of it may succeed. `make attack` has them longer."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser
from stranger import needs_root

from . import crowd, fuzz, key_holder, other_user, smuggler, web_page
from .floods import Flood
from .target import Target

Attack = Callable[[Target], Iterator[str]]
REQUESTS, FILES, FLOOD_SECONDS, SEED = 1000, 400, 1.5, 0


def of(module: object) -> pytest.MarkDecorator:
    """The attacks of a module, each as one test of its name."""
    return pytest.mark.parametrize("attack", module.ATTACKS, ids=lambda attack: attack.__name__)  # type: ignore[attr-defined]


def holds(fell: Iterator[str]) -> None:
    """Fail with a line for each thing that fell, if there is one."""
    lines = list(fell)
    assert not lines, "\n".join([f"{len(lines)} things fell:", *lines[:40]])


@of(key_holder)
def test_a_key_opens_its_own_project_and_speaks_for_itself(target: Target, attack: Attack) -> None:
    holds(attack(target))


@of(smuggler)
def test_a_request_is_one_request(target: Target, attack: Attack) -> None:
    holds(attack(target))


@of(web_page)
def test_a_page_of_another_origin_reads_and_changes_nothing(target: Target, attack: Attack) -> None:
    holds(attack(target))


def test_a_page_in_a_real_browser_reads_and_changes_nothing(target: Target, browser: Browser) -> None:
    holds(web_page.visit_a_page(target, browser))


def test_no_request_makes_the_endpoint_fail_and_what_it_took_can_be_collected(target: Target) -> None:
    holds(fuzz.requests(target, REQUESTS, SEED))
    holds(fuzz.collect_what_was_taken(target))


def test_no_media_file_crashes_collection_or_takes_much_memory() -> None:
    holds(fuzz.files(FILES, SEED, each=FILES // 2))
    holds(fuzz.bombs())


@pytest.mark.parametrize("flood", crowd.FLOODS, ids=lambda flood: flood.__name__)
def test_honest_clients_are_served_during_a_flood(target: Target, flood: Flood) -> None:
    holds(crowd.fell(crowd.disturbed(target, flood, FLOOD_SECONDS)))


@needs_root
@of(other_user)
def test_another_user_of_the_machine_gets_and_changes_nothing(target: Target, attack: Attack) -> None:
    holds(attack(target))
