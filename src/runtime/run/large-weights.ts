import { type Model, storedBytes } from "#ir";

/** Maximum bytes of a model that is timed, or loaded by transformers.js for a comparison: WebAssembly addresses 4 GiB. */
export const maxTimedBytes = 4e9;

/** Minimum bytes of large weights. They stay in their file while the model runs. */
export const largeBytes = 2 ** 28;
export const hasLargeWeights = ({ graph }: Model): boolean => storedBytes(graph) >= largeBytes;
