"""The OpenAPI document is true: schemathesis invents requests and checks every answer."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case

from crnnkit.serving.config import ServerConfig
from crnnkit.serving.server import app_for

pytestmark = pytest.mark.slow


def test_every_answer_is_one_of_those_described(fake_model, tmp_path):
    app = app_for(fake_model, ServerConfig(feedback_dir=tmp_path / "feedback"))
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: Case) -> None:
            case.call_and_validate()

        check()
