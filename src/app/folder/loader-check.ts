/** Checks whether transformers.js loads and runs a variant, and how similar the variant's outputs are to the originals'. */
import * as v from "valibot";
import { figureText, Miss, percent, stripPeriod } from "#ir";
import { Difference } from "../../runtime/run/difference.ts";
import type { DtypeName } from "../../techniques/quantize/dtypes.ts";
import { countSameTokens, endToEndLoss } from "./end-to-end.ts";
import { sessionKeys } from "./loader-config.ts";

export const loaderOutcomeSchema = v.object({
  /** "loads": without inputs to run. "not tried": transformers.js cannot judge. "unused": the model's class loads other files. */
  outcome: v.picklist(["not checked", "runs", "loads", "not tried", "unused", "fails"]),
  version: v.optional(v.string()),
  reason: v.optional(v.string()),
  /** Signal-to-noise ratio in decibels of the output that differs most; absent if nothing differs. */
  signalToNoise: v.optional(v.number()),
  /** For text generators: number of generated tokens, each predicted after the originals' tokens (teacher forcing). */
  tokens: v.optional(v.number()),
  /** For text generators: number of these tokens that equal the originals'. */
  same: v.optional(v.number()),
});

export type LoaderOutcome = v.InferOutput<typeof loaderOutcomeSchema>;

/** Dtype by module file name. A search result replaces its original, so the loader sees it as fp32. */
export type ModuleDtypes = Readonly<Record<string, DtypeName | "searched" | "fp32">>;

export interface LoaderOutputs {
  readonly outputs: Readonly<Record<string, Float32Array>>;
  readonly tokens: readonly number[];
}

/** Step that failed. */
interface Failure {
  readonly failed: "class" | "load" | "prepare" | "feed" | "run";
  readonly reason: string;
}

/** Outputs of the files, or the failure. `sessions` are the models that the class loaded, `ran` those that ran. */
export type LoaderRun =
  | {
      readonly answers: readonly LoaderOutputs[];
      readonly sessions: readonly string[];
      readonly ran: readonly string[];
    }
  | Failure;

export interface Loader {
  readonly version: string;
  /** Whether the inputs are the user's texts or sounds. */
  readonly hasUserInputs: boolean;
  /** Whether the originals are small enough to be loaded for a comparison. */
  readonly canCompare: boolean;
  /** Loads and runs the files with these dtypes. `forced`: for each input, tokens to feed instead of the generated ones. */
  run(dtypes: ModuleDtypes, forced: readonly (readonly number[])[] | undefined): Promise<LoaderRun>;
}

/** Signal-to-noise ratio in decibels below which the variant explains less than half of the power of the original's output. */
const minDecibels = 10 * Math.log10(2);

type LoaderOutcomes = ReadonlyMap<string, LoaderOutcome | { readonly rejected: string }>;

