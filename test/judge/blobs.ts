/** A task small enough to train in a second, points around class centres in parts that do not overlap, and steps of its recipes. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { memory } from "../../src/data/index.ts";
import { accuracy } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import type { Task } from "../../src/runtime/metrics/metric.ts";

export const width = 16;
export const classes = 8;

function part(name: string, count: number): IndexedDataset {
  const centres = random(1, "centres");
  const means = Float32Array.from({ length: classes * width }, () => centres.normal());
  const numbers = random(1, name);
  const data = new Float32Array(count * width);
  const labels = new BigInt64Array(count);
  for (let sample = 0; sample < count; sample++) {
    const label = sample % classes;
    labels[sample] = BigInt(label);
    for (let axis = 0; axis < width; axis++)
      data[sample * width + axis] = (means[label * width + axis] ?? 0) + 0.9 * numbers.normal();
  }
  return memory(name, {
    input: { type: "float32", dims: [count, width], data },
    label: { type: "int64", dims: [count], data: labels },
  });
}

export const createTask = (): Task & Required<Pick<Task, "train" | "calibrate">> => ({
  train: part("train", 1600),
  calibrate: part("calibrate", 200),
  test: part("test", 800),
  metric: accuracy(),
});

export const task = createTask();

/** The network of 16 → 64 → 48 → 8 that `train-blobs.ts` has trained and stored. */
export const trainedFile = fileURLToPath(new URL("blobs.onnx", import.meta.url));

export const trained = async (): Promise<Model> => open(await readFile(trainedFile));

export const recipe = (...steps: readonly object[]) => recipeFrom({ steps });

/** Options that remove the same share of the channels of each layer, without samples. */
export const evenly = { structured: true, importance: "magnitude", scope: "uniform", roundTo: 1 };

export const pruneTuneQuantize = recipe(
  { prune: { ...evenly, amount: 0.4 } },
  { train: { epochs: 3 } },
  { quantize: { scheme: "weights" } },
);

export const quick = { rounds: 0 };

export async function weights(model: Model, name: string): Promise<Float64Array> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new Error(`No stored value is called "${name}".`);
  return toFloat64(await tensor.read());
}
