/** Helpers for plain data: objects, arrays and values as in JSON, including NaN and infinities. */

/** An object from a file or a caller. Its properties have not been checked. */
export type PlainObject = Readonly<Record<string, unknown>>;

/** Returns whether a value is an object, but not an array or an instance of a class. */
export function isObject(value: unknown): value is PlainObject {
  if (typeof value !== "object" || value === null) return false;
  const kind: unknown = Object.getPrototypeOf(value);
  return kind === Object.prototype || kind === null;
}

/** Returns whether arrays and objects are nested more than `levels` deep, or in a cycle. */
export function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isNestedDeeper(inner, levels - 1));
}

/** The key of objects that represent NaN and infinities. */
const numberKey = "pith.number";

/** Formats data as JSON, with NaN and infinities as objects. `parsePlain` parses the result. */
export function stringifyPlain(plain: unknown): string {
  return JSON.stringify(plain, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? { [numberKey]: String(value) } : value,
  );
}

export function parsePlain(text: string | undefined): unknown {
  try {
    return text === undefined
      ? undefined
      : JSON.parse(text, (_, value) => (value?.[numberKey] === undefined ? value : Number(value[numberKey])));
  } catch {
    return undefined;
  }
}
