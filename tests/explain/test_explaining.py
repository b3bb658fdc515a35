"""Names of methods and classes, as a user may get them wrong."""

from __future__ import annotations

import pytest

from deepen.core.errors import OptionError
from deepen.explain.explaining import Explanation, Method, chosen, class_index, refuse_unread


def method(is_default=False):
    return Method("", "samples", lambda request: Explanation(), is_default=is_default)


METHODS = {"occlusion": method(True), "grad-cam": method(), "saliency": method(True)}


def test_defaults_and_the_order_of_the_explainer():
    assert chosen(METHODS, ()) == ["occlusion", "saliency"]
    assert chosen(METHODS, ("saliency", "grad-cam")) == ["grad-cam", "saliency"]


def test_a_wrong_name_is_met_with_the_nearest():
    with pytest.raises(OptionError, match=r"--method gradcam: no such method for this task; did you mean grad-cam\?"):
        chosen(METHODS, ("saliency", "gradcam"))


def test_the_class_to_explain():
    labels = ("cat", "dog")
    assert class_index("", labels) is None and class_index("", ()) is None
    assert class_index("dog", labels) == 1
    with pytest.raises(OptionError, match=r"--of-class dgo: no such class; did you mean dog\?"):
        class_index("dgo", labels)
    with pytest.raises(OptionError, match="--of-class dog: this run answers none of named classes"):
        class_index("dog", ())


def test_an_option_that_no_chosen_method_reads_is_refused():
    methods = {
        "cam": Method("", "samples", lambda request: Explanation(), reads=("layer",)),
        "filters": Method("", "network", lambda request: Explanation(), reads=("layer",)),
        "shuffle": Method("", "table", lambda request: Explanation(), reads=("repeats",)),
    }
    refuse_unread(methods, ["cam", "shuffle"], {"layer", "repeats", "seed", "method", "samples", "of_class"})
    for names, given, words in (
        (["shuffle"], {"layer"}, "--layer: shuffle does not read it; it belongs to cam, filters."),
        (["shuffle", "filters"], {"of_class"}, "--of-class: shuffle, filters do not read it; it belongs to cam."),
        (["cam"], {"grid"}, "--grid: cam does not read it; this task has no method that does."),
    ):
        with pytest.raises(OptionError, match=words):
            refuse_unread(methods, names, given)
