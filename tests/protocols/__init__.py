"""Providers of language models on the loopback, for whoever tests something that asks one.

The real SDKs talk HTTP over a socket to servers that speak the providers' protocols and mind their rules: the
key, the version header, a tool's result for each use of it. What the model says is a function of the test:

    def test_names(language_models: SettingsLanguageModels, anthropic: ProtocolServer) -> None:
        anthropic.answer = lambda asked: {"title": "Refunds" if "refund" in asked.text else "Other"}
        model = language_models.get("anthropic/claude-test")

Fixtures, in fixtures.py: `anthropic`, `openai`, `cohere` are the servers (`openai` serves Groq, Ollama and
`openai-compatible` too); `provider_settings` are settings that point at them; `language_models` is the port,
with answers kept in the test's own database; `other_models` makes it out of changed settings. In a test of
the API, the CLI or a job give `provider_settings` to `open_container` and set `answer` of the server.

`answer` gets an `Asked` (`system`, `text`, `schema`, `model`, and `complaint`: what the model was told about
its answer before) and gives a dict, which is the answer whether it fits or not, or one of `Status`,
`Refusal`, `TooLong`, `Hang`, `CutOff`, `Words`. What stands in `script` is said first, in order. Without
either it answers with the simplest object that fits the schema. `asked` is what was heard, with times;
`most_at_once` how much of it at the same time; `delay_s` how long every answer takes.
"""
