/** Shares of the sum of squared singular values of a weight; of each it is shown how many of the largest hold it. */
export const energies = [0.9, 0.95, 0.99] as const;
