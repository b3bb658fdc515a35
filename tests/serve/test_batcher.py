"""Requests gathered into batches, against a worker that the test holds in its hand."""

from __future__ import annotations

import asyncio
import random

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from deepen.serve.answering import About
from deepen.serve.batcher import Lane
from deepen.serve.limits import ServeOptions
from deepen.serve.metrics import Metrics
from deepen.serve.pace import Pace
from deepen.serve.problems import Problem
from deepen.serve.process import Ended, Reply


class Held:
    """A worker that answers when it is told to."""

    def __init__(self, batch_size=4, enough=4, version="v", seconds=0.01):
        self.about = About("task", "model", version, [])
        self.batch_size, self.enough, self.rate = batch_size, enough, 100.0
        self.has_ended, self.num_sent, self.seconds = False, 0, seconds
        self.batches: list[tuple[list[str], asyncio.Future[Reply]]] = []
        self.sizes: list[int] = []
        self.places: list[list[int]] = []

    async def ask(self, rows, do="answer", *, places=()):
        future = asyncio.get_running_loop().create_future()
        texts = [row["text"] for row in rows]
        self.batches.append((texts, future))
        self.sizes.append(len(texts))
        self.places.append([*places])
        return await future

    def kill(self):
        self.has_ended = True

    def answer(self, error=None):
        """Answers the oldest batch, each row with itself."""
        texts, future = self.batches.pop(0)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(Reply(["answer"] * len(texts), [text.encode() for text in texts], self.seconds))


def lane_with(worker, **options):
    lane = Lane("run", ServeOptions(**{"batch_delay_ms": 0.0, **options}), Metrics(), lambda lane, worker: None)
    lane.use(worker)
    return lane


def put(lane, *texts):
    return lane.put([{"text": text} for text in texts])


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def run(test):
    return asyncio.run(asyncio.wait_for(test(), 30))


def test_every_answer_belongs_to_its_request_in_ten_thousand_interleavings():
    async def test():
        draw, worker = random.Random(0), Held()
        lane = lane_with(worker, queue=10**6, deadline_seconds=1e3)
        open_, checked, number = [], 0, 0
        while checked < 10_000:
            action = draw.random()
            if action < 0.5 and len(open_) < 50:
                texts = [f"{number}.{place}" for place in range(draw.randint(1, 6))]
                number += 1
                open_.append((texts, put(lane, *texts)))
            elif action < 0.55 and open_:
                lane.drop(open_.pop(draw.randrange(len(open_)))[1])
            elif worker.batches:
                worker.answer()
            await settle()
            for texts, ask in [each for each in open_ if each[1].future.done()]:
                reply, version = ask.future.result()
                assert [blob.decode() for blob in reply.blobs] == texts and version == "v"
                open_.remove((texts, ask))
                checked += 1
        assert all(len(batch) <= 6 for batch, _ in worker.batches)

    run(test)


def test_a_single_client_never_waits_for_others():
    async def test():
        worker = Held(batch_size=8, enough=8)
        lane = lane_with(worker, batch_delay_ms=10_000.0)
        for number in range(20):
            ask = put(lane, str(number))
            await settle()
            assert worker.num_sent == 1
            worker.answer()
            await ask.future
            await settle()

    run(test)


def test_whoever_comes_alone_after_a_crowd_does_not_wait_for_it():
    """Seven clients, answered and gone: for a moment after their answers they are waited for, later nobody is."""

    async def test():
        worker = Held(batch_size=8, enough=8, seconds=1.0)
        lane = lane_with(worker, batch_delay_ms=150.0)
        asks = [put(lane, str(number)) for number in range(7)]
        while not all(ask.future.done() for ask in asks):
            await settle()
            if worker.batches:
                worker.answer()
        await settle()
        put(lane, "one of them again")
        await settle()
        assert worker.num_sent == 0
        await asyncio.sleep(0.2)
        assert worker.num_sent == 1
        worker.answer()
        await settle()
        for number in range(5):
            put(lane, f"alone {number}")
            await settle()
            assert worker.num_sent == 1
            worker.answer()
            await settle()

    run(test)


