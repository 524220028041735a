"""Shakes a server: requests made from its own description, as it wants them and as it does not."""

from __future__ import annotations

import warnings
from contextlib import suppress

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SECONDS = 60.0


def shake(app, address, examples, number=0):
    """Send some requests of each kind to each operation; AssertionError shows the first that is answered wrongly.

    Returns how many were sent, and how many of them the server refused.
    """
    sent, refused = 0, 0
    described = schemathesis.openapi.from_dict(app.openapi())
    for result in described.get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(number)
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=result.ok().as_strategy(generation_mode=mode))
            def one(case):
                nonlocal sent, refused
                answer = case.call(base_url=address, timeout=SECONDS)
                sent += 1
                refused += 400 <= answer.status_code < 500
                case.validate_response(answer, checks=CHECKS)

            with warnings.catch_warnings(), suppress(Unsatisfiable):  # where nothing is asked, nothing is wrong
                warnings.simplefilter("ignore")  # of the generator, about what it makes
                one()
    return sent, refused