export function createLoaderCheck(loader: Loader | Miss): (dtypes: ModuleDtypes) => Promise<LoaderOutcomes> {
  if (loader instanceof Miss)
    return (dtypes) => Promise.resolve(assignOutcome(dtypes, { outcome: "not tried", reason: loader.reason }));
  const { version, canCompare } = loader;
  let originalAnswers: Promise<LoaderRun> | undefined;
  const originals = (dtypes: ModuleDtypes): Promise<LoaderRun> => {
    originalAnswers ??= loader.run(Object.fromEntries(Object.keys(dtypes).map((base) => [base, "fp32"])), undefined);
    return originalAnswers;
  };
  return async (dtypes) => {
    const notTried = (failure: Failure) => assignOutcome(dtypes, { version, ...unableText(version, failure) });
    const rejectMain = (reason: string): LoaderOutcomes => new Map([[mainChangedBase(dtypes), { rejected: reason }]]);
    const originalAnswer = canCompare ? await originals(dtypes) : undefined;
    if (originalAnswer !== undefined && "failed" in originalAnswer && originalAnswer.failed !== "feed")
      return notTried(originalAnswer);
    const forcedRows =
      originalAnswer && "answers" in originalAnswer ? originalAnswer.answers.map(({ tokens }) => tokens) : undefined;
    const variantAnswer = await loader.run(dtypes, forcedRows);
    if ("failed" in variantAnswer) {
      const { failed, reason } = variantAnswer;
      if (failed === "feed") return assignOutcome(dtypes, { outcome: "loads", version, reason });
      // Large originals are loaded only if the variant fails, to see whether they fail as well.
      const originalsAlone = failed === "load" || failed === "run" ? await originals(dtypes) : variantAnswer;
      if ("failed" in originalsAlone && originalsAlone.failed !== "feed") return notTried(originalsAlone);
      const failures = await findFailing(loader, dtypes, variantAnswer);
      return failures.size > 0 ? failures : rejectMain(rejection(loader, variantAnswer));
    }
    const likeness =
      originalAnswer === undefined || "failed" in originalAnswer
        ? {}
        : compareOutputs(originalAnswer.answers, variantAnswer.answers);
    if (typeof likeness === "string") return rejectMain(rejection(loader, { failed: "run", reason: likeness }));
    const lossSentence = loader.hasUserInputs ? findLoss(likeness) : undefined;
    if (lossSentence !== undefined) return rejectMain(`In transformers.js ${version}: ${lossSentence}`);
    const outcomes = assignOutcome(dtypes, { outcome: "runs", version, ...likeness });
    const keys = sessionKeys(Object.keys(dtypes));
    const isUsed = (base: string): boolean => variantAnswer.sessions.includes(keys.get(base) ?? base);
    const unusedBases = [...outcomes.keys()].filter((base) => !isUsed(base));
    for (const base of outcomes.keys())
      if (unusedBases.includes(base))
        outcomes.set(base, { outcome: "unused", version, reason: unusedText(dtypes, unusedBases, isUsed) });
      else if (!variantAnswer.ran.includes(keys.get(base) ?? base))
        outcomes.set(base, { outcome: "loads", version, reason: "nothing here is fed to it" });
    return outcomes;
  };
}

function assignOutcome(dtypes: ModuleDtypes, outcome: LoaderOutcome): Map<string, LoaderOutcome> {
  return new Map(listChanged(dtypes).map(([base]) => [base, outcome]));
}

const listChanged = (dtypes: ModuleDtypes) => Object.entries(dtypes).filter(([, dtype]) => dtype !== "fp32");

function rejection({ version }: Loader, { failed, reason }: Failure): string {
  return `transformers.js ${version} does not ${failed} it: ${reason}`;
}

function unableText(version: string, { failed, reason }: Failure): Pick<LoaderOutcome, "outcome" | "reason"> {
  const name = `transformers.js ${version}`;
  if (failed === "class") return { outcome: "not tried", reason };
  // Pith makes the inputs, and they can be unsuitable.
  if (failed === "run") return { outcome: "not tried", reason: `it does not run the original: ${reason}` };
  const activity = failed === "load" ? "load the original" : "make inputs for it of a text, an image or a sound";
  return { outcome: "fails", reason: `${name} does not ${activity}: ${reason}` };
}

/** Returns a text such as "decoder_model*.onnx: transformers.js does not load these files for this model; it loads model*.onnx". */
function unusedText(dtypes: ModuleDtypes, unused: readonly string[], isUsed: (base: string) => boolean): string {
  const usedBases = Object.keys(dtypes).filter(isUsed);
  const files = (bases: readonly string[], end: string): string => bases.map((base) => `${base}${end}`).join(", ");
  return `${files(unused, "*.onnx")}: transformers.js does not load these files for this model; it loads ${files(usedBases, "*.onnx")}`;
}