def test_two_clients_fall_into_step():
    """The second comes while the first is computed; when that is answered, both share every batch."""

    async def test():
        worker = Held(batch_size=8, enough=8, seconds=30.0)
        lane = lane_with(worker, batch_delay_ms=10_000.0)
        put(lane, "a 0")
        await settle()
        put(lane, "b 0")
        worker.answer()
        await settle()
        assert worker.num_sent == 0
        for number in range(1, 5):
            put(lane, f"a {number}")
            await settle()
            assert worker.sizes[-1] == 2
            worker.answer()
            await settle()
            put(lane, f"b {number}")
            await settle()
        assert worker.sizes == [1, 2, 2, 2, 2]

    run(test)


def test_nobody_is_waited_for_longer_than_a_batch_takes():
    """Batches of a hundredth of a second: the second client waits for the first one that long, not the whole delay."""

    async def test():
        worker = Held(batch_size=8, enough=8, seconds=0.01)
        lane = lane_with(worker, batch_delay_ms=10_000.0)
        put(lane, "first")
        await settle()
        put(lane, "second")
        worker.answer()
        await asyncio.sleep(0.1)
        assert worker.sizes == [1, 1]

    run(test)


def test_a_batch_is_sent_ahead_just_in_time():
    """Four rows that would be enough wait for two more until the first batch is about to end."""

    async def test():
        worker = Held(batch_size=16, enough=4)  # at 100 rows a second
        lane = lane_with(worker)
        put(lane, *["first"] * 13)
        put(lane, *["second"] * 4)
        await settle()
        assert worker.sizes == [13]
        put(lane, *["third"] * 2)
        await asyncio.sleep(0.2)  # 0.13 s after it was sent the first batch should be done
        assert worker.sizes == [13, 6] and worker.num_sent == 2

    run(test)


def test_a_full_batch_is_sent_ahead_at_once():
    async def test():
        worker = Held(batch_size=5, enough=2)
        lane = lane_with(worker)
        put(lane, "first")
        put(lane, *["second"] * 5)
        await settle()
        assert worker.sizes == [1, 5]

    run(test)


def test_clients_that_make_one_batch_alone_make_two_that_take_turns(monkeypatch):
    """Eight clients, where halves are known to pay: four rows are computed, four wait just in time, and so on."""

    async def test():
        worker = Held(batch_size=64, enough=64)
        lane = lane_with(worker)
        monkeypatch.setattr(lane._pace, "wants_halves", lambda count: count >= 4)
        put(lane, "0")
        await settle()
        for number in range(1, 8):
            put(lane, str(number))
        await asyncio.sleep(0.1)
        assert worker.sizes == [1, 4]
        for _ in range(5):
            count = len(worker.batches[0][0])
            worker.answer()
            await settle()
            for _ in range(count):
                put(lane, "again")
            await asyncio.sleep(0.1)
            assert worker.num_sent == 2
        assert worker.sizes == [1, 4, 4, 4, 4, 4, 4]

    run(test)


def test_halves_pay_where_the_worker_would_wait_longer_than_they_take():
    """16 rows take 48 ms and 32 take 78, so two halves cost 18 more; preparing 32 takes 8."""
    for gap, is_worth in ((0.005, False), (0.020, True)):
        pace, now = Pace(1.0), 0.0
        for _ in range(100):
            for count, seconds in ((16, 0.048), (32, 0.078)):
                pace.sent(count, now)
                now += seconds
                pace.answered(now, 0.00025 * count, seconds)
                now += gap
        assert pace.wants_halves(32) is is_worth
        assert not pace.wants_halves(3)


def test_a_client_of_many_rows_is_one_client():
    async def test():
        worker = Held(batch_size=64, enough=64)
        lane = lane_with(worker, batch_delay_ms=10_000.0, queue=100)
        for count in (11, 3, 1, 7):
            put(lane, *["x"] * count)
            await settle()
            assert worker.sizes[-1] == count
            worker.answer()
            await settle()

    run(test)


