"""The numbers that are drawn are the schedule's own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from deepen.core.errors import OptionError
from deepen.engine.options import ScheduleOptions
from deepen.engine.schedule import READS, factor
from deepen.verbs.show_schedule import figures, show_schedule


def test_points_are_the_peak_times_the_factor_over_epochs():
    given = {"schedule.warm_up": 0.1, "optimizer.lr": 0.3, "epochs": 7}
    result = show_schedule("one-cycle", given)
    options = ScheduleOptions(kind="one-cycle", warm_up=0.1)
    for x, y in result["schedules"]["one-cycle"]["points"]:
        assert y == pytest.approx(0.3 * factor(options, x / 7), abs=1e-6)
    assert result["x_label"] == "epoch" and result["schedules"]["one-cycle"]["points"][-1][0] == 7


def test_all_kinds_read_what_they_can(tmp_path):
    result = show_schedule("all", {"schedule.final": 0.25, "schedule.cycles": 3}, out=tmp_path / "all.svg")
    assert list(result["schedules"]) == list(READS)
    assert "cycles" in result["schedules"]["cyclic"]["options"]
    assert "cycles" not in result["schedules"]["cosine"]["options"]
    assert [figure.title for figure in figures(result)] == list(READS)
    root = ElementTree.parse(tmp_path / "all.svg").getroot()
    assert sum(element.get("class") == "title" for element in root.iter()) == len(READS)
    assert (tmp_path / "all.svg").stat().st_size < 60_000


def test_a_plateau_is_drawn_over_an_example_that_is_named():
    one = show_schedule("plateau", {"schedule.warm_up": 0.0, "schedule.patience": 10, "schedule.factor": 0.5})
    points, note = one["schedules"]["plateau"]["points"], one["schedules"]["plateau"]["note"]
    assert note.startswith("an example: 40 evaluations")
    # better until evaluation 10 (0.25), then falls after 10 more (0.5), 20 (0.75) and 30 (1.0)
    assert {y for x, y in points if x < 0.499} == {1.0}
    assert {y for x, y in points if 0.501 < x < 0.749} == {0.5}
    assert points[-1][1] == 0.125


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("cosin", {}, "'cosin': no such schedule; did you mean cosine?"),
        ("step", {"schedule.kind": "cosine"}, "--schedule.kind cosine: contradicts 'step'"),
        ("step", {"schedule.cycles": 3}, "schedule.cycles: step does not read it, only cyclic"),
        ("", {"schedule.power": 3}, "schedule.power: cosine does not read it, only polynomial"),
    ],
)
def test_refusals(kind, given, said):
    with pytest.raises(OptionError, match=said.replace("?", r"\?")):
        show_schedule(kind, given)
