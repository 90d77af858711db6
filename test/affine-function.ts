/** The FunctionProto of the model's own function lab.Affine: Gemm with a name. */
export const affineFunction = (() => {
  const bytes = (number: number, content: string | readonly number[]): number[] => {
    const payload = typeof content === "string" ? [...new TextEncoder().encode(content)] : content;
    return [(number << 3) | 2, payload.length, ...payload];
  };
  const gemm = [..."xwb"].flatMap((input) => bytes(1, input));
  return Uint8Array.from([
    ...bytes(1, "Affine"),
    ...[..."xwb"].flatMap((input) => bytes(4, input)),
    ...bytes(5, "y"),
    ...bytes(7, [...gemm, ...bytes(2, "y"), ...bytes(4, "Gemm")]),
    ...bytes(9, [0x10, 21]),
    ...bytes(10, "lab"),
  ]);
})();
