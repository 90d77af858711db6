import { readFileSync } from "node:fs";
import { brotliCompressSync } from "node:zlib";
import { unzipSync } from "fflate";
import { type Batch, encodeToBytes, type Inspection, inspect, type Model, open } from "pith";
import { type Dataset, memory } from "pith/data";
import { factorize } from "pith/factorize";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
import { expect, test } from "vitest";
import type { Settings } from "../backend/backend.ts";
import { examples } from "../examples.ts";
import { measureDownloadRates } from "../session/download-rates.ts";
import { estimateDownload } from "./estimate.ts";
import { initialSettings, nameOf } from "./presets.ts";

/** Opens the model of an example. */
function openExampleModel(name: string): Promise<Model> {
  const entries = unzipSync(readFileSync(new URL(`../../public/examples/${name}.zip`, import.meta.url)));
  return open(entries[`${name}/${name}.onnx`] ?? new Uint8Array());
}

/** Returns samples with small values for the inputs of a model. */
function noiseFor({ inputs }: Inspection): Dataset {
  const tensors = inputs.map(({ name, type, dims }) => {
    const shape = dims
      .replace(/[[\]]/g, "")
      .split(", ")
      .map((size, axis) => (axis === 0 ? 64 : Number(size)));
    const values = Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, index) => index % 5);
    const data =
      type === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values, (value) => value / 5);
    return [name, { type: type === "int64" ? "int64" : "float32", dims: shape, data }] as const;
  });
  return memory("noise", Object.fromEntries(tensors) as Batch);
}

const downloadOf = async (model: Model): Promise<number> => brotliCompressSync(await encodeToBytes(model)).length;

type Change = (model: Model, data: Dataset) => Promise<unknown>;

const bits = [2, 3, 4, 5, 6] as const;
const toInt8: Change = (model, data) =>
  quantize(model, { scheme: "static", biasCorrection: "none", equalize: false, data });

const techniques: readonly (readonly [settings: Partial<Settings> & Pick<Settings, "preset">, change: Change])[] = [
  [{ preset: "static" }, toInt8],
  [{ preset: "weights" }, (model) => quantize(model, { scheme: "weights" })],
  [{ preset: "float16" }, (model) => quantize(model, { scheme: "float16" })],
  ...bits.map(
    (amount) =>
      [{ preset: "bits", amount }, (model: Model) => quantize(model, { scheme: "weights", bits: amount })] as const,
  ),
  ...[0.1, 0.2, 0.5].map(
    (amount) =>
      [
        { preset: "channels", amount, storage: "float32" },
        (model: Model) => prune(model, { amount, structured: true }),
      ] as const,
  ),
  ...[0.4, 0.7].map(
    (amount) =>
      [
        { preset: "low-rank", amount, storage: "float32" },
        (model: Model) => factorize(model, { budget: amount }),
      ] as const,
  ),
  [
    { preset: "channels", amount: 0.5 },
    async (model, data) => {
      await prune(model, { amount: 0.5, structured: true });
      await toInt8(model, data);
    },
  ],
];

test.each(examples.map(({ name }) => name))(
  "the estimated downloads of %s are within 15 percent of those measured",
  async (name) => {
    const model = await openExampleModel(name);
    const [inspection, rates, original] = [
      await inspect(model),
      await measureDownloadRates(model),
      await downloadOf(model),
    ];
    const ratios: Record<string, number> = {};
    for (const [chosen, change] of techniques) {
      const settings = { ...initialSettings(chosen.preset), ...chosen };
      const result = model.clone();
      await change(result, noiseFor(inspection));
      const estimate = estimateDownload(inspection, settings, rates, original) ?? 0;
      ratios[nameOf(settings)] = Number((estimate / (await downloadOf(result))).toFixed(3));
    }
    for (const [technique, ratio] of Object.entries(ratios))
      expect([technique, Math.abs(ratio - 1) < 0.15, ratio]).toEqual([technique, true, ratio]);
  },
);
