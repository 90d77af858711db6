/** The search for a smaller model over all techniques. */
export type { ObjectiveOptions, Purpose } from "../judge/run/objective.ts";
export type { BudgetOptions } from "./budget.ts";
export { search } from "./search.ts";
export type { SearchOptions } from "./search-task.ts";
