/** Merges equal rows of layers that differ only in their block number: "layers.0.attn.q" to "layers.11.attn.q" → "layers.0…11.attn.q". */

export interface NamedRow {
  readonly name: string;
  readonly cells: readonly string[];
}

export function mergeRows(rows: readonly NamedRow[]): readonly NamedRow[] {
  const groups = new Map<
    string,
    { readonly parts: readonly [string, string]; readonly numbers: number[]; readonly row: NamedRow }
  >();
  for (const row of rows) {
    const number = /(?<=^|[./_-])\d+(?=$|[./])/.exec(row.name);
    const parts: readonly [string, string] =
      number === null
        ? [row.name, ""]
        : [row.name.slice(0, number.index), row.name.slice(number.index + number[0].length)];
    const key = JSON.stringify([...parts, number === null, ...row.cells]);
    const group = groups.get(key) ?? { parts, numbers: [], row };
    groups.set(key, group);
    if (number !== null) group.numbers.push(Number(number[0]));
  }
  return [...groups.values()].map(({ parts: [before, after], numbers, row }) =>
    numbers.length < 2 ? row : { name: `${before}${rangeText(numbers)}${after}`, cells: row.cells },
  );
}

/** [0, 1, 2, 5] → "0…2,5" */
function rangeText(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const number of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs
    .map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from},${to}` : `${from}…${to}`))
    .join(",");
}
