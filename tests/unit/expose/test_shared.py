"""Answers that are made once for all who ask at the same time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dcedge.api.http.shared import SharedAnswers


class Kitchen:
    """Makes answers, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.fails = False
        self.open = threading.Event()
        self.open.set()

    def make(self) -> bytes:
        self.made += 1
        assert self.open.wait(20)
        if self.fails:
            raise ValueError("burnt")
        return f"answer {self.made}".encode()


def test_who_asks_at_the_same_time_gets_the_same_answer() -> None:
    async def scene() -> None:
        kitchen, answers = Kitchen(), SharedAnswers(fresh=60)
        kitchen.open.clear()
        guests = [asyncio.create_task(answers.get("dish", kitchen.make)) for _ in range(50)]
        await asyncio.sleep(0)
        guests[0].cancel()  # one leaves, the others are served
        kitchen.open.set()
        assert set(await asyncio.gather(*guests[1:])) == {b"answer 1"}
        assert await answers.get("dish", kitchen.make) == b"answer 1"
        assert await answers.get("another", kitchen.make) == b"answer 2"

    asyncio.run(scene())


def test_an_answer_that_is_no_longer_fresh_is_made_anew() -> None:
    async def scene() -> None:
        kitchen, answers = Kitchen(), SharedAnswers(fresh=0)
        assert await answers.get("dish", kitchen.make) == b"answer 1"
        assert await answers.get("dish", kitchen.make) == b"answer 2"

    asyncio.run(scene())


def test_a_failure_is_told_and_not_kept() -> None:
    async def scene() -> None:
        kitchen, answers = Kitchen(), SharedAnswers(fresh=60)
        kitchen.fails = True
        with pytest.raises(ValueError, match="burnt"):
            await answers.get("dish", kitchen.make)
        kitchen.fails = False
        assert await answers.get("dish", kitchen.make) == b"answer 2"

    asyncio.run(scene())


def test_only_a_few_are_kept() -> None:
    async def scene() -> None:
        kitchen, answers = Kitchen(), SharedAnswers(fresh=60)
        for number in range(100):
            await answers.get(number, kitchen.make)
        await answers.get(99, kitchen.make)
        assert kitchen.made == 100
        await answers.get(0, kitchen.make)
        assert kitchen.made == 101

    asyncio.run(scene())
