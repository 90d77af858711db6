/** Plain data as JSON, between the page and `pith studio`. Unlike JSON, keeps bytes, undefined in lists, and numbers that are not finite. */

/** A file of the server, by its path in the server's folder. */
export interface StoredFile {
  readonly storedAt: string;
}

export const isStoredFile = (value: unknown): value is StoredFile =>
  typeof value === "object" && value !== null && "storedAt" in value;

/** Bytes are a `Uint8ClampedArray` after `decode`, because only pixels are sent. */
export function encode(value: unknown): string {
  return JSON.stringify(value, function (this: object, _, each: unknown) {
    if (each === undefined && Array.isArray(this)) return { $: "undefined" };
    if (typeof each === "number" && !Number.isFinite(each)) return { $: String(each) };
    if (ArrayBuffer.isView(each))
      return { $: "bytes", base64: Buffer.from(each.buffer, each.byteOffset, each.byteLength).toString("base64") };
    return each;
  });
}

export function decode(text: string): unknown {
  return JSON.parse(text, (_, each: unknown) => {
    if (typeof each !== "object" || each === null || !("$" in each)) return each;
    if ("base64" in each) return Uint8ClampedArray.from(atob(String(each.base64)), (letter) => letter.charCodeAt(0));
    return each.$ === "undefined" ? undefined : Number(each.$);
  });
}
