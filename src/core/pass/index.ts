/** Exports the definition of passes, their options, and what they report (`#pass`). */

export * from "./exporter-metadata.ts";
export * from "./moves.ts";
export * from "./option-errors.ts";
export * from "./option-schema.ts";
export * from "./options.ts";
export * from "./pass.ts";
export * from "./path-options.ts";
export * from "./run-pass.ts";
export * from "./suggest-option.ts";