def test_each_row_is_sent_with_its_place_in_its_own_request():
    async def test():
        worker = Held(batch_size=8, enough=8)
        lane = lane_with(worker)
        put(lane, "first")
        put(lane, "a", "b", "c")
        lane.put([{"text": "d"}, {"text": "e"}], [1, 4])
        await settle()
        worker.answer()
        await settle()
        assert worker.places == [[0], [0, 1, 2, 1, 4]]

    run(test)


def test_batches_fill_up_to_their_size_and_never_split_a_request():
    async def test():
        worker = Held(batch_size=4, enough=4)
        lane = lane_with(worker, queue=100)
        asks = [put(lane, *["x"] * count) for count in (1, 3, 2, 1, 2, 9, 1)]
        await settle()
        while not all(ask.future.done() for ask in asks):
            worker.answer()
            await settle()
        assert worker.sizes == [1, 3, 3, 2, 9, 1]  # 1 at once; the others as whole requests of at most 4, and one of 9
        assert lane.num_held == 0

    run(test)


def test_a_full_queue_refuses_with_the_time_it_will_take():
    async def test():
        lane = lane_with(Held(), queue=5)
        for _ in range(5):
            lane.enter("a")
        with pytest.raises(Problem) as caught:
            lane.enter("a")
        assert caught.value.status == 429 and int(caught.value.headers["retry-after"]) >= 1
        lane.has_read()
        lane.leave("a")
        lane.enter("b")

    run(test)


def test_one_client_may_not_have_more_than_its_share():
    async def test():
        lane = lane_with(Held(), per_client=2)
        lane.enter("a")
        lane.enter("a")
        lane.enter("b")
        with pytest.raises(Problem, match="this address"):
            lane.enter("a")
        lane.leave("a")
        lane.enter("a")

    run(test)


def test_who_is_too_late_or_gone_is_never_sent():
    async def test():
        worker = Held(batch_size=1, enough=1)
        lane = lane_with(worker, deadline_seconds=0.05)
        first, second = put(lane, "computing"), put(lane, "ahead")
        late, gone = put(lane, "late"), put(lane, "gone")
        lane.drop(gone)
        await asyncio.sleep(0.1)
        worker.answer()
        await settle()
        with pytest.raises(Problem, match="deadline"):
            await late.future
        assert gone.future.cancelled() and worker.sizes == [1, 1]
        assert first.future.done() and not second.future.done() and lane.num_waiting == 0

    run(test)


def test_after_a_crash_each_is_asked_alone_and_the_culprit_is_told():
    async def test():
        ends: list[object] = []
        worker = Held(batch_size=4, enough=4)
        lane = Lane("run", ServeOptions(batch_delay_ms=0.0), Metrics(), lambda lane, worker: ends.append(worker))
        asks = [put(lane, text) for text in ("a", "abort", "c")]
        lane.use(worker)
        await settle()
        worker.answer(Ended())
        await settle()
        assert ends == [worker] and not any(ask.future.done() for ask in asks)
        other = Held(version="w")
        lane.use(other)
        for _ in range(3):
            await settle()
            assert len(other.batches[0][0]) == 1
            other.answer(Ended() if other.batches[0][0] == ["abort"] else None)
            await settle()
            if other.has_ended:
                other = Held(version="w")
                lane.use(other)
        assert [(await ask.future)[1] for ask in (asks[0], asks[2])] == ["w", "w"]
        with pytest.raises(Problem, match="over this request"):
            await asks[1].future

    run(test)


def test_everyone_is_told_at_the_end():
    async def test():
        worker = Held(batch_size=1, enough=1)
        lane = lane_with(worker)
        asks = [put(lane, str(number)) for number in range(5)]
        await settle()
        lane.fail_everyone(Problem(503, "over"))
        for ask in asks:
            with pytest.raises(Problem, match="over"):
                await ask.future
        assert lane.num_waiting == 0

    run(test)
