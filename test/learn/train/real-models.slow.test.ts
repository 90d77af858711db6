/** The gradient of all parameters of published networks along a direction equals central differences. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount, fixedDims } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { createStep, type Loss, type Step } from "../../../src/learn/train/index.ts";
import { randomInputs } from "../../../src/runtime/run/random-inputs.ts";
import { guesses, lengthsOf } from "../../../src/runtime/run/size-guesses.ts";
import { shared } from "../../shared.ts";

/** Number of samples, and length of other free dimensions, such as texts or image sides. */
interface Case {
  readonly file: string;
  readonly batch?: number;
  readonly length?: number;
  /** Maximum relative error (default: 1e-2). */
  readonly tolerance?: number;
}

const cases: readonly Case[] = [
  { file: "resnet20.onnx", batch: 4 },
  { file: "resnet56.onnx", batch: 2 },
  { file: "resnet8_cifar10.onnx", batch: 4 },
  { file: "vnncomp_resnet_2b.onnx" },
  { file: "vnncomp_cifar_base_kw.onnx" },
  { file: "vnncomp_cifar10_small.onnx", batch: 4 },
  { file: "vnncomp_cifar10_medium.onnx", batch: 4 },
  { file: "vnncomp_mnist-net_256x2.onnx", batch: 4 },
  { file: "vnncomp_mnist-net_256x4.onnx", batch: 4 },
  { file: "mnist_cntk.onnx" },
  { file: "mobilenetv2.onnx", batch: 1 },
  { file: "squeezenet1.0_deepcompression.onnx", batch: 1 },
  { file: "vww_mobilenetv1_025.onnx", batch: 2 },
  { file: "kws_dscnn.onnx", batch: 4 },
  { file: "ad01_autoencoder.onnx", batch: 4 },
  { file: "llama260k.onnx", batch: 2, length: 12 },
  { file: "bert_sst2/onnx/model.onnx", batch: 2, length: 12 },
  { file: "llama_shakespeare/onnx/decoder_model.onnx", batch: 2, length: 12 },
  { file: "cct_cifar10.onnx", batch: 2 },
  { file: "mobilenetv3_cifar10.onnx", batch: 2 },
  { file: "ultraface_slim320.onnx" },
  // A hundred layers of rectifiers: the kinks are closer together than losses that float32 distinguishes.
  { file: "fastestdet.onnx", tolerance: 2e-2 },
  { file: "espcn_nn_resize.onnx" },
  { file: "espcn_subpixel.onnx" },
];

const folder = shared("data/models");
const directions = 5;
const sweep = [1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7];

/** Returns random inputs of the model. */
function made(model: Model, { batch = 1, length = 8 }: Case): Batch {
  const inputs = randomInputs(model);
  const [guess] = guesses(model, inputs, { lengths: lengthsOf([length]), batchSizes: [batch] });
  return inputs.draw(guess?.shapes ?? new Map(), random(1, "random inputs"));
}

/** Returns the mean of the first output's elements, each times a fixed random value. */
function againstNoise(): Loss {
  return {
    name: "noise",
    build({ emit, outputs }) {
      const [output] = outputs.values();
      const dims = fixedDims(output?.type?.dims);
      if (output === undefined || dims === undefined) throw new Error("the output's size is not known");
      const numbers = random(2, "noise");
      const noise = Float32Array.from({ length: elementCount(dims) }, () => numbers.normal());
      const products = emit.Mul([output, emit.constant(float32(dims, noise))]);
      return { value: emit.ReduceMean([products], { keepdims: 0 }), feeds: () => ({}) };
    },
  };
}

/** Returns the relative error of the slope along a direction: the minimum over all step sizes. */
async function slopeError(step: Step, data: Batch, seed: number): Promise<number> {
  const numbers = random(seed, "direction");
  await step.run(data);
  const start = step.parameters.map(({ values }) => values.slice());
  // Directions point uphill, because a slope near 0 is dominated by rounding. Each tensor is scaled by its size, each element by a random factor.
  const along = step.parameters.map(({ values, gradient }) => {
    const ratio = (rootMeanSquare(values) || 1e-2) / (rootMeanSquare(gradient) || 1);
    return gradient.map((entry) => ratio * entry * numbers.uniform(0, 2));
  });
  let slope = 0;
  step.parameters.forEach(({ gradient }, at) => {
    const direction = along[at];
    for (let i = 0; i < gradient.length; i++) slope += (gradient[i] ?? 0) * (direction?.[i] ?? 0);
  });
  const lossAt = async (distance: number): Promise<number> => {
    step.parameters.forEach(({ values }, at) => {
      const [from, direction] = [start[at], along[at]];
      for (let i = 0; i < values.length; i++) values[i] = (from?.[i] ?? 0) + distance * (direction?.[i] ?? 0);
    });
    return step.run(data);
  };
  let least = Number.POSITIVE_INFINITY;
  for (const distance of sweep) {
    const difference = ((await lossAt(distance)) - (await lossAt(-distance))) / (2 * distance);
    least = Math.min(least, Math.abs(difference - slope) / Math.max(Math.abs(slope), 1e-12));
  }
  await lossAt(0);
  return least;
}

function rootMeanSquare(values: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] ?? 0) ** 2;
  return Math.sqrt(sum / values.length);
}

describe.skipIf(folder === undefined)("the gradient of a whole network equals central differences", () => {
  test.each(cases.map((one) => [one.file, one] as const))("%s", async (file, one) => {
    const model = await open(`${folder}/${file}`);
    const data = made(model, one);
    const step = await createStep(model, data, { loss: againstNoise() });
    const errors: number[] = [];
    for (let seed = 1; seed <= directions; seed++) errors.push(await slopeError(step, data, seed));
    await step.release();
    expect(step.parameters.length).toBeGreaterThan(0);
    expect(Math.max(...errors), errors.map((error) => error.toExponential(1)).join(", ")).toBeLessThan(
      one.tolerance ?? 1e-2,
    );
  });
});
