/** Request to run a step on one model: references, data, goal and limits. */
import type { Model } from "#ir";
import type { Context } from "#pass";
import type { Task } from "../../runtime/metrics/metric.ts";
import type { WatchedEngine } from "../../runtime/run/load-check.ts";
import type { TextInputs } from "../../runtime/run/realistic-inputs.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import type { FallbackJudge } from "../fallback/precision-fallback.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import type { ParsedStep } from "../steps/step-options.ts";

export interface NamedModel {
  readonly path: string;
  readonly model: Model;
}

export interface References {
  /** The model that the result approximates, if it is not the input model: a teacher, or the model before pruning. */
  readonly first: NamedModel | undefined;
  readonly others: readonly NamedModel[];
}

export interface StepRequest extends ParsedStep {
  readonly input: NamedModel;
  readonly references?: References;
  /** Undefined to compare models on `inputs`. */
  readonly task?: Task | undefined;
  /** Texts that the step or a comparison without data reads; undefined for random inputs. */
  readonly inputs?: TextInputs | undefined;
  readonly goal?: GoalOptions;
  /** Evaluate on all test samples, without interim looks. */
  readonly usesAllSamples?: boolean | undefined;
  readonly batch?: number | undefined;
  readonly output?: string | undefined;
  readonly force?: boolean | undefined;
  readonly fallback?: boolean | undefined;
  readonly maxBytes?: number | undefined;
  readonly maxDownload?: number | undefined;
  /** Turns the judge of this model alone into one that also requires that the models of its folder pass together. */
  readonly condition?: ((alone: FallbackJudge, context: Context) => Promise<FallbackJudge>) | undefined;
  /** Only load the result, because its folder evaluates it together with the other models. */
  readonly judgedTogether?: boolean | undefined;
  /** Report what would change, without an evaluation. */
  readonly dryRun?: boolean | undefined;
  readonly targets?: readonly RunTarget[] | undefined;
  /** Folder for weights that are computed on reading. */
  readonly temporary?: string | undefined;
}

export interface StepContext extends Context {
  readonly engine: WatchedEngine;
  stage(name: string): void;
}
