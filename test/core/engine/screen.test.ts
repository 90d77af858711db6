/** Tests that models that would crash the runtime, or give unclear errors or wrong values, are rejected clearly or corrected. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { randomInputs } from "../../../src/runtime/run/random-inputs.ts";

const engine = createEngine();
const x = float32([4], [1, 2, -3, 4]);

const toInt4 = (type: string): string => `opset 21
graph (x: float32[4]) -> (y${type}, z: float32[4]) {
  scale: float32[] = 1
  zero: int4[] = 0
  y = QuantizeLinear(x, scale, zero)
  z = Neg(x)
}
`;

describe("an unsupported output type", () => {
  test.each([
    ["declared as int4", toInt4(": int4[4]"), '"y" is int4'],
    ["int4 as inferred from the graph", toInt4(""), '"y" is int4'],
    [
      "bfloat16",
      "opset 21\ngraph (x: float32[4]) -> (y: bfloat16[4]) {\n  y = Cast(x) {to=16}\n}\n",
      '"y" is bfloat16',
    ],
    [
      "bfloat16 as inferred from the graph",
      "opset 21\ngraph (x: float32[4]) -> (y) {\n  y = Cast(x) {to=16}\n}\n",
      "An input or output is bfloat16",
    ],
    [
      "float8",
      "opset 21\ngraph (x: float32[4]) -> (y: float8e5m2[4]) {\n  y = Cast(x) {to=19}\n}\n",
      '"y" is float8e5m2',
    ],
    [
      "int4 from an If",
      `opset 21
graph (x: float32[4], flag: bool[]) -> (y: int4[4]) {
  scale: float32[] = 1
  zero: int4[] = 0
  y = If(flag) {then_branch=graph () -> (a: int4[4]) { a = QuantizeLinear(x, scale, zero) }, else_branch=graph () -> (b: int4[4]) { b = QuantizeLinear(x, scale, zero) }}
}
`,
      '"y" is int4',
    ],
  ])("is rejected with name and type: %s", async (_, text, message) => {
    await expect(engine.load(parseModel(text))).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining(message),
      hint: expect.stringContaining("Cast"),
    });
  });
});

test("rejects an input type that JavaScript does not support", async () => {
  const model = parseModel(
    "opset 21\ngraph (x: int4[4]) -> (y: float32[4]) {\n  scale: float32[] = 1\n  y = DequantizeLinear(x, scale)\n}\n",
  );
  await expect(engine.load(model)).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
});

test("accepts 4-bit weights and intermediate values", async () => {
  const session = await engine.load(
    parseModel(`opset 21
graph (x: float32[4]) -> (y: float32[4]) {
  scale: float32[] = 1
  zero: int4[] = 0
  q = QuantizeLinear(x, scale, zero)
  y = DequantizeLinear(q, scale, zero)
}
`),
  );
  const { y } = await session.run({ x });
  await session.release();
  expect(y).toMatchObject({ data: Float32Array.of(1, 2, -3, 4) });
});

test("rejects a sequence only if it is a requested output", async () => {
  const session = await engine.load(
    parseModel(
      "opset 21\ngraph (x: float32[4]) -> (pair, y: float32[4]) {\n  pair = SequenceConstruct(x, x)\n  y = Neg(x)\n}\n",
    ),
  );
  await expect(session.run({ x }, ["pair"])).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: expect.stringContaining('Output "pair" is a sequence or a map'),
    hint: expect.stringContaining("Fetch the outputs that are tensors"),
  });
  for (const outputs of [undefined, ["y"]])
    expect(await session.run({ x }, outputs)).toMatchObject({ y: { data: Float32Array.of(-1, -2, 3, -4) } });
  await session.release();
});

test("runs nodes with equal names and unnamed subgraphs, without changing the model", async () => {
  const model = parseModel(`opset 21
graph (x: float32[4], flag: bool[]) -> (y: float32[4]) {
  a = Relu "same" (x)
  b = Neg "same" (a)
  y = If "same" (flag) {then_branch=graph () -> (c) { c = Abs "same" (b) }, else_branch=graph () -> (d) { d = Neg(b) }}
}
`);
  const session = await engine.load(model);
  const { y } = await session.run({ x, flag: { type: "bool", dims: [], data: Uint8Array.of(1) } });
  await session.release();
  expect(y).toMatchObject({ data: Float32Array.of(1, 2, 0, 4) });
  expect([...model.graph.nodes()].map(({ name }) => name)).toEqual(["same", "same", "same"]);
});

describe("values that exceed the memory of any machine", () => {
  const doubled = (from: string): string => {
    const steps = Array.from({ length: 50 }, (_, at) => `  c${at + 1} = Concat(c${at}, c${at}) {axis=0}`);
    return `opset 21
graph (x: float32[batch]) -> (y: float32[]) {
  ${from}
${steps.join("\n")}
  s = ReduceSum(c50) {keepdims=0}
  y = Add(s, s)
}`;
  };

  test("a constant that doubles with every node is rejected before the runtime computes it", async () => {
    const model = parseModel(doubled("c0: float32[1] = 1"));
    infer(model);
    await expect(engine.load(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/"c\d+" is float32\[\d+\], .* GB, and this machine has .* GB of memory/),
    });
  });

  test("a value from an input is rejected as soon as its size is known", () => {
    const model = parseModel(doubled("c0 = Neg(x)"));
    const inputs = randomInputs(model);
    expect(() => inputs.draw(new Map([["x", [1]]]), random(0, "test"))).toThrow(/of memory/);
  });

  test("random inputs are limited to a gigabyte", () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[536870912]) -> (y: float32[]) {\n  y = ReduceSum(x) {keepdims=0}\n}",
    );
    const inputs = randomInputs(model);
    expect(() =>
      inputs.draw(
        inputs.shapes(() => 1),
        random(0, "test"),
      ),
    ).toThrow('Input "x" is float32[536870912]: random numbers are drawn for at most 268,435,456 elements.');
  });
});
