import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { elementCount } from "../tensor/dims.ts";
import { infer } from "./infer.ts";
import { layerAt, layers } from "./layers.ts";
import { unsupportedWeights } from "./unsupported-weights.ts";
import { weightElements, weightMatrices, weightShape } from "./weight-matrix.ts";
import { checkWeight, hasFloatWeights, weightNeeds } from "./weight-needs.ts";

const stored = "w: float32[4, 4] = zeros";
const product = "y = MatMul(x, w)";

test.each([
  ["stored as a float32 matrix", "factorize", [stored, product], undefined],
  ["masked", "solve", [stored, "m: float32[4, 4] mask = zeros", "v = Mul(w, m)", "y = MatMul(x, v)"], undefined],
  ["transposed", "quantize", [stored, "v = Transpose(w) {perm=[1, 0]}", "y = MatMul(x, v)"], undefined],
  ["transposed", "solve", [stored, "v = Transpose(w) {perm=[1, 0]}", "y = MatMul(x, v)"], "its weight is computed"],
  ["read twice", "fuse", [stored, "h = MatMul(x, w)", "y = MatMul(h, w)"], "its weight is shared"],
  ["read twice", "factorize", [stored, "h = MatMul(x, w)", "y = MatMul(h, w)"], undefined],
  [
    "float64",
    "fuse",
    ["w: float64[4, 4] = zeros", "v = Cast(w) {to=1}", "y = MatMul(x, v)"],
    "its weight is float64, not float32",
  ],
  [
    "float64 cast to float32",
    "factorize",
    ["w: float64[4, 4] = zeros", "v = Cast(w) {to=1}", "y = MatMul(x, v)"],
    "its weight is float64, but used as float32",
  ],
  [
    "quantized",
    "quantize",
    ["w: int8[4, 4] = zeros", "s: float32[] = [1]", "v = DequantizeLinear(w, s)", "y = MatMul(x, v)"],
    "its weight is quantized already",
  ],
  [
    "a ConvTranspose kernel",
    "factorize",
    ["w: float32[4, 4, 1] = zeros", "i: int64[1] = [2]", "u = Unsqueeze(x, i)", "y = ConvTranspose(u, w)"],
    "its operator cannot be written as a chain of layers",
  ],
  [
    "reshaped by the shape in a Constant node",
    "factorize",
    ["v: float32[16] = zeros", "s = Constant() {value_ints=[4, 4]}", "w = Reshape(v, s)", product],
    undefined,
  ],
  [
    "a stack of one matrix",
    "solve",
    ["w: float32[1, 1, 4, 4] = zeros", product],
    "its weight is [1, 1, 4, 4], not a matrix",
  ],
  ["a stack of two matrices", "solve", ["w: float32[2, 4, 4] = zeros", product], "it holds several matrices"],
  ["empty", "quantize", ["w: float32[4, 0] = zeros", product], "its weight has no elements"],
  [
    "tied to another weight",
    "factorize",
    ["w: float32[4, 4] tied(o) = zeros", "o: float32[4, 4] parameter = zeros", "h = MatMul(x, w)", "y = MatMul(h, o)"],
    'its weight is tied to "o"',
  ],
] as const)("requireWeight checks a weight that is %s: %s", (_, technique, lines, reason) => {
  const model = parseModel(`opset 17\ngraph (x: float32[n, 4]) -> (y) {\n  ${lines.join("\n  ")}\n}`);
  const [layer] = layers(model, infer(model));
  if (layer === undefined) throw new Error("no layer");
  expect(checkWeight(layer, weightNeeds[technique])?.reason).toBe(reason);
});

test.each([
  ["from stored parts", "w = Concat(a, b) {axis=0}", ": run `simplify` first, which stores it"],
  ["from a scalar", "w = Expand(one, shape)", ""],
])("noLayers rejects a weight computed %s, with advice if there is any", (_, node, inlineCommand) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 128]) -> (y) {
  a: float32[64, 16] = zeros
  b: float32[64, 16] = zeros
  one: float32[] = 1
  shape: int64[2] = [128, 16]
  ${node}
  y = MatMul(x, w)
}`);
  const inference = infer(model);
  expect(unsupportedWeights(model, inference, layers(model, inference)).map((miss) => miss.reason)).toEqual([
    `its weight is computed from constants${inlineCommand}`,
  ]);
});

test("unsupportedWeights names the node with quantized layers in its subgraph", () => {
  const model = parseModel(`opset 17
graph (x: int8[n, 4], c: bool[]) -> (y) {
  w: int8[4, 4] = zeros
  step: float32[] = 0.5
  zero: int8[] = 0
  y = If "branch" (c) {then_branch=graph then () -> (a) {
    a = QLinearMatMul(x, step, zero, w, step, zero, step, zero)
  }, else_branch=graph else () -> (b) {
    b = Identity(x)
  }}
}`);
  const inference = infer(model);
  expect(unsupportedWeights(model, inference, layers(model, inference)).map(({ at, reason }) => [at, reason])).toEqual([
    ['If "branch"', expect.stringContaining("layers inside subgraphs are not changed")],
  ]);
});

test.each([
  [
    "a table and integer layers",
    "e = Gather(t, i)\n  q, s, z = DynamicQuantizeLinear(e)\n  y = MatMulInteger(q, w, z)",
    false,
  ],
  ["a table and a float layer", "e = Gather(t, i)\n  y = MatMul(e, f)", true],
] as const)("hasFloatWeights: %s", (_, nodes, expected) => {
  const model = parseModel(`opset 17
