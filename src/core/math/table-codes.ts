/** Codebook quantization (as NF4): a weight is stored as the index of a table value, which is multiplied by the largest magnitude of the block. */

export function largestOfBlocks(values: ArrayLike<number>, block: number): Float32Array {
  const largest = new Float32Array(Math.ceil(values.length / block));
  for (let at = 0; at < values.length; at++) {
    const index = Math.floor(at / block);
    largest[index] = Math.max(largest[index] ?? 0, Math.abs(values[at] ?? 0));
  }
  return largest;
}

/**
 * Returns for each number, divided by its block's largest magnitude, the index of the nearest table value; of two equally near values, the lower.
 * @param table Values in ascending order.
 */
export function tableCodes(
  values: ArrayLike<number>,
  largest: ArrayLike<number>,
  { block, table }: { readonly block: number; readonly table: readonly number[] },
): Uint8Array {
  const bounds = table.slice(1).map((value, at) => (value + (table[at] ?? 0)) / 2);
  const codes = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const scale = largest[Math.floor(at / block)] ?? 0;
    const share = scale === 0 ? 0 : Math.fround((values[at] ?? 0) * Math.fround(1 / scale));
    let code = 0;
    while (code < bounds.length && share > (bounds[code] ?? 0)) code++;
    codes[at] = code;
  }
  return codes;
}
