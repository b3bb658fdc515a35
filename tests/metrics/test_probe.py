import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from deepen.metrics.probe import linear_probe, neighbour_probe


def blobs(classes, count=61, width=5, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    return draw.normal(size=(classes, width))[labels] + draw.normal(0, 0.9, (count, width)), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_probe_is_sklearns_ridge_classifier_fitted_anew_for_each(classes):
    features, labels = blobs(classes)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = cross_val_predict(RidgeClassifier(alpha=1.0), scaled, labels, cv=LeaveOneOut()) == labels
    assert 0 < expected.mean() < 1
    assert np.array_equal(linear_probe(features, labels), expected)


def test_the_neighbour_probe_is_sklearns():
    features, labels = blobs(3)
    expected = cross_val_predict(KNeighborsClassifier(5), features, labels, cv=LeaveOneOut()) == labels
    assert 0 < expected.mean() < 1
    assert np.array_equal(neighbour_probe(features, labels), expected)


def test_features_that_never_vary_say_nothing_and_break_nothing():
    features, labels = np.ones((11, 3)), np.arange(11) % 3
    assert linear_probe(features, labels).shape == neighbour_probe(features, labels).shape == (11,)


def test_labels_that_are_a_linear_function_are_all_found():
    features = np.random.default_rng(0).normal(size=(401, 3))
    labels = (features @ [1.0, -2.0, 0.5] > 0.3).astype(int)
    assert linear_probe(features, labels).mean() > 0.95
    assert linear_probe(features, np.random.default_rng(1).integers(0, 2, 401)).mean() < 0.65
