/** The data of a model, opened and prepared, and its metric. */

export { outputKind } from "../../core/analysis/output-kind.ts";
export type { Settings } from "./contents.ts";
export { heldAgainst, type Judging, judgedBy, type MetricName, namedMetrics, readingOf } from "./metrics.ts";
export { type OpenedTask, openTask, storeStates, type TaskOptions } from "./open-task.ts";
export type { Preparation } from "./prepare.ts";