/** Returns the modules that fail even among originals, with reasons. */
async function findFailing(loader: Loader, dtypes: ModuleDtypes, combinedFailure: Failure): Promise<LoaderOutcomes> {
  const changedFiles = listChanged(dtypes);
  const failures = new Map<string, { readonly rejected: string }>();
  if (changedFiles.length === 1) return failures;
  for (const [base, dtype] of changedFiles) {
    const singleDtypes = Object.fromEntries(Object.keys(dtypes).map((name) => [name, name === base ? dtype : "fp32"]));
    const singleAnswers = await loader.run(singleDtypes, undefined);
    if ("failed" in singleAnswers && singleAnswers.failed === combinedFailure.failed)
      failures.set(base, { rejected: rejection(loader, singleAnswers) });
  }
  return failures;
}

function mainChangedBase(dtypes: ModuleDtypes): string {
  const changedFiles = listChanged(dtypes).map(([base]) => base);
  return ["decoder_model_merged", "model"].find((base) => changedFiles.includes(base)) ?? changedFiles[0] ?? "";
}

type LoaderSimilarity = Pick<LoaderOutcome, "signalToNoise" | "tokens" | "same">;

function compareOutputs(before: readonly LoaderOutputs[], after: readonly LoaderOutputs[]): LoaderSimilarity | string {
  const differences = new Map<string, Difference>();
  const tokensOf = (runs: readonly LoaderOutputs[]) => runs.map((run) => run.tokens);
  const { tokens, same } = countSameTokens(tokensOf(before), tokensOf(after));
  for (const [index, { outputs }] of before.entries()) {
    for (const [name, x] of Object.entries(outputs)) {
      const y = after[index]?.outputs[name];
      if (y?.length !== x.length) return `its output "${name}" has another shape than the original's.`;
      const difference = differences.get(name) ?? new Difference();
      differences.set(name, difference);
      for (const [position, expected] of x.entries()) {
        const actual = y[position] ?? 0;
        if (!Number.isFinite(expected)) continue;
        if (!Number.isFinite(actual)) return `its output "${name}" is NaN where the original's is not.`;
        difference.add(expected, actual);
      }
    }
  }
  const minSignalToNoise = Math.min(...Array.from(differences.values(), (difference) => difference.signalToNoise));
  return {
    ...(Number.isFinite(minSignalToNoise) ? { signalToNoise: minSignalToNoise } : {}),
    ...(tokens === 0 ? {} : { tokens, same }),
  };
}

function findLoss({ signalToNoise, tokens, same }: LoaderSimilarity): string | undefined {
  if (tokens !== undefined) return endToEndLoss({ tokens, same });
  if (signalToNoise === undefined || signalToNoise >= minDecibels) return undefined;
  return `on the texts, less than half of the original's signal is left (signal to noise ${figureText("dB", signalToNoise)}).`;
}

/** Formats the similarity: "31.2 dB", "97.4 % of 192". */
export function loaderText({ outcome, signalToNoise, tokens = 0, same = 0 }: LoaderOutcome): string {
  if (outcome === "loads" || outcome === "not checked") return outcome;
  if (outcome !== "runs") return "";
  if (tokens > 0) return `${percent(same / tokens)} of ${tokens}`;
  return signalToNoise === undefined ? "runs" : figureText("dB", signalToNoise);
}

export function loaderNote({ outcome, version = "", reason = "" }: LoaderOutcome): string {
  if (outcome === "not checked") return "not checked: transformers.js has not run the file yet.";
  if (outcome === "not tried") return `Not tried with transformers.js: ${reason}.`;
  if (outcome === "unused" || outcome === "fails") return `${stripPeriod(reason)}.`;
  if (outcome === "loads") return `transformers.js ${version} loads it; not run: ${reason}.`;
  return `transformers.js ${version} loads and runs the files that have a value in its column: how many tokens equal the originals', or how near the outputs are to the originals' (signal to noise, on a few other texts).`;
}
