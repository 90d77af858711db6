/** Writes views and records as JSON, with the values that JSON cannot express: numbers that are not finite, and pixels. */

const numbers: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity, "-Infinity": -Infinity };

export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === "number" && !Number.isFinite(each)) return { $number: String(each) };
    if (each instanceof Uint8ClampedArray) return { $pixels: Array.from(each, hexadecimal).join("") };
    return each;
  });

export const parseText = (text: string): unknown =>
  JSON.parse(text, (_, each: unknown) => {
    if (typeof each !== "object" || each === null) return each;
    if ("$number" in each) return numbers[String(each.$number)];
    if ("$pixels" in each)
      return Uint8ClampedArray.from(String(each.$pixels).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    return each;
  });

const hexadecimal = (byte: number): string => byte.toString(16).padStart(2, "0");
