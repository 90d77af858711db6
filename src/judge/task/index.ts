/** Opens and prepares the data of a model, and selects its metric. */
export { type OpenedTask, openTask, type TaskOptions } from "./open-task.ts";
