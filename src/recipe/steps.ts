/** The steps that a recipe may have: each is a pass, with the pass's own options. */
import type * as v from "valibot";
import { distill } from "../distill/index.ts";
import { factorize } from "../factorize/index.ts";
import type { Model } from "../graph/model.ts";
import type { Context, Outcome } from "../passes/index.ts";
import { prune } from "../prune/index.ts";
import { fakeQuantize, quantize } from "../quantize/index.ts";
import { type Epoch, train } from "../train/index.ts";

/** What a step came to; `history` where it trained. */
export interface StepOutcome extends Outcome {
  readonly history?: readonly Epoch[];
}

/** Any pass: it checks its options itself. */
interface AnyPass {
  (...rest: never[]): Promise<StepOutcome>;
  readonly id: string;
  readonly summary: string;
  readonly options: v.GenericSchema;
}

export interface StepKind {
  readonly pass: AnyPass;
  /** The samples of the run that the pass is given as its option `data`. */
  readonly data?: "train" | "calibrate";
  /** Options of the pass that a recipe cannot give: what the run fills in, and what only code can make. */
  readonly withheld: readonly string[];
  /** It takes stored weights only: masks are folded in before it. */
  readonly foldsMasks?: boolean;
}

const kinds: readonly StepKind[] = [
  { pass: prune, withheld: [] },
  { pass: train, data: "train", withheld: ["data", "loss", "checkpoint"] },
  { pass: distill, data: "train", withheld: ["data", "checkpoint"] },
  { pass: factorize, withheld: [], foldsMasks: true },
  { pass: fakeQuantize, data: "calibrate", withheld: ["data"] },
  { pass: quantize, data: "calibrate", withheld: ["data"] },
];

/** Step by the word that stands for it in a recipe. */
export const steps: ReadonlyMap<string, StepKind> = new Map(kinds.map((kind) => [kind.pass.id, kind]));

/** Runs a step's pass on a model, in place. `data` is what the run gives it. */
export function runStep(
  kind: StepKind,
  model: Model,
  options: Readonly<Record<string, unknown>>,
  context: Context,
): Promise<StepOutcome> {
  return Reflect.apply(kind.pass, undefined, [model, options, context]);
}
