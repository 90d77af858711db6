/** Limits for models whose weights fill much of the memory. */
import { type Model, storedBytes } from "#ir";

/**
 * Maximum bytes of a model that is timed, and of originals that transformers.js loads for a comparison. WebAssembly addresses 4 GiB, so no page runs a
 * larger model.
 */
export const maxTimedBytes = 4e9;

/** Minimum bytes of large weights. They stay in their file while the model runs. */
export const largeBytes = 2 ** 28;
export const hasLargeWeights = ({ graph }: Model): boolean => storedBytes(graph) >= largeBytes;
