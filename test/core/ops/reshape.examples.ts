import { type Example, example, table } from "./define.examples.ts";

type More = Parameters<typeof example>[2];

const reshape = (title: string, x: string, shape: readonly number[], settings = "", more: More = {}): Example =>
  example(
    title,
    `(x: float32[${x}]) shape: int64[${shape.length}] = [${shape.join(", ")}]; y = Reshape(x, shape) {${settings}}`,
    more,
  );

export const reshapeExamples: readonly Example[] = [
  reshape("Reshape merging channels and places", "batch, 3, 2, 2", [0, -1]),
  reshape("Reshape splitting heads", "batch, 5, 6", [0, 0, 2, 3]),
  reshape("Reshape splitting channels for a shuffle", "batch, 6, 2, 2", [-1, 2, 3, 2, 2]),
  reshape("Reshape to a vector", "2, 3", [-1]),
  reshape("Reshape to a scalar", "1, 1", []),
  reshape("Reshape adding and dropping ones", "batch, 1, 3", [-1, 3, 1, 1]),
  reshape("Reshape across the batch", "batch, 3, 4", [-1, 4]),
  reshape("Reshape that mixes axes", "2, 3, 6", [9, 4], "", { except: { channels: "no axis survives" } }),
  reshape("Reshape of channels into groups", "batch, 6, 2, 2", [0, 3, -1]),
  reshape("Reshape of groups into channels", "batch, 3, 8", [-1, 6, 2, 2]),
  reshape("Reshape of batch and heads", "5, batch, 6", [5, -1, 3]),
  reshape("Reshape out of batch and heads", "5, 4, 3", [5, -1, 6]),
  reshape("Reshape of nothing, zeros meant", "0, 3", [3, 0], "allowzero=1"),
  reshape("Reshape of nothing with a batch", "batch, 0, 4", [0, 0]),
  reshape("Reshape of opset 5", "batch, 3", [0, 3, 1], "", { opset: 5 }),
  ...table()`
    Reshape to a shape computed at run time |
      (x: float32[2, 3], shape: int64[2]) y = Reshape(x, shape) | feeds shape: 3, 2 | no axes: computed at run time
      | except types: the target is not known before the run
    Reshape of opset 1 | opset 1 (x: float32[2, 3]) y = Reshape(x) {shape=[3, 2]} | no read: before opset 5
    Flatten after pooling | (x: float32[batch, 3, 2, 2]) y = Flatten(x)
    Flatten at a negative axis | (x: float32[batch, 3, 2, 2]) y = Flatten(x) {axis=-1}
    Flatten everything | (x: float32[batch, 3]) y = Flatten(x) {axis=0}
    Flatten at the end | (x: float32[batch, 3]) y = Flatten(x) {axis=2}
    Flatten of a scalar | (x: float32[]) y = Flatten(x) {axis=0}
    Squeeze a negative axis | (x: float32[batch, 3, 1]) axes: int64[1] = [-1]; y = Squeeze(x, axes)
    Squeeze every one | (x: float32[1, 3, 1]) y = Squeeze(x)
    Squeeze with axes as an attribute | opset 11 (x: float32[batch, 1, 3, 1]) y = Squeeze(x) {axes=[1, 3]}
    Squeeze to a scalar | (x: float32[1]) axes: int64[1] = [0]; y = Squeeze(x, axes)
    Squeeze of a stored shape | () s: int64[1] = [3]; axes: int64[1] = [0]; y = Squeeze(s, axes)
    Squeeze by axes computed at run time |
      (x: float32[2, 1], axes: int64[1]) y = Squeeze(x, axes) | feeds axes: 1 | no read: computed at run time
    Unsqueeze in front and behind | (x: float32[batch, 3]) axes: int64[2] = [0, -1]; y = Unsqueeze(x, axes)
    Unsqueeze of a scalar | (x: float32[]) axes: int64[1] = [0]; y = Unsqueeze(x, axes)
    Unsqueeze with axes as an attribute | opset 11 (x: float32[batch, 3]) y = Unsqueeze(x) {axes=[2, 1]}
    Unsqueeze of a stored number | () s: int64[] = 7; axes: int64[1] = [0]; y = Unsqueeze(s, axes)
  `,
];
