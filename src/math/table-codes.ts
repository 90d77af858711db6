/** Codes by a table: a code stands for its value in the table, times the largest magnitude of the block. */

/** The largest magnitude of each block of `block` numbers. */
export function largestOfBlocks(values: ArrayLike<number>, block: number): Float32Array {
  const largest = new Float32Array(Math.ceil(values.length / block));
  for (let at = 0; at < values.length; at++) {
    const index = Math.floor(at / block);
    largest[index] = Math.max(largest[index] ?? 0, Math.abs(values[at] ?? 0));
  }
  return largest;
}

/** The code of the nearest value for each number; of two equal values (0 and -0) the one with the sign of the number. A tie goes to the smaller value. */
export function tableCodes(
  values: ArrayLike<number>,
  largest: ArrayLike<number>,
  { block, table }: { readonly block: number; readonly table: readonly number[] },
): Uint8Array {
  const order = table.map((value, code) => ({ value, code })).sort((a, b) => a.value - b.value || b.code - a.code);
  const bounds = order.slice(1).map(({ value }, at) => (value + (order[at]?.value ?? 0)) / 2);
  const codes = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const scale = largest[Math.floor(at / block)] ?? 0;
    const share = scale === 0 ? 0 : Math.fround((values[at] ?? 0) * Math.fround(1 / scale));
    let place = 0;
    while (place < bounds.length && share > (bounds[place] ?? 0)) place++;
    const next = order[place + 1];
    if (next !== undefined && next.value === order[place]?.value && share >= next.value) place++;
    codes[at] = order[place]?.code ?? 0;
  }
  return codes;
}
