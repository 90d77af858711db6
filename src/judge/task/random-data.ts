/** Generates random inputs as a data set, for distillation without samples (`data: "random"`). */
import { type IndexedDataset, indexed, joinBatches, testSeed } from "#batches";
import { type Model, PithError, random, unsupportedError } from "#ir";
import type { Context } from "#pass";
import { randomInputs } from "../../runtime/run/random-inputs.ts";
import { firstThatRuns, guesses, likelyLengths, type TrialSizes } from "../../runtime/run/size-guesses.ts";

export const randomName = "random";

const sampleCount = 10_000;
/** Longer sequences are first, because the student learns from the outputs at every position. */
const lengths: readonly TrialSizes[] = [[64, 224], [32, 64], ...likelyLengths];

/** @throws PithError E_UNSUPPORTED for inputs for which no random values exist. */
export async function randomData(model: Model, { engine }: Pick<Context, "engine">): Promise<IndexedDataset> {
  const inputs = randomInputs(model);
  if (inputs.undrawable !== undefined)
    throw unsupportedError(`No random values can be generated for the input "${inputs.undrawable}".`);
  const session = await engine.load(model);
  const run = await firstThatRuns(session, inputs, guesses(model, inputs, { lengths, batchSizes: [1] }), testSeed);
  await session.release();
  if (run instanceof PithError) throw run;
  const { shapes } = run.guess;
  const [wideInput] = [...shapes].find(([, dims]) => dims[0] !== 1) ?? [];
  if (wideInput !== undefined)
    throw unsupportedError(
      `The input "${wideInput}" does not take single samples, so no random ones can be generated.`,
    );
  const sample = (position: number) => inputs.draw(shapes, random(testSeed, "random data", position));
  return indexed(`${randomName} inputs`, sampleCount, (positions) =>
    joinBatches(Array.from(positions, sample), "random inputs"),
  );
}
