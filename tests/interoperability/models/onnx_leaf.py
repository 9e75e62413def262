"""A leaf of a repository as a model of MLServer, by ONNX Runtime. It runs in MLServer's environment, not in that of the tests."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnxruntime import InferenceSession


class OnnxLeaf(MLModel):
    """Runs the graph that its settings' `uri` names."""

    async def load(self) -> bool:
        self._session = InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        names = [output.name for output in self._session.get_outputs()]
        arrays = self._session.run(names, {part.name: NumpyCodec.decode_input(part) for part in payload.inputs})
        outputs = [NumpyCodec.encode_output(name, array) for name, array in zip(names, arrays, strict=True)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
