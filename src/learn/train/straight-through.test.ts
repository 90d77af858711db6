import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { differentiate } from "./differentiate.ts";

const engine = createEngine();
const numbers = [-3, -1, -0.6, 0, 0.4, 1, 1.5, 7];

/** Returns the gradients of Σ factor · y with respect to w and v. @param body computes y from w and v. */
async function gradients(body: string): Promise<Readonly<Record<string, readonly number[]>>> {
  const model = parseModel(`opset 18
graph (factor: float32[8]) -> (loss) {
  w: float32[8] parameter = [${numbers.join(", ")}]
  v: float32[8] parameter = [2, 2, 2, 2, 2, 2, 2, 2]
  zero: float32[] = 0
  ${body}
  z = Mul(y, factor)
  loss = ReduceSum(z) {keepdims=0}
}`);
  expect(verify(model)).toEqual([]);
  const read = await open(await encodeToBytes(model));
  const { step, gradients } = differentiate(read, { loss: "loss", wrt: ({ role }) => role?.kind === "parameter" });
  const stored: Record<string, Dense> = {};
  for (const name of gradients.keys()) {
    const tensor = model.graph.value(name)?.tensor;
    if (tensor !== undefined) stored[name] = await tensor.read();
  }
  const session = await engine.load(step, { optimize: false });
  const outputs = await session.run({ factor: float32([8], [1, 2, 3, 4, 5, 6, 7, 8]), ...stored });
  await session.release();
  return Object.fromEntries(
    [...gradients].map(([name, output]) => [name, [...((outputs[output]?.data ?? []) as Float32Array)]]),
  );
}

const all = [1, 2, 3, 4, 5, 6, 7, 8];

/** Nodes that compute each surrogate itself, whose gradients the straight-through step must have. */
const surrogates = {
  "": "y = Identity(w)",
  "(low=-1, high=1)": "l: float32[] = -1\n h: float32[] = 1\n y = Clip(w, l, h)",
  "(low=0)": "y = Clip(w, zero)",
  "(high=0.4)": "h: float32[] = 0.4\n y = Clip(w, _, h)",
  "(slope=0.25)": "s: float32[] = 0.25\n y = Mul(w, s)",
  "(low=-1, high=1, slope=-2)":
    "l: float32[] = -1\n h: float32[] = 1\n s: float32[] = -2\n c = Clip(w, l, h)\n y = Mul(c, s)",
};

describe.each(Object.entries(surrogates))(
  "straight-through%s has the gradient of its surrogate",
  (settings, surrogate) => {
    const expected = gradients(surrogate);
    it.each(["Round", "Floor", "Ceil", "Sign"])("passes the gradient through %s", async (operator) => {
      const { w } = await gradients(`y: straight-through${settings} = ${operator}(w)`);
      expect(w).toEqual((await expected).w);
    });

    it.each(["Greater", "GreaterOrEqual"])(
      "passes the gradient through %s and a Where, also to the other operands",
      async (operator) => {
        const actual = await gradients(`n = Neg(v)
  c: straight-through${settings} = ${operator}(w, zero)
  y: straight-through = Where(c, v, n)`);
        expect(actual.w).toEqual((await expected).w);
        const above = (x: number): boolean => x > 0 || (x === 0 && operator === "GreaterOrEqual");
        expect(actual.v).toEqual(numbers.map((x, index) => (above(x) ? 1 : -1) * (index + 1)));
      },
    );

    it("passes the gradient through a comparison and a cast", async () => {
      const { w } = await gradients(`c: straight-through${settings} = Less(w, zero)
  y: straight-through = Cast(c) {to=1}`);
      expect(w).toEqual((await expected).w);
    });
  },
);

it("passes gradients of values inside the range through QuantizeLinear and DequantizeLinear", async () => {
  const { w } = await gradients(`scale: float32[] = 0.01
  q: straight-through(low=-1.28, high=1.27) = QuantizeLinear(w, scale, point)
  point: int8[] = 0
  y: straight-through = DequantizeLinear(q, scale, point)`);
  expect(w).toEqual([0, 2, 3, 4, 5, 6, 0, 0]);
});

it("sums the gradient of a broadcast input", async () => {
  const { w } = await gradients(`row: float32[2, 1] = [[0], [100]]
  c: straight-through = Greater(w, row)
  f: straight-through = Cast(c) {to=1}
  y = ReduceSum(f, axes) {keepdims=0}
  axes: int64[1] = [0]`);
  expect(w).toEqual(all.map((factor) => 2 * factor));
});

it.each([
  [
    "sizes that differ",
    "i: straight-through = ArgMax(w) {axis=0, keepdims=1}\n y: straight-through = Cast(i) {to=1}",
    /ArgMax "i" has no gradient: .*have different shapes: \[8\] and \[1\]/,
  ],
  [
    "bounds of truth values",
    "c: straight-through = Greater(w, zero)\n y: straight-through(low=0) = Where(c, v, v)",
    /Where "y" has no gradient: .*bounds need floats, and "c" is bool/,
  ],
  [
    "a comparison without the role before a choice that has it",
    "c = Greater(w, zero)\n y: straight-through = Where(c, zero, factor)",
    /Greater "c" has no gradient/,
  ],
])("rejects with the reason: %s", async (_, body, message) => {
  await expect(gradients(body)).rejects.toMatchObject({
    code: "E_NOT_DIFFERENTIABLE",
    message: expect.stringMatching(message),
  });
});

it("writes and reads the surrogate in the text format", () => {
  const text = "h: straight-through(low=-1, high=1, slope=0.5) = Sign(x)";
  const model = parseModel(`opset 18\ngraph (x: float32[2]) -> (y) {\n  ${text}\n  y = Neg(h)\n}`);
  expect(printModel(model)).toContain(text);
  expect(() =>
    parseModel("opset 18\ngraph (x: float32[2]) -> (y) {\n  y: straight-through(wide=1) = Sign(x)\n}"),
  ).toThrow(/Line 3, column 22: "wide=1" is not a surrogate gradient/);
});
