import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CorruptCheckpoint, IncompatibleCheckpoint
from models.spec import ModelSpec, read_spec

MakeSpec = Callable[..., ModelSpec]


def changed(spec: ModelSpec, **fields: Any) -> str:
    return json.dumps({**asdict(spec), **fields})


def test_a_spec_comes_back_from_its_json(make_spec: MakeSpec) -> None:
    spec = make_spec(name="größer", feature_means=(0.1,) * 11)
    assert read_spec(spec.to_json()) == spec


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SCALES = st.floats(min_value=1e-300, allow_infinity=False)


@given(columns=st.lists(st.tuples(st.text(), NUMBERS, SCALES), max_size=5))
def test_any_names_and_numbers_come_back(
    make_spec: MakeSpec, columns: list[tuple[str, float, float]]
) -> None:
    names, means, scales = (tuple(one[place] for one in columns) for place in range(3))
    spec = make_spec(features=names, feature_means=means, feature_scales=scales)
    assert read_spec(spec.to_json()) == spec


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"spec"'])
def test_what_is_no_json_object_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"spec\.json: it is not"):
        read_spec(text)


def test_a_missing_field_is_named(make_spec: MakeSpec) -> None:
    content = asdict(make_spec())
    del content["max_tokens"]
    with pytest.raises(CorruptCheckpoint, match="max_tokens"):
        read_spec(json.dumps(content))


def test_an_unknown_field_is_named(make_spec: MakeSpec) -> None:
    with pytest.raises(CorruptCheckpoint, match="colour"):
        read_spec(changed(make_spec(), colour="red"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", "many"),
        ("max_tokens", True),
        ("max_tokens", 1.5),
        ("labels", "withdrawal"),
        ("labels", [1]),
        ("feature_means", ["0"] * 11),
        ("codebook", 1),
    ],
)
def test_a_field_of_another_kind_is_named(make_spec: MakeSpec, field: str, value: object) -> None:
    with pytest.raises(CorruptCheckpoint, match=field):
        read_spec(changed(make_spec(), **{field: value}))


def test_each_feature_needs_its_mean_and_scale(make_spec: MakeSpec) -> None:
    with pytest.raises(CorruptCheckpoint, match="differ in length"):
        read_spec(changed(make_spec(), feature_means=[0.0]))


@pytest.mark.parametrize("value", [[0.0] * 11, [1.0] * 10 + [float("nan")], [-1.0] * 11])
def test_a_scale_that_cannot_be_divided_by_is_corrupt(
    make_spec: MakeSpec, value: list[float]
) -> None:
    with pytest.raises(CorruptCheckpoint, match="feature_scales"):
        read_spec(changed(make_spec(), feature_scales=value))


@pytest.mark.parametrize(
    ("field", "value"), [("max_tokens", 0), ("context_tokens", -1), ("pad_id", -1)]
)
def test_a_count_below_its_least_is_corrupt(make_spec: MakeSpec, field: str, value: int) -> None:
    with pytest.raises(CorruptCheckpoint, match=field):
        read_spec(changed(make_spec(), **{field: value}))


def test_another_codebook_is_incompatible(make_spec: MakeSpec) -> None:
    with pytest.raises(IncompatibleCheckpoint, match=r"codebook is '1\.1', this code needs '9\.9'"):
        make_spec(codebook="1.1").check(codebook="9.9")


def test_other_labels_are_incompatible_and_not_all_told(make_spec: MakeSpec) -> None:
    spec = make_spec()
    with pytest.raises(IncompatibleCheckpoint, match="15 names") as caught:
        spec.check(markers=spec.markers[1:])
    assert spec.markers[-1] not in str(caught.value)


def test_what_is_as_needed_passes(make_spec: MakeSpec) -> None:
    spec = make_spec()
    spec.check(codebook=spec.codebook, labels=spec.labels, ratings=spec.ratings)
