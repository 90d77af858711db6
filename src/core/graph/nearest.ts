/**
 * Returns the most similar of `names`, for "did you mean" hints: the name with the fewest edits (insert, delete, replace, swap), ignoring case.
 * Returns undefined if more than one character and more than a third of `name` would have to be edited.
 */
export function nearest(name: string, names: Iterable<string>): string | undefined {
  return allNearest(name, names)[0];
}

export function allNearest(name: string, names: Iterable<string>): readonly string[] {
  let best: string[] = [];
  let minEdits = Math.max(1, Math.floor(name.length / 3));
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) > minEdits) continue;
    const editCount = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (editCount === minEdits) best.push(candidate);
    if (editCount < minEdits) [best, minEdits] = [[candidate], editCount];
  }
  return best;
}

/** Sorts names by similarity: names that contain `name` first, then by edits relative to their length. */
export function sortBySimilarity(name: string, names: Iterable<string>): readonly string[] {
  const lowerName = name.toLowerCase();
  const editShare = (candidate: string): number => {
    const other = candidate.toLowerCase();
    if (lowerName !== "" && other.includes(lowerName)) return -1;
    return editDistance(lowerName, other) / Math.max(lowerName.length, other.length, 1);
  };
  const ratedNames = [...names].map((candidate) => ({ candidate, edits: editShare(candidate) }));
  return ratedNames.toSorted((a, b) => a.edits - b.edits).map(({ candidate }) => candidate);
}

function editDistance(a: string, b: string): number {
  let [previousRow, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaceEdits = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapEdits =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (previousRow[j - 2] ?? 0) + 1 : replaceEdits;
      next.push(Math.min(replaceEdits, swapEdits, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    [previousRow, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
