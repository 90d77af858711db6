/**
 * Law: if an operator definition states that a node returns an input unchanged, ONNX Runtime returns that input, for all examples, with numbers and
 * with named dimensions. Also checks a few operators that do and do not.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { Miss } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { examplesFor, feedsOf, fixedModel, lastNode, run, symbolicModel } from "../../laws/harness.ts";

function unchangedInput(model: ReturnType<typeof parseModel>): number | undefined {
  const bound = infer(model).at(lastNode(model));
  return bound instanceof Miss ? undefined : bound.unchanged();
}

const claims = examplesFor("types").flatMap(([title, example]) =>
  [fixedModel(example), symbolicModel(example)].flatMap((model, index) => {
    const input = unchangedInput(model);
    return input === undefined ? [] : [[`${title}${index === 0 ? "" : ", by name"}`, example, input] as const];
  }),
);

describe("nodes with a declared unchanged input return it at run time", () => {
  test.each(claims)("%s", async (_, example, input) => {
    const model = fixedModel(example);
    const node = lastNode(model);
    const [value, output] = [node.inputs[input], node.outputs[0]];
    if (value === undefined || output === undefined) throw new Error("an input that is not there");
    const feeds = feedsOf(model, example);
    const { [output.name]: got } = await run(model, feeds);
    const { graph } = model;
    const inputValue = feeds[value.name] ?? (await value.tensor?.read());
    // An input that another node computes becomes an additional output.
    if (inputValue === undefined) graph.addOutput(value);
    const expected = inputValue ?? (await run(model, feeds))[value.name];
    expect(got).toEqual(expected);
  });

  test("the examples contain such declarations", () => {
    expect(claims.length).toBeGreaterThan(10);
  });
});

describe("nodes that return an input unchanged", () => {
  test.each([
    ["Identity", "(x: float32[n, 3]) -> (y) { y = Identity(x) }", 0],
    ["Cast to the same type", "(x: float32[n, 3]) -> (y) { y = Cast(x) {to=1} }", 0],
    ["Cast to another type", "(x: float32[n, 3]) -> (y) { y = Cast(x) {to=11} }", undefined],
    ["Reshape to the same shape", "(x: float32[n, 3]) -> (y) { s: int64[2] = [0, -1]\n y = Reshape(x, s) }", 0],
    ["Reshape to another shape", "(x: float32[n, 3]) -> (y) { s: int64[2] = [3, -1]\n y = Reshape(x, s) }", undefined],
    ["Flatten of a matrix", "(x: float32[n, 3]) -> (y) { y = Flatten(x) }", 0],
    ["Flatten of a cube", "(x: float32[n, 3, 2]) -> (y) { y = Flatten(x) }", undefined],
    ["Transpose of axes of size one", "(x: float32[1, n, 1, 4]) -> (y) { y = Transpose(x) {perm=[2, 1, 0, 3]} }", 0],
    ["Transpose of equal axes", "(x: float32[n, n]) -> (y) { y = Transpose(x) {perm=[1, 0]} }", undefined],
    ["Expand to the same shape", "(x: float32[n, 3]) -> (y) { s: int64[1] = [3]\n y = Expand(x, s) }", 0],
    ["Expand of size one", "(x: float32[n, 1]) -> (y) { s: int64[1] = [3]\n y = Expand(x, s) }", undefined],
    [
      "Where with a condition that is always true",
      "(x: float32[n, 3]) -> (y) { c: bool[1] = [true]\n z: float32[] = 0\n y = Where(c, x, z) }",
      1,
    ],
    [
      "Where with a condition that is always false",
      "(x: float32[n, 3]) -> (y) { c: bool[3] = [false, false, false]\n z: float32[] = 0\n y = Where(c, z, x) }",
      2,
    ],
    [
      "Where with a mixed condition",
      "(x: float32[n, 3]) -> (y) { c: bool[3] = [true, false, true]\n z: float32[] = 0\n y = Where(c, x, z) }",
      undefined,
    ],
    [
      "Where that broadcasts the selected operand",
      "(x: float32[n, 1]) -> (y) { c: bool[3] = [true, true, true]\n z: float32[] = 0\n y = Where(c, x, z) }",
      undefined,
    ],
    ["a sum with zero", "(x: float32[n, 3]) -> (y) { c: float32[] = 0\n y = Add(c, x) }", 1],
    [
      "a sum with zeros of a higher rank",
      "(x: float32[3]) -> (y) { c: float32[1, 1] = [0]\n y = Add(c, x) }",
      undefined,
    ],
    ["zero minus an input", "(x: float32[3]) -> (y) { c: float32[] = 0\n y = Sub(c, x) }", undefined],
    ["an input minus zero", "(x: float32[3]) -> (y) { c: float32[] = 0\n y = Sub(x, c) }", 0],
    ["a product with ones on one axis", "(x: float32[n, 2]) -> (y) { c: float32[2] = [1, 1]\n y = Mul(x, c) }", 0],
    ["a product with nearly ones", "(x: float32[n, 2]) -> (y) { c: float32[2] = [1, 1.5]\n y = Mul(x, c) }", undefined],
    ["a quotient by one", "(x: float32[n]) -> (y) { c: float32[] = 1\n y = Div(x, c) }", 0],
    ["one divided by an input", "(x: float32[n]) -> (y) { c: float32[] = 1\n y = Div(c, x) }", undefined],
    ["the first power", "(x: float32[n]) -> (y) { c: int64[] = 1\n y = Pow(x, c) }", 0],
    [
      "Slice of all elements",
      "(x: float32[n, 3]) -> (y) { a: int64[1] = [0]\n b: int64[1] = [9223372036854775807]\n y = Slice(x, a, b) }",
      0,
    ],
    [
      "Slice of all elements except the last",
      "(x: float32[n, 3]) -> (y) { a: int64[1] = [0]\n b: int64[1] = [-1]\n y = Slice(x, a, b) }",
      undefined,
    ],
    ["Pad by zero", "(x: float32[n]) -> (y) { p: int64[2] = [0, 0]\n y = Pad(x, p) }", 0],
    ["Pad that crops and pads", "(x: float32[n]) -> (y) { p: int64[2] = [1, -1]\n y = Pad(x, p) }", undefined],
    ["Concat of one input", "(x: float32[n]) -> (y) { y = Concat(x) {axis=0} }", 0],
    ["Clip of integers without bounds", "(x: int32[n]) -> (y) { y = Clip(x) }", 0],
    ["Clip without bounds, which makes infinities finite", "(x: float32[n]) -> (y) { y = Clip(x) }", undefined],
    ["Clip with one bound", "(x: float32[n]) -> (y) { low: float32[] = 0\n y = Clip(x, low) }", undefined],
    ["a mean over axes of size one", "(x: float32[n, 1]) -> (y) { a: int64[1] = [1]\n y = ReduceMean(x, a) }", 0],
    [
      "a mean that drops its axis",
      "(x: float32[n, 1]) -> (y) { a: int64[1] = [1]\n y = ReduceMean(x, a) {keepdims=0} }",
      undefined,
    ],
    ["a window of size one", "(x: float32[n, 3, 5, 5]) -> (y) { y = MaxPool(x) {kernel_shape=[1, 1]} }", 0],
    [
      "a window of size one with a stride",
      "(x: float32[n, 3, 5, 5]) -> (y) { y = MaxPool(x) {kernel_shape=[1, 1], strides=[2, 2]} }",
      undefined,
    ],
  ] as const)("are found by the operator definition, unlike others: %s", (_, text, input) => {
    expect(unchangedInput(parseModel(`opset 21\ngraph ${text.replaceAll("{ ", "{\n ").replace(/ }$/, "\n}")}`))).toBe(
      input,
    );
  });
});
