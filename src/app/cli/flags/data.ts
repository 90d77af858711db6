/** Flags that name a command's data and how to read it (`--data`, `--preprocess`, …). */
import * as v from "valibot";
import { parseState } from "#batches";
import { usageError } from "#ir";
import { countOption, option } from "#pass";
import { parsePreprocessingSpec } from "../../../data/sidecars/preprocessing-spec.ts";
import { parseSettings } from "./named-values.ts";

export const dataGroup = "Data (docs/data.md):";

export const dataFlags = {
  data: option(v.string(), "folder or file of images, text, tables, arrays, sound or token ids, or an ES module", {
    value: "path",
    group: dataGroup,
    common: true,
  }),
  preprocess: option(
    v.string(),
    'a preset (imagenet, unit, …) or "mean=… std=… resize=256 crop=224"; for text "length=128"',
    { value: "how", group: dataGroup, common: true },
  ),
  set: option(v.array(v.string()), "value of an input that is not in the data: sr=16000", {
    value: "input=value",
    group: dataGroup,
  }),
  states: option(v.array(v.string()), "output fed back as an input: stateN=state (default: guessed)", {
    value: "output=input",
    group: dataGroup,
  }),
  samples: option(countOption, "use at most n training and n test samples, drawn at random", {
    value: "n",
    group: dataGroup,
  }),
  batch: option(countOption, "samples per run (default: at most 64, or 1 if outputs depend on the batch)", {
    value: "n",
    group: dataGroup,
  }),
};

/** The flag of commands that only measure. */
export const partFlag = {
  part: option(
    v.picklist(["test", "train", "all"]),
    "split to test on (default: test; all samples if there are no splits)",
    { group: dataGroup },
  ),
};

const dataSchema = v.object({ ...dataFlags, ...v.partial(v.object(partFlag)).entries });
export type DataFlags = v.InferOutput<typeof dataSchema>;

export const dataRequestSchema = v.object({
  path: v.string(),
  part: partFlag.part,
  /** Text in the syntax of `parsePreprocessingSpec`. */
  preprocess: v.optional(v.string()),
  /** Constant values of inputs that the data does not contain. */
  set: v.record(v.string(), v.union([v.number(), v.array(v.number())])),
  /** Outputs that are fed as inputs at the next step, each as "output=input". */
  states: v.pipe(v.array(v.string()), v.readonly()),
  samples: dataFlags.samples,
  batch: dataFlags.batch,
});
export type DataRequest = Readonly<v.InferOutput<typeof dataRequestSchema>>;

/** Returns the words of a command that reads the same data with the same preprocessing. */
export const dataWords = ({ path, preprocess, set, states, samples }: DataRequest): readonly string[] => [
  ...["--data", path],
  ...(preprocess === undefined ? [] : ["--preprocess", preprocess]),
  ...Object.entries(set).flatMap(([input, value]) => ["--set", `${input}=${[value].flat().join()}`]),
  ...states.flatMap((state) => ["--states", state]),
  ...(samples === undefined ? [] : ["--samples", String(samples)]),
];

export function dataRequestOf(flags: DataFlags): DataRequest | undefined {
  const { data, part, preprocess, set, states, samples, batch } = flags;
  if (data === undefined) {
    const dependentFlag = Object.entries({ part, preprocess, states, samples }).find(
      ([, value]) => value !== undefined,
    );
    if (dependentFlag === undefined) return undefined;
    throw usageError(`--${dependentFlag[0]} needs --data.`);
  }
  if (preprocess !== undefined) parsePreprocessingSpec(preprocess);
  for (const state of states ?? []) parseState(state);
  return { path: data, part, preprocess, set: parseSettings(set ?? []), states: states ?? [], samples, batch };
}
