import { describe, expect, it } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { infer } from "../../core/analysis/infer.ts";
import { type Layer, layers } from "../../core/analysis/layers.ts";
import { weightElements } from "../../core/analysis/weight-matrix.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { type Matrix, matrix, multiplyInJs } from "../../core/math/matrix.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { float32, inMemory } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import { problemOf, replaceByChain, storeParts } from "./chain.ts";
import type { Part, Problem, Step } from "./decomposition.ts";
import { decompositions, type Method, methods } from "./decompositions.ts";

const engine = createEngine();
const tools = { multiply: multiplyInJs, seed: 1 };

/** Multiplies the factors to one weight: outputs × (inputs · taps) for each group. */
function composed(parts: readonly Part[], kernel: readonly number[]): readonly Matrix[] {
  const taps = elementCount(kernel);
  /** Returns the positions of the full kernel that a factor's kernel covers: those at index 0 on the axes that it lacks. */
  const places = (window: readonly number[]): readonly number[] =>
    Array.from({ length: taps }, (_, tap) => tap).filter((tap) => {
      let rest = tap;
      return kernel.toReversed().every((size, indexFromEnd) => {
        const index = rest % size;
        rest = Math.floor(rest / size);
        return window.includes(kernel.length - 1 - indexFromEnd) || index === 0;
      });
    });
  const [first, ...rest] = parts.map(({ matrices, window }) => ({ matrices, at: places(window) }));
  if (first === undefined) throw new Error("no parts");
  return rest.reduce(
    (before, after) => ({
      matrices: before.matrices.map((a, group) => {
        const b = after.matrices[group] as Matrix;
        const inputs = a.columns / before.at.length;
        const product = matrix(b.rows, inputs * before.at.length * after.at.length);
        const at = before.at.flatMap((one) => after.at.map((other) => one + other)).sort((x, y) => x - y);
        for (let o = 0; o < b.rows; o++)
          for (let r = 0; r < a.rows; r++)
            for (let i = 0; i < inputs; i++)
              for (const [s, from] of before.at.entries())
                for (const [t, to] of after.at.entries()) {
                  const position = o * product.columns + i * at.length + at.indexOf(from + to);
                  const value =
                    (b.data[o * b.columns + r * after.at.length + t] ?? 0) *
                    (a.data[r * a.columns + i * before.at.length + s] ?? 0);
                  product.data[position] = (product.data[position] ?? 0) + value;
                }
        return product;
      }),
      at: before.at.flatMap((one) => after.at.map((other) => one + other)).sort((x, y) => x - y),
    }),
    first,
  ).matrices;
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const norm = Math.hypot(...Array.from(b));
  return Math.hypot(...Array.from(a, (value, index) => value - (b[index] ?? 0))) / norm;
};

interface Case {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly attributes?: string;
}

const convolutions: Readonly<Record<string, Case>> = {
  "1-D": { x: [2, 6, 11], w: [8, 6, 3], attributes: "pads=[1, 1]" },
  "1-D, dilated, of stride 2": { x: [2, 6, 14], w: [8, 6, 3], attributes: "dilations=[2], strides=[2], pads=[0, 3]" },
  "3 × 3": { x: [2, 6, 7, 9], w: [8, 6, 3, 3], attributes: "pads=[1, 1, 1, 1]" },
  "without padding": { x: [1, 6, 7, 9], w: [8, 6, 3, 3] },
  "of two strides, padded on one side": {
    x: [1, 6, 8, 9],
    w: [8, 6, 3, 2],
    attributes: "strides=[2, 3], pads=[0, 1, 2, 1]",
  },
  "dilated along one axis": { x: [1, 6, 9, 9], w: [8, 6, 3, 3], attributes: "dilations=[1, 2], pads=[1, 2, 1, 2]" },
  "padded by SAME_UPPER": { x: [1, 6, 8, 9], w: [8, 6, 3, 2], attributes: 'strides=[2, 2], auto_pad="SAME_UPPER"' },
  "padded by SAME_LOWER": { x: [1, 6, 8, 9], w: [8, 6, 4, 3], attributes: 'strides=[1, 2], auto_pad="SAME_LOWER"' },
  "not padded, by VALID": { x: [1, 6, 8, 9], w: [8, 6, 3, 3], attributes: 'auto_pad="VALID"' },
  "in 2 groups": { x: [2, 8, 7, 7], w: [12, 4, 3, 3], attributes: "group=2, strides=[2, 2], pads=[1, 1, 1, 1]" },
  "1 × 1 of stride 2": { x: [2, 6, 8, 8], w: [8, 6, 1, 1], attributes: "strides=[2, 2]" },
  "5 × 1": { x: [1, 6, 9, 4], w: [8, 6, 5, 1], attributes: "pads=[2, 0, 2, 0]" },
  "3-D": { x: [1, 4, 5, 6, 5], w: [6, 4, 3, 2, 3], attributes: "strides=[1, 2, 1], pads=[1, 0, 1, 1, 0, 1]" },
};

