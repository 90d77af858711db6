import { describe, expect, test } from "vitest";
import { fileKind } from "#platform";
import { numbersFor, run } from "../../../test/quantize/networks.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import { corners, net } from "../../../test/train/corners.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Model } from "../../core/graph/model.ts";
import { parameter } from "../../core/graph/role.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { memory } from "../../data/batches/indexed.ts";
import { firstBatch } from "../../data/batches/select.ts";
import { createStep, train } from "../../learn/train/index.ts";
import { type QuantizeOptions, quantize } from "./index.ts";
import { lambdaFor } from "./rounders/rdoq.ts";
import { bitsOf, type ratedImitation } from "./trained-values.ts";

const data = corners(960, 1);
const original = net();
await train(original, { data, epochs: 4, batch: 24, learningRate: 0.01 }, { seed: 1 });

/** Returns quantized values, their code length in bits, and the relative squared error of the outputs on other samples. */
async function quantized(options: Partial<QuantizeOptions>) {
  const model = original.clone();
  await quantize(model, { scheme: "weights", rounder: "rdoq", distortion: 0.3, data, ...options } as QuantizeOptions, {
    seed: 1,
  });
  const stored = [...model.graph.values()].flatMap(({ tensor }) =>
    tensor?.type === "int8" && tensor.dims.length === 2 ? [tensor] : [],
  );
  const codes = (await Promise.all(stored.map((tensor) => tensor.read()))).map((dense) => [...toNumbers(dense)]);
  const [asked, answered] = [await outputs(original), await outputs(model)];
  const power = asked.reduce((sum, value) => sum + value ** 2, 0);
  const error = asked.reduce((sum, value, index) => sum + (value - (answered[index] ?? 0)) ** 2, 0) / power;
  return { codes: codes.flat(), bits: codes.reduce((sum, own) => sum + bitsIn(own), 0), error };
}

async function outputs(model: Model): Promise<readonly number[]> {
  const { input } = await firstBatch(corners(300, 2), 300);
  if (input === undefined) throw new Error("There is no input.");
  return [...(await run(model, { input }))];
}

function bitsIn(codes: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - count * Math.log2(count / codes.length), 0);
}

const steps = float32(
  [4, 6],
  numbersFor([4, 6]).data.map((value) => 1.7 * value),
);

