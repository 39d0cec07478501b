"""Templates: what a classifier goes by, in versions, with labels that can be followed from one to another."""

from domain.templates.checking import checked, read_content
from domain.templates.content import Example, Label, TemplateContent
from domain.templates.difference import difference
from domain.templates.migration import Change, Migration
from domain.templates.template import Template, Version

__all__ = [
    "Change",
    "Example",
    "Label",
    "Migration",
    "Template",
    "TemplateContent",
    "Version",
    "checked",
    "difference",
    "read_content",
]
