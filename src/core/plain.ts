/** An object from a file or a caller whose fields are unchecked. */
export type PlainObject = Readonly<Record<string, unknown>>;

/** Returns whether a value is an object literal: not an array or class instance. */
export function isObject(value: unknown): value is PlainObject {
  if (typeof value !== "object" || value === null) return false;
  const kind: unknown = Object.getPrototypeOf(value);
  return kind === Object.prototype || kind === null;
}

/** Returns whether arrays and objects are nested more than `levels` deep, also by a cycle. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

const numberKey = "pith.number";

/** Writes JSON with NaN and infinities, which JSON lacks; `plainOf` reads it. */
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
