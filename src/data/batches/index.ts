/** Exports batches, data sets, and the states of a cache (`#batches`). */

export * from "./batch-store.ts";
export * from "./bind.ts";
export * from "./content-hash.ts";
export * from "./dataset.ts";
export * from "./dataset-option.ts";
export * from "./indexed.ts";
export * from "./rows.ts";
export * from "./select.ts";
export * from "./states.ts";
