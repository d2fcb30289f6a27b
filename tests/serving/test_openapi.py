"""The OpenAPI document is true: schemathesis invents requests and checks every answer."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from crnnkit.serving.config import ServerConfig
from crnnkit.serving.server import app_for

pytestmark = pytest.mark.slow


def test_every_answer_is_one_of_those_described(fake_model, tmp_path):
    app = app_for(fake_model, ServerConfig(feedback_dir=tmp_path / "feedback"))
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 9  # all but the one that gives the document
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: Case) -> None:
            # A field that keeps to its schema may still name characters that the model lacks,
            # or be no picture.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
