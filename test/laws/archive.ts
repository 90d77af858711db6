/** The archive of ONNX's backend tests: models, mostly of one node, with inputs and outputs as TensorProto. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "fflate";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { shared } from "../shared.ts";

export interface BackendTest {
  readonly name: string;
  /** Content of the model file. */
  readonly bytes: Uint8Array;
  model(): Promise<Model>;
  /** Tensors of the first dataset, by position; undefined for a sequence or an optional. */
  inputs(): Promise<readonly (Dense | undefined)[]>;
  outputs(): Promise<readonly (Dense | undefined)[]>;
}

/** Returns all tests of the archive, or undefined if the archive is missing. */
export function backendTests(): readonly BackendTest[] | undefined {
  const path = shared("data/conformance/onnx-backend-testdata.tar.gz");
  if (path === undefined) return undefined;
  const files = untar(gunzipSync(readFileSync(path)));
  const tests: BackendTest[] = [];
  for (const [file, bytes] of files) {
    // "light" networks have no test data: their weights are computed.
    if (!file.endsWith("/model.onnx") && !/\/light\/[^/]+\.onnx$/.test(file)) continue;
    const folder = file.slice(0, -"model.onnx".length);
    const tensors = async (kind: "input" | "output"): Promise<(Dense | undefined)[]> => {
      const tensorList: (Dense | undefined)[] = [];
      for (let index = 0; ; index++) {
        const message = files.get(`${folder}test_data_set_0/${kind}_${index}.pb`);
        if (message === undefined) return tensorList;
        tensorList.push(await decodeTensor(message).catch(() => undefined));
      }
    };
    tests.push({
      name: nameOf(file),
      bytes,
      model: () => open(bytes),
      inputs: () => tensors("input"),
      outputs: () => tensors("output"),
    });
  }
  return tests;
}

/** `data/node/test_add/model.onnx` is test_add, `data/light/light_resnet50.onnx` is light_resnet50. */
function nameOf(file: string): string {
  return file
    .replace(/\/model\.onnx$/, "")
    .replace(/^.*\//, "")
    .replace(/\.onnx$/, "");
}

/** Returns the regular files of a tar archive. Names above 100 characters are in a record before the file (GNU). */
function untar(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (start: number, length: number): string => {
    const bytes = archive.subarray(start, start + length);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  };
  let long: string | undefined;
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8);
    const prefix = text(at + 345, 155);
    const name = long ?? text(at, 100);
    const kind = text(at + 156, 1);
    const content = archive.subarray(at + 512, at + 512 + size);
    long = kind === "L" ? text(at + 512, size) : undefined;
    if (kind === "0" || kind === "") files.set(prefix === "" ? name : `${prefix}/${name}`, content);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** Decodes a TensorProto by wrapping it as the only weight of a model. */
async function decodeTensor(message: Uint8Array): Promise<Dense | undefined> {
  // Some of these tensors have no name. Protobuf uses the last value of a repeated field, so the appended name wins.
  const graph = field(5, [...message, ...field(8, [0x74])]);
  const model = await open(Uint8Array.from([0x08, 10, ...field(7, graph), ...field(8, [0x10, 21])]));
  const [value] = model.graph.values();
  return value?.tensor?.read();
}

/** Encodes a length-delimited field of a protobuf message. */
function field(number: number, content: ArrayLike<number>): number[] {
  const length: number[] = [];
  let rest = content.length;
  do {
    length.push(rest >= 128 ? (rest % 128) + 128 : rest);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return [number * 8 + 2, ...length, ...Array.from(content)];
}
