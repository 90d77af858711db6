/** Runs generated networks, and checks that results compute the same outputs. */
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { Outcome } from "../../src/core/pass/pass.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { dimsText } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { toleranceOf } from "../../src/judge/compare/equivalence.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import type { Network } from "./network.ts";

export const engine = createEngine();

/** Error for a broken promise. */
export class Broken extends Error {}

export function expectThat(holds: boolean, sentence: string): void {
  if (!holds) throw new Broken(sentence);
}

/** Encodes the model, loads it, runs it on all batches and releases it. */
export async function answers(model: Model, batches: readonly Batch[], optimize = true): Promise<readonly Batch[]> {
  const results: Batch[] = [];
  const session = await engine.load(await open(await encodeToBytes(model)), { threads: 1, optimize });
  try {
    const names = model.graph.feeds.map(({ name }) => name);
    for (const batch of batches) {
      const feeds = Object.fromEntries(
        names.flatMap((name) => (batch[name] === undefined ? [] : [[name, batch[name]]])),
      );
      results.push(await session.run(feeds));
    }
  } finally {
    await session.release();
  }
  return results;
}

/** Returns inputs for each supported batch size, including an empty batch if the batch axis allows it. */
export function batchesOf(network: Network): readonly Batch[] {
  return network.batches.map((batch) => network.feeds(batch, batch));
}

/** Returns the original's outputs. @throws PithError E_ENGINE if ONNX Runtime does not run it. */
export async function originalAnswers(network: Network): Promise<readonly Batch[]> {
  return answers(network.model, batchesOf(network));
}

/**
 * Checks that the result is valid, can be read back, and computes the original's outputs up to rounding. The tolerance is the change of the original's
 * outputs if the runtime fuses differently, or if its stored values and inputs change by a millionth (in half precision by a rounding).
 */
export async function expectSame(
  { model: original }: Pick<Network, "model">,
  result: Model,
  batches: readonly Batch[],
  expected: readonly Batch[],
  optimize = true,
  tolerance = toleranceOf(original),
): Promise<void> {
  const [fault] = verify(result);
  expectThat(fault === undefined, `illegal: ${fault}`);
  const got = await answers(result, batches, optimize);
  let rounding: Promise<readonly (readonly Batch[])[]> | undefined;
  for (const [at, batch] of expected.entries()) {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(other !== undefined, `output "${name}" is gone`);
      expectThat(
        other?.type === dense.type && dimsText(other.dims) === dimsText(dense.dims),
        `"${name}" was ${dense.type}[${dense.dims}], is ${other?.type}[${other?.dims}]`,
      );
      const gap = largestDifference(dense, other);
      if (gap <= tolerance) continue;
      // Fused products with 8-bit weights round their activations, and which ones are fused depends on the surrounding nodes.
      if (optimize && holdsCodes(original))
        return expectSame(
          { model: original },
          result,
          batches,
          await answers(original, batches, false),
          false,
          tolerance,
        );
      rounding ??= ownRounding(original, batches);
      const allowed = Math.max(...(await rounding).map((runs) => largestDifference(dense, runs[at]?.[name])));
      expectThat(gap <= 8 * allowed, `"${name}" differs by ${gap} where rounding explains ${allowed} (batch ${at})`);
    }
  }
}

/** Checks that the result is valid and computes the original's outputs with a tolerance for repeated rounding to eleven bits. */
export async function expectNear(
  { model: original }: Pick<Network, "model">,
  result: Model,
  batches: readonly Batch[],
  expected: readonly Batch[],
): Promise<void> {
  const [fault] = verify(result);
  expectThat(fault === undefined, `illegal: ${fault}`);
  const got = await answers(result, batches);
  const moved = await ownRounding(original, batches, 1e-3);
  for (const [at, batch] of expected.entries()) {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(other !== undefined, `output "${name}" is gone`);
      // Sizes that depend on values can differ.
      if (!isFloat(dense.type) || endsHalf(dense) || dimsText(other?.dims) !== dimsText(dense.dims)) continue;
      const gap = largestDifference(dense, other);
      const allowed = Math.max(0.01, ...moved.map((runs) => 20 * largestDifference(dense, runs[at]?.[name])));
      expectThat(gap <= allowed, `"${name}" differs by ${gap}, allowed is ${allowed} (batch ${at})`);
    }
  }
}

/** Returns whether a tensor has values near or beyond the float16 maximum: values that represent infinity are clipped there. */
export function endsHalf(dense: Dense | undefined): boolean {
  return dense !== undefined && isFloat(dense.type) && toFloat64(dense).some((number) => Math.abs(number) > 60_000);
}

function holdsCodes({ graph }: Model): boolean {
  return [...graph.values()].some(({ tensor }) => /^u?int[248]$/.test(tensor?.type ?? ""));
}

/** Returns the original's outputs, unchanged and with all stored values and inputs changed by a small share. */
export async function ownRounding(
  original: Model,
  batches: readonly Batch[],
  share = roundoff(original),
): Promise<readonly (readonly Batch[])[]> {
  const moved = original.clone();
  const numbers = random(1, "moved");
  for (const value of moved.graph.values()) {
    const dense = value.tensor?.small;
    // Integers are settings, such as the scales of an image.
    if (dense !== undefined && isFloat(dense.type) && !toFloat64(dense).every(Number.isInteger))
      value.tensor = inMemory(nudged(dense, numbers, share));
  }
  const nudgedBatches = batches.map((batch) =>
    Object.fromEntries(Object.entries(batch).map(([name, dense]) => [name, nudged(dense, numbers, share)])),
  );
  // Some settings cannot change (an image scale that must be 1), and ONNX Runtime runs some models only with fusion.
  const whereItRuns = (found: Promise<readonly Batch[]>): Promise<readonly (readonly Batch[])[]> =>
    found.then(
      (run) => [run],
      (error: unknown) => {
        if (error instanceof PithError && error.code === "E_ENGINE") return [];
        throw error;
      },
    );
  return [
    ...(await whereItRuns(answers(original, batches, false))),
    ...(await whereItRuns(answers(moved, nudgedBatches))),
  ];
}

/** Returns a millionth, or for half-precision models the rounding error, an eighth of `toleranceOf`. */
const roundoff = (model: Model): number => (toleranceOf(model) > 1e-4 ? toleranceOf(model) / 8 : 1e-6);

function nudged(dense: Dense, numbers: ReturnType<typeof random>, share: number): Dense {
  if (!isFloat(dense.type)) return dense;
  return fromNumbers(
    dense.type,
    dense.dims,
    toFloat64(dense).map((value) => value * (1 + share * numbers.normal())),
  );
}

/** Checks that every reason is one readable sentence. */
export function expectSentences({ misses, changes }: Outcome): void {
  for (const { reason } of misses) expectSentence(reason);
  for (const { what, at } of changes) {
    expectThat(at !== "", `a change without a place: ${what}`);
    expectSentence(what);
  }
}

function expectSentence(text: string): void {
  expectThat(text.trim() === text && text.length > 3, `no sentence: "${text}"`);
  // A message can report that a loss is NaN or that a weight contains NaN.
  expectThat(!/\n|undefined|(?<!is |holds )\bNaN\b|\[object/.test(text), `no sentence: "${text}"`);
}

/** Returns a refusal, which is a PithError of one sentence, as a Miss; rethrows any other error. */
export function refused(error: unknown): Miss {
  if (!(error instanceof PithError) || error.code === "E_ENGINE") throw error;
  expectSentence(error.message);
  expectThat(!/internal/i.test(error.message), error.message);
  return new Miss(error.message);
}