/** Returns loss and gradient of a model whose loss is the code length of its parameter. */
async function codeLength(values: Float32Array): Promise<{ readonly loss: number; readonly gradient: Float32Array }> {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 6]) {
  w: float32[4, 6] = [${[...values].join(", ")}]
  y = MatMul(x, w)
}`);
  const loss = {
    name: "bits",
    build: (scope: Parameters<ReturnType<typeof ratedImitation>["build"]>[0]) => ({
      value: bitsOf(scope.emit, scope.value("w")),
      feeds: () => ({}),
    }),
  };
  const batch = { x: float32([1, 4], [1, 1, 1, 1]) };
  const step = await createStep(model, batch, { loss });
  const value = await step.run(batch);
  const [parameter] = step.parameters;
  const gradient = Float32Array.from(parameter?.gradient ?? []);
  await step.release();
  return { loss: value, gradient };
}

describe("the code length as a loss", () => {
  test("has the gradient of finite differences between thresholds of rounding", async () => {
    const { loss, gradient } = await codeLength(steps.data);
    const move = 2 ** -7;
    for (const index of [0, 5, 11, 17, 23]) {
      const movedValues = steps.data.slice();
      movedValues[index] = (movedValues[index] ?? 0) + move;
      const [before, after] = [steps.data[index] ?? 0, movedValues[index] ?? 0];
      expect(Math.round(Math.abs(before))).toBe(Math.round(Math.abs(after)));
      expect(((await codeLength(movedValues)).loss - loss) / move).toBeCloseTo(gradient[index] ?? 0, 2);
    }
  });

  test("equals the code length of a geometric distribution, minus the length for zeros only", async () => {
    const values = Float32Array.of(...new Array(16).fill(0), 1, -1, 1, -1, 2, -2, 1, 3);
    const { loss } = await codeLength(values);
    // Counts of zeros, nonzero values and further steps, each plus half an occurrence.
    const [zeros, nonzero, further] = [16.5, 8.5, 4.5];
    const steps = nonzero + further;
    const entry = 1 + Math.log2(steps / nonzero) + Math.log2(zeros / nonzero);
    expect(loss).toBeCloseTo(8 * entry + 4 * Math.log2(steps / further), 3);
  });
});

describe("quantize with trained values", () => {
  test("lowers the error plus λ times the bits, over several distortions", async () => {
    let ratio = 1;
    for (const distortion of [0.02, 0.1]) {
      const [plain, trained] = [await quantized({ distortion }), await quantized({ distortion, epochs: 20 })];
      const costOf = ({ error, bits }: typeof plain): number =>
        error + lambdaFor(distortion, plain.codes.length) * bits;
      ratio *= costOf(trained) / costOf(plain);
    }
    expect(ratio ** (1 / 2)).toBeLessThan(1);
  });

  test("keeps the initial values if the training does not lower error plus code length", async () => {
    // One optimizer step is larger than `gain`, so the training makes the model worse.
    const text = `opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 6]) {
  w: float32[4, 6] parameter = random(seed 1)
  gain: float32[6] parameter = [1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5]
  m = MatMul(x, w)
  y = Mul(m, gain)
}`;
    const samples = memory("samples", { x: numbersFor([128, 4]) });
    const texts: string[] = [];
    const quantizedBytes = async (options: Partial<QuantizeOptions>) => {
      const model = parseModel(text);
      const settings = { scheme: "weights", rounder: "rdoq", data: samples, ...options } as QuantizeOptions;
      await quantize(model, settings, { seed: 1, log: ({ text }) => texts.push(text) });
      return encodeToBytes(model);
    };
    expect(await quantizedBytes({ epochs: 1 })).toEqual(await quantizedBytes({}));
    expect(texts.join()).toMatch(/error and code length together are .* those of the values before it, which are kept/);
  });

  test("counts the bits of parameters that become nonzero in training", async () => {
    const quantizedBytes = async (epochs: number | undefined) => {
      const model = original.clone();
      const emit = emitInto(model);
      const [output] = model.graph.outputs;
      if (output === undefined) throw new Error("The model has no output.");
      const shifts = emit.constant(float32([256, 3], new Float32Array(768)), "shifts", parameter);
      model.graph.setOutputs([emit.Add([output, emit.ReduceSum([shifts, [0]], { keepdims: 0 })])]);
      const settings = { scheme: "weights", rounder: "rdoq", distortion: 0.05, data, epochs } as const;
      await quantize(model, settings, { seed: 1 });
      return encodeToBytes(model);
    };
    expect(await quantizedBytes(20)).toEqual(await quantizedBytes(undefined));
  });

  describe("for other networks", () => {
    const relativeError = async (text: string, inputs: Batch, options: Partial<QuantizeOptions> = {}) => {
      const [before, model] = [parseModel(text), parseModel(text)];
      const samples = memory("samples", inputs);
      const settings = { scheme: "weights", rounder: "rdoq", distortion: 0.01, epochs: 2, data: samples, ...options };
      await quantize(model, settings as QuantizeOptions, { seed: 1 });
      const [expected, outputs] = [await run(before, inputs), await run(model, inputs)];
      const power = expected.reduce((sum, value) => sum + value ** 2, 0);
      return {
        model,
        error: expected.reduce((sum, value, index) => sum + (value - (outputs[index] ?? 0)) ** 2, 0) / power,
      };
    };
    const x = numbersFor([160, 12]);

    test("does not train tables", async () => {
      const ids = fromNumbers(
        "int64",
        [160, 4],
        Array.from({ length: 640 }, (_, index) => (index * 7) % 40),
      );
      const { error } = await relativeError(
        `opset 17
