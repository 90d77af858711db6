/** Limits of model sizes: weights that stay in their file, and models that are not timed. */
import { type Model, storedBytes } from "#ir";

/** Maximum bytes of a model that is timed: WebAssembly addresses 4 GiB. */
export const maxTimedBytes = 4e9;

/** Minimum bytes of large weights, which stay in their file. */
export const largeBytes = 2 ** 28;
export const hasLargeWeights = ({ graph }: Model): boolean => storedBytes(graph) >= largeBytes;
