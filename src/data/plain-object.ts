/** An object that was read from a file or a caller, before its fields are checked. */
export type PlainObject = Readonly<Record<string, unknown>>;

/** Whether a value is what braces make: no list, and of no class, as models and arrays of numbers are. */
export function isObject(value: unknown): value is PlainObject {
  if (typeof value !== "object" || value === null) return false;
  const kind: unknown = Object.getPrototypeOf(value);
  return kind === Object.prototype || kind === null;
}

/** Whether arrays and objects are nested in more levels than that; also if one contains itself. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}
