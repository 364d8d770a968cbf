from __future__ import annotations

import pytest

from bench.workload import CASES, PAGE, Case, answer_head, case_of, request_for
from lbcompanion.http1.heads import read_request_head, read_response_head

EVERY = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.key)


@pytest.mark.parametrize("case", [case for case in CASES.values() if not case.streamed], ids=lambda case: case.key)
def test_a_body_is_of_the_size_it_is_named_by(case: Case) -> None:
    assert len(case.body) == case.size


def test_there_is_one_head_to_insert_at() -> None:
    assert PAGE.count(b"<head>") == PAGE.count(b"</head>") == 1


@EVERY
def test_no_two_visitors_ask_alike(case: Case) -> None:
    heads = [read_request_head(request_for(case, number)) for number in range(1, 200)]
    assert len({head.target for head in heads}) == len({head.get(b"cookie") for head in heads}) == len(heads)


@EVERY
def test_no_two_answers_are_alike(case: Case) -> None:
    heads = [read_response_head(answer_head(case, number)) for number in range(1, 200)]
    assert len({head.get(b"set-cookie") for head in heads}) == len(heads)


@EVERY
def test_a_request_leads_to_its_case(case: Case) -> None:
    path = read_request_head(request_for(case, 5)).path.decode()
    found = case_of(path, case.coding)
    assert found is case
    assert case_of("/elsewhere", case.coding) is None
