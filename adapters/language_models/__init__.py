"""Language models of all providers behind one port."""

from adapters.language_models.port import Answer, LanguageModel, LanguageModels, Question, asked_for

__all__ = ["Answer", "LanguageModel", "LanguageModels", "Question", "asked_for"]
