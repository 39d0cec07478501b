"""fastembed: ONNX models of a hub, or of a folder on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from adapters.embedder.options import EmbedderOptions
from adapters.embedder.texts import cut_all, spread, unit_rows
from domain.errors import Refused, Unavailable
from domain.values import Space, Vectors

MODEL_FILES = (
    "model.onnx",
    "onnx/model.onnx",
    "model_optimized.onnx",
    "onnx/model_optimized.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
INSTALL = "the embedding provider fastembed is not installed: pip install 'lmsys-query-analysis[fastembed]'"

_loading = Lock()


class OnnxEmbedder:
    """The port `Embedder`. `model` is a name that fastembed knows, or a path to a folder.

    Texts go through the model one by one: a quantised model may scale by the largest value in its batch, so
    that in batches a text's vector would depend on its neighbours.
    """

    def __init__(self, model: str, options: EmbedderOptions) -> None:
        try:
            self._version = version("fastembed")
        except ImportError as error:  # PackageNotFoundError is one
            raise Refused(INSTALL) from error
        self._options = options
        self._folder = Path(model).expanduser() if model[0] in "/.~" else None
        if self._folder is not None and not self._folder.is_dir():
            raise Refused(f"there is no folder {model!r} with a model for fastembed on this machine")
        self._model = self._folder.resolve().name if self._folder else model

    @cached_property
    def space(self) -> Space:
        """Loads the model, which alone tells the dimension for sure."""
        dimension = self._run(["dimension"]).shape[1]
        if self._options.dimension not in (None, dimension):
            raise Refused(
                f"fastembed/{self._model} gives {dimension} dimensions, not {self._options.dimension}"
            )
        parts = (self._options.revision, self._version, self._digest, f"bytes={self._options.max_text_bytes}")
        return Space("fastembed", self._model, dimension, ";".join(part for part in parts if part))

    def embed(self, texts: Sequence[str]) -> Vectors:
        kept, at = cut_all(texts, self._options.max_text_bytes)
        dimension = self.space.dimension
        rows = unit_rows(self._run(kept)) if kept else np.zeros((0, dimension), np.float32)
        return spread(rows, at, len(texts), dimension)

    def _run(self, texts: list[str]) -> Vectors:
        return np.stack([np.asarray(row, np.float32) for row in self._network.embed(texts, batch_size=1)])

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401  (fastembed has no types)
        with _loading:
            return self._load()

    def _load(self) -> Any:  # noqa: ANN401
        try:
            from fastembed import TextEmbedding
        except ImportError as error:
            raise Refused(INSTALL) from error
        name = self._register(TextEmbedding) if self._folder else self._model
        if name.lower() not in {one["model"].lower() for one in TextEmbedding.list_supported_models()}:
            raise Refused(
                f"fastembed knows no model {name!r}: name one of its list "
                "(https://qdrant.github.io/fastembed/examples/Supported_Models/) or the path of a folder"
            )
        cache = str(self._options.cache_dir) if self._options.cache_dir else None
        folder: dict[str, Any] = {"specific_model_path": str(self._folder)} if self._folder else {}
        try:
            return TextEmbedding(name, cache_dir=cache, threads=self._options.threads, **folder)
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> Refused | Unavailable:
        if self._folder:
            return Refused(f"the folder {self._model!r} has no model that fastembed can load: {error}")
        return Unavailable(
            f"fastembed cannot get the model {self._model!r} from its hub: {error} Without a network, copy "
            "the model's folder (model.onnx, tokenizer.json, tokenizer_config.json, config.json) to this "
            "machine and name the embedding model fastembed/PATH-OF-THE-FOLDER"
        )

    @cached_property
    def _files(self) -> tuple[Path, str]:
        folder = self._folder or Path()
        for name in MODEL_FILES:
            if (folder / name).is_file():
                return folder, name
        raise Refused(f"the folder {self._model!r} has none of {', '.join(MODEL_FILES)}")

    @cached_property
    def _digest(self) -> str:
        """Of a folder, what its vectors depend on: a folder of the same name may hold another model."""
        if not self._folder:
            return ""
        folder, name = self._files
        total = hashlib.sha256()
        for file in (name, "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"):
            if (folder / file).is_file():
                with (folder / file).open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
        return f"sha256={total.hexdigest()[:16]}"

    def _register(self, registry: Any) -> str:  # noqa: ANN401
        """Custom models of fastembed are known by name in the whole process; the digest keeps names apart."""
        from fastembed.common.model_description import ModelSource

        folder, file = self._files
        name = f"folder/{self._model};{self._digest}"
        if name.lower() not in {one["model"].lower() for one in registry.list_supported_models()}:
            registry.add_custom_model(
                model=name,
                pooling=self._pooling(folder / file),
                normalization=True,
                sources=ModelSource(url="file://" + self._model),
                dim=self._options.dimension or 1,  # only fastembed's own listing reads it
                model_file=file,
            )
        return name

    def _pooling(self, model_file: Path) -> Any:  # noqa: ANN401
        """Disabled where the network gives one row per text, else as sentence-transformers noted, or mean."""
        import onnxruntime  # type: ignore[import-untyped]
        from fastembed.common.model_description import PoolingType

        try:
            session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._failure(error) from error
        if len(session.get_outputs()[0].shape) == 2:
            return PoolingType.DISABLED
        noted = model_file.parent / "1_Pooling" / "config.json"
        noted = noted if noted.is_file() else model_file.parent.parent / "1_Pooling" / "config.json"
        modes = json.loads(noted.read_text()) if noted.is_file() else {}
        if modes.get("pooling_mode_cls_token"):
            return PoolingType.CLS
        return PoolingType.LAST_TOKEN if modes.get("pooling_mode_lasttoken") else PoolingType.MEAN
