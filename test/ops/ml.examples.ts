import { type Example, table } from "./define.examples.ts";

export const mlExamples: readonly Example[] = table()`
  Scaler of features | (x: float32[batch, 2]) y = ai.onnx.ml.Scaler(x) {offset=[1.0, 2.0], scale=[0.5, 2.0]}
  Scaler by one number | (x: float32[batch, 3]) y = ai.onnx.ml.Scaler(x) {offset=[1.0], scale=[0.5]}
  Scaler of integers | (x: int64[batch, 2]) y = ai.onnx.ml.Scaler(x) {offset=[1.0, 2.0], scale=[0.5, 2.0]}
  Normalizer to the largest | (x: float32[batch, 3]) y = ai.onnx.ml.Normalizer(x)
  Normalizer by lengths | (x: float32[batch, 3]) y = ai.onnx.ml.Normalizer(x) {norm="L2"}
  Normalizer by sums | (x: float32[1, 4]) y = ai.onnx.ml.Normalizer(x) {norm="L1"}
  Binarizer at 0 | (x: float32[batch, 3]) y = ai.onnx.ml.Binarizer(x)
  Binarizer at a threshold | (x: float32[batch, 3]) y = ai.onnx.ml.Binarizer(x) {threshold=0.5}
  Binarizer of nothing | (x: float32[2, 0]) y = ai.onnx.ml.Binarizer(x)
  Imputer of features | (x: float32[batch, 2]) y = ai.onnx.ml.Imputer(x) {imputed_value_floats=[1.0, 2.0], replaced_value_float=0.0}
  Imputer by one number | (x: float32[batch, 3]) y = ai.onnx.ml.Imputer(x) {imputed_value_floats=[1.0], replaced_value_float=0.0}
  Imputer of integers | (x: int64[batch, 1]) y = ai.onnx.ml.Imputer(x) {imputed_value_int64s=[7], replaced_value_int64=0}
  LabelEncoder to floats |
    (x: int64[batch, 2]) y = ai.onnx.ml.LabelEncoder(x) {keys_int64s=[0, 1], values_floats=[0.5, 1.5]}
  LabelEncoder to integers | (x: int64[batch]) y = ai.onnx.ml.LabelEncoder(x) {keys_int64s=[0, 1], values_int64s=[5, 6]}
  LabelEncoder of a scalar | (x: int64[]) y = ai.onnx.ml.LabelEncoder(x) {keys_int64s=[0, 1], values_int64s=[5, 6]}
  ArrayFeatureExtractor of rows | (x: float32[batch, 4]) at: int64[2] = [3, 0]; y = ai.onnx.ml.ArrayFeatureExtractor(x, at)
    | except gradient: it begins with integers
  ArrayFeatureExtractor of one column | (x: int64[batch, 4]) at: int64[1] = [2]; y = ai.onnx.ml.ArrayFeatureExtractor(x, at)
    | except gradient: it begins with integers
  ArrayFeatureExtractor of a vector | (x: float32[4]) at: int64[2] = [1, 2]; y = ai.onnx.ml.ArrayFeatureExtractor(x, at)
    | except gradient: it begins with integers
  ArrayFeatureExtractor by a matrix |
    (x: float32[batch, 4]) at: int64[2, 3] = [[3, 0, 1], [2, 2, 0]]; y = ai.onnx.ml.ArrayFeatureExtractor(x, at)
    | except gradient: it begins with integers
  ArrayFeatureExtractor of a vector by a matrix |
    (x: float32[4]) at: int64[2, 1, 2] = [[[1, 2]], [[0, 3]]]; y = ai.onnx.ml.ArrayFeatureExtractor(x, at)
    | except gradient: it begins with integers
`;
