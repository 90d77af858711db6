/** Makes candidates: runs a recipe, or searches for one, and measures the result on the samples. */
import { encodeToBytes, inspect, type Model, open, PithError } from "pith";
import { type Run, type RunOptions, recipeFrom, recipeText, runRecipe, search } from "pith/compress";
import { compareFunction, latency } from "pith/evaluate";
import { quantize } from "pith/quantize";
import type { OpenedTask } from "pith/task";
import { outputDifferenceText, type Summary, summarize } from "../../../src/app/report/index.ts";
import type { Candidate, MakeRequest } from "../backend/backend.ts";
import { sha256Of } from "../hash.ts";
import { engine } from "./engine.ts";
import { openForTraining } from "./samples.ts";
import type { CallContext, Opened, Sampled } from "./session.ts";

/** A result before it is shown. */
interface Made extends Pick<Candidate, "run" | "summary" | "recipe" | "options" | "timing"> {
  readonly bytes: Uint8Array;
}

/** Rounds of the interleaved timing of original and candidate. */
export const timingRounds = 15;

export async function makeCandidate(
  opened: Opened,
  sampled: Sampled | undefined,
  request: MakeRequest,
  context: CallContext,
): Promise<Candidate> {
  const prepared = sampled && (await prepare(opened, sampled, request, context));
  const { recipe, options, run, summary, timing, bytes } =
    prepared === undefined
      ? await makeWithoutSamples(opened, request, context)
      : await makeOnSamples({ ...opened, ...prepared }, request, context);
  const result = await open(bytes);
  const content = withoutSharing(bytes);
  return {
    id: request.id,
    name: request.name,
    ...(request.settings === undefined ? {} : { settings: request.settings }),
    recipe,
    options,
    sha256: await sha256Of(content),
    inspection: await inspect(result),
    run,
    hasOtherTest: prepared?.model !== opened.model && prepared?.task.stored.totalCount !== undefined,
    summary,
    timing,
    file: new Blob([content], { type: "application/octet-stream" }),
  };
}

/** Returns the file of the preset "smallest download", without the measurements of a candidate. */
export async function makeSmallest({ model }: Opened, { task }: Sampled, { signal }: CallContext): Promise<Uint8Array> {
  const result = model.clone();
  await quantize(result, { scheme: "weights", rounder: "rdoq", data: task.calibrate }, { seed: 0, signal });
  return encodeToBytes(result);
}

/** Returns the samples of a recipe, and the model. Steps that are fitted on training samples, and searches, divide the samples in another way. */
async function prepare(
  { model }: Opened,
  sampled: Sampled,
  { made }: MakeRequest,
  { signal, report }: CallContext,
): Promise<{ readonly model: Model; readonly task: OpenedTask }> {
  if ("steps" in made && made.samples === undefined) return { model, task: sampled.task };
  report({ stage: "divide the samples" });
  const task = await openForTraining(model, sampled, signal);
  // Other candidates do not record this preprocessing.
  const copy = model.clone();
  task.recordIn(copy);
  return { model: copy, task };
}

/** Keeps the result of a recipe even if it misses the goal, because the page shows what it costs. */
async function makeOnSamples(
  { model, name, task }: Opened & { readonly task: OpenedTask },
  { made, maxDrop }: MakeRequest,
  { signal, report }: CallContext,
): Promise<Made> {
  let stage = "prepare";
  const context = {
    engine,
    seed: 0,
    signal,
    // The page estimates the time itself.
    log: ({ id, text }: { readonly id: string; readonly text: string }) => id !== "duration" && report({ note: text }),
    progress: (done: number, total?: number, _?: string, loss?: number) => report({ stage, done, total, loss }),
  };
  const options: RunOptions = {
    name,
    goal: { maxDrop },
    rounds: timingRounds,
    onStage: (next) => {
      stage = next;
      report({ stage });
    },
  };
  if ("steps" in made) {
    const recipe = recipeFrom(made);
    const { run, bytes } = await runRecipe(model, recipe, task, { ...options, force: true }, context).catch(advise);
    if (run.variants[0]?.steps.every(({ changes }) => changes.length === 0) === true)
      advise(new PithError("E_UNSUPPORTED", summarize(run).sentences.at(-1) ?? "Nothing changed."));
    return { ...resultOf(run), bytes, recipe: recipeText(recipe) };
  }
  const { run, result, candidates } = await search(model, task, { ...options, minutes: made.minutes }, context);
  const chosen = candidates[run.chosen ?? -1];
  if (result === undefined || chosen === undefined)
    throw new PithError("E_ACCURACY_LOST", run.rejected?.message ?? "The search found nothing that meets the goal.", {
      hint: "Allow a larger loss, or search longer.",
    });
  return { ...resultOf(run), bytes: result.bytes, recipe: recipeText(chosen.recipe) };
}

