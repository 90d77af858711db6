/** Codebook quantization: an index represents a table value times the largest magnitude of its block. */

export function largestOfBlocks(values: ArrayLike<number>, block: number): Float32Array {
  const largest = new Float32Array(Math.ceil(values.length / block));
  for (let at = 0; at < values.length; at++) {
    const index = Math.floor(at / block);
    largest[index] = Math.max(largest[index] ?? 0, Math.abs(values[at] ?? 0));
  }
  return largest;
}

/** Returns the index of the nearest table value per number. A tie takes the smaller value, and 0 or -0 keeps the number's sign. */
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
