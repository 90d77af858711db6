/** Images of 1,000 classes for the classifier: 100 calibrate, and 400 others test. They are the ones that the command line takes. */
import { createEngine } from "../../src/core/engine/index.ts";
import { meanInterval } from "../../src/core/math/confidence-interval.ts";
import { open } from "../../src/core/onnx/index.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { accuracy, agreement, measure } from "../../src/judge/index.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { writeSamples } from "../quantize/samples.ts";
import type { RealResult } from "./networks.ts";

const calibrated = 100;

export async function writeCalibration(path: string, model: string, data: string): Promise<string> {
  const { calibrate } = await openTask(await open(model), { data, calibrate: calibrated });
  if (calibrate === undefined || !isIndexed(calibrate)) throw new Error("The images do not calibrate.");
  await writeSamples(path, calibrate);
  return path;
}

export async function classOutcome(original: string, variant: string, data: string): Promise<RealResult["outcome"]> {
  const models = [await open(original), await open(variant)];
  const { test } = await openTask(await open(original), { data, calibrate: calibrated });
  const [before = [], after = []] = await measure(createEngine(), models, test, [accuracy(), agreement()], {
    batch: 16,
  });
  const [float = new Float64Array()] = before;
  const [right = new Float64Array(), same = new Float64Array()] = after;
  return {
    value: meanInterval(right).value,
    count: right.length,
    change: meanInterval(right.map((value, sample) => value - (float[sample] ?? 0))),
    same: meanInterval(same),
  };
}
