/** JSON with NaN and infinities, which JSON lacks. */
const numberKey = "pith.number";

export function plainText(plain: unknown): string {
  return JSON.stringify(plain, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? { [numberKey]: String(value) } : value,
  );
}

/** Returns undefined for invalid text. */
export function plainOf(text: string | undefined): unknown {
  try {
    return text === undefined
      ? undefined
      : JSON.parse(text, (_, value) => (value?.[numberKey] === undefined ? value : Number(value[numberKey])));
  } catch {
    return undefined;
  }
}
