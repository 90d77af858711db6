/** Writes plain data as JSON, for the storage and for `pith studio`. Unlike JSON, keeps pixels, undefined in lists, and numbers that are not finite. */

const numbers: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity, "-Infinity": -Infinity };
const hexadecimal = (byte: number): string => byte.toString(16).padStart(2, "0");

export const encode = (value: unknown): string =>
  JSON.stringify(value, function (this: object, _, each: unknown) {
    if (each === undefined && Array.isArray(this)) return { $undefined: true };
    if (typeof each === "number" && !Number.isFinite(each)) return { $number: String(each) };
    if (each instanceof Uint8ClampedArray) return { $pixels: Array.from(each, hexadecimal).join("") };
    return each;
  });

export const decode = (text: string): unknown =>
  JSON.parse(text, (_, each: unknown) => {
    if (typeof each !== "object" || each === null) return each;
    if ("$number" in each) return numbers[String(each.$number)];
    if ("$pixels" in each)
      return Uint8ClampedArray.from(String(each.$pixels).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    return Array.isArray(each) ? each.map((element) => (isUndefined(element) ? undefined : element)) : each;
  });

const isUndefined = (value: unknown): boolean => typeof value === "object" && value !== null && "$undefined" in value;
