/** The data of a model, opened and prepared, and its metric. */
export { type MetricName, namedMetrics } from "./metrics.ts";
export { type OpenedTask, openTask, type TaskOptions } from "./open-task.ts";
