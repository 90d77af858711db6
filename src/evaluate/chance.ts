/** The accuracy of always predicting the most frequent class, the baseline of every classifier. */

/** The share that always predicting the most frequent class gets right; undefined where none counts (all are below 0). */
export function commonestShare(answers: Float64Array): number | undefined {
  const counts = new Map<number, number>();
  let total = 0;
  for (const value of answers) {
    if (value < 0) continue;
    counts.set(value, (counts.get(value) ?? 0) + 1);
    total++;
  }
  return total === 0 ? undefined : Math.max(...counts.values()) / total;
}
