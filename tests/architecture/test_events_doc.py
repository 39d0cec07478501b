"""docs/events.md says what the classes of the events say."""

import docs.generate_events as generated
from domain.base import Aggregate


class Sample(Aggregate):
    """Not one of the system's."""

    TOPIC = "documented_sample"
    PREFIX = "documented_sample"

    class Created(Aggregate.Created):
        """One that is new:
        so it begins.
        """

        TOPIC = "documented_sample.created"
        colour: str | None

    def __init__(self, colour: str | None) -> None:
        self.colour = colour


def test_the_page_is_what_the_code_gives() -> None:
    assert generated.PAGE.read_text() == generated.page(), "run `python -m docs.generate_events`"


def test_an_event_is_described_by_its_fields_and_its_docstring() -> None:
    lines = list(generated.section(Sample))
    assert lines[0].startswith("## Sample: `documented_sample/")
    assert lines[-1] == (
        "| `documented_sample.created` | `colour: str \\| None` | One that is new: so it begins. |"
    )
