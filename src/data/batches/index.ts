/** Exports batches, data sets, and the states of a cache (`#batches`). */
export * from "./bind.ts";
export * from "./content-hash.ts";
export * from "./indexed.ts";
export * from "./option.ts";
export * from "./rows.ts";
export * from "./select.ts";
export * from "./states.ts";
export * from "./store.ts";
export * from "./types.ts";
