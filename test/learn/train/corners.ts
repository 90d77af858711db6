/** A small network that learns three corners, for tests of the training loop. */
import { expect } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import { linear, network, relu } from "../../../src/learn/nn/index.ts";
import { train } from "../../../src/learn/train/index.ts";
import { temporaryFolder } from "../../temporary.ts";

/** Returns seeded random points around three corners, which are the classes. */
export function corners(count: number, seed: number) {
  const numbers = random(seed, "corners");
  const labels = Array.from({ length: count }, (_, row) => row % 3);
  const points = labels.flatMap((label) => [0, 1, 2].map((axis) => numbers.normal(axis === label ? 2 : 0, 0.5)));
  return memory("corners", { input: float32([count, 3], points), label: int64([count], labels) });
}

export const data = corners(240, 1);
export const validation = corners(60, 2);
export const net = (): Model =>
  network({ fc1: linear(3, 8), relu: relu(), fc2: linear(8, 3) }, { input: ["batch", 3], seed: 1 });

export async function weights(model: Model): Promise<Record<string, unknown>> {
  const tensors: Record<string, unknown> = {};
  for (const value of model.graph.values())
    if (value.tensor !== undefined) tensors[value.name] = (await value.tensor.read()).data;
  return tensors;
}

export type Settings = Partial<Parameters<typeof train>[1]>;

export async function trained(settings: Settings, context: Parameters<typeof train>[2] = {}) {
  const model = net();
  const outcome = await train(model, { data, epochs: 3, batch: 24, ...settings }, { seed: 1, ...context });
  return { ...outcome, model, weights: await weights(model) };
}

/** Returns a context that stops a training after the given number of steps. */
export function stopAfter(steps: number) {
  const controller = new AbortController();
  return { signal: controller.signal, progress: (done: number) => done >= steps && controller.abort() };
}

/** Checks that an interrupted and resumed training gives the same weights and metric values as an uninterrupted one. */
export async function expectContinued(given: Settings): Promise<void> {
  const uninterrupted = await trained({ ...given, checkpoint: temporaryFolder() });
  // Training stops between epochs, within an epoch, and before an evaluation.
  for (const steps of [3, 8, 10, 13]) {
    const checkpoint = temporaryFolder();
    const stopped = trained({ ...given, checkpoint }, stopAfter(steps));
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    const continued = await trained({ ...given, checkpoint, resume: true });
    expect(continued.weights).toEqual(uninterrupted.weights);
    const figures = (history: typeof uninterrupted.history) => history.map(({ seconds: __, ...rest }) => rest);
    expect(figures(continued.history)).toEqual(figures(uninterrupted.history));
  }
}
