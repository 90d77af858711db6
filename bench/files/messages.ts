/** Every model of ONNX's backend tests and of the shared folder, opened and saved: the same messages, say two other implementations. */
import { readFileSync, statSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { backendTests } from "../../test/laws/archive.ts";
import { shared } from "../../test/shared.ts";
import { line, table } from "../lib/print.ts";
import { bufbuild, type Protobufjs, protobufjs } from "./peers.ts";

export interface Given {
  readonly name: string;
  readonly group: string;
  /** Absent where the model is known by its bytes alone. */
  readonly path?: string;
  readonly bytes: Uint8Array;
}

/** All models there are to compare. */
export async function givenModels(): Promise<Given[]> {
  const tests = backendTests() ?? [];
  const given: Given[] = tests.map(({ name, bytes }) => ({ name, bytes, group: "ONNX's backend tests" }));
  for (const part of ["models", "zoo", "conformance/custom-ops"]) {
    const folder = shared(join("data", part));
    if (folder === undefined) continue;
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".onnx")).sort();
    for (const name of names) {
      const path = join(folder, name);
      if (!statSync(path).isFile()) continue;
      const bytes = new Uint8Array(readFileSync(path));
      given.push({ name: relative(folder, path), path, bytes, group: `shared ${part}` });
    }
  }
  return given;
}

interface Tally {
  models: number;
  identical: number;
  /** Those whose weights lay in other files: saved as one file, they lie in it. */
  takenIn: number;
  /** By protobufjs, by @bufbuild/protobuf. */
  equal: [number, number];
}

/** Whether all say the same. */
export async function compareMessages(): Promise<boolean> {
  const [first, second] = [await protobufjs(), await bufbuild()];
  const plain = (message: Uint8Array) =>
    first.type.toObject(first.type.decode(message), { longs: String, bytes: String });
  const tallies = new Map<string, Tally>();
  const faults: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), "pith-messages-"));
  for (const { name, group, path, bytes } of await givenModels()) {
    const tally = tallies.get(group) ?? { models: 0, identical: 0, takenIn: 0, equal: [0, 0] };
    tallies.set(group, tally);
    tally.models++;
    try {
      const saved =
        path === undefined ? await encodeToBytes(await open(bytes)) : await savedFile(path, join(folder, "saved.onnx"));
      if (Buffer.compare(saved, bytes) === 0) tally.identical++;
      // Weights that lay beside the model lie in it once it is one file: that much is changed in the original as well.
      const expected = path === undefined ? bytes : withWeightsInside(path, bytes, first);
      if (expected !== bytes) tally.takenIn++;
      const same = [isDeepStrictEqual(plain(expected), plain(saved)), second.equal(expected, saved)] as const;
      if (same[0]) tally.equal[0]++;
      if (same[1]) tally.equal[1]++;
      if (!(same[0] && same[1])) faults.push(`${group}, ${name}: is another message`);
    } catch (error) {
      faults.push(`${group}, ${name}: ${error}`);
    }
  }
  await rm(folder, { recursive: true, force: true });
  line("\nOpened and saved");
  table(
    ["", ">models", ">same bytes", ">weights taken in", ">equal, by protobufjs", ">by @bufbuild/protobuf"],
    [...tallies].map(([group, { models, identical, takenIn, equal }]) => [
      group,
      ...[models, identical, takenIn, ...equal].map(String),
    ]),
  );
  line(
    "  Weights taken in: they lay in other files, and are saved into the model's own, as nothing else was asked for.",
  );
  for (const fault of faults) line(`  ${fault}`);
  return faults.length === 0 && tallies.size > 0;
}

/** The model as a file on the disk, by another way than as bytes: ranges are copied from file to file. */
async function savedFile(from: string, to: string): Promise<Uint8Array> {
  await save(await open(from), to);
  return new Uint8Array(await readFile(to));
}

interface OutsideTensor {
  raw_data?: Uint8Array;
  external_data: { key: string; value: string }[];
  data_location?: number;
}

function withWeightsInside(path: string, bytes: Uint8Array, { type }: Protobufjs): Uint8Array {
  const model = type.decode(bytes);
  const { graph } = model as typeof model & { graph: { initializer: OutsideTensor[] } };
  const outside = graph.initializer.filter((tensor) => tensor.data_location === 1);
  if (outside.length === 0) return bytes;
  for (const tensor of outside) {
    const entries = new Map(tensor.external_data.map(({ key, value }) => [key, value]));
    const file = readFileSync(join(path, "..", entries.get("location") ?? ""));
    const start = Number(entries.get("offset") ?? 0);
    tensor.raw_data = file.subarray(start, start + Number(entries.get("length") ?? file.length));
    tensor.external_data = [];
    delete tensor.data_location;
  }
  return type.encode(model).finish();
}