function convolution({ x, w, attributes = "" }: Case): Model {
  return parseModel(`opset 17
graph (x: float32[${x.join(", ")}]) -> (y) {
  c.weight: float32[${w.join(", ")}] = random(seed 1)
  c.bias: float32[${w[0]}] = random(seed 2)
  y = Conv "c" (x, c.weight, c.bias) {${attributes}}
}`);
}

function onlyLayer(model: Model): Layer {
  const [layer] = layers(model, infer(model));
  if (layer?.weight.tensor === undefined) throw new Error("no layer with a stored weight");
  return layer;
}

async function answer(model: Model, dims: readonly number[]): Promise<Float64Array> {
  const numbers = random(3, "inputs");
  const x = float32(
    dims,
    Float32Array.from({ length: elementCount(dims) }, () => numbers.normal()),
  );
  const session = await engine.load(model);
  const [y] = Object.values(await session.run({ x }));
  await session.release();
  if (y === undefined) throw new Error("no output");
  return toFloat64(y);
}

async function problemIn(model: Model): Promise<{ readonly layer: Layer; readonly problem: Problem }> {
  const layer = onlyLayer(model);
  return {
    layer,
    problem: problemOf(layer, await (layer.weight.tensor as NonNullable<typeof layer.weight.tensor>).read(), tools),
  };
}

const possible = Object.entries(convolutions).flatMap(([name, convolution]) =>
  methods.map((method) => [method, name, convolution] as const),
);

describe.each(possible)("%s of a convolution %s", (method, _, convolutionCase) => {
  it("equals the convolution at full rank, and the product of factors at lower rank", async () => {
    const { problem } = await problemIn(convolution(convolutionCase));
    const decomposition = decompositions[method];
    const refused = decomposition.refuses(problem);
    if (refused !== undefined) {
      expect(method === "spatial" || elementCount(problem.kernel) === 1, refused.reason).toBe(true);
      return;
    }
    const expected = await answer(convolution(convolutionCase), convolutionCase.x);
    const steps = await decomposition.spectrum(problem);
    const last = steps.at(-1) as Step;
    for (const step of [last, steps[Math.floor(steps.length / 3)] ?? last]) {
      const { parts, relativeError } = await decomposition.factors(problem, step);
      const together = composed(parts, problem.kernel);
      const errors = together.map((product, group) => difference(product.data, problem.matrices[group]?.data ?? []));
      if (step === last) expect(Math.max(...errors)).toBeLessThan(1e-10);
      else expect(relativeError ** 2).toBeLessThan((step.lost ?? 0) + 1e-9);
      const chained = convolution(convolutionCase);
      const layer = onlyLayer(chained);
      replaceByChain(chained, layer, storeParts(chained, layer, convolutionCase.w, parts));
      expect(verify(chained)).toEqual([]);
      const truncated = convolution(convolutionCase);
      const { role, weight } = onlyLayer(truncated);
      weight.tensor = inMemory(
        float32(convolutionCase.w, Float32Array.from(weightElements(role, convolutionCase.w, together))),
      );
      const got = await answer(chained, convolutionCase.x);
      expect(difference(got, await answer(truncated, convolutionCase.x))).toBeLessThan(1e-5);
      if (step === last) expect(difference(got, expected)).toBeLessThan(1e-5);
    }
  });
});