/** Adds advice to the error of a recipe that changed nothing. */
function advise(error: unknown): never {
  if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED" || error.hint !== undefined) throw error;
  throw new PithError(error.code, error.message, {
    hint: "Choose a larger amount, or another technique.",
    cause: error,
  });
}

const resultOf = (run: Run): Omit<Made, "bytes" | "recipe"> => ({
  run,
  options: undefined,
  summary: summarize(run),
  timing: timingOf(run.latency, (run.chosen ?? 0) + 1),
});

/** Returns the times of the original, which is the first model, and of the model at `place`. */
function timingOf(report: Run["latency"], place: number): Made["timing"] {
  const [original, candidate] = [report?.models[0], report?.models[place]];
  if (report === undefined || original === undefined || candidate === undefined) return undefined;
  return { original, candidate, isUnsteady: report.unsteady };
}

/** Quantizes without samples, and compares the outputs on random inputs. */
async function makeWithoutSamples({ model }: Opened, { made }: MakeRequest, context: CallContext): Promise<Made> {
  const { signal, report } = context;
  const recipe = recipeFrom(made);
  const [step, ...more] = recipe.steps;
  if (step === undefined || !("id" in step) || step.id !== "quantize" || more.length > 0)
    throw new PithError("E_DATA", "This technique measures the model on samples.", { hint: "Add samples." });
  const { options } = step;
  const result = model.clone();
  report({ stage: step.id });
  await quantize(result, options, { seed: 0, signal });
  const bytes = await encodeToBytes(result);
  report({ stage: "compare the outputs" });
  const written = await open(bytes);
  const likeness = await compareFunction(engine, model, written, { seed: 0, signal });
  const timing = await timeModels([model, written], context);
  return { run: undefined, bytes, recipe: recipeText(recipe), options, summary: summaryOf(likeness), timing };
}

/** Times models on a random sample. Returns undefined if they do not run on one. */
export async function timeModels(
  models: readonly [Model, Model],
  { signal, report }: CallContext,
): Promise<Made["timing"]> {
  const stage = "measure the speed";
  report({ stage });
  const progress = (done: number, total?: number): void => report({ stage, done, total });
  try {
    return timingOf(await latency(engine, models, undefined, { rounds: timingRounds, signal, progress }), 1);
  } catch (error) {
    if (error instanceof PithError && error.code !== "E_STOPPED") return undefined;
    throw error;
  }
}

/** Describes a comparison without samples, which shows damage but no accuracy. */
function summaryOf(likeness: Awaited<ReturnType<typeof compareFunction>>): Summary {
  const inputs = typeof likeness === "string" ? undefined : likeness.inputs;
  const advice = `${inputs === undefined ? "Random inputs do" : "The model's own text does"} not show accuracy: add samples to measure it.`;
  const isLost = typeof likeness !== "string" && likeness.lost !== undefined;
  const sentence =
    typeof likeness === "string"
      ? `The outputs were not compared: ${likeness}.`
      : isLost
        ? `The outputs are lost: ${likeness.lost}.`
        : `On ${inputs ?? `${likeness.samples} random inputs`}, the output that differs most: ${outputDifferenceText(likeness)}.`;
  return isLost
    ? { word: "lost", mood: "bad", gain: "", sentences: [sentence] }
    : { word: "not tested", mood: "doubt", gain: "", sentences: [sentence, advice] };
}

/** Returns bytes that are not shared between threads, as a Blob requires. Copies them only if they are shared. */
const withoutSharing = ({ buffer, byteOffset, length }: Uint8Array): Uint8Array<ArrayBuffer> =>
  buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer, byteOffset, length)
    : Uint8Array.from(new Uint8Array(buffer, byteOffset, length));
