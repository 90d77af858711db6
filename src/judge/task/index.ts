/** Opens and prepares the data of a model, and selects its metric. @module */
export { type OpenedTask, openTask, type TaskOptions } from "./open-task.ts";
