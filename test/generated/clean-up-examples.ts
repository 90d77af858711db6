/** Models in which a clean-up of `simplify` applies, one or more for each clean-up. */
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { affineFunction } from "../affine-function.ts";
import type { Start } from "./starts.ts";

interface CleanUpExample extends Start {
  /** Id of the clean-up. */
  readonly rule: string;
}

const texts: Readonly<Record<string, readonly string[]>> = {
  "store-constants": [
    "(x: float32[n, 3]) -> (y) {\n  c = Constant() {value=float32[1, 3] [1, 2, 3]}\n  h = Mul(x, c)\n  y = Neg(h)\n}",
  ],
  "fold-shapes": [
    `(x: float32[n, 3, 2]) -> (y) {
  first: int64[1] = [1]
  rest: int64[1] = [-1]
  s = Shape(x)
  g = Gather(s, first)
  t = Concat(rest, g) {axis=0}
  y = Reshape(x, t)
}`,
    "(x: float32[2, 3]) -> (y) {\n  s = Shape(x)\n  f = Cast(s) {to=1}\n  y = Neg(f)\n}",
  ],
  "resolve-conditions": [
    `(x: float32[n, 3]) -> (y) {
  c: bool[] = [1]
  h = Abs(x)
  y = If(c) {then_branch=graph () -> (a) { a = Relu(h) }, else_branch=graph () -> (b) { b = Neg(h) }}
}`,
  ],
  "fold-constants": [
    `(x: float32[n, 3]) -> (y) {
  w: float32[2, 3] = [1, 2, 3, 4, 5, 6]
  t = Transpose(w)
  y = MatMul(x, t)
}`,
    `(x: float32[n, 3]) -> (y) {
  a: float32[3] = [1, 2, 3]
  b: float32[1] = [2]
  m = Max(a, b)
  d = Div(m, b)
  y = Add(x, d)
}`,
  ],
  "remove-identities": [
    "(x: float32[n, 3]) -> (y) {\n  h = Identity(x)\n  d = Dropout(h)\n  y = Relu(d)\n}",
    "(x: float32[n, 3]) -> (y) {\n  one: float32[1] = [1]\n  h = Mul(x, one)\n  y = Relu(h)\n}",
    "(x: float32[n, 3]) -> (y) {\n  zero: float32[] = [0]\n  h = Sub(x, zero)\n  y = Relu(h)\n}",
    `(x: float32[n, 1, 3]) -> (y) {
  zero: int64[1] = [0]
  one: int64[1] = [1]
  s = Slice(x, zero, one, one)
  r = ReduceMax(s, one)
  y = Relu(r)
}`,
    "(x: float32[n, 1]) -> (y) {\n  s: int64[2] = [0, 1]\n  r = Reshape(x, s)\n  e = Expand(r, s)\n  y = Relu(r)\n}",
  ],
  "fuse-affine": [
    `(x: float32[n, 3]) -> (y) {
  w: float32[3, 2] = [1, 2, 3, 4, 5, 6]
  b: float32[2] = [1, -1]
  s: float32[2] = [2, 0.5]
  g = Gemm(x, w, b)
  h = Mul(g, s)
  y = Add(h, b)
}`,
    `(x: float32[n, 2, 3]) -> (y) {
  w: float32[2, 2, 1] = [1, 2, 3, 4]
  v: float32[2] = [1, 2]
  m: float32[2] = [0.5, 1]
  g = Conv(x, w)
  y = BatchNormalization(g, v, m, m, v)
}`,
    `(x: float32[n, 3]) -> (y) {
  w: float32[3, 2] = [1, 2, 3, 4, 5, 6]
  b: float32[2] = [1, -1]
  s: float32[3] = [2, 0.5, 1]
  h = Mul(x, s)
  y = Gemm(h, w, b)
}`,
  ],
  deduplicate: ["(x: float32[n, 3]) -> (y) {\n  a = Exp(x)\n  b = Exp(x)\n  c = Neg(b)\n  y = Mul(a, c)\n}"],
  "merge-initializers": [
    `(x: float32[n, 3]) -> (y) {
  a: float32[3] = [1, 2, 3]
  b: float32[3] = [1, 2, 3]
  h = Add(x, a)
  r = Relu(h)
  y = Mul(r, b)
}`,
  ],
  "drop-unused": ["(x: float32[n, 3]) -> (y) {\n  a = Exp(x)\n  y = Neg(x)\n}"],
  "drop-notes": ["(x: float32[n, 3]) -> (y) {\n  y = Neg(x)\n}"],
  "drop-dead-channels": [
    `(x: float32[n, 2]) -> (y) {
  w: float32[2, 3] = [1, 0, 3, 4, 0, 6]
  b: float32[3] = [1, 0, 2]
  v: float32[3, 2] = [1, 2, 3, 4, 5, 6]
  g = Gemm(x, w, b)
  r = Relu(g)
  y = MatMul(r, v)
}`,
  ],
};

function withNotes(model: Model): Model {
  for (const node of model.graph.nodes()) node.metadata = new Map([["pkg.torch.onnx.name_scopes", "['', 'relu']"]]);
  return model;
}

const calling = parseModel(`opset 21, lab 1
graph (x: float32[n, 3]) -> (y) {
  w: float32[3, 2] = [1, 2, 3, 4, 5, 6]
  b: float32[2] = [1, -1]
  h = lab.Affine(x, w, b)
  y = Relu(h)
}`);
calling.header.functions = [affineFunction];
const callingModel = await open(await encodeToBytes(calling));

const textExamples: readonly CleanUpExample[] = Object.entries(texts).flatMap(([rule, graphs]) =>
  graphs.map((text, index) => ({
    ...{ rule, title: `${rule} ${index}`, sizes: {}, feeds: {} },
    write: () => {
      const model = parseModel(`opset 21\ngraph ${text}`);
      return { model: rule === "drop-notes" ? withNotes(model) : model, ranges: new Map() };
    },
  })),
);

export const cleanUpExamples: readonly CleanUpExample[] = [
  ...textExamples,
  {
    ...{ rule: "inline-functions", title: "inline-functions 0", sizes: {}, feeds: {} },
    write: () => ({ model: callingModel.clone(), ranges: new Map() }),
  },
];