graph (ids: int64[batch, 4]) -> (y: float32[...]) {
  table: float32[40, 16] parameter = random(seed 1)
  w: float32[16, 5] parameter = random(seed 2)
  e = Gather "embed" (table, ids)
  y = MatMul "fc" (e, w)
}`,
        { ids },
      );
      expect(error).toBeLessThan(0.03);
    });

    test("trains a weight that several layers share", async () => {
      const text = `opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 12]) {
  w: float32[12, 12] parameter = random(seed 1)
  a = MatMul "first" (x, w)
  b = Relu(a)
  c = MatMul "second" (b, w)
  d = Relu(c)
  y = MatMul "third" (d, w)
}`;
      const plain = await relativeError(text, { x }, { distortion: 0.3, epochs: undefined });
      const trained = await relativeError(text, { x }, { distortion: 0.3, epochs: 60 });
      // The error may grow, because the training also lowers the code length.
      expect(trained.error).not.toBe(plain.error);
      expect(trained.error).toBeLessThan(1.2 * plain.error);
    });

    test.each([{ except: "last" }, { overrides: { last: { float: true } } }])(
      "leaves a layer that stays in float as it is: %o",
      async (options) => {
        const text = `opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 5]) {
  first.weight: float32[12, 16] parameter = random(seed 1)
  last.weight: float32[16, 5] parameter = random(seed 2)
  a = MatMul "first" (x, first.weight)
  b = Relu(a)
  y = MatMul "last" (b, last.weight)
}`;
        const { model } = await relativeError(text, { x }, { ...options, distortion: 0.1, epochs: 10 });
        const weight = async (own: Model) => [
          ...toNumbers((await own.graph.value("last.weight")?.tensor?.read()) ?? x),
        ];
        expect(await weight(model)).toEqual(await weight(parseModel(text)));
      },
    );

    test("quantizes layers of a branch without training them", async () => {
      const { error } = await relativeError(
        `opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 5]) {
  w: float32[12, 5] parameter = random(seed 1)
  size = Abs(x)
  r = ReduceMax(size) {keepdims=0}
  n = Neg(r)
  c = Greater(r, n)
  y = If(c) {then_branch=graph () -> (t) { t = MatMul "inside" (x, w) }, else_branch=graph () -> (e) { e = MatMul "other" (x, w) }}
}`,
        { x },
      );
      expect(error).toBeLessThan(0.05);
    });
  });

  test("gives the same bits for the same seed", async () => {
    const [first, second] = [await quantized({ epochs: 2 }), await quantized({ epochs: 2 })];
    expect(first).toEqual(second);
  });

  test.each(["weights", "dynamic", "static"] as const)(
    "stores values in the range of the scheme %s",
    async (scheme) => {
      const { codes } = await quantized({ scheme, epochs: 2, distortion: 1e-5 });
      expect(codes.length).toBe(48);
      expect(Math.max(...codes.map(Math.abs))).toBeLessThanOrEqual(scheme === "weights" ? 127 : 64);
    },
  );

  test.each([true, false])("has a similar error in uint8 and int8 with perChannel: %s", async (perChannel) => {
    const errorIn = async (weights: "int8" | "uint8") =>
      (await quantized({ weights, perChannel, epochs: 1, distortion: 1e-6 })).error;
    expect(await errorIn("uint8")).toBeLessThan(2 * (await errorIn("int8")));
  });

  test("rejects other rounding methods, and a call without data", async () => {
    await expect(quantized({ epochs: 1, rounder: "mse" })).rejects.toThrow(
      '"epochs": belongs to the rounding method "rdoq", got "mse"',
    );
    await expect(quantized({ augment: "flip" })).rejects.toThrow('"augment": belongs to a training');
    await expect(quantized({ checkpoint: "run" })).rejects.toThrow('"checkpoint": belongs to a training');
    await expect(quantized({ epochs: 1, resume: true })).rejects.toThrow('"resume": expected `checkpoint`');
    await expect(quantized({ epochs: 1, data: undefined })).rejects.toThrow("`epochs`: values are trained on samples");
  });
});

test("resumes a stopped training of quantized values to the same bits", async () => {
  const trained = async (checkpoint: string, resume: boolean, context = {}) => {
    const model = original.clone();
    const settings = { scheme: "weights", rounder: "rdoq", distortion: 0.3, data, epochs: 2 } as const;
    await quantize(model, { ...settings, checkpoint, resume }, { seed: 1, ...context });
    return encodeToBytes(model);
  };
  const uninterrupted = await trained(temporaryFolder(), false);
  const checkpoint = temporaryFolder();
  // A tenth of the samples is held out for validation.
  const steps = (2 * 864) / 32;
  const controller = new AbortController();
  const progress = (done: number, total?: number) => done >= 45 && total === steps && controller.abort();
  const stopped = trained(checkpoint, false, { signal: controller.signal, progress });
  await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  expect(await fileKind(`${checkpoint}/distortion-0.3/last.onnx`)).toBe("file");
  const done: number[] = [];
  const recordSteps = (count: number, total?: number) => total === steps && done.push(count);
  expect(await trained(checkpoint, true, { progress: recordSteps })).toEqual(uninterrupted);
  expect(Math.min(...done)).toBeGreaterThanOrEqual(45);
});
