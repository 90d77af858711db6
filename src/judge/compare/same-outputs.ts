/** Decides whether two outputs count as equal, by their cosine. */

export const minEqualCosine = 0.9999;
/** A value below `minEqualCosine` is rounded down, so that the text stays below it, too. */
export const cosineText = (worst: number): string =>
  (worst < minEqualCosine ? Math.floor(1e4 * worst) / 1e4 : worst).toFixed(4);
