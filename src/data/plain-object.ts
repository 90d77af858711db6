/** An object that was read from a file or a caller, before its fields are checked. */
export type PlainObject = Readonly<Record<string, unknown>>;

export function isPlainObject(value: unknown): value is PlainObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value in code is what braces make: no list, and of no class, as models and arrays of numbers are. */
export function isObjectLiteral(value: unknown): value is PlainObject {
  return isPlainObject(value) && Object.getPrototypeOf(value) === Object.prototype;
}
