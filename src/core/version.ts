/** Pith's version. Results record it, and a run reuses earlier results only if they are of the same version. */
export const version = "0.1.0";
