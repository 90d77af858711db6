/** Pith's version. It is recorded with results, and a run reuses earlier results only if they have the same version. */
export const version = "0.1.0";
