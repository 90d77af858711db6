/** Shares of a weight's sum of squared singular values; for each, `inspect` shows how many of the largest values are needed. */
export const energies = [0.9, 0.95, 0.99] as const;
