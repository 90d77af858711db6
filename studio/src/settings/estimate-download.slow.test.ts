import { readFileSync } from "node:fs";
import { brotliCompressSync } from "node:zlib";
import { unzipSync } from "fflate";
import { type Batch, encodeToBytes, type Inspection, inspect, type Model, open } from "pith";
import { type Dataset, memory } from "pith/data";
import { quantize } from "pith/quantize";
import { expect, test } from "vitest";
import type { PresetId } from "../backend/backend.ts";
import { examples } from "../examples.ts";
import { measureDownloadRates } from "../session/download-rates.ts";
import { estimateDownload } from "./estimate.ts";
import { initialSettings } from "./presets.ts";

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

const techniques: readonly (readonly [PresetId, number, NonNullable<Parameters<typeof quantize>[1]>])[] = [
  ["static", 8, { scheme: "static", biasCorrection: "none", equalize: false }],
  ["weights", 8, { scheme: "weights" }],
  ["float16", 16, { scheme: "float16" }],
  ["bits", 2, { scheme: "weights", bits: 2 }],
  ["bits", 3, { scheme: "weights", bits: 3 }],
  ["bits", 4, { scheme: "weights", bits: 4 }],
  ["bits", 5, { scheme: "weights", bits: 5 }],
  ["bits", 6, { scheme: "weights", bits: 6 }],
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
    for (const [preset, amount, options] of techniques) {
      const result = model.clone();
      await quantize(result, options.scheme === "static" ? { ...options, data: noiseFor(inspection) } : options);
      const estimate = estimateDownload(inspection, { ...initialSettings(preset), amount }, rates, original) ?? 0;
      ratios[`${preset} ${amount}`] = Number((estimate / (await downloadOf(result))).toFixed(3));
    }
    for (const [technique, ratio] of Object.entries(ratios))
      expect([technique, Math.abs(ratio - 1) < 0.15, ratio]).toEqual([technique, true, ratio]);
  },
);
