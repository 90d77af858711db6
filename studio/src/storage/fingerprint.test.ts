import { expect, test } from "vitest";
import { fingerprintOf } from "./fingerprint.ts";

/** More than two pieces. */
const content = Uint8Array.from({ length: 2 ** 23 + 5 }, (_, at) => (at * 7) % 251);

/** A file of a browser that cannot read into given memory. */
class PlainFile extends File {
  override stream(): ReturnType<File["stream"]> {
    return new ReadableStream() as ReturnType<File["stream"]>;
  }
}

test("a file has the same fingerprint in browsers that can and cannot read into given memory", async () => {
  const place = "model.onnx";
  const fingerprint = (file: File): Promise<string> => fingerprintOf(place, [[place, file]], content.length);
  const expected = await fingerprint(new File([content], place));
  expect(await fingerprint(new PlainFile([content], place))).toBe(expected);
  const changed = content.slice();
  changed[changed.length - 1] = 255;
  expect(await fingerprint(new File([changed], place))).not.toBe(expected);
});
