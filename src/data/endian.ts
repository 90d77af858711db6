/** A copy with the bytes of each element in reverse: big-endian numbers as little-endian ones. */
export function swapBytes(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const swapped = Uint8Array.from(bytes);
  for (let start = 0; start < swapped.length; start += width) swapped.subarray(start, start + width).reverse();
  return swapped;
}