graph (i: int64[n]) -> (y) {
  t: float32[8, 4] = zeros
  w: int8[4, 4] = zeros
  f: float32[4, 4] = zeros
  ${nodes}
}`);
  expect(hasFloatWeights(model, infer(model))).toBe(expected);
});

test.each(["factorize", "solve", "fuse"] as const)(
  "requireWeight rejects a weight that is an output of the model: %s",
  (technique) => {
    const model = parseModel(`opset 17\ngraph (x: float32[n, 4]) -> (y, w) {\n  ${stored}\n  ${product}\n}`);
    const [layer] = layers(model, infer(model));
    if (layer === undefined) throw new Error("no layer");
    expect(checkWeight(layer, weightNeeds[technique])?.reason).toBe("its weight is also an output of the model");
    expect(checkWeight(layer, weightNeeds.prune)).toBeUndefined();
  },
);

/** Builds a layer of one node. */
function layerOf(dims: readonly number[], inputs: string, node: string) {
  const model = parseModel(
    `opset 17\ngraph (${inputs}) -> (y) {\n  w: float32[${dims.join(", ")}] = zeros\n  y = ${node}\n}`,
  );
  const [layer] = layers(model, infer(model));
  if (layer === undefined) throw new Error("no layer");
  return layer;
}

test.each([
  ["Gemm with a transposed weight", [2, 3], "x: float32[n, 3]", "Gemm(x, w) {transB=1}", [[0, 1, 2, 3, 4, 5]]],
  ["MatMul", [3, 2], "x: float32[n, 3]", "MatMul(x, w)", [[0, 2, 4, 1, 3, 5]]],
  ["a convolution", [2, 2, 2], "x: float32[n, 2, 8]", "Conv(x, w)", [[0, 1, 2, 3, 4, 5, 6, 7]]],
  [
    "a grouped convolution",
    [4, 1, 2],
    "x: float32[n, 2, 8]",
    "Conv(x, w) {group=2}",
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  ],
  // The axes are (inputs, outputs, kernel positions): output 0 has the values 0, 1 and 4, 5.
  ["a transposed convolution", [2, 2, 2], "x: float32[n, 2, 8]", "ConvTranspose(x, w)", [[0, 1, 4, 5, 2, 3, 6, 7]]],
  [
    "a grouped transposed convolution",
    [4, 1, 2],
    "x: float32[n, 4, 8]",
    "ConvTranspose(x, w) {group=2}",
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  ],
  // The axes are (inputs, heads, head size).
  [
    "an Einsum to heads",
    [2, 2, 3],
    "x: float32[n, 5, 2]",
    'Einsum(x, w) {equation="bsd,dhk->bshk"}',
    [[0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]],
  ],
  // The axes are (inputs, head size, heads): outputs follow the order of the result.
  [
    "an Einsum to heads with swapped weight axes",
    [2, 3, 2],
    "x: float32[n, 5, 2]",
    'Einsum(x, w) {equation="bsd,dkh->bshk"}',
    [[0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]],
  ],
  [
    "an Einsum to heads that are not adjacent in the result",
    [2, 2, 3],
    "x: float32[n, 5, 2]",
    'Einsum(x, w) {equation="bsd,dhk->bhsk"}',
    [
      [0, 6, 3, 9],
      [1, 7, 4, 10],
      [2, 8, 5, 11],
    ],
  ],
  // The axes are (heads, head size, outputs): a head is an input, and its values are kernel positions.
  [
    "an Einsum from heads",
    [2, 3, 2],
    "x: float32[n, 5, 2, 3]",
    'Einsum(x, w) {equation="bshk,hkd->bsd"}',
    [[0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]],
  ],
  [
    "an Einsum of a matrix",
    [2, 3],
    "x: float32[n, 5, 2]",
    'Einsum(x, w) {equation="bsd,df->bsf"}',
    [[0, 3, 1, 4, 2, 5]],
  ],
  [
    "an Einsum with the weight first",
    [2, 3],
    "x: float32[n, 5, 2]",
    'Einsum(w, x) {equation="df,bsd->bsf"}',
    [[0, 3, 1, 4, 2, 5]],
  ],
  [
    "an Einsum of experts",
    [2, 2, 3],
    "x: float32[2, c, 2]",
    'Einsum(x, w) {equation="ecd,edf->ecf"}',
    [
      [0, 3, 1, 4, 2, 5],
      [6, 9, 7, 10, 8, 11],
    ],
  ],
] as const)("weightMatrices and weightNumbers convert the weight of %s and back", (_, dims, inputs, node, expected) => {
  const { role } = layerOf(dims, inputs, node);
  const numbers = Float64Array.from({ length: elementCount([...dims]) }, (_, at) => at);
  const matrices = weightMatrices(role, dims, numbers);
  expect(matrices.map(({ data }) => [...data])).toEqual(expected);
  const { outputs, inputs: inputCount, taps } = weightShape(role, dims);
  expect(matrices.every(({ rows, columns }) => rows === outputs && columns === inputCount * taps)).toBe(true);
  expect(weightElements(role, dims, matrices)).toEqual(numbers);
});

test.each([
  ["bsd,d->bs", "it keeps no axis of its weight"],
  ["bsd,f->bsdf", "it sums over no axis of its weight"],
  ["bsd,dd->bsd", "takes a diagonal"],
  ["bsd,...d->bs", "the stored operand has axes without names"],
] as const)("layerAt rejects an Einsum %s", (equation, reason) => {
  const [, names = ""] = equation.split(/,|->/);
  const dims = new Array<number>(names.replace("...", "e").length).fill(2);
  const model = parseModel(`opset 17
graph (x: float32[n, 5, 2]) -> (y) {
  w: float32[${dims.join(", ")}] = zeros
  y = Einsum(x, w) {equation="${equation}"}
}`);
  const inference = infer(model);
  const [node] = model.graph.nodes();
  const layer = node === undefined ? undefined : layerAt(node, inference);
  expect(layer).toMatchObject({ reason });
});
