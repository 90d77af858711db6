import { expect, test } from "vitest";
import { choiceOf, fingerprintOf } from "./fingerprint.ts";

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

test("the weights of a model belong to its fingerprint, whatever their file is called", async () => {
  const fingerprint = (path: string, weights: string): Promise<string> =>
    fingerprintOf(
      "m/a.onnx",
      [
        ["m/a.onnx", new File(["a"], "a.onnx")],
        [path, new File([weights], "w")],
      ],
      2,
    );
  for (const path of ["m/weights.bin", "m/encoder.layer.0.weight", "m/onnx/a.onnx_data"])
    expect(await fingerprint(path, "one")).not.toBe(await fingerprint(path, "two"));
  expect(await fingerprint("m/other.onnx", "one")).toBe(await fingerprint("m/other.onnx", "two"));
});

test("samples of the same name differ by their content", async () => {
  const choice = (text: string): Promise<string> => choiceOf([["points.csv", new File([text], "points.csv")]]);
  expect(await choice("a,b\n1,2\n")).toBe(await choice("a,b\n1,2\n"));
  expect(await choice("a,b\n1,2\n")).not.toBe(await choice("a,b\n1,3\n"));
});
