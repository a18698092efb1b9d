"""Why two images are similar: the places in both from which the cosine of their embeddings comes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from similarity.data.features.extractor import GRAPH, describe, openvino_core
from similarity.data.vectors import normalize
from similarity.embedding.model import EmbeddingModel, embed, load_embedding_model

if TYPE_CHECKING:
    import openvino as ov


@dataclass(frozen=True)
class Explainer:
    """Explains the cosine of two embeddings by the backbone's last feature map. Not to be shared by threads.

    Attributes:
        network: maps the pixels of two images to their features, (2, D), and to the feature map.
        axis: of the map's channels.
        model: maps features to embeddings.
        kernel: from the means of the channels to embeddings, before ReLU and scaling, float32 (c, E + K).
    """

    network: "ov.CompiledModel"
    axis: int
    model: EmbeddingModel
    kernel: np.ndarray

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Map the pixels of two images, float32 (2, size, size, 3), to what each place contributes, (2, h, w) in 0…1.

        With its ReLU and its length held fixed, an embedding is linear in the means of the channels, so that a place
        with the local features F(p) contributes g · F(p) / hw to the cosine, where g is the cosine's gradient: class
        activation mapping (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016), for
        embeddings (Zhu, Yang & Chen, "Visual Explanation for Deep Metric Learning", IEEE TIP 2021). What speaks
        against the match is 0, and the largest contribution of each image 1.
        """
        features, maps = self.network([pixels]).values()
        head, visual = self.model.head, self.model.visual
        linear = np.concatenate([embed(features, head), visual(features)], axis=1)
        embeddings = normalize(self.model(features))
        slopes = np.divide(embeddings, linear, out=np.zeros_like(linear), where=linear != 0)
        gradients = (embeddings[::-1] * slopes) @ self.kernel.T
        shares = np.einsum("nhwc,nc->nhw", np.moveaxis(maps, self.axis, -1), gradients).clip(min=0)
        most = shares.max(axis=(1, 2), keepdims=True)
        return shares / np.where(most > 0, most, 1)


def load_explainer(folder: Path) -> Explainer | None:
    """Load an embedder; None if its backbone has no graph, or none with a feature map whose means the model uses."""
    if describe(folder)["engine"] == "keras":
        return None
    model, graph = load_embedding_model(folder), openvino_core().read_model(folder / GRAPH)
    kernel = np.concatenate([model.head.kernel, model.visual.kernel], axis=1)
    order = [operation.friendly_name for operation in graph.get_ordered_ops()]
    features = graph.output().node.input_value(0)
    means, start = dict[int, tuple["ov.Node", slice]](), 0  # by their place in the graph
    for part in features.node.input_values() if features.node.get_type_name() == "Concat" else [features]:
        node, columns = part.node, slice(start, start := start + part.partial_shape[1].get_length())
        is_mean = node.get_type_name() == "ReduceMean" and len(node.input_value(0).partial_shape) == 4
        if is_mean and kernel[columns].any():
            means[order.index(node.friendly_name)] = (node, columns)
    if not means:
        return None
    node, columns = means[max(means)]
    axis = ({1, 3} - set(node.input_value(1).node.data.tolist())).pop()
    graph.add_outputs([node.input_value(0)])
    graph.reshape([2, *graph.inputs[0].partial_shape[1:]])
    hints = {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    network = openvino_core().compile_model(graph, "CPU", hints)
    return Explainer(network, axis, model, kernel[columns])
