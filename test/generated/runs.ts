/** Runs of generated networks, and what it means that a result computes the same. */
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

/** A promise that was not kept. */
export class Broken extends Error {}

export function expectThat(holds: boolean, sentence: string): void {
  if (!holds) throw new Broken(sentence);
}

/** Loads the file that would be written, runs it on all batches, releases it. */
export async function answers(model: Model, batches: readonly Batch[], optimize = true): Promise<readonly Batch[]> {
  const found: Batch[] = [];
  const session = await engine.load(await open(await encodeToBytes(model)), { threads: 1, optimize });
  try {
    const names = model.graph.feeds.map(({ name }) => name);
    for (const batch of batches) {
      const given = Object.fromEntries(
        names.flatMap((name) => (batch[name] === undefined ? [] : [[name, batch[name]]])),
      );
      found.push(await session.run(given));
    }
  } finally {
    await session.release();
  }
  return found;
}

/** What a network is fed: its batch sizes, and where its batch is open none at all. */
export function batchesOf(network: Network): readonly Batch[] {
  return network.batches.map((batch) => network.feeds(batch, batch));
}

/** The original's answers. @throws PithError E_ENGINE where ONNX Runtime does not run it. */
export async function originalAnswers(network: Network): Promise<readonly Batch[]> {
  return answers(network.model, batchesOf(network));
}

/**
 * The result is legal, is read back, and answers as the original does, up to rounding: as much as the original's own answers move when the
 * runtime fuses differently, or when its stored numbers and inputs move by a millionth (in half precision by a rounding to it).
 */
export async function expectSame(
  { model: original }: Pick<Network, "model">,
  result: Model,
  batches: readonly Batch[],
  expected: readonly Batch[],
  optimize = true,
): Promise<void> {
  const [fault] = verify(result);
  expectThat(fault === undefined, `illegal: ${fault}`);
  const got = await answers(result, batches, optimize);
  let own: Promise<readonly (readonly Batch[])[]> | undefined;
  for (const [at, batch] of expected.entries()) {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(other !== undefined, `output "${name}" is gone`);
      expectThat(
        other?.type === dense.type && dimsText(other.dims) === dimsText(dense.dims),
        `"${name}" was ${dense.type}[${dense.dims}], is ${other?.type}[${other?.dims}]`,
      );
      const found = largestDifference(dense, other);
      if (found <= toleranceOf(original)) continue;
      // Fused, products with 8-bit weights round what they multiply, and which are fused depends on what stands around them.
      if (optimize && holdsCodes(original))
        return expectSame({ model: original }, result, batches, await answers(original, batches, false), false);
      own ??= ownRounding(original, batches);
      const allowed = Math.max(...(await own).map((runs) => largestDifference(dense, runs[at]?.[name])));
      expectThat(
        found <= 8 * allowed,
        `"${name}" differs by ${found} where rounding explains ${allowed} (batch ${at})`,
      );
    }
  }
}

/** The result is legal and answers as the original does, where numbers are rounded to eleven bits over and over. */
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
      // Sizes that follow from numbers may differ.
      if (!isFloat(dense.type) || endsHalf(dense) || dimsText(other?.dims) !== dimsText(dense.dims)) continue;
      const found = largestDifference(dense, other);
      const allowed = Math.max(0.01, ...moved.map((runs) => 20 * largestDifference(dense, runs[at]?.[name])));
      expectThat(found <= allowed, `"${name}" differs by ${found}, allowed is ${allowed} (batch ${at})`);
    }
  }
}

/** Whether a tensor has numbers near the end of float16 or beyond: what stands for infinity becomes smaller there. */
export function endsHalf(dense: Dense | undefined): boolean {
  return dense !== undefined && isFloat(dense.type) && toFloat64(dense).some((number) => Math.abs(number) > 60_000);
}

function holdsCodes({ graph }: Model): boolean {
  return [...graph.values()].some(({ tensor }) => /^u?int[248]$/.test(tensor?.type ?? ""));
}

/** The original's answers as it is written, and with everything moved by a small share. */
export async function ownRounding(
  original: Model,
  batches: readonly Batch[],
  share = roundoff(original),
): Promise<readonly (readonly Batch[])[]> {
  const moved = original.clone();
  const numbers = random(1, "moved");
  for (const value of moved.graph.values()) {
    const dense = value.tensor?.small;
    // Whole numbers are settings, as scales of an image are.
    if (dense !== undefined && isFloat(dense.type) && !toFloat64(dense).every(Number.isInteger))
      value.tensor = inMemory(nudged(dense, numbers, share));
  }
  const nudgedBatches = batches.map((batch) =>
    Object.fromEntries(Object.entries(batch).map(([name, dense]) => [name, nudged(dense, numbers, share)])),
  );
  // Some settings may not move (scales of an image that must be 1), and some models ONNX Runtime runs only as it fuses them.
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

/** A millionth; of models in half precision what a rounding to it moves, of which `toleranceOf` is eight times. */
const roundoff = (model: Model): number => (toleranceOf(model) > 1e-4 ? toleranceOf(model) / 8 : 1e-6);

function nudged(dense: Dense, numbers: ReturnType<typeof random>, share: number): Dense {
  if (!isFloat(dense.type)) return dense;
  return fromNumbers(
    dense.type,
    dense.dims,
    toFloat64(dense).map((value) => value * (1 + share * numbers.normal())),
  );
}

/** Reasons are one sentence, for people. */
export function expectSentences({ misses, changes }: Outcome): void {
  for (const { reason } of misses) expectSentence(reason);
  for (const { what, at } of changes) {
    expectThat(at !== "", `a change without a place: ${what}`);
    expectSentence(what);
  }
}

function expectSentence(text: string): void {
  expectThat(text.trim() === text && text.length > 3, `no sentence: "${text}"`);
  // A loss may be NaN, and a weight may hold it.
  expectThat(!/\n|undefined|(?<!is |holds )\bNaN\b|\[object/.test(text), `no sentence: "${text}"`);
}

/** Whether something was refused as it should be, a PithError of one sentence; whatever else is thrown goes on. */
export function refused(error: unknown): Miss {
  if (!(error instanceof PithError) || error.code === "E_ENGINE") throw error;
  expectSentence(error.message);
  expectThat(!/internal/i.test(error.message), error.message);
  return new Miss(error.message);
}
