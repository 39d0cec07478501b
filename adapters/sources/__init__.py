"""Where conversations come from: files of many formats, and data sets of the Hugging Face hub."""

from adapters.sources.files import FILE_FORMATS, SOURCE_SUFFIXES, is_source, open_file
from adapters.sources.huggingface import open_huggingface

__all__ = ["FILE_FORMATS", "SOURCE_SUFFIXES", "is_source", "open_file", "open_huggingface"]
