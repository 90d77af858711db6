/** Options of a run over recipes. */
import type { AnyPass } from "#pass";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import type { ObjectiveOptions } from "../measure/objective.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import type { Measured, Run } from "../record/run-record.ts";
import type { StoreOptions } from "../steps/store.ts";

/** Options of a run. By default, it keeps the smallest result that meets the goal and is about as fast as the original. */
export interface RunOptions extends StoreOptions, ObjectiveOptions {
  readonly name?: string;
  readonly passes?: readonly AnyPass[];
  /** Largest accepted drop of the metric (default: `defaultDrop`), and with `strict`, that its whole confidence interval must be within it. */
  readonly goal?: GoalOptions | undefined;
  readonly force?: boolean;
  /** Reserve a third of the test samples for choosing among results (default: true for several results). */
  readonly choice?: boolean | undefined;
  /** Also return the other acceptable results on the Pareto front of bytes, accuracy and speed (false). */
  readonly front?: boolean | undefined;
  /** Number of results compared on the test samples, which widens confidence intervals (Bonferroni). Default: 1. */
  readonly compared?: number | undefined;
  readonly batch?: number | undefined;
  /** The evaluated output: "logits", else the first float output. */
  readonly output?: string | undefined;
  /** Timing rounds at the end (30); 0 disables timing. */
  readonly rounds?: number;
  /** Target runtimes: the result must be correct on all, and is timed on the first. */
  readonly targets?: readonly RunTarget[];
  readonly about?: Partial<Pick<Run, "command" | "paths" | "machine">>;
  /** Called when a stage begins. Progress then refers to this stage. */
  readonly onStage?: (name: string) => void;
  /** Called with each measurement of the original or a step's output. */
  readonly onMeasured?: (measured: Measured) => void;
}
