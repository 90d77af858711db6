/** Runs results of `quantize` in WebAssembly and WebGPU of a real browser: all dtypes of real models, all schemes of a small one. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findChromium } from "../../../src/app/cli/browser/chromium.ts";
import { type OpenedTarget, openTarget } from "../../../src/app/cli/jobs/parts/target.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { memory } from "../../../src/data/index.ts";
import { checkTargets } from "../../../src/judge/compare/target-check.ts";
import { dtypeNames } from "../../../src/techniques/quantize/dtypes.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { numbersFor } from "./networks.ts";

const program = await findChromium().catch(() => undefined);
const native = createEngine();
const context = {
  signal: new AbortController().signal,
  temporary: temporaryFolder(),
  stage: () => {},
  progress: () => {},
  log: () => {},
  writes: () => {},
};

const convolutional = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 3, 12, 12]) -> (y: float32[batch, 10]) {
  conv1.weight: float32[8, 3, 3, 3] = random(seed 1)
  conv1.bias: float32[8] = random(seed 2)
  conv2.weight: float32[8, 8, 3, 3] = random(seed 3)
  conv3.weight: float32[8, 1, 3, 3] = random(seed 4)
  fc.weight: float32[10, 288] = random(seed 5)
  fc.bias: float32[10] = random(seed 6)
  h1 = Conv "conv1" (x, conv1.weight, conv1.bias) {pads=[1, 1, 1, 1]}
  a1 = Relu(h1)
  p1 = MaxPool(a1) {kernel_shape=[2, 2], strides=[2, 2]}
  h2 = Conv "conv2" (p1, conv2.weight) {pads=[1, 1, 1, 1]}
  s = Add(h2, p1)
  a2 = Relu(s)
  h3 = Conv "conv3" (a2, conv3.weight) {pads=[1, 1, 1, 1], group=8}
  f = Flatten(h3)
  y = Gemm "fc" (f, fc.weight, fc.bias) {transB=1}
}`);
const data = memory("images", { x: numbersFor([16, 3, 12, 12]) });

const schemes: readonly QuantizeOptions[] = [
  { scheme: "weights" },
  { scheme: "weights", perChannel: false },
  { scheme: "weights", perChannel: false, zeroPoints: true },
  { scheme: "weights", bits: 4 },
  { scheme: "weights", bits: 4, rounder: "mse", zeroPoints: true },
  { scheme: "weights", bits: 4, onnxOnly: true },
  { scheme: "weights", bits: 2 },
  { scheme: "weights", bits: 2, zeroPoints: true },
  { scheme: "weights", block: 32 },
  { scheme: "weights", weights: "palette", bits: 4 },
  { scheme: "dynamic" },
  { scheme: "dynamic", weights: "int8" },
  { scheme: "static", data },
  { scheme: "static", data, activations: "int8" },
  { scheme: "static", data, activations: "uint16" },
  { scheme: "float16" },
  { dtype: "fp16" },
];
const named = ({ data, ...options }: QuantizeOptions) => JSON.stringify(options);
const real = ["bert_sst2", "llama_shakespeare"].flatMap((name) => {
  const path = shared(`data/models/${name}/onnx/model.onnx`);
  return path === undefined ? [] : dtypeNames.map((dtype) => [name, dtype, path, { dtype }] as const);
});
const small = schemes.map((options) => ["a small network", named(options), "", options] as const);

describe.skipIf(program === undefined).each(["wasm", "webgpu"] as const)("in %s of a browser", (name) => {
  let target: OpenedTarget | undefined;
  beforeAll(async () => {
    // A browser without an adapter has no WebGPU.
    target = await openTarget(name, context).catch(() => undefined);
  }, 60_000);
  afterAll(() => target?.close());

  test.each([...small, ...real])(
    "%s as %s has the outputs of the original",
    async (_, __, path, options) => {
      // With SwiftShader, a larger model takes ten times as long as in WebAssembly.
      if (target === undefined || (target.lacks !== undefined && path.includes("llama"))) return;
      const original = path === "" ? convolutional() : await open(path);
      const result = original.clone();
      const asked: QuantizeOptions = { ...options, target: [name] };
      await quantize(result, asked);
      const [check] = await checkTargets(native, [target], original, result, { seed: 0 });
      // Without a graphics card, float16 arithmetic is not available.
      const untold = target.lacks !== undefined && check?.found.endsWith(target.lacks.why) === true;
      expect(check).toMatchObject({ right: untold ? undefined : true });
      expect(check?.isWeak).toBeUndefined();
    },
    120_000,
  );
});
