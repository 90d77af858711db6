import { readFileSync } from "node:fs";
import { brotliCompressSync } from "node:zlib";
import { unzipSync } from "fflate";
import { encodeToBytes, inspect, type Model, open } from "pith";
import { quantize } from "pith/quantize";
import { expect, test } from "vitest";
import { examples } from "../examples.ts";
import { measureDownloadRates } from "../session/download-rates.ts";
import { estimateDownload } from "./estimate.ts";
import { initialSettings, type PresetId } from "./presets.ts";

/** Opens the model of an example. */
function openExampleModel(name: string): Promise<Model> {
  const entries = unzipSync(readFileSync(new URL(`../../public/examples/${name}.zip`, import.meta.url)));
  return open(entries[`${name}/${name}.onnx`] ?? new Uint8Array());
}

const downloadOf = async (model: Model): Promise<number> => brotliCompressSync(await encodeToBytes(model)).length;

const techniques: readonly (readonly [PresetId, number, Parameters<typeof quantize>[1]])[] = [
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
      await quantize(result, options);
      const estimate = estimateDownload(inspection, { ...initialSettings(preset), amount }, rates, original) ?? 0;
      ratios[`${preset} ${amount}`] = Number((estimate / (await downloadOf(result))).toFixed(3));
    }
    for (const [technique, ratio] of Object.entries(ratios))
      expect([technique, Math.abs(ratio - 1) < 0.15, ratio]).toEqual([technique, true, ratio]);
  },
);
