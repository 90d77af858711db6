/** The steps that a recipe may have: each is a pass, with the pass's own options. */
import type * as v from "valibot";
import { distill } from "../distill/index.ts";
import type { Metric, Task } from "../evaluate/index.ts";
import { factorize } from "../factorize/index.ts";
import type { Model } from "../graph/model.ts";
import { assertValid, verify } from "../graph/verify.ts";
import type { Context, Outcome } from "../passes/index.ts";
import { prune } from "../prune/index.ts";
import { fakeQuantize, quantize } from "../quantize/index.ts";
import { recover } from "../recover/index.ts";
import { type Epoch, reinitialize, type TrainingSummary, train } from "../train/index.ts";

/** What a step came to; `history` and `training` where it trained. */
export interface StepOutcome extends Outcome {
  readonly history?: readonly Epoch[];
  readonly training?: TrainingSummary;
}

/** Any pass: it checks its options itself. */
export interface AnyPass {
  (...rest: never[]): Promise<StepOutcome>;
  readonly id: string;
  readonly summary: string;
  readonly options: v.GenericSchema;
}

export interface StepKind {
  readonly pass: AnyPass;
  /** The samples of the run that the pass is given as its option `data`. */
  readonly data?: "train" | "calibrate";
  /** Of what is given samples to calibrate with: whether it uses them, with these options. */
  readonly measures?: (options: Readonly<Record<string, unknown>>) => boolean;
  /** Whether it learns what another model answers: where there are no samples to train on, those to calibrate with will do. */
  readonly learnsAnswers?: true;
  /** Options of the pass that a recipe cannot give: what the run fills in, and what only code can make. */
  readonly withheld: readonly string[];
  /** Whether it is there to make the file smaller: a result that is not is no success. */
  readonly shrinks?: true;
  /** Whether the result is meant to be another function, or none yet, so that nobody asks what was lost. */
  readonly unlearns?: true;
}

/** Whether it is given samples to train on, so that its result may know what the original does not. */
export function trains(kind: StepKind | undefined): boolean {
  return kind?.data === "train";
}

/** Of a training: what the run fills in, and what only makes sense outside of one. */
const filledIn = ["data", "metric", "checkpoint", "resume"];

/** Only the static scheme measures ranges. */
const isStatic = ({ scheme }: Readonly<Record<string, unknown>>): boolean => scheme === "static";

const kinds: readonly StepKind[] = [
  { pass: prune, withheld: [] },
  { pass: reinitialize, withheld: [], unlearns: true },
  { pass: train, data: "train", withheld: filledIn },
  { pass: distill, data: "train", withheld: filledIn },
  { pass: recover, data: "train", learnsAnswers: true, withheld: ["data"] },
  { pass: factorize, withheld: [], shrinks: true },
  { pass: fakeQuantize, data: "calibrate", measures: isStatic, withheld: ["data"] },
  { pass: quantize, data: "calibrate", measures: isStatic, withheld: ["data"], shrinks: true },
];

/** Step by the word that stands for it in a recipe. */
export const steps: ReadonlyMap<string, StepKind> = new Map(kinds.map((kind) => [kind.pass.id, kind]));

function samplesOf({ data, learnsAnswers }: StepKind, parts: Pick<Task, "train" | "calibrate">): Task["train"] {
  if (data === undefined) return undefined;
  return parts[data] ?? (learnsAnswers ? parts.calibrate : undefined);
}

/** Weights are chosen by what the result is judged by, where labels can tell it. */
function choosingMetric(
  { withheld }: StepKind,
  { validation }: Readonly<Record<string, unknown>>,
  metric: Metric | undefined,
): Metric | undefined {
  return validation !== undefined && withheld.includes("metric") && metric?.truth !== "original" ? metric : undefined;
}

/**
 * Runs a step's pass on a model, in place, with its part of the samples.
 * @throws PithError whatever the pass throws, and an internal fault if the model it leaves is not valid.
 */
export async function runStep(
  kind: StepKind,
  model: Model,
  options: Readonly<Record<string, unknown>>,
  parts: Pick<Task, "train" | "calibrate"> & Partial<Pick<Task, "metric">>,
  context: Context,
): Promise<StepOutcome> {
  const data = samplesOf(kind, parts);
  const metric = choosingMetric(kind, options, parts.metric);
  const given = { ...options, ...(data === undefined ? {} : { data }), ...(metric === undefined ? {} : { metric }) };
  // An operator that the specification does not have is no fault of the pass.
  const known = verify(model);
  const outcome: StepOutcome = await Reflect.apply(kind.pass, undefined, [model, given, context]);
  assertValid(model, known);
  return outcome;
}
