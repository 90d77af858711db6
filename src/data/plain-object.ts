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
