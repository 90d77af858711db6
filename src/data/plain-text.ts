/** Plain data as JSON, with numbers that are not finite, for which JSON has no word. */
const numberKey = "pith.number";

export function plainText(plain: unknown): string {
  return JSON.stringify(plain, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? { [numberKey]: String(value) } : value,
  );
}

/** Undefined for what is no such text. */
export function plainOf(text: string | undefined): unknown {
  try {
    return text === undefined
      ? undefined
      : JSON.parse(text, (_, value) => (value?.[numberKey] === undefined ? value : Number(value[numberKey])));
  } catch {
    return undefined;
  }
}