it.each([
  ["MatMul", "y = MatMul(x, w)"],
  ["Gemm", "y = Gemm(x, w) {transB=1, alpha=0.5}"],
])("reproduces a float64 %s to 1e-10 at full rank", async (_, line) => {
  const make = () =>
    parseModel(`opset 17\ngraph (x: float64[3, 12]) -> (y) {\n  w: float64[12, 12] = random(seed 1)\n  ${line}\n}`);
  const run = async (model: Model): Promise<Float64Array> => {
    const session = await engine.load(model);
    const { y } = await session.run({
      x: { type: "float64", dims: [3, 12], data: Float64Array.from({ length: 36 }, (_, index) => Math.sin(index)) },
    });
    await session.release();
    return y?.data as Float64Array;
  };
  const model = make();
  const { layer, problem } = await problemIn(model);
  const { parts } = await decompositions.svd.factors(problem, decompositions.svd.stepOfRank(problem, 12));
  replaceByChain(model, layer, storeParts(model, layer, [12, 12], parts));
  expect(difference(await run(model), await run(make()))).toBeLessThan(1e-10);
});

interface Golden {
  readonly conv_svd: readonly {
    readonly weight: GoldenTensor;
    readonly forms: readonly { readonly form: string; readonly relative_error_by_rank_from_1: readonly number[] }[];
  }[];
  readonly spatial_macs: readonly {
    readonly in: number;
    readonly out: number;
    readonly kernel: number;
    readonly stride: number;
    readonly rank: number;
    readonly out_h: number;
    readonly out_w: number;
    readonly macs: number;
    readonly dense_macs: number;
  }[];
}
const oracle = golden<Golden>("lowrank");

describe.skipIf(oracle === undefined)("decompositions equal golden values", () => {
  const forms: Readonly<Record<string, Method>> = {
    "channel, k x k then 1 x 1": "svd",
    "channel, 1 x 1 then k x k": "input-channels",
    "spatial, kh x 1 then 1 x kw": "spatial",
  };
  const problemWith = ({ shape: [out = 0, , ...kernel], data }: GoldenTensor): Problem => ({
    ...tools,
    matrices: [matrix(out, data.length / out, goldenNumbers({ shape: [], data, dtype: "float64" } as GoldenTensor))],
    kernel,
    reduction: kernel.map(() => 1),
    lookup: false,
  });

  it("in the error of each rank", async () => {
    for (const { weight, forms: expectedForms } of oracle?.conv_svd ?? []) {
      for (const { form, relative_error_by_rank_from_1: errors } of expectedForms) {
        const [decomposition, problem] = [decompositions[forms[form] as Method], problemWith(weight)];
        // The spatial decomposition rejects a kernel with one axis, for which it would equal the channel decomposition.
        if (decomposition.refuses(problem) !== undefined) continue;
        for (const [index, error] of errors.entries()) {
          const { relativeError } = await decomposition.factors(problem, decomposition.stepOfRank(problem, index + 1));
          expect(Math.abs(relativeError - error), `${form}, rank ${index + 1}`).toBeLessThan(error === 0 ? 1e-7 : 1e-9);
        }
      }
    }
  });

  it("in the multiply-accumulates of a spatial decomposition", async () => {
    for (const example of oracle?.spatial_macs ?? []) {
      const model = convolution({
        x: [1, example.in, example.out_h * example.stride, example.out_w * example.stride],
        w: [example.out, example.in, example.kernel, example.kernel],
        attributes: `strides=[${example.stride}, ${example.stride}], auto_pad="SAME_UPPER"`,
      });
      const { problem } = await problemIn(model);
      expect(decompositions.spatial.stepOfRank(problem, example.rank).macs * example.out_h * example.out_w).toBe(
        example.macs,
      );
    }
  });
});
